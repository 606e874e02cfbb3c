"""The cycles of a nest as a formula, derived from its loops, and its value for given data.

A static nest has a number. Where zero digits are skipped the formula reads, for instance,
``2 * 2 * sum(bw < 4) max(mp < 2) sum(kt < 3) max(1, nnz(kp < 4: encode(A[m,k])[bw]))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hw.errors import InputError
from hw.notation.index import Affine
from hw.notation.nest import Assign, Call, Kind, Loop, Nest, Node, Ref, Sync, calls
from hw.notation.recode import digits_of
from hw.notation.show import show_expression
from hw.notation.widths import encoded_format

__all__ = ["Law", "counted_digit", "cycle_law", "cycles", "least_cycles", "outside"]


@dataclass(frozen=True)
class Law:
    """A formula of cycles.

    Attributes
    ----------
    kind : str
        ``number``, ``plus``, ``sum`` or ``max`` over a loop, or ``nonzero``: the nonzero digits of
        a group, at least one.
    parts : tuple of Law
    var, extent : of the loop
    value : int
        Of a number.
    digit : Call, optional
        What is counted by ``nonzero``.
    """

    kind: str
    parts: tuple[Law, ...] = ()
    var: str = ""
    extent: int = 0
    value: int = 0
    digit: Call | None = None

    def __str__(self) -> str:
        inner = [str(part) for part in self.parts]
        match self.kind:
            case "number":
                return str(self.value)
            case "plus":
                return "(" + " + ".join(inner) + ")"
            case "nonzero":
                assert self.digit is not None
                counted = f"nnz({self.var} < {self.extent}: {show_expression(self.digit)})"
                if self.parts[0] != _number(1):
                    counted = f"{inner[0]} * {counted}"
                return f"max(1, {counted})"
        if self.extent == 1:
            return inner[0]
        if self.kind == "sum" and self.var not in self.parts[0].variables:
            return f"{self.extent} * {inner[0]}"
        return f"{self.kind}({self.var} < {self.extent}) {inner[0]}"

    @property
    def variables(self) -> frozenset[str]:
        """Loop variables that the value depends on; those of A's indices are given expanded."""
        found = frozenset().union(*(part.variables for part in self.parts))
        return found | (self.free if self.kind == "nonzero" else frozenset())

    free: frozenset[str] = frozenset()


def cycle_law(nest: Nest) -> Law:
    """The formula of the cycles of `nest`.

    Raises
    ------
    InputError
        A `sync` stands elsewhere than at the end of a loop in time.
    """
    return _sequence(nest, nest.body)


def cycles(nest: Nest, a: Sequence[Sequence[int]] | None = None) -> int:
    """The cycles of `nest` for the operands `a` (m, k), which a static nest does not need.

    Raises
    ------
    InputError
        The cycles depend on A, and it is not given.
    """
    return _value(nest, cycle_law(nest), a, {})


def least_cycles(nodes: tuple[Node, ...]) -> int:
    """Cycles that `nodes` take when every digit is zero."""
    total = 0
    for node in nodes:
        if isinstance(node, Loop):
            inner = least_cycles(node.body)
            total += {
                Kind.SPATIAL: inner,
                Kind.TEMPORAL: node.extent * max(1, inner),
                Kind.SPARSE: 1,
            }[node.kind]
    return total


def outside(nest: Nest, digit: Call, var: str, extent: int, at: Mapping[str, int]) -> bool:
    """Whether all operands of a group lie outside A."""
    (element,) = digit.arguments
    if not isinstance(element, Ref) or element.name != "A":
        return False
    row, column = (nest.expand(i) for i in element.index if isinstance(i, Affine))
    positions = [{**at, var: i} for i in range(extent)]
    return not any(row.value(p) < nest.m and column.value(p) < nest.k for p in positions)


def _number(value: int) -> Law:
    return Law("number", value=value)


def _plus(parts: list[Law]) -> Law:
    known = sum(part.value for part in parts if part.kind == "number")
    rest = [part for part in parts if part.kind != "number"]
    if not rest:
        return _number(known)
    if known:
        rest.append(_number(known))
    return rest[0] if len(rest) == 1 else Law("plus", tuple(rest))


