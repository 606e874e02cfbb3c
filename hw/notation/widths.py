"""What numbers the expressions of a nest can be, and the bits that they need.

A pair of one bit weight that sums 16 products of int8 needs 14 bits: the largest partial product
is +256 (digit -2 times -128), and 16 * 256 = 4096 does not fit 13 signed bits.
"""

from __future__ import annotations

from math import prod

from hw.notation.index import Affine, Star
from hw.notation.nest import Assign, Call, Expression, Loop, Nest, Ref, calls, refs
from hw.notation.recode import digit_range, radix_of
from hw.notation.scope import scopes
from hw.operand import Operand
from hw.pe.base import accumulator_bits_for

__all__ = ["encoded_format", "interval", "pair_bias", "required_bits", "row_bias", "signed_bits"]

Interval = tuple[int, int]


def signed_bits(low: int, high: int) -> int:
    """Fewest bits of a two's complement number that can be anything from `low` to `high`."""
    return max((-low - 1).bit_length() if low < 0 else 0, max(high, 0).bit_length()) + 1


def encoded_format(nest: Nest, expression: Expression) -> Operand:
    """The operand format of what an encoder sees."""
    if isinstance(expression, Ref) and expression.name in ("A", "B"):
        return nest.a if expression.name == "A" else nest.b
    low, high = interval(nest, expression)
    bits = signed_bits(low, high)
    return Operand(bits) if low < 0 else Operand(bits - 1, signed=False)


def interval(nest: Nest, expression: Expression) -> Interval:
    """Least and greatest value of `expression`."""
    if isinstance(expression, Ref):
        if expression.name in ("A", "B"):
            operand = nest.a if expression.name == "A" else nest.b
            return operand.min, operand.max
        bits = nest.width(expression.name)
        if bits is not None:
            return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
        return _union(
            [interval(nest, made.value) for made, _ in _definitions(nest, expression.name)]
        )
    arguments = expression.arguments
    match expression.primitive:
        case "encode":
            return digit_range(nest.recoding)
        case "map" | "alpha":
            return _product(interval(nest, arguments[0]), interval(nest, arguments[1]))
        case "biased":
            low, high = _product(interval(nest, arguments[0]), interval(nest, arguments[1]))
            return low, high + row_bias(nest, expression)
        case "shift":
            low, high = interval(nest, arguments[0])
            top = radix_of(nest.recoding) ** _greatest(nest, expression.at[0])
            return low * top, high * top
        case "presum" | "accumulate":
            (a, b), (c, d) = interval(nest, arguments[0]), interval(nest, arguments[1])
            return a + c, b + d
        case "difference":
            low, high = interval(nest, arguments[0])
            return min(low, low - high), max(high, high - low)
        case "neighbour":
            return _union([interval(nest, a) for a in arguments])
        case "add" | "unbias":
            return interval(nest, arguments[0])
    # A correction, or the difference from it: as wide as the result.
    bits = nest.width("C") or 64
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def row_bias(nest: Nest, biased: Call) -> int:
    """What a row in one's complement, its top bit inverted, has more than its product."""
    return 1 << signed_bits(*interval(nest, biased.arguments[1]))


def pair_bias(nest: Nest, name: str) -> int:
    """What biased rows have added to the pair `name` at the end of its life.

    Every pass counts, those over padding too.
    """
    total = 0
    for made, around in _definitions(nest, name):
        assert isinstance(made.value, Call)
        own = nest.loop_variables(made.target)
        for argument in made.value.arguments:
            if argument == made.target:
                continue
            for term, loops in _terms(nest, argument, _inside(nest, name, around)):
                weights, biased = 1, term
                summed = {one.var: one.extent for one in loops if one.var not in own}
                if isinstance(term, Call) and term.primitive == "shift":
                    biased = term.arguments[0]
                    (bw,) = nest.expand(term.at[0]).variables
                    weights = sum(radix_of(nest.recoding) ** i for i in range(summed.pop(bw)))
                if isinstance(biased, Call) and biased.primitive == "biased":
                    total += weights * row_bias(nest, biased) * prod(summed.values())
    return total


