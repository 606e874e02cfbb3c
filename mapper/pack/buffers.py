"""Buffers with known lifetimes, and the sets of them that live at once."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, Protocol

__all__ = ["Buffer", "live_sets", "meetings", "neighbours_of", "peak_load", "rounded"]


class Buffer(NamedTuple):
    """Lives in steps ``lower, ..., upper - 1`` and occupies `size` bytes."""

    lower: int
    upper: int
    size: int


class Living(Protocol):
    """What has a life."""

    @property
    def lower(self) -> int: ...
    @property
    def upper(self) -> int: ...


def rounded(size: int, unit: int) -> int:
    """The least multiple of `unit` that is not below `size`."""
    return -(-size // unit) * unit


def peak_load(buffers: Sequence[Buffer], alignment: int = 1) -> tuple[int, int]:
    """Least bytes that hold the buffers living at the worst time, and the first such time.

    Every buffer takes whole units of the alignment, but one at each time, the topmost, needs no
    more than its size: the best one for that is counted so.
    """
    events = sorted(
        [(b.upper, 0, i) for i, b in enumerate(buffers)]
        + [(b.lower, 1, i) for i, b in enumerate(buffers)]
    )
    load, best, at = 0, 0, 0
    alive: set[int] = set()
    spare: list[tuple[int, int]] = []  # a heap of (-unused bytes of its last unit, buffer)
    for time, begins, i in events:
        size = rounded(buffers[i].size, alignment)
        if not begins:
            alive.remove(i)
            load -= size
            continue
        alive.add(i)
        load += size
        heapq.heappush(spare, (buffers[i].size - size, i))
        while spare[0][1] not in alive:
            heapq.heappop(spare)
        if load + spare[0][0] > best:
            best, at = load + spare[0][0], time
    return best, at


def live_sets(buffers: Sequence[Buffer]) -> list[list[int]]:
    """The maximal sets of buffers that live at once, in time order.

    Any two buffers that live together are together in one of them.
    """
    events = sorted(
        [(b.upper, 0, i) for i, b in enumerate(buffers)]
        + [(b.lower, 1, i) for i, b in enumerate(buffers)]
    )
    alive: set[int] = set()
    sets, grown = [], False
    for _, begins, i in events:
        if begins:
            alive.add(i)
        else:
            if grown:
                sets.append(sorted(alive))
            alive.remove(i)
        grown = bool(begins)
    return sets


def meetings(buffers: Sequence[Living]) -> int:
    """How many pairs of buffers share a time."""
    begins = sorted(b.lower for b in buffers)
    ends = sorted(b.upper for b in buffers)
    # Of each pair that does not meet, one has ended when the other begins.
    apart = sum(bisect_right(ends, lower) for lower in begins)
    return len(begins) * (len(begins) - 1) // 2 - apart


def neighbours_of(buffers: Sequence[Living]) -> list[list[int]]:
    """Buffers that share a time with each buffer, found by sweeping over the begins."""
    result: list[list[int]] = [[] for _ in buffers]
    alive: list[tuple[int, int]] = []
    for b in sorted(range(len(buffers)), key=lambda i: buffers[i].lower):
        while alive and alive[0][0] <= buffers[b].lower:
            heapq.heappop(alive)
        for _, c in alive:
            result[b].append(c)
            result[c].append(b)
        heapq.heappush(alive, (buffers[b].upper, b))
    return result
