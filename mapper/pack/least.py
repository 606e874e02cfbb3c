"""The least capacity that suffices, with a proven lower bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mapper.limits import Limits
from mapper.pack.buffers import Buffer, meetings, neighbours_of, peak_load, rounded
from mapper.pack.greedy import first_fit, orders, sweep_fit
from mapper.pack.question import check_question, unit_of, windows_of
from mapper.pack.solve import MOST_MEETINGS, OnProgress, Packing, Spending, decide

__all__ = ["Least", "least_capacity"]

# Share of all effort that a question of the first round gets; it doubles with each round.
_FIRST = 1 / 64


@dataclass(frozen=True)
class Least:
    """The least capacity found.

    Attributes
    ----------
    status : str
        ``optimal`` (the capacity is the bound); ``feasible`` (a limit was reached before).
    capacity : int
        Bytes that `offsets` take.
    bound : int
        Proven: no capacity below suffices.
    offsets : tuple of int
        One per buffer.
    peak_load, peak_at : int
        As in `Packing`.
    starts, nodes : int
        Of all searches.
    """

    status: str
    capacity: int
    bound: int
    offsets: tuple[int, ...]
    peak_load: int
    peak_at: int
    starts: int = 0
    nodes: int = 0


def least_capacity(
    buffers: Sequence[Buffer],
    *,
    alignment: int | Sequence[int] = 1,
    limits: Limits | None = None,
    on_progress: OnProgress | None = None,
) -> Least:
    """Narrows the range between the largest load and first fit, by questions of growing effort.

    A round asks at the proven bound, which often suffices, and then halves the range; what it
    leaves open is asked again with twice the effort, until the limits end it.

    Parameters
    ----------
    buffers : sequence of Buffer
    alignment : int or sequence of int
        Every offset is a multiple of it, or each of its own; see `mapper.pack.mixed`.
    limits : Limits, optional
        Of all searches together.
    on_progress : callable, optional

    Raises
    ------
    InputError
        As in `pack`.
    """
    if not isinstance(alignment, int):
        if len(set(alignment)) > 1 or len(alignment) != len(buffers):
            from mapper.pack.mixed import least_mixed

            return least_mixed(buffers, alignment, limits=limits)
        alignment = alignment[0] if alignment else 1
    check_question(buffers, 1, alignment, {})
    load, at = peak_load(buffers, alignment)
    if not buffers:
        return Least("optimal", 0, 0, (), load, at)
    unit = unit_of(buffers, alignment, {})
    spending = Spending(limits or Limits(), on_progress)
    best, offsets = _first_fits(buffers, unit, spending.limits)
    ends = sorted({b.size % unit for b in buffers})
    bound = _attainable(load, unit, ends)
    share = spending.work * _FIRST
    searchable = meetings(buffers) <= MOST_MEETINGS
    while bound < best and searchable and not spending.spent():
        asked, low = bound, bound
        while asked < best and not spending.spent():
            packing: Packing = decide(buffers, asked, alignment, {}, spending, int(share))
            if packing.status == "packed":
                offsets, best = packing.offsets, _height(buffers, packing.offsets)
            elif packing.status == "infeasible":
                low = bound = _attainable(asked + 1, unit, ends)
            else:
                low = asked + 1
            asked = _attainable((low + best) // 2, unit, ends)
            if asked >= best:
                asked = _attainable(low, unit, ends)
        share *= 2
    return Least(
        status="optimal" if best == bound else "feasible",
        capacity=best,
        bound=bound,
        offsets=offsets,
        peak_load=load,
        peak_at=at,
        starts=spending.starts,
        nodes=spending.nodes,
    )


def _first_fits(
    buffers: Sequence[Buffer], unit: int, limits: Limits
) -> tuple[int, tuple[int, ...]]:
    """The best of a sweep and of all orders that there is time for."""
    windows = windows_of(buffers, sum(rounded(b.size, unit) for b in buffers), unit, {})
    found = [sweep_fit(windows)]
    if meetings(windows) <= MOST_MEETINGS:
        neighbours = neighbours_of(windows)
        fits = (first_fit(windows, o, neighbours, limits.exhausted) for o in orders(windows))
        found += [offsets for offsets in fits if offsets is not None]
    scaled = [tuple(o * unit for o in offsets) for offsets in found]
    return min((_height(buffers, offsets), offsets) for offsets in scaled)


def _height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    return max(o + b.size for o, b in zip(offsets, buffers, strict=True))


def _attainable(capacity: int, unit: int, ends: Sequence[int]) -> int:
    """The least height from `capacity` on that a packing can have: some buffer ends there."""
    return min(capacity + (end - capacity) % unit for end in ends)
