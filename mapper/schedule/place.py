"""Addresses for schedules, and what to do when the cheapest one does not pack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

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
    cost_of,
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
_WIDTHS = (1, 4, 16, 64)  # of the beams that repair the cheapest schedule
_MEMORIES = 600  # that a beam may keep over all steps, for each unit of effort
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
    best: list[Placed] = list(plans)

    def cost() -> tuple[int, int]:
        return min((rank_of(problem, p.schedule) for p in best), default=(1 << 62, 0))

    def done() -> bool:
        return cost()[0] <= max(bound, cost_of(problem, least)) or limits.exhausted()

    def attempt(schedule: Schedule, within: Limits) -> None:
        if rank_of(problem, schedule) < cost():
            plan = packed(problem, schedule, capacity, within)
            if plan is not None:
                best.append(plan)
                if on_progress is not None:
                    on_progress("addresses", cost()[0], bound)

    for turn, schedule in enumerate(ranked):
        within = limits.share(5 * _PACK if not turn else _PACK)
        if not turn:
            within = replace(within, seconds=limits.share(_CHEAPEST).seconds)
        attempt(schedule, within)
        if best and cost() <= rank_of(problem, schedule):
            break
    if cost() > rank_of(problem, least):
        # Quick ways that always end in a plan.
        best.append(place_along(problem, least.order, capacity))
        for schedule in ranked[:_ARENAS]:
            if not limits.exhausted():
                best.append(arena(problem, schedule, capacity))
    for width in _WIDTHS:
        if (
            cost() <= rank_of(problem, least)
            or width * len(least.order) > _MEMORIES * limits.effort
        ):
            break
        # The narrowest takes less than a second for a thousand operators: it is made in any case.
        quick = width == 1 and len(least.order) <= _QUICK
        within = replace(limits, seconds=None) if quick else limits.share(0.4)
        repaired = follow(problem, least, capacity, within, width=width)
        best += [repaired] if repaired is not None else []
    if done():
        return min(best, key=lambda p: rank_of(problem, p.schedule)), bound
    for schedule in _cut_once(problem, least):
        if done() or rank_of(problem, schedule) >= cost():
            break
        attempt(schedule, limits.share(_PACK))
    need = max(sum(problem.sizes[a] for a in operands) for operands in problem.operands)
    for share in _TIGHTER:
        smaller = capacity - capacity // share
        if smaller < need or done():
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
        best.append(arena(problem, schedule, capacity))
    if not done():
        joint = solve_joint(
            problem,
            capacity,
            limits.share(0.6),
            bound=bound,
            hint=least,
            effort=limits.effort / 2,
            on_progress=on_progress,
        )
        best += [joint] if joint is not None else []
    if not done():
        known = min(best, key=lambda p: rank_of(problem, p.schedule))
        copies = solve_copies(
            problem,
            capacity,
            limits.share(0.6),
            bound=bound,
            known=known,
            cost=cost()[0],
            effort=limits.effort / 2,
            on_progress=on_progress,
        )
        best += [copies.placed] if copies.placed is not None else []
        bound = copies.bound
    if not done():
        fixed = solve_fixed(
            problem,
            least.order,
            capacity,
            limits,
            bound=bound,
            effort=limits.effort / 3,
            on_progress=on_progress,
        )
        best += [fixed] if fixed is not None else []
    return min(best, key=lambda p: rank_of(problem, p.schedule)), bound


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
