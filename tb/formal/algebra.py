"""Proves sums of words by algebra: what a SAT solver cannot do for trees of many addends.

Every function of bits into the integers modulo ``2**W`` is a polynomial in which no bit has a
power, and just one such polynomial. So a netlist adds up to what it should exactly if, after every
gate has been replaced by its polynomial (``x & y`` is ``xy``, ``x ^ y`` is ``x + y - 2xy``, and so
on), both sides are the same. Going from the outputs back to the inputs keeps the polynomial small:
the two outputs of a full adder come together as ``x + y + z``, and what is carried out of the top is
a multiple of ``2**W``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amaranth.back import rtlil

from tb.formal.yosys import run_yosys

__all__ = ["Netlist", "Polynomial", "constant", "product", "total", "variable", "word"]

Polynomial = dict[frozenset[int], int]
"""Coefficients by monomial; a monomial is the set of its bits."""

Bits = Sequence[int | str]
"""Bits of a word, least significant first: numbers of nets, or ``"0"`` and ``"1"``."""

_ONE: frozenset[int] = frozenset()
# A right netlist of 16-bit operands has up to 1800 terms; a wrong one may have any number.
_MOST_TERMS = 5_000


def constant(value: int) -> Polynomial:
    return {_ONE: value} if value else {}


def variable(bit: int | str) -> Polynomial:
    return constant(int(bit)) if isinstance(bit, str) else {frozenset((bit,)): 1}


def total(parts: Iterable[Polynomial]) -> Polynomial:
    """Sum of polynomials."""
    result: Polynomial = {}
    for part in parts:
        for monomial, factor in part.items():
            result[monomial] = result.get(monomial, 0) + factor
    return result


def product(left: Polynomial, right: Polynomial, modulus: int = 0) -> Polynomial:
    """Product of polynomials in bits: a bit's square is the bit."""
    result: Polynomial = {}
    for m, x in left.items():
        for n, y in right.items():
            result[m | n] = result.get(m | n, 0) + x * y
    return {m: x % modulus if modulus else x for m, x in result.items()}


def word(bits: Bits, *, signed: bool = False) -> Polynomial:
    """The number that a word stands for."""
    weights = [1 << n for n in range(len(bits))]
    if signed:
        weights[-1] = -weights[-1]
    return total(product(variable(b), constant(w)) for b, w in zip(bits, weights, strict=True))


@dataclass(frozen=True)
class Netlist:
    """The gates of a flattened block.

    Attributes
    ----------
    gates : mapping of int to (str, tuple of bits)
        By the net that it drives: kind and inputs.
    registers : mapping of int to bit
        What is taken over into a register, by the register's output.
    words : mapping of str to bits
        Nets by name.
    """

    gates: Mapping[int, tuple[str, tuple[int | str, ...]]]
    registers: Mapping[int, int | str]
    words: Mapping[str, Bits]

    @classmethod
    def of(cls, block: Any) -> Netlist:
        """The netlist of an Amaranth component."""
        (net,) = cls.of_texts([rtlil.convert(block, name="top", emit_src=False)])
        return net

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> list[Netlist]:
        """The netlists of some designs in RTLIL, each with module ``top``, in one run of Yosys."""
        with tempfile.TemporaryDirectory(prefix="bitweft-", dir=Path.cwd()) as scratch:
            # The solver sees only the working directory.
            folder = Path(scratch)
            script = []
            for n, text in enumerate(texts):
                (folder / f"{n}.il").write_text(text, encoding="utf-8")
                script.append(
                    f"read_rtlil {n}.il; hierarchy -top top; proc -noopt; flatten; opt_clean; "
                    "dffunmap; simplemap t:* t:$add t:$sub %u %d; opt_clean; "
                    f"write_json {n}.json; design -reset"
                )
            done = run_yosys("\n".join(script), folder=folder)
            if done.returncode:
                raise RuntimeError(f"Yosys failed: {done.stderr.strip()[-2000:]}")
            found = [json.loads((folder / f"{n}.json").read_text()) for n in range(len(texts))]
        return [cls._read(design["modules"]["top"]) for design in found]

    @classmethod
    def _read(cls, module: Mapping[str, Any]) -> Netlist:
        gates: dict[int, tuple[str, tuple[int | str, ...]]] = {}
        registers: dict[int, int | str] = {}
        fresh = 1 << 40
        for cell in module["cells"].values():
            kind, pins = cell["type"], cell["connections"]
            if kind in ("$add", "$sub"):
                fresh = _ripple(gates, cell, fresh)
            elif kind.startswith("$_DFF_"):
                registers[pins["Q"][0]] = pins["D"][0]
            elif kind in _GATES:
                inputs = tuple(pins[pin][0] for pin in "ABS" if pin in pins)
                gates[pins["Y"][0]] = (kind, inputs)
            elif kind != "$scopeinfo":
                raise RuntimeError(f"netlist must consist of known gates, not {kind}")
        words = {name: net["bits"] for name, net in module["netnames"].items()}
        return cls(gates, registers, words)

    def next(self, name: str) -> Bits:
        """What register `name` holds in the next cycle."""
        return [b if isinstance(b, str) else self.registers[b] for b in self.words[name]]

    def resolve(self, polynomial: Polynomial, modulus: int) -> Polynomial:
        """`polynomial` in terms of inputs and registers alone.

        Raises
        ------
        RuntimeError
            It grows beyond any polynomial of a right netlist.
        """
        terms = {m: x % modulus for m, x in polynomial.items() if x % modulus}
        users: dict[int, set[frozenset[int]]] = {}
        for monomial in terms:
            for bit in monomial:
                users.setdefault(bit, set()).add(monomial)
        for net in self._outputs_first(users):
            gate = _GATES[self.gates[net][0]](*map(variable, self.gates[net][1]))
            for monomial in list(users.pop(net, ())):
                factor = terms.pop(monomial)
                rest = monomial - {net}
                for bit in rest:
                    users[bit].discard(monomial)
                for more, scale in gate.items():
                    key = rest | more
                    value = (terms.get(key, 0) + factor * scale) % modulus
                    if value:
                        if key not in terms:
                            for bit in key:
                                users.setdefault(bit, set()).add(key)
                        terms[key] = value
                    elif key in terms:
                        del terms[key]
                        for bit in key:
                            users[bit].discard(key)
            if len(terms) > _MOST_TERMS:
                raise RuntimeError(f"polynomial must have at most {_MOST_TERMS} terms")
        return terms

    def _outputs_first(self, roots: Iterable[int]) -> list[int]:
        """Nets of the gates behind `roots`, every one before the nets that it depends on."""
        order: list[int] = []
        seen: set[int] = set()
        for root in list(roots):
            stack = [(root, False)]
            while stack:
                net, done = stack.pop()
                if done:
                    order.append(net)
                elif net in self.gates and net not in seen:
                    seen.add(net)
                    stack.append((net, True))
                    inputs = self.gates[net][1]
                    stack += [(bit, False) for bit in inputs if isinstance(bit, int)]
        return order[::-1]

    def equal(self, left: Polynomial, right: Polynomial, modulus: int) -> bool:
        """Whether both stand for the same number modulo `modulus`, whatever inputs and state."""
        difference = total([left, {m: -x for m, x in right.items()}])
        try:
            return not self.resolve(difference, modulus)
        except RuntimeError:
            return False


