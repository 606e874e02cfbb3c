"""The least peak of large problems, part by part over down-sets."""

from __future__ import annotations

from mapper.schedule.cuts import parts_between
from mapper.schedule.downsets import downsets_of
from mapper.schedule.orders import Peak, peak_of
from mapper.schedule.part import Part, contracted, part_of
from mapper.schedule.problem import Problem, repaired
from mapper.schedule.solver import Limits

__all__ = ["peak_by_downsets"]

_SETS = 300_000
_SHARES = (0, 16, 4, 1)  # chains of at most this share of the largest operator are made one
_STRETCH = 96  # operators of a part that is too long to be counted at once


def peak_by_downsets(problem: Problem, known: Peak, limits: Limits) -> Peak:
    """A peak at most that of `known`, proven where a bound meets it.

    Each part between two cuts is solved exactly, or with chains made one: that gives a bound, and
    an order for the part. A part that is too long still gives bounds: the least peak of any
    stretch of it is one. Of `limits` only the clock counts.
    """
    order: list[int] = []
    at = {o: t for t, o in enumerate(known.order)}
    bound = 0
    for part in parts_between(problem, known.bytes):
        if limits.exhausted():
            return known
        least, own = _part(problem, part, known, limits)
        bound = max(bound, least)
        order += own if own is not None else sorted(part.operators, key=lambda o: at[o])
    best = min(known.bytes, peak_of(problem, tuple(order)))
    if best < known.bytes:
        known = Peak(best, tuple(order), False)
    return known._replace(proven=known.bytes <= bound)


def _part(
    problem: Problem, part: Part, known: Peak, limits: Limits
) -> tuple[int, list[int] | None]:
    """A bound on the peak of a part, and an order of the problem's operators for it."""
    largest = max(part.load)
    for share in _SHARES:
        if limits.exhausted():
            return 0, None
        smaller = contracted(part, largest // share) if share else None
        downsets = downsets_of(smaller.part if smaller else part, _SETS, limits)
        if downsets is None:
            continue
        peak, order = downsets.least_peak()
        if smaller:
            order = repaired(part.before, [o for step in order for o in smaller.members[step]])
        return peak, [part.operators[o] for o in order]
    inside = set(part.operators)
    steps = [o for o in known.order if o in inside]
    bound = 0
    for first in range(0, len(steps), _STRETCH // 3):
        if limits.exhausted():
            break
        for share in (4, 1):
            stretch = part_of(problem, known.bytes, sorted(steps[first : first + _STRETCH]))
            downsets = downsets_of(contracted(stretch, largest // share).part, _SETS, limits)
            if downsets is not None:
                bound = max(bound, downsets.least_peak()[0])
                break
    return bound, None
