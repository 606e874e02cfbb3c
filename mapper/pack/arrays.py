"""One part of a packing question as arrays, which is how the compiled search takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["FRAME_FIELDS", "SCALARS", "Part", "Rules", "State", "Window", "part_of", "state_of"]

Ints = NDArray[np.int64]
SCALARS, FRAME_FIELDS = 10, 7


class Window(NamedTuple):
    """A buffer in units: its life, its size, its least bottom and its greatest top."""

    lower: int
    upper: int
    size: int
    bottom: int
    top: int


class Part(NamedTuple):
    """What stays the same in a search; times are sections, sizes and offsets are units.

    Attributes
    ----------
    begin, end, size : int array, one entry per buffer
        It covers the sections ``begin, ..., end - 1``.
    bottom, top : int array, one entry per buffer
        Least bottom and greatest top, whatever the others do.
    kind : int array, one entry per buffer
        Equal for buffers that could be exchanged.
    first : int array
        Where the buffer's entries are in `State.spot`, one per section that it covers.
    section : int array
        Where the section's entries are in `State.live`, one per buffer that covers it; one more.
    height : int
        Greatest top of all.
    """

    begin: Ints
    end: Ints
    size: Ints
    bottom: Ints
    top: Ints
    kind: Ints
    first: Ints
    section: Ints
    height: int


class Rules(NamedTuple):
    """How one start chooses.

    Attributes
    ----------
    rank : int array, one entry per buffer
        Buffers of low rank are tried first.
    rule : int
        Which section: 0 fewest children, 1 lowest floor, 3 tight and low.
    weighted, two_sided : int
        Whether sections that failed often come first; whether ceilings are filled, too.
    """

    rank: Ints
    rule: int
    weighted: int
    two_sided: int


class State(NamedTuple):
    """What changes; see `mapper.pack.portfolio` for the sizes. Rows of frames are depths."""

    scalars: Ints
    random: NDArray[np.uint64]
    bounds: Ints
    room: Ints  # per section: total size of its unplaced buffers
    live: Ints  # per section: its buffers, the unplaced ones in front
    unplaced: Ints  # per section: how many of them are unplaced
    spot: Ints  # per buffer and section: where in `live`
    placed: Ints
    offset: Ints
    weight: NDArray[np.float64]  # per section, kept over starts
    queue: Ints
    queued: Ints
    stale: Ints  # per side and section: whether the next three are out of date
    candidates: Ints
    least_begin: Ints
    greatest_end: Ints
    run: Ints
    trail_where: Ints
    trail_value: Ints
    frame: Ints  # per depth: section, side, next child, end of children, rise, trail, done child
    child: Ints


def part_of(windows: Sequence[Window], sections: Sequence[Sequence[int]]) -> Part:
    """The arrays of a part; `sections` are its maximal live sets in time order."""
    begin = [-1] * len(windows)
    end = [0] * len(windows)
    for s, together in enumerate(sections):
        for b in together:
            begin[b] = s if begin[b] < 0 else begin[b]
            end[b] = s + 1
    alike: dict[tuple[int, ...], int] = {}
    kind = [alike.setdefault((begin[i], end[i], *w[2:]), len(alike)) for i, w in enumerate(windows)]
    spans = [last - first for first, last in zip(begin, end, strict=True)]
    return Part(
        begin=_ints(begin),
        end=_ints(end),
        size=_ints([w.size for w in windows]),
        bottom=_ints([w.bottom for w in windows]),
        top=_ints([w.top for w in windows]),
        kind=_ints(kind),
        first=_ints(np.cumsum([0, *spans])),
        section=_ints(np.cumsum([0, *map(len, sections)])),
        height=max(w.top for w in windows),
    )


def state_of(part: Part, *, scale: int = 1) -> State:
    """Room for a search in `part`; `scale` times as much where the need is not known before."""
    buffers, sections = part.size.size, part.section.size - 1
    entries = int(part.section[-1])
    return State(
        scalars=_zeros(SCALARS),
        random=np.ones(1, np.uint64),
        bounds=_zeros(2 * (sections + buffers)),
        room=_zeros(sections),
        live=_zeros(entries),
        unplaced=_zeros(sections),
        spot=_zeros(entries),
        placed=_zeros(buffers),
        offset=_zeros(buffers),
        weight=np.ones(sections),
        queue=_zeros(2 * sections + 1),
        queued=_zeros(2 * sections),
        stale=_zeros(2 * sections),
        candidates=_zeros(2 * sections),
        least_begin=_zeros(2 * sections),
        greatest_end=_zeros(2 * sections),
        run=_zeros(sections),
        trail_where=_zeros(scale * (8 * entries + 1024)),
        trail_value=_zeros(scale * (8 * entries + 1024)),
        frame=np.zeros((scale * (2 * buffers + 64), FRAME_FIELDS), np.int64),
        child=_zeros(scale * (8 * buffers + 1024)),
    )


def _ints(values: Sequence[int] | Ints) -> Ints:
    return np.ascontiguousarray(values, np.int64)


def _zeros(length: int) -> Ints:
    return np.zeros(length, np.int64)
