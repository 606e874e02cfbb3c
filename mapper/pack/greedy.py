"""First fit: the fast first attempt, and an upper bound."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from mapper.pack.arrays import Window

__all__ = ["first_fit", "orders"]


def first_fit(
    windows: Sequence[Window], order: Sequence[int], neighbours: Sequence[Sequence[int]]
) -> list[int]:
    """Places buffers in `order`, each at the lowest offset that is free all its life.

    Greatest tops are not looked at: they are for the caller to compare.

    Parameters
    ----------
    windows : sequence of Window
    order : sequence of int
        Positions in `windows`.
    neighbours : sequence of sequence of int
        For each buffer those that live at the same time as it at some point.
    """
    offsets = [-1] * len(windows)
    for b in order:
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
