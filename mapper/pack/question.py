"""A packing question in its simplest form: checked, in units, and cut into independent parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import gcd
from typing import NamedTuple

from hw.errors import InputError
from mapper.pack.arrays import Window
from mapper.pack.buffers import Buffer, live_sets, rounded

__all__ = ["Piece", "check_question", "pieces_of", "unit_of", "windows_of"]

# Sums of this many units do not overflow in the search.
_LARGEST = 1 << 60


class Piece(NamedTuple):
    """Buffers that no other buffer of the question meets.

    Attributes
    ----------
    members : list of int
        Their positions in the question.
    sections : list of list of int
        The maximal sets that live at once, in time order; positions in `members`.
    """

    members: list[int]
    sections: list[list[int]]


def check_question(
    buffers: Sequence[Buffer], capacity: int, alignment: int, fixed: Mapping[int, int]
) -> None:
    """Raises InputError for what is no packing question."""
    if capacity < 1 or alignment < 1:
        raise InputError(
            "capacity and alignment must be positive bytes, "
            f"not {capacity} and {alignment}: correct them."
        )
    for i, b in enumerate(buffers):
        if not b.lower < b.upper or b.size < 1:
            raise InputError(
                f"Buffer {i} must have lower < upper and a positive size, "
                f"not {b.lower}, {b.upper} and {b.size}: correct its row."
            )
    for i, offset in fixed.items():
        if not 0 <= i < len(buffers) or offset < 0 or offset % alignment:
            raise InputError(
                f"Fixed offset of buffer {i} must be a multiple of {alignment} and of a buffer "
                f"below {len(buffers)}, not {offset}."
            )


def unit_of(buffers: Sequence[Buffer], alignment: int, fixed: Mapping[int, int]) -> int:
    """The largest unit of which some best packing has all its offsets, a multiple of alignment.

    Pushed down until each rests on something, buffers start at sums of sizes and fixed offsets.
    """
    return gcd(*(rounded(b.size, alignment) for b in buffers), *fixed.values()) or alignment


def windows_of(
    buffers: Sequence[Buffer], capacity: int, unit: int, fixed: Mapping[int, int]
) -> list[Window]:
    """The buffers in units. All take whole units, but the topmost need not fill its last one.

    Raises
    ------
    InputError
        The sizes are too large to add up.
    """
    # More than all of them on top of each other is of no use.
    enough = sum(rounded(b.size, unit) for b in buffers) + max(fixed.values(), default=0)
    capacity = min(capacity, enough)
    if capacity >= _LARGEST * unit:
        raise InputError(f"Buffers must take less than 2^60 units of {unit} bytes, not {capacity}.")
    windows = []
    for i, b in enumerate(buffers):
        size = rounded(b.size, unit) // unit
        last = min((capacity - b.size) // unit, fixed.get(i, capacity) // unit)
        windows.append(Window(b.lower, b.upper, size, fixed.get(i, 0) // unit, last + size))
    return windows


def pieces_of(buffers: Sequence[Buffer]) -> list[Piece]:
    """Cuts between live sets that share no buffer."""
    sections = live_sets(buffers)
    cuts = [
        s + 1 for s, (these, those) in enumerate(pairwise(sections)) if set(these).isdisjoint(those)
    ]
    pieces = []
    for first, last in pairwise([0, *cuts, len(sections)] if sections else []):
        members = sorted(set().union(*sections[first:last]))
        position = {b: i for i, b in enumerate(members)}
        pieces.append(Piece(members, [[position[b] for b in s] for s in sections[first:last]]))
    return pieces
