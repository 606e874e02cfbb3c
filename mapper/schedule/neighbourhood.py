"""Large-neighbourhood search: stretches of an order are solved anew between their borders.

What runs before and after a window stays as it is, with what is on chip at its two ends; in between
order and residency are free. The window is as long as its down-sets are few.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from mapper.schedule.downsets import Downsets, downsets_of
from mapper.schedule.levels import Way, search
from mapper.schedule.part import Part, part_of
from mapper.schedule.problem import (
    Problem,
    Schedule,
    moves_of,
    rank_of,
    residency_of,
    use_steps,
)
from mapper.schedule.solver import Limits

__all__ = ["Window", "improve", "spliced", "window_at"]


@dataclass(frozen=True)
class Window:
    """Steps ``first .. last - 1`` of a schedule as a part, and what they cost now."""

    first: int
    last: int
    part: Part
    cost: int
    transfers: int


def window_at(problem: Problem, capacity: int, schedule: Schedule, first: int, last: int) -> Window:
    """The part of `problem` that runs in the given steps of `schedule`, with its borders."""
    order, residency = schedule.order, schedule.residency

    def across(t: int) -> list[int]:
        return [a for a in problem.tensors if any(i.first < t < i.last for i in residency[a])]

    def begun(a: int) -> int:
        return residency[a][0].first

    copied = [
        a
        for a in problem.tensors
        if begun(a) < first and (problem.has_free_copy(a) or residency[a][0].last <= first)
    ]
    part = part_of(
        problem,
        capacity,
        order[first:last],
        done=order[:first],
        resident=across(first),
        copied=copied,
        resident_after=across(last),
    )
    cost = transfers = 0
    for a in problem.tensors:
        intervals = residency[a]
        moves = sum(first <= i.first < last for i in intervals[1:])
        if len(intervals) > 1 and not problem.has_free_copy(a):
            moves += first < intervals[0].last <= last
        transfers += moves
        cost += moves * problem.sizes[a]
    return Window(first, last, part, cost, transfers)


def spliced(problem: Problem, schedule: Schedule, window: Window, way: Way) -> Schedule:
    """`schedule` with `way` through `window`."""
    part, first, last = window.part, window.first, window.last
    steps = [part.operators[o] for o in way.order]
    assert steps[-1] == -1, "the border step ends the part"
    order = (*schedule.order[:first], *steps[:-1], *schedule.order[last:])
    number = {a: i for i, a in enumerate(part.tensors)}
    before = sum(1 << a for a in part.resident)
    masks = [before, *way.resident]  # on chip before each step of the window, and at its end

    begins: list[set[int]] = []
    for a, uses in enumerate(use_steps(problem, order)):
        old = {i.first for i in schedule.residency[a]}
        anew: set[int] = set()
        seen = False  # whether its first use after the window is behind us
        for t in uses:
            if t < first:
                starts = t in old
            elif t < last:
                starts = a not in number or not masks[t - first] >> number[a] & 1
            else:
                lost = not seen and a in number and not masks[last - first] >> number[a] & 1
                starts = t in old or (lost and uses[0] < last)
                seen = True
            if starts:
                anew.add(t)
        begins.append(anew)
    return Schedule(order, residency_of(problem, order, begins))


def improve(
    problem: Problem,
    capacity: int,
    schedule: Schedule,
    limits: Limits,
    *,
    bound: int,
    budget: int,
    sets: int = 2_000,
    longest: int = 100,
    width: int = 300,
    span: range | None = None,
    on_better: Callable[[Schedule], None] | None = None,
) -> tuple[Schedule, int]:
    """Solves windows of `schedule` anew until no window of this size gets better.

    Parameters
    ----------
    bound : int
        Cost at which to stop.
    budget : int
        Search states to look at in all; the result depends on it alone unless the clock ends it.
    sets, longest : int
        Most down-sets and operators of a window.
    width : int
        States kept per level of a search.
    span : range, optional
        Steps to look at.

    Returns
    -------
    (schedule, int)
        The best schedule, and the states looked at.
    """
    span = span or range(len(schedule.order))
    best, spent, quiet, at = rank_of(problem, schedule), 0, 0, span.start
    paid = _paid(problem, schedule)
    length = longest
    while best[0] > bound and spent < budget and not limits.exhausted():
        spent += 1000
        found = None
        if _between(paid, at, at + longest):
            found = _longest(
                problem, capacity, schedule, at, span.stop, sets, longest, length, limits
            )
        step = longest // 2
        if found is not None:
            window, downsets = found
            length = window.last - window.first
            step = max(1, length // 2)
            way = None
            if window.cost:
                downsets.fill(limits, entries=2_000_000)
                result = search(
                    downsets,
                    limits,
                    threshold=window.cost,
                    transfers=window.transfers - 1,
                    width=width,
                    budget=max(0, budget - spent),
                )
                spent += result.states + downsets.count
                way = result.way
            if way is not None:
                new = spliced(problem, schedule, window, way)
                cost = rank_of(problem, new)
                if cost < best:
                    schedule, best, quiet = new, cost, 0
                    paid = _paid(problem, schedule)
                    if on_better is not None:
                        on_better(schedule)
        at, quiet = at + step, quiet + step
        if at >= span.stop - 1:
            at = span.start
        if quiet > 2 * len(span):
            break
    return schedule, spent


def _paid(problem: Problem, schedule: Schedule) -> list[int]:
    """Steps at which `schedule` spills or fetches, sorted."""
    return [m.step for m in moves_of(problem, schedule) if m.kind in ("spill", "fetch")]


def _between(steps: list[int], first: int, last: int) -> bool:
    return bisect_left(steps, first) < bisect_left(steps, last)


def _longest(
    problem: Problem,
    capacity: int,
    schedule: Schedule,
    first: int,
    stop: int,
    sets: int,
    longest: int,
    length: int,
    limits: Limits,
) -> tuple[Window, Downsets] | None:
    """The longest window from `first` on with few enough down-sets, looked for around `length`."""
    longest = min(longest, stop - first)
    length, best = min(length, longest), None
    while length >= 2 and not limits.exhausted():
        window = window_at(problem, capacity, schedule, first, first + length)
        downsets = downsets_of(window.part, sets, limits)
        if downsets is not None:
            best = window, downsets
            if length == longest:
                break
            length = min(longest, length + length // 3 + 1)
        elif best is not None:
            break
        else:
            length = length * 3 // 4
    return best
