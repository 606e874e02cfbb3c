"""Reads the text form of a nest: the inverse of `hw.notation.show.show`.

::

    nest mac: C[4,4] = A[4,8] int8 * B[8,4] int8, mbe
    where m = 2*mt + mp, n = 2*nt + np
    bits (s, c) = 16, C = 32
    for mt < 2, nt < 2, k < 8:
      parfor mp < 2, np < 2:
        parfor bw < 4:
          pp[bw] = shift(map(encode(A[m,k])[bw], B[k,n]), bw)
        (s, c) = half_reduce(pp[*])
        p = add((s, c))
        C[m,n] += p

Loops inside loops are indented by two blanks more; ``#`` starts a comment; ``x += y`` is short for
``x = accumulate(x, y)``; ``for kp < 4 in idx:`` is a sparse loop; ``@1`` at the end of an
assignment delays it by a register.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from hw.errors import InputError
from hw.notation.index import STAR, Affine, Index
from hw.notation.nest import (
    PRIMITIVES,
    Assign,
    Call,
    Expression,
    Kind,
    Loop,
    Nest,
    Node,
    Ref,
    Sync,
    call,
)
from hw.notation.recode import RECODINGS
from hw.operand import Operand

__all__ = ["parse", "parse_expression"]

_HEAD = re.compile(
    r"^nest (?P<name>\S+): C\[(?P<m>\d+),(?P<n>\d+)\] = A\[(?P<m2>\d+),(?P<k>\d+)\] (?P<a>\w+)"
    r" \* B\[(?P<k2>\d+),(?P<n2>\d+)\] (?P<b>\w+), (?P<recoding>\w+)$"
)
_TOKEN = re.compile(r"\s*(\d+|[A-Za-z_]\w*|[-+*\[\](),@=<:]|$)")
_PAIR = re.compile(r"\(\s*([A-Za-z_]\w*)\s*,\s*([A-Za-z_]\w*)\s*\)")


def parse(text: str) -> Nest:
    """The nest that `text` describes.

    Raises
    ------
    InputError
        The text breaks the grammar; the message names the line.
    """
    lines = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.split("#")[0].rstrip()
        if content:
            lines.append(_Line(number, len(content) - len(content.lstrip()), content.strip()))
    if not lines:
        raise InputError("A nest must start with 'nest NAME: C[m,n] = ...', not be empty.")
    head = _HEAD.match(lines[0].text)
    if head is None or (head["m"], head["n"], head["k"]) != (head["m2"], head["n2"], head["k2"]):
        raise lines[0].error(
            "a nest must start like 'nest mac: C[4,4] = A[4,8] int8 * B[8,4] int8, mbe'"
        )
    if head["recoding"] not in RECODINGS:
        raise lines[0].error(f"recoding must be one of {', '.join(RECODINGS)}")
    try:
        a, b = Operand.parse(head["a"]), Operand.parse(head["b"])
    except ValueError as error:
        raise lines[0].error(f"operand formats {error}") from error
    nest = Nest(
        name=head["name"],
        a=a,
        b=b,
        recoding=head["recoding"],
        m=int(head["m"]),
        n=int(head["n"]),
        k=int(head["k"]),
        where=(),
        widths=(),
        body=(),
    )
    rest = lines[1:]
    if rest and rest[0].text.startswith("where "):
        nest = replace(nest, where=tuple(_definitions(rest.pop(0))))
    if rest and rest[0].text.startswith("bits "):
        bits_line = rest.pop(0)
        widths = re.findall(r"(\([^)]*\)|\w+) = (\d+)", bits_line.text)
        if "bits " + ", ".join(f"{name} = {bits}" for name, bits in widths) != bits_line.text:
            raise bits_line.error("widths must be written like 'bits (s, c) = 16, C = 32'")
        nest = replace(nest, widths=tuple((name, int(bits)) for name, bits in widths))
    body, left = _block(rest, 0)
    if left:
        raise left[0].error("indentation must fit the loop above")
    return replace(nest, body=body)


def parse_expression(text: str) -> Expression:
    """One expression, such as ``map(encode(A[m,k])[bw], B[k,n])``.

    Raises
    ------
    InputError
        The text breaks the grammar.
    """
    scanner = _Scanner(_Line(1, 0, text), text)
    made = scanner.expression()
    scanner.expect("")
    return made


@dataclass(frozen=True)
class _Line:
    number: int
    indent: int
    text: str

    def error(self, message: str) -> InputError:
        return InputError(f"Line {self.number}: {message}, not {self.text!r}.")


def _definitions(line: _Line) -> list[tuple[str, Affine]]:
    scanner = _Scanner(line, line.text.removeprefix("where "))
    made = []
    while True:
        name = scanner.name()
        scanner.expect("=")
        made.append((name, scanner.affine()))
        if scanner.peek() != ",":
            scanner.expect("")
            return made
        scanner.expect(",")


def _block(lines: list[_Line], indent: int) -> tuple[tuple[Node, ...], list[_Line]]:
    nodes: list[Node] = []
    while lines and lines[0].indent == indent:
        line, lines = lines[0], lines[1:]
        word = line.text.split()[0]
        if word in ("for", "parfor"):
            body, lines = _block(lines, indent + 2)
            if not body:
                raise line.error("a loop must have a body, indented by two blanks more")
            nodes.append(_loops(line, word, body))
        else:
            nodes.append(_statement(line))
    return tuple(nodes), lines


def _loops(line: _Line, word: str, body: tuple[Node, ...]) -> Loop:
    scanner = _Scanner(line, line.text.removeprefix(word))
    ranges, over, kind = [], None, Kind(word)
    while True:
        name = scanner.name()
        scanner.expect("<")
        ranges.append((name, scanner.number()))
        if scanner.peek() != ",":
            break
        scanner.expect(",")
    if scanner.peek() == "in":
        scanner.name()
        made = scanner.expression()
        if word != "for" or len(ranges) != 1 or not isinstance(made, Ref):
            raise line.error("a sparse loop must be written like 'for kp < 4 in idx:'")
        over, kind = made, Kind.SPARSE
    scanner.expect(":")
    scanner.expect("")
    for name, extent in reversed(ranges):
        if extent < 1:
            raise line.error("a loop must have at least one pass")
        body = (Loop(name, extent, kind, body, over),)
    (node,) = body
    assert isinstance(node, Loop)
    return node


def _statement(line: _Line) -> Assign | Sync:
    scanner = _Scanner(line, line.text)
    if line.text.startswith("sync("):
        scanner.name()
        scanner.expect("(")
        name = scanner.name()
        scanner.expect(")")
        scanner.expect("")
        return Sync(name)
    target = scanner.expression()
    if not isinstance(target, Ref):
        raise line.error("an assignment must have a variable on its left")
    adds = scanner.peek() == "+"
    if adds:
        scanner.expect("+")
    scanner.expect("=")
    value = scanner.expression()
    delay = 0
    if scanner.peek() == "@":
        scanner.expect("@")
        delay = scanner.number()
    scanner.expect("")
    return Assign(target, call("accumulate", target, value) if adds else value, delay)


class _Scanner:
    """Recursive descent over the tokens of one line."""

    def __init__(self, line: _Line, text: str) -> None:
        self._line, self._text, self._at = line, text, 0

    def peek(self) -> str:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            raise self._line.error(f"{self._text[self._at :].strip()!r} cannot be read")
        return match[1]

    def _take(self) -> str:
        token = self.peek()
        match = _TOKEN.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return token

    def expect(self, token: str) -> None:
        found = self._take()
        if found != token:
            raise self._line.error(
                f"{token or 'the end of the line'!r} must follow where {found!r} stands"
            )

    def name(self) -> str:
        token = self._take()
        if not token.isidentifier():
            raise self._line.error(f"a name must stand where {token!r} stands")
        return token

    def number(self) -> int:
        token = self._take()
        if not token.isdigit():
            raise self._line.error(f"a number must stand where {token!r} stands")
        return int(token)

    def affine(self) -> Affine:
        terms: list[tuple[str, int]] = []
        constant, sign = 0, 1
        while True:
            if self.peek() == "-":
                self.expect("-")
                sign = -sign
            factor = 1
            if self.peek().isdigit():
                factor = self.number()
                if self.peek() == "*":
                    self.expect("*")
                    terms.append((self.name(), sign * factor))
                else:
                    constant += sign * factor
            else:
                terms.append((self.name(), sign))
            if self.peek() not in ("+", "-"):
                return Affine.of(terms, constant)
            sign = 1 if self._take() == "+" else -1

    def _index(self) -> Index:
        if self.peek() == "*":
            self.expect("*")
            return STAR
        return self.affine()

    def expression(self) -> Expression:
        pair = _PAIR.match(self._text, _TOKEN.match(self._text, self._at).start(1))  # type: ignore[union-attr]
        if pair is not None:
            self._at = pair.end()
            name = f"({pair[1]}, {pair[2]})"
        else:
            name = self.name()
            if self.peek() == "(":
                return self._call(name)
        index: list[Index] = []
        if self.peek() == "[":
            closing = "["
            while closing != "]":
                self.expect(closing)
                index.append(self._index())
                closing = "," if self.peek() == "," else "]"
            self.expect("]")
        return Ref(name, tuple(index))

    def _call(self, name: str) -> Call:
        if name not in PRIMITIVES:
            raise self._line.error(f"primitive must be one of {', '.join(PRIMITIVES)}")
        self.expect("(")
        arguments: list[Expression] = []
        at: Affine | None = None
        while self.peek() != ")":
            if name == "shift" and arguments:
                at = self.affine()
            else:
                arguments.append(self.expression())
            if self.peek() != ")":
                self.expect(",")
        self.expect(")")
        if name != "shift" and PRIMITIVES[name][1]:
            self.expect("[")
            at = self.affine()
            self.expect("]")
        try:
            return call(name, *arguments, at=at)
        except ValueError as error:
            raise self._line.error(str(error)) from error
