"""Lower bounds on the traffic of every schedule, from stretches that are solved on their own.

Take some operators out of a problem, and every schedule of the whole gives one of the rest that
costs no more. So the least traffic of a stretch is a bound; and the bounds of stretches add up,
where each tensor's traffic counts in one of them alone: in the one that holds its first reader.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

from mapper.schedule.downsets import downsets_of
from mapper.schedule.part import contracted, part_of
from mapper.schedule.problem import Problem, Schedule
from mapper.schedule.solver import Limits

__all__ = ["Stretch", "stretches_bound"]

# Chains of at most this share of the capacity are made one: the more, the longer the stretches.
_SHARES = (2, 8)
# In grid units: of the long ones the longest whose down-sets can be counted, then the short one.
_LONG, _SHORT = (12, 10, 8, 7, 6, 5), (4, 3, 2)
Stretch = tuple[int, frozenset[int], frozenset[int]]

_GRID = 16  # operators: stretches begin and end at multiples


def stretches_bound(
    problem: Problem,
    capacity: int,
    schedule: Schedule,
    span: range,
    limits: Limits,
    *,
    upper: int,
    stride: int,
    effort: int,
    budget: int,
    values: dict[Stretch, int],
    sets: int = 150_000,
    on_better: Callable[[int], None] | None = None,
) -> tuple[int, int]:
    """The best sum of bounds over disjoint stretches of ``schedule.order`` within `span`.

    Parameters
    ----------
    upper : int
        Bytes that `schedule` pays within `span`: no bound is higher.
    stride : int
        Grid units from one stretch to the next.
    effort, budget : int
        Search states to look at for one stretch, and in all.
    values : dict
        Bounds of stretches from earlier calls, to which this call adds its own.
    sets : int
        Most down-sets of a stretch.

    Returns
    -------
    (int, int)
        The bound, and the states looked at.
    """
    order = schedule.order
    at = {o: t for t, o in enumerate(order)}
    # The step of the first reader says in which stretch a tensor's traffic counts.
    reader = {a: min(at[c] for c in r) for a, r in enumerate(problem.consumers) if r}
    paid = sorted(
        i.first for a in problem.tensors for i in schedule.residency[a][1:] if i.first in span
    )
    border = problem.outputs[order[span.start - 1]] if span.start else ()
    known: dict[tuple[int, int], int] = {}
    best, spent = 0, 0
    for share, lengths in product(_SHARES, (_LONG, _SHORT)):
        for first in range(span.start, span.stop, stride * _GRID):
            for length in lengths:
                last = min(span.stop, first + length * _GRID)
                if spent >= budget or best >= upper or limits.exhausted():
                    return best, spent
                if not any(first <= t < last for t in paid):
                    break
                charged = frozenset(a for a, t in reader.items() if first <= t < last)
                inside = frozenset(order[first:last])
                part = part_of(
                    problem,
                    capacity,
                    sorted(inside),
                    done=order[:first],
                    # At a cut it is known what is on chip, and that it has no copy yet.
                    resident=border if first == span.start else None,
                    charged=charged,
                )
                downsets = downsets_of(contracted(part, capacity // share).part, sets)
                spent += 20_000
                if downsets is None:
                    continue
                downsets.fill(limits, entries=4_000_000)
                result = downsets.least(
                    limits.share(0.3),
                    upper=upper,
                    lower=values.get((share, inside, charged), 0),
                    budget=min(effort, budget - spent),
                    widest=300,
                )
                spent += result.states + 2 * downsets.count
                bound = max(known.get((first, last), 0), min(upper, result.bound))
                known[first, last] = values[share, inside, charged] = bound
                total = _partition(known)
                if total > best:
                    best = min(upper, total)
                    if on_better is not None:
                        on_better(best)
                break
    return best, spent


def _partition(values: dict[tuple[int, int], int]) -> int:
    """The largest sum over disjoint stretches."""
    ends = sorted({last for _, last in values} | {first for first, _ in values})
    best: dict[int, int] = {}
    for i, end in enumerate(ends):
        before = best[ends[i - 1]] if i else 0
        best[end] = max([before, *(best[f] + v for (f, last), v in values.items() if last == end)])
    return best[ends[-1]] if ends else 0