def _sequence(nest: Nest, nodes: tuple[Node, ...]) -> Law:
    return _plus([_of(nest, node) for node in nodes if isinstance(node, Loop)])


def _of(nest: Nest, node: Loop) -> Law:
    if node.kind is Kind.SPATIAL:
        return _together(nest, (node,), node.body)
    body = _sequence(nest, node.body)
    if body == _number(0):
        body = _number(1)
    if node.kind is Kind.SPARSE:
        digit = counted_digit(nest, node)
        free = nest.loop_variables(digit) - {node.var}
        return Law("nonzero", (body,), node.var, node.extent, digit=digit, free=free)
    return _summed(node, body)


def _summed(node: Loop, body: Law) -> Law:
    if body.kind == "number":
        return _number(node.extent * body.value)
    return Law("sum", (body,), node.var, node.extent)


def _together(nest: Nest, around: tuple[Loop, ...], nodes: tuple[Node, ...]) -> Law:
    """Loops in space around `nodes`: the slowest pass counts, between one sync and the next."""
    names = {one.var for one in around}
    if not any(_syncs(node, names) for node in nodes):
        law = _sequence(nest, nodes)
        for one in reversed(around):
            if one.var in law.variables:
                law = Law("max", (law,), one.var, one.extent)
        return law
    if len(nodes) == 1 and isinstance(nodes[0], Loop):
        node = nodes[0]
        if node.kind is Kind.SPATIAL:
            return _together(nest, (*around, node), node.body)
        *before, last = node.body
        if node.kind is Kind.TEMPORAL and isinstance(last, Sync) and last.var in names:
            inner = _together(nest, around, tuple(n for n in before if not isinstance(n, Sync)))
            return _summed(node, inner)
        if node.kind is Kind.TEMPORAL and isinstance(last, Loop):
            return _summed(node, _together(nest, around, node.body))
    raise InputError(
        f"Nest {nest.name}: sync must stand at the end of a loop in time for the cycles to have a "
        "formula."
    )


def _syncs(node: Node, names: set[str]) -> bool:
    if isinstance(node, Sync):
        return node.var in names
    return isinstance(node, Loop) and any(_syncs(inner, names) for inner in node.body)


def counted_digit(nest: Nest, node: Loop) -> Call:
    """The digits whose zeros the sparse loop `node` leaves out."""
    assert node.over is not None
    for _, _, found in nest.walk():
        if isinstance(found, Assign) and found.target.name == node.over.name:
            for made in calls(found.value, "sparse"):
                (group,) = made.arguments
                assert isinstance(group, Ref)
                for _, _, source in nest.walk():
                    if isinstance(source, Assign) and source.target.name == group.name:
                        for digit in calls(source.value, "encode"):
                            return digit
    raise InputError(f"Nest {nest.name}: {node.over.name} must be made by sparse from digits.")


def _value(nest: Nest, law: Law, a: Sequence[Sequence[int]] | None, at: Mapping[str, int]) -> int:
    if law.kind == "number":
        return law.value
    if law.kind == "plus":
        return sum(_value(nest, part, a, at) for part in law.parts)
    (part,) = law.parts
    if law.kind != "nonzero":
        found = [_value(nest, part, a, {**at, law.var: i}) for i in range(law.extent)]
        return sum(found) if law.kind == "sum" else max(found)
    assert law.digit is not None
    if outside(nest, law.digit, law.var, law.extent, at):
        return 0
    total = 0
    for i in range(law.extent):
        here = {**at, law.var: i}
        if _read_digit(nest, law.digit, a, here):
            total += _value(nest, part, a, here)
    return max(1, total)


def _read_digit(
    nest: Nest, digit: Call | None, a: Sequence[Sequence[int]] | None, at: Mapping[str, int]
) -> int:
    assert digit is not None
    (element,) = digit.arguments
    if a is None or not isinstance(element, Ref) or element.name != "A":
        raise InputError(
            f"Nest {nest.name}: cycles depend on {show_expression(element)}: give its values."
        )
    row, column = (nest.expand(i).value(at) for i in element.index)  # type: ignore[arg-type]
    value = a[row][column] if row < nest.m and column < nest.k else 0
    digits = digits_of(value, nest.recoding, encoded_format(nest, element))
    return digits[nest.expand(digit.at[0]).value(at)]