def _and(a: Polynomial, b: Polynomial) -> Polynomial:
    return product(a, b)


def _not(a: Polynomial) -> Polynomial:
    return total([constant(1), product(a, constant(-1))])


def _or(a: Polynomial, b: Polynomial) -> Polynomial:
    return total([a, b, product(constant(-1), product(a, b))])


def _xor(a: Polynomial, b: Polynomial) -> Polynomial:
    return total([a, b, product(constant(-2), product(a, b))])


def _mux(a: Polynomial, b: Polynomial, s: Polynomial) -> Polynomial:
    return total([product(s, b), product(_not(s), a)])


def _majority(a: Polynomial, b: Polynomial, s: Polynomial) -> Polynomial:
    return _or(_and(a, b), _and(s, _or(a, b)))


def _odd(a: Polynomial, b: Polynomial, s: Polynomial) -> Polynomial:
    return _xor(a, _xor(b, s))


_GATES: dict[str, Any] = {
    "$_AND_": _and,
    "$_OR_": _or,
    "$_XOR_": _xor,
    "$_NOT_": _not,
    "$_BUF_": lambda a: a,
    "$_XNOR_": lambda a, b: _not(_xor(a, b)),
    "$_NAND_": lambda a, b: _not(_and(a, b)),
    "$_NOR_": lambda a, b: _not(_or(a, b)),
    "$_ANDNOT_": lambda a, b: _and(a, _not(b)),
    "$_ORNOT_": lambda a, b: _or(a, _not(b)),
    "$_MUX_": _mux,
    "majority": _majority,
    "odd": _odd,
}


def _ripple(
    gates: dict[int, tuple[str, tuple[int | str, ...]]], cell: Mapping[str, Any], fresh: int
) -> int:
    """An adder or subtractor as a chain of full adders; returns the next free net number."""
    pins, parameters = cell["connections"], cell["parameters"]
    words = []
    for pin in "AB":
        bits = list(pins[pin])
        extends = int(parameters["A_SIGNED"], 2) and int(parameters["B_SIGNED"], 2)
        fill = bits[-1] if extends else "0"
        words.append(bits + [fill] * (len(pins["Y"]) - len(bits)))
    carry: int | str = "0"
    if cell["type"] == "$sub":  # x - y == x + ~y + 1
        carry = "1"
        for n, bit in enumerate(words[1]):
            gates[fresh] = ("$_NOT_", (bit,))
            words[1][n], fresh = fresh, fresh + 1
    for a, b, y in zip(*words, pins["Y"], strict=False):
        gates[y] = ("odd", (a, b, carry))
        gates[fresh] = ("majority", (a, b, carry))
        carry, fresh = fresh, fresh + 1
    return fresh
