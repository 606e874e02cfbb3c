"""What hardware a nest stands for: units and registers, counted from the tree.

A primitive is one unit per pass of the loops in space around it; passes in time share it. What
does not say so in the nest is not counted: operand skew, control, and the final drain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from hw.notation.cycles import least_cycles
from hw.notation.index import Star
from hw.notation.nest import (
    Assign,
    Call,
    Expression,
    Kind,
    Loop,
    Nest,
    Ref,
    calls,
    is_pair,
    refs,
)
from hw.notation.scope import is_accumulation, scopes
from hw.notation.show import show_expression
from hw.notation.widths import interval, signed_bits

__all__ = ["Counts", "Register", "Unit", "compressor_notes", "count"]


@dataclass(frozen=True)
class Unit:
    """Equal units that one statement stands for.

    Attributes
    ----------
    kind : str
        ``encoder``, ``selector``, ``negator``, ``shifter``, ``compressor``, ``adder``,
        ``presum``, ``multiplier`` or ``sparse encoder``.
    what : str
        The expression.
    copies : int
        How many there are in space.
    bits : int
        Width of the result.
    inputs : int
        Words that one unit takes: a compressor's, pairs counted as two.
    in_loop : bool
        Used in every cycle, as against once per sum.
    shared : int
        Units that suffice when those outside the loop take turns.
    """

    kind: str
    what: str
    copies: int
    bits: int
    inputs: int
    in_loop: bool
    shared: int


@dataclass(frozen=True)
class Register:
    """A register that the nest needs: ``words * bits`` flip-flops in each of `copies`.

    `role` is ``accumulator`` (feeds itself), ``pipeline`` (a delay), or ``held`` (made once for
    several cycles of a loop inside).
    """

    name: str
    role: str
    copies: int
    words: int
    bits: int

    @property
    def flip_flops(self) -> int:
        return self.copies * self.words * self.bits


@dataclass(frozen=True)
class Counts:
    """The hardware of a nest."""

    units: tuple[Unit, ...]
    registers: tuple[Register, ...]

    def of(self, kind: str, *, in_loop: bool | None = None) -> tuple[Unit, ...]:
        """The units of one kind: all, or those (not) used in every cycle."""
        return tuple(u for u in self.units if u.kind == kind and in_loop in (None, u.in_loop))

    def copies(self, kind: str, *, in_loop: bool | None = None) -> int:
        """How many units of one kind there are."""
        return sum(u.copies for u in self.of(kind, in_loop=in_loop))

    @property
    def adders(self) -> int:
        """Carry-propagate adders that work in every cycle."""
        return self.copies("adder", in_loop=True)

    @property
    def shared_adders(self) -> int:
        """Carry-propagate adders outside the loop, as few as can keep up."""
        return sum(u.shared for u in self.of("adder", in_loop=False))

    @property
    def full_adder_rows(self) -> int:
        """3:2 rows in all compressors."""
        return sum(u.copies * max(0, u.inputs - 2) for u in self.of("compressor"))

    def flip_flops(self, *roles: str) -> int:
        """Bits of registers, of all roles or of those given."""
        return sum(r.flip_flops for r in self.registers if not roles or r.role in roles)

    def summary(self) -> dict[str, int]:
        """The figures that `bitweft explain` prints."""
        return {
            "encoders": self.copies("encoder"),
            "sparse encoders": self.copies("sparse encoder"),
            "selectors": self.copies("selector"),
            "negators": self.copies("negator"),
            "shifters": self.copies("shifter"),
            "presums": self.copies("presum"),
            "correction multipliers": self.copies("multiplier"),
            "3:2 rows": self.full_adder_rows,
            "adders in the loop": self.adders,
            "adders outside": self.shared_adders,
            "accumulator bits": self.flip_flops("accumulator"),
            "other register bits": self.flip_flops("pipeline", "held"),
        }


def count(nest: Nest) -> Counts:
    """Counts the hardware of `nest`."""
    units: list[Unit] = []
    registers: dict[str, Register] = {}
    homes = scopes(nest)
    for path, around, node in nest.walk():
        if not isinstance(node, Assign):
            continue
        units += _units(nest, around, node)
        name = node.target.name
        words = 2 if is_pair(name) else 1
        bits = nest.width(name) or _bits(nest, node.value)
        if is_accumulation(node):
            copies = _copies(nest, around, node.target, homes.get(name, ()))
            registers[name] = Register(name, "accumulator", copies, words, bits)
        elif node.delay:
            copies = prod(one.extent for one in around if one.kind is Kind.SPATIAL)
            key = f"{name} @{node.delay}"
            registers[key] = Register(name, "pipeline", copies, words * node.delay, bits)
        elif name not in ("C",) and _is_held(nest, path, name):
            copies = prod(one.extent for one in around if one.kind is Kind.SPATIAL)
            bits = _held_bits(nest, node, bits)
            registers[name] = Register(name, "held", copies, words, bits)
    return Counts(tuple(units), tuple(registers.values()))


def compressor_notes(nest: Nest) -> dict[tuple[int, ...], str]:
    """For `show`: how many words each compressor takes, such as ``6:2, 32 bits``."""
    return {
        path: f"{unit.inputs}:2, {unit.bits} bits"
        for path, around, node in nest.walk()
        if isinstance(node, Assign)
        for made in calls(node.value, "half_reduce")
        for unit in [_compressor(nest, around, node, made, True)]
    }


def _units(nest: Nest, around: tuple[Loop, ...], node: Assign) -> Iterator[Unit]:
    space = [one for one in around if one.kind is Kind.SPATIAL]
    copies = prod(one.extent for one in space)
    timed = [i for i, one in enumerate(around) if one.kind is not Kind.SPATIAL]
    in_loop = bool(timed) and not least_cycles(around[timed[-1]].body)
    turns = max(1, least_cycles(around[timed[-1]].body)) if timed else 1

    def unit(
        kind: str, made: Expression, number: int = copies, inputs: int = 1, bits: int = 0
    ) -> Unit:
        width = bits or _bits(nest, made)
        shared = number if in_loop else -(-number // turns)
        return Unit(kind, show_expression(made), number, width, inputs, in_loop, shared)

    for made in calls(node.value):
        match made.primitive:
            case "encode":
                # One encoder makes all digits of its operand, where they are wanted at once.
                digits = nest.expand(made.at[0]).variables
                yield unit("encoder", made, prod(o.extent for o in space if o.var not in digits))
            case "sparse":
                yield unit("sparse encoder", made)
            case "map":
                yield unit("selector", made)
                # The multiples of y are made once for all digits that select from them.
                of_digit = _digit_variables(nest, made.arguments[0])
                own = nest.loop_variables(made.arguments[1])
                number = prod(o.extent for o in space if o.var not in of_digit or o.var in own)
                yield unit("negator", made.arguments[1], number)
            case "biased":
                yield unit("selector", made)
            case "shift":
                # A weight that is fixed in space is wiring.
                if not nest.expand(made.at[0]).variables & {one.var for one in space}:
                    yield unit("shifter", made)
            case "half_reduce":
                yield _compressor(nest, around, node, made, in_loop)
            case "presum":
                yield unit("presum", made, inputs=2, bits=nest.width(node.target.name) or 0)
            case "unbias":
                yield unit("adder", made, 2 * copies, inputs=2)
            case "add" | "accumulate":
                bits = (nest.width(node.target.name) or 0) if made is node.value else 0
                yield unit("adder", made, inputs=2, bits=bits)
            case "correct":
                bits = nest.width(node.target.name) or 0
                yield unit("adder", made, 2 * copies, inputs=2, bits=bits)
            case "alpha":
                yield unit("multiplier", made, inputs=2)


def _compressor(
    nest: Nest, around: tuple[Loop, ...], node: Assign, made: Call, in_loop: bool
) -> Unit:
    """Passes in space that share the pair assigned to feed one compressor."""
    home = scopes(nest).get(node.target.name, ())
    own = nest.loop_variables(node.target)
    space = [(i, one) for i, one in enumerate(around) if one.kind is Kind.SPATIAL]
    together = [one for i, one in space if i >= len(home) and one.var not in own]
    copies = prod(one.extent for _, one in space if one not in together)
    lanes = prod(one.extent for one in together)
    inputs = 0
    for argument in made.arguments:
        if not isinstance(argument, Ref):
            inputs += lanes
            continue
        words = 2 if is_pair(argument.name) else 1
        if argument == node.target:
            inputs += words
        else:
            inputs += lanes * words * _star_extent(nest, argument)
            inputs += lanes * _lone_rows(nest, argument)
    bits = nest.width(node.target.name) or 0
    what = show_expression(made)
    return Unit("compressor", what, copies, bits, inputs, in_loop, copies)


def _lone_rows(nest: Nest, ref: Ref) -> int:
    """Rows for the +1 of the last digit of biased products: the others have a vacant slot."""
    for _, around, node in nest.walk():
        if isinstance(node, Assign) and node.target.name == ref.name:
            for made in calls(node.value, "biased"):
                digits = {o.var: o.extent for o in around} | {"": 1}
                of_digit = _digit_variables(nest, made.arguments[0])
                return _star_extent(nest, ref) // prod(digits[v] for v in of_digit)
    return 0


def _star_extent(nest: Nest, ref: Ref) -> int:
    """How many values ``pp[*]`` stands for."""
    for _, around, node in nest.walk():
        if isinstance(node, Assign) and node.target.name == ref.name:
            extents = {one.var: one.extent for one in around}
            return prod(
                extents[v]
                for place, index in zip(node.target.index, ref.index, strict=True)
                if isinstance(index, Star) and not isinstance(place, Star)
                for v in nest.expand(place).variables
            )
    return 1


def _copies(nest: Nest, around: tuple[Loop, ...], target: Ref, home: tuple[int, ...]) -> int:
    own = nest.loop_variables(target)
    return prod(
        one.extent
        for i, one in enumerate(around)
        if one.kind is Kind.SPATIAL and (i < len(home) or one.var in own)
    )


def _is_held(nest: Nest, path: tuple[int, ...], name: str) -> bool:
    """Whether a variable made at `path` is read in a loop in time that does not make it."""
    for place, around, node in nest.walk():
        if isinstance(node, Assign) and name in {ref.name for ref in refs(node.value)}:
            for depth, one in enumerate(around):
                if one.kind is not Kind.SPATIAL and place[: depth + 1] != path[: depth + 1]:
                    return True
        if isinstance(node, Loop) and node.over is not None and node.over.name == name:
            return True
    return False


def _held_bits(nest: Nest, node: Assign, bits: int) -> int:
    """A select code has two bits (zero digits are not issued); positions are a bit each."""
    if isinstance(node.value, Call) and node.value.primitive == "sparse":
        (group,) = node.value.arguments
        assert isinstance(group, Ref)
        return _star_extent(nest, group)
    if isinstance(node.value, Call) and node.value.primitive == "encode":
        return 1 if nest.recoding == "radix2" else 2
    return bits


def _digit_variables(nest: Nest, selector: Expression) -> frozenset[str]:
    for made in calls(selector, "encode"):
        return nest.expand(made.at[0]).variables
    if isinstance(selector, Ref):
        for _, _, node in nest.walk():
            if isinstance(node, Assign) and node.target.name == selector.name:
                return _digit_variables(nest, node.value)
    return frozenset()


def _bits(nest: Nest, expression: Expression) -> int:
    if isinstance(expression, Call) and expression.primitive in ("half_reduce", "sparse", "beta"):
        return 0
    return signed_bits(*interval(nest, expression))
