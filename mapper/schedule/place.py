"""Addresses for schedules, and what to do when the cheapest one does not pack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from mapper.clock import now
from mapper.pack import Buffer, pack
from mapper.schedule.baselines import arena
from mapper.schedule.constructive import place_along
from mapper.schedule.copies import solve_copies
from mapper.schedule.follow import follow
from mapper.schedule.greedy import belady
from mapper.schedule.joint import solve_fixed, solve_joint
from mapper.schedule.neighbourhood import improve
from mapper.schedule.problem import (
    Interval,
    Placed,
    Problem,
    Schedule,
    rank_of,
    use_steps,
)
from mapper.schedule.solver import Limits, Progress

__all__ = ["packed", "place"]

_PACK = 0.02  # share of the effort for one attempt
_CHEAPEST = 0.3  # of the time for the cheapest schedule: where it packs, nothing else is needed
_REPAIRS = 60  # ways to cut one more interval that are tried
_TIGHTER = (64, 32, 16, 8)  # shares of the scratchpad that are left free to leave room for holes
_STATES = 100_000
_WIDTHS = (1, 4, 16, 64, 256, 1024)  # of the beams that repair the cheapest schedule
_WIDER = 6  # times longer that the next of them may take
_MEMORIES = 5_000  # that a beam may keep over all steps, for each unit of effort
_QUICK = 2_000  # operators
_ARENAS = 4  # schedules that greedy-by-size places, cutting what does not fit


def packed(problem: Problem, schedule: Schedule, capacity: int, limits: Limits) -> Placed | None:
    """Addresses for a schedule as it is, each residency interval free to have its own."""
    buffers = [
        Buffer(i.first, i.last, problem.sizes[a])
        for a, intervals in enumerate(schedule.residency)
        for i in intervals
    ]
    packing = pack(buffers, capacity, limits=limits)
    if packing.status != "packed":
        return None
    offsets = iter(packing.offsets)
    return Placed(schedule, tuple(tuple(next(offsets) for _ in own) for own in schedule.residency))


def place(
    problem: Problem,
    schedules: Sequence[Schedule],
    plans: Sequence[Placed],
    capacity: int,
    limits: Limits,
    *,
    bound: int,
    on_progress: Progress | None = None,
) -> tuple[Placed, int]:
    """The best plan with addresses that can be found, and a proven lower bound on any.

    In turn, until one is as cheap as the cheapest schedule: the schedules themselves; the cheapest
    repaired by a beam where addresses are short, and with one interval cut; schedules made for a
    smaller scratchpad, which leave room for holes; the exact models, first with one address per
    tensor, then, where that leaves something open, with one per fetch, which proves what addresses
    cost. A schedule that does not pack is never returned.

    Parameters
    ----------
    problem : Problem
    schedules : sequence of Schedule
        Candidates, at least one.
    plans : sequence of Placed
        Plans that are known: the result is no worse than any of them.
    capacity : int
        Bytes.
    limits : Limits
        Of each attempt a share.
    bound : int
        Proven lower bound on the cost of any plan.
    """
    ranked = sorted(dict.fromkeys(schedules), key=lambda s: rank_of(problem, s))
    least = ranked[0]
    goal = rank_of(problem, least)
    best = _Best(problem, goal[0], limits, bound, on_progress)
    for plan in plans:
        best.offer(plan)

    def attempt(schedule: Schedule, within: Limits) -> None:
        if rank_of(problem, schedule) < best.rank:
            best.offer(packed(problem, schedule, capacity, within))

    for turn, schedule in enumerate(ranked):
        if turn and limits.exhausted():
            break
        within = limits.share(5 * _PACK if not turn else _PACK)
        if not turn:
            within = replace(within, seconds=limits.share(_CHEAPEST).seconds)
        attempt(schedule, within)
        if best.rank <= rank_of(problem, schedule):
            break
    if best.rank > goal:
        # Quick ways that always end in a plan.
        best.offer(place_along(problem, least.order, capacity))
        for schedule in ranked[:_ARENAS]:
            if not limits.exhausted():
                best.offer(arena(problem, schedule, capacity))
        _repair(best, least, capacity)
    if best.done():
        return best.placed, bound
    for schedule in _cut_once(problem, least):
        if best.done() or rank_of(problem, schedule) >= best.rank:
            break
        attempt(schedule, limits.share(_PACK))
    need = max(sum(problem.sizes[a] for a in operands) for operands in problem.operands)
    for share in _TIGHTER:
        smaller = capacity - capacity // share
        if smaller < need or best.done():
            break
        schedule = belady(problem, least.order, smaller, write_aware=True)
        schedule, _ = improve(
            problem,
            smaller,
            schedule,
            limits.share(0.1),
            bound=bound,
            budget=int(_STATES * limits.effort),
        )
        attempt(schedule, limits.share(_PACK))
        best.offer(arena(problem, schedule, capacity))
    if not best.done():
        best.offer(
            solve_joint(
                problem,
                capacity,
                limits.share(0.6),
                bound=bound,
                hint=least,
                effort=limits.effort / 2,
                on_progress=on_progress,
            )
        )
    if not best.done():
        copies = solve_copies(
            problem,
            capacity,
            limits.share(0.6),
            bound=bound,
            known=best.placed,
            cost=best.rank[0],
            effort=limits.effort / 2,
            on_progress=on_progress,
        )
        best.offer(copies.placed)
        best.bound = bound = copies.bound
    if not best.done():
        best.offer(
            solve_fixed(
                problem,
                least.order,
                capacity,
                limits,
                bound=bound,
                effort=limits.effort / 3,
                on_progress=on_progress,
            )
        )
    return best.placed, bound


class _Best:
    """The best plan so far, and when to stop looking."""

    def __init__(
        self,
        problem: Problem,
        goal: int,
        limits: Limits,
        bound: int,
        on_progress: Progress | None,
    ) -> None:
        self.problem, self.goal, self.limits, self.bound = problem, goal, limits, bound
        self.rank = 1 << 62, 0
        self._placed: Placed | None = None
        self._on_progress = on_progress

    @property
    def placed(self) -> Placed:
        assert self._placed is not None, "some way always ends in a plan"
        return self._placed

    def offer(self, plan: Placed | None) -> None:
        """Takes a plan if it is better than the best so far."""
        if plan is not None and (rank := rank_of(self.problem, plan.schedule)) < self.rank:
            self.rank, self._placed = rank, plan
            if self._on_progress is not None:
                self._on_progress("addresses", rank[0], self.bound)

    def done(self) -> bool:
        """Whether the plan is as cheap as the cheapest schedule, or the time is up."""
        return self.rank[0] <= max(self.bound, self.goal) or self.limits.exhausted()


def _repair(best: _Best, schedule: Schedule, capacity: int) -> None:
    """Follows a schedule with wider and wider beams, as long as that pays."""
    problem, limits, steps = best.problem, best.limits, len(schedule.order)
    goal, took = rank_of(problem, schedule), 0.0
    for width in _WIDTHS:
        if best.rank <= goal or width * steps > _MEMORIES * limits.effort:
            break
        remaining = limits.remaining()
        if remaining is not None and _WIDER * took > remaining:
            break
        # The narrowest takes a tenth of a second for a thousand operators: it is made in any case.
        quick = width == 1 and steps <= _QUICK
        within = replace(limits, seconds=None) if quick else limits
        began = now()
        best.offer(follow(problem, schedule, capacity, within, width=width))
        took = now() - began


def _cut_once(problem: Problem, schedule: Schedule) -> Iterator[Schedule]:
    """Schedules with one interval cut in two at a gap between two uses, the cheapest first."""
    uses = use_steps(problem, schedule.order)
    cuts = []
    for a, intervals in enumerate(schedule.residency):
        for position, interval in enumerate(intervals):
            steps = [t for t in uses[a] if interval.first <= t < interval.last]
            for t, then in zip(steps, steps[1:], strict=False):
                size = problem.sizes[a]
                first = len(intervals) == 1 and not problem.has_free_copy(a)
                # A gap of no step can be cut, too: the tensor then changes its address.
                cuts.append((size * (2 if first else 1), t - then, a, position, t, then))
    for _, _, a, position, t, then in sorted(cuts)[:_REPAIRS]:
        own = list(schedule.residency[a])
        whole = own[position]
        own[position : position + 1] = [
            Interval(whole.first, t + 1),
            Interval(then, whole.last),
        ]
        residency = list(schedule.residency)
        residency[a] = tuple(own)
        yield Schedule(schedule.order, tuple(residency))
