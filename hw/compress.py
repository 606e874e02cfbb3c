"""Carry-save compression: many addends become a {sum, carry} pair without a carry chain.

The tree is planned column by column, as Dadda does: in each level only as many adders as are needed
to reach two bits per column in the fewest levels. A column that holds few bits (above and below
short words) costs nothing, and a single bit is an addend like any other. What is planned per column
is written per word: adders side by side become one expression, which simulators prefer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from amaranth import Cat, Const, Signal

__all__ = ["Addend", "Shape", "compress", "compress_to", "shape", "tree_depth"]

_MOST_LEVELS = 64


@dataclass(frozen=True)
class Addend:
    """One input of a compressor tree.

    Attributes
    ----------
    value : amaranth.Value
        The word; it is taken modulo ``2**width`` of the tree.
    arrival : int
        When the word settles, in full-adder delays; late words enter the tree late.
    shift : int
        The word counts ``2**shift`` times.
    """

    value: Any
    arrival: int = 0
    shift: int = 0


class _Bit(NamedTuple):
    """A bit of the tree: when it settles, and its word and place there."""

    arrival: int
    word: int
    place: int


@dataclass
class _Row:
    """Adders side by side, at most one per column: their inputs, least significant first."""

    sum: int
    carry: int
    inputs: list[tuple[_Bit, ...]] = field(default_factory=list)


@dataclass
class _Plan:
    """Levels of adder rows, and the bits that are left, at most so many per column."""

    rows: list[_Row]
    columns: list[list[_Bit]]


class Shape(NamedTuple):
    """Size of a tree: its adders of three and of two bits, and when its pair has settled."""

    full_adders: int
    half_adders: int
    depth: int


def compress(
    m: Any, addends: Sequence[Addend], width: int, carries: Sequence[Any] = ()
) -> tuple[Any, Any]:
    """Adds to module `m` what reduces `addends` to two words of the same sum modulo ``2**width``.

    The depth is `tree_depth` at most and does not depend on `width`.

    Parameters
    ----------
    carries : sequence of Value
        Single bits of weight 1, at most one per three addends that become two.

    Returns
    -------
    (sum, carry)
        Amaranth values of `width` bits.

    Raises
    ------
    ValueError
        `addends` is empty, `width` is below 1, or there are too many `carries`.
    """
    if len(carries) > max(0, len(addends) - 2):
        raise ValueError(
            f"carries must be at most {max(0, len(addends) - 2)} for {len(addends)} addends, "
            f"not {len(carries)}"
        )
    total, carry = compress_to(m, [*addends, *map(Addend, carries)], width, words=2)
    return total, carry


def compress_to(m: Any, addends: Sequence[Addend], width: int, *, words: int) -> list[Any]:
    """As `compress`, but as soon as no column has more than `words` bits: that many words are left.

    Where the sum of the addends is less than ``2**width``, it is exactly the sum of the words, as
    numbers without a sign: no carry leaves the top. They may then be extended by zeros.

    Raises
    ------
    ValueError
        `addends` is empty, `width` is below 1, or `words` is below 2.
    """
    if not addends or width < 1:
        raise ValueError(f"a compressor must have addends and a width, not {len(addends)}, {width}")
    if words < 2:
        raise ValueError(f"a compressor must leave 2 or more words, not {words}")
    # Signals, not expressions: a word that two adders read would otherwise be built twice.
    known: list[Any] = []
    for addend in addends:
        word = Signal(len(addend.value), name=f"addend_{len(known)}")
        m.d.comb += word.eq(addend.value)
        known.append(word)
    plan = _plan(_columns(addends, width), len(known), words)
    for row in plan.rows:
        x, y, *rest = (_gather(known, bits) for bits in zip(*row.inputs, strict=True))
        total = Signal(len(row.inputs), name=f"csa_sum_{row.sum}")
        carry = Signal(len(row.inputs), name=f"csa_carry_{row.carry}")
        m.d.comb += total.eq(x ^ y ^ rest[0] if rest else x ^ y)
        m.d.comb += carry.eq((x & y) | (x & rest[0]) | (y & rest[0]) if rest else x & y)
        known += [total, carry]
    return [
        _gather(known, [column[n] if len(column) > n else None for column in plan.columns])
        for n in range(words)
    ]


def shape(addends: Sequence[Addend], width: int) -> Shape:
    """Size of what `compress` builds from `addends`."""
    plan = _plan(_columns(addends, width), len(addends))
    sizes = [len(inputs) for row in plan.rows for inputs in row.inputs]
    depth = max((bit.arrival for column in plan.columns for bit in column), default=0)
    return Shape(sizes.count(3), sizes.count(2), depth)


def tree_depth(arrivals: Sequence[int]) -> int:
    """Full-adder delays until the pair of `compress` has settled, for words of full width."""
    width = 2 * len(arrivals) + 8
    return shape([Addend(Const(0, width), arrival) for arrival in arrivals], width).depth


def _columns(addends: Sequence[Addend], width: int) -> list[list[_Bit]]:
    columns: list[list[_Bit]] = [[] for _ in range(width)]
    for word, addend in enumerate(addends):
        for place in range(min(len(addend.value), width - addend.shift)):
            columns[place + addend.shift].append(_Bit(addend.arrival, word, place))
    return columns


def _plan(columns: list[list[_Bit]], words: int, height: int = 2) -> _Plan:
    """The plan of the fewest levels that leaves no more than `height` bits in a column."""
    for levels in range(_MOST_LEVELS):
        plan = _planned(columns, words, levels, height)
        if plan is not None:
            return plan
    raise AssertionError("every tree has fewer levels")


def _planned(columns: list[list[_Bit]], words: int, levels: int, height: int) -> _Plan | None:
    """A plan of that many levels; None if there is none."""
    most = [height]  # bits per column that n more levels can reduce to that
    while len(most) < levels:
        most.append(most[-1] * 3 // 2)
    rows: list[_Row] = []
    for level in range(levels):
        reached = _level(columns, level, most[levels - 1 - level], words + 2 * len(rows))
        if reached is None:
            return None
        columns, added = reached
        rows += added
    late = any(bit.arrival > levels for column in columns for bit in column)
    too_high = any(len(column) > height for column in columns)
    return None if late or too_high else _Plan(rows, columns)


def _level(
    columns: list[list[_Bit]], level: int, most: int, words: int
) -> tuple[list[list[_Bit]], list[_Row]] | None:
    """One level of adders, after which no column has more than `most` bits."""
    rows: dict[tuple[int, int], _Row] = {}
    after: list[list[_Bit]] = []
    carried: list[_Bit] = []
    for column in columns:
        ready = sorted(bit for bit in column if bit.arrival <= level)
        waiting = [bit for bit in column if bit.arrival > level]
        made = carried
        passed: list[_Bit] = []
        carried = []
        while (height := len(ready) + len(waiting) + len(made) + len(passed)) > most:
            # A full adder takes one bit out of the column, a half adder also: it makes a carry
            # where the full adder would, but needs one input less.
            inputs = 3 if height > most + 1 else 2
            if len(ready) < inputs:
                return None
            taken, ready = tuple(ready[:inputs]), ready[inputs:]
            row = rows.setdefault(
                (len(passed), inputs), _Row(words + 2 * len(rows), words + 2 * len(rows) + 1)
            )
            passed.append(_Bit(level + 1, row.sum, len(row.inputs)))
            carried.append(_Bit(level + 1, row.carry, len(row.inputs)))
            row.inputs.append(taken)
        after.append([*ready, *waiting, *passed, *made])
    return after, list(rows.values())


def _gather(words: Sequence[Any], bits: Sequence[_Bit | None]) -> Any:
    """The word that has these bits, slices where they lie side by side."""
    parts: list[Any] = []
    start = 0
    while start < len(bits):
        first, end = bits[start], start + 1
        if first is None:
            while end < len(bits) and bits[end] is None:
                end += 1
            parts.append(Const(0, end - start))
        else:
            while end < len(bits) and _follows(first, bits[end], end - start):
                end += 1
            parts.append(words[first.word][first.place : first.place + end - start])
        start = end
    return Cat(*parts)


def _follows(first: _Bit, other: _Bit | None, distance: int) -> bool:
    return other is not None and (other.word, other.place) == (first.word, first.place + distance)
