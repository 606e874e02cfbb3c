"""First fit: the fast first attempt, and an upper bound."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

from mapper.pack.arrays import Window

__all__ = ["first_fit", "orders", "sweep_fit"]

# Buffers between two looks at the clock.
_LOOK = 256
# Holes that a buffer tries before it goes on top: the time of a sweep stays bounded.
_HOLES = 1000


def first_fit(
    windows: Sequence[Window],
    order: Sequence[int],
    neighbours: Sequence[Sequence[int]],
    stop: Callable[[], bool] = lambda: False,
) -> list[int] | None:
    """Places buffers in `order`, each at the lowest offset that is free all its life.

    Greatest tops are not looked at: they are for the caller to compare.

    Parameters
    ----------
    windows : sequence of Window
    order : sequence of int
        Positions in `windows`.
    neighbours : sequence of sequence of int
        For each buffer those that live at the same time as it at some point.
    stop : callable
        Asked now and then; when it says so, the result is None.
    """
    offsets = [-1] * len(windows)
    for turn, b in enumerate(order):
        if turn % _LOOK == 0 and stop():
            return None
        taken = sorted(
            (offsets[c], offsets[c] + windows[c].size) for c in neighbours[b] if offsets[c] >= 0
        )
        offset = windows[b].bottom
        for low, high in taken:
            if low - offset >= windows[b].size:
                break
            offset = max(offset, high)
        offsets[b] = offset
    return offsets


def sweep_fit(windows: Sequence[Window]) -> list[int]:
    """Places buffers as they begin, each into the lowest hole that holds it.

    Worse than `first_fit` along a good order, but needs no neighbours: time and memory stay
    small when all buffers live together. Least bottoms and greatest tops are not looked at.
    """
    offsets = [0] * len(windows)
    holes: list[tuple[int, int]] = []  # (offset, end), by offset, no two touching
    top = 0  # everything from here on is free
    alive: list[tuple[int, int]] = []  # a heap of (upper, buffer)
    for b in sorted(range(len(windows)), key=lambda i: windows[i].lower):
        while alive and alive[0][0] <= windows[b].lower:
            _, gone = heapq.heappop(alive)
            low, high = offsets[gone], offsets[gone] + windows[gone].size
            at = bisect_left(holes, (low, high))
            if at < len(holes) and holes[at][0] == high:
                high = holes.pop(at)[1]
            if at and holes[at - 1][1] == low:
                at -= 1
                low = holes.pop(at)[0]
            if high == top:
                top = low
            else:
                holes.insert(at, (low, high))
        size = windows[b].size
        for at, (low, high) in enumerate(holes[:_HOLES]):
            if high - low >= size:
                holes[at : at + 1] = [(low + size, high)] if high - low > size else []
                offsets[b] = low
                break
        else:
            offsets[b] = top
            top += size
        heapq.heappush(alive, (windows[b].upper, b))
    return offsets


def orders(windows: Sequence[Window]) -> Iterator[list[int]]:
    """Largest area first, largest, longest, earliest; those that cannot move before all others."""
    keys: list[Callable[[Window], int]] = [
        lambda w: (w.upper - w.lower) * w.size,
        lambda w: w.size,
        lambda w: w.upper - w.lower,
        lambda w: -w.lower,
    ]
    for key in keys:
        values = [(w.bottom + w.size < w.top, -key(w)) for w in windows]
        yield sorted(range(len(windows)), key=lambda i, values=values: values[i])  # type: ignore[misc]