def required_bits(nest: Nest, name: str) -> int:
    """Fewest bits that hold every sum that an accumulator collects.

    The accumulator of a fast inner product may wrap: only what is left after the corrections has
    to fit, and so it needs what C needs.
    """
    result = accumulator_bits_for(nest.a, nest.b, nest.k)
    corrected = any(
        name in {r.name for argument in made.arguments for r in refs(argument)}
        for _, _, node in nest.walk()
        if isinstance(node, Assign)
        for made in calls(node.value, "correct")
    )
    if name == "C" or corrected:
        return result
    low = high = 0
    for made, around in _definitions(nest, name):
        assert isinstance(made.value, Call)
        own = nest.loop_variables(made.target)
        for argument in made.value.arguments:
            if argument == made.target:
                continue
            inside = _inside(nest, name, around)
            for expression, loops in _terms(nest, argument, inside):
                (one_low, one_high), count = _bound(
                    nest, expression, [one for one in loops if one.var not in own]
                )
                low += min(0, one_low) * count
                high += max(0, one_high) * count
    return signed_bits(low, high)


def _terms(
    nest: Nest, argument: Expression, loops: list[Loop]
) -> list[tuple[Expression, list[Loop]]]:
    """What `argument` stands for, star references resolved, with the loops that sum it."""
    if (
        not isinstance(argument, Ref)
        or argument.name in ("A", "B", "C")
        or nest.width(argument.name) is not None
    ):
        return [(argument, loops)]
    found = []
    for made, around in _definitions(nest, argument.name):
        stars = [
            place
            for place, index in zip(made.target.index, argument.index, strict=True)
            if isinstance(index, Star) and isinstance(place, Affine)
        ]
        names = {v for place in stars for v in nest.expand(place).variables}
        extra = [one for one in around if one.var in names]
        found += _terms(nest, made.value, loops + extra)
    return found


def _bound(nest: Nest, expression: Expression, loops: list[Loop]) -> tuple[Interval, int]:
    """Range of one term, and the number of terms that `loops` add up."""
    summed = {one.var: one.extent for one in loops}
    inner, bw = expression, None
    if isinstance(inner, Call) and inner.primitive == "shift":
        bw = nest.expand(inner.at[0]).variables
        inner = inner.arguments[0]
    if isinstance(inner, Call) and inner.primitive == "map":
        encoded = _encoded(nest, inner.arguments[0])
        if encoded is not None and bw is not None and bw <= summed.keys():
            # All digits of x, each at its weight: a term is x * y, not the worst of every digit.
            for name in bw:
                del summed[name]
            expression = Call("alpha", (encoded, inner.arguments[1]))
    count = 1
    reduced = dict(summed)
    for ref in refs(expression):
        if ref.name == "B" and isinstance(ref.index[0], Affine):
            index = nest.expand(ref.index[0])
            if index.variables <= summed.keys() and index.terms:
                passes = 1
                for name in index.variables:
                    passes *= reduced.pop(name, 1)
                # Passes beyond K are padding and add nothing.
                count *= min(passes, -(-nest.k // index.terms[-1][1]))
                break
    for extent in reduced.values():
        count *= extent
    return interval(nest, expression), count


def _encoded(nest: Nest, selector: Expression) -> Expression | None:
    """What the digit `selector` is a digit of."""
    for made in calls(selector, "encode"):
        return made.arguments[0]
    if isinstance(selector, Ref):
        for definition, _ in _definitions(nest, selector.name):
            return _encoded(nest, definition.value)
    return None


def _definitions(nest: Nest, name: str) -> list[tuple[Assign, tuple[Loop, ...]]]:
    return [
        (node, around)
        for _, around, node in nest.walk()
        if isinstance(node, Assign) and node.target.name == name
    ]


def _inside(nest: Nest, name: str, around: tuple[Loop, ...]) -> list[Loop]:
    """The loops of `around` that are inside the body where `name` lives."""
    return list(around[len(scopes(nest).get(name, ())) :])


def _greatest(nest: Nest, index: Affine) -> int:
    extents = {node.var: node.extent for _, _, node in nest.walk() if isinstance(node, Loop)}
    return nest.expand(index).value({name: extent - 1 for name, extent in extents.items()})


def _union(found: list[Interval]) -> Interval:
    return min((low for low, _ in found), default=0), max((high for _, high in found), default=0)


def _product(one: Interval, other: Interval) -> Interval:
    corners = [a * b for a in one for b in other]
    return min(corners), max(corners)
