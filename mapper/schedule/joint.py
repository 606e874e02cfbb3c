"""Exact models with addresses, for when the cheapest residency does not pack.

`solve_joint` gives every tensor one address for life, under any order: a restriction, so its
result is an upper bound, and where it meets the bound of the capacity model the plan is optimal;
where it does not, see `mapper.schedule.copies`.
`solve_fixed` lets every fetch choose a new address (eq. 11 of arXiv 2311.18246), along one order
(eq. 16-17).
"""

from __future__ import annotations

from math import gcd

from ortools.sat.python import cp_model

from mapper.schedule.exact import CapacityModel, model_size
from mapper.schedule.problem import Placed, Problem, Schedule, residency_of, use_steps
from mapper.schedule.solver import Limits, Progress, Var, solve

__all__ = ["solve_fixed", "solve_joint"]

_PAIR_LIMIT = 500_000  # pairs of tensors times steps in which both could be resident
_SIZE_LIMIT = 200_000
_USE_LIMIT = 3_000


def solve_joint(
    problem: Problem,
    capacity: int,
    limits: Limits,
    *,
    bound: int,
    hint: Schedule,
    effort: float,
    on_progress: Progress | None = None,
) -> Placed | None:
    """Order, residency and one address per tensor; None where no plan was found in time.

    Parameters
    ----------
    bound : int
        Proven lower bound in bytes, at which the search may stop.
    hint : Schedule
        The unpackable schedule to start from.
    effort : float
        Deterministic limit of the search.
    """
    if model_size(problem) > _SIZE_LIMIT:
        return None
    base = CapacityModel(problem, capacity)
    m, unit, room = base.model, base.unit, capacity // base.unit
    size = [s // unit for s in problem.sizes]
    windows = [base.window(a) for a in problem.tensors]
    pairs = [
        (a, b, range(max(windows[a][0], windows[b][0]), min(windows[a][-1], windows[b][-1]) + 1))
        for a in problem.tensors
        for b in range(a)
    ]
    if sum(len(common) for _, _, common in pairs) > _PAIR_LIMIT:
        return None
    offset = [m.new_int_var(0, room - s, f"o{a}") for a, s in enumerate(size)]
    for a, b, common in pairs:
        if not common:
            continue
        both = [(base.resident[a, t], base.resident[b, t]) for t in common]
        if size[a] + size[b] > room:
            for one, other in both:
                m.add(one + other <= 1)
            continue
        together, below = m.new_bool_var(f"c{a},{b}"), m.new_bool_var(f"d{a},{b}")
        for one, other in both:
            m.add(one + other <= 1 + together)
        m.add(offset[a] + size[a] <= offset[b]).only_enforce_if(together, below)
        m.add(offset[b] + size[b] <= offset[a]).only_enforce_if(together, below.negated())
    m.add(base.cost() >= bound // unit + base.compulsory)
    base.hint(hint)

    def report(best: int, _: int) -> None:
        if on_progress is not None:
            on_progress("order, residency and addresses", (best - base.compulsory) * unit, bound)

    outcome = solve(m, limits, effort=effort, on_progress=report)
    if not outcome.solved:
        return None
    schedule = base.schedule(outcome)
    return Placed(
        schedule,
        tuple(
            (outcome.value(offset[a]) * unit,) * len(intervals)
            for a, intervals in enumerate(schedule.residency)
        ),
    )


def solve_fixed(
    problem: Problem,
    order: tuple[int, ...],
    capacity: int,
    limits: Limits,
    *,
    bound: int,
    effort: float,
    on_progress: Progress | None = None,
) -> Placed | None:
    """Residency and addresses along one order, a new address at every fetch; None without a plan.

    A tensor is a rectangle of one step at each use, and one more between two uses where it is kept.
    """
    uses = use_steps(problem, order)
    if sum(map(len, uses)) > _USE_LIMIT:
        return None
    m = cp_model.CpModel()
    unit = gcd(*problem.sizes)
    room = capacity // unit
    times: list[Var] = []
    spans: list[Var] = []
    offsets: list[list[Var]] = []
    kept: list[list[Var]] = []
    load: list[list[Var]] = [[] for _ in order]
    cost: list[Var] = []
    for a, steps in enumerate(uses):
        size = problem.sizes[a] // unit
        mine = [m.new_int_var(0, room - size, f"o{a},{t}") for t in steps]
        keeps = [m.new_bool_var(f"k{a},{t}") for t in steps[1:]]
        for t, o in zip(steps, mine, strict=True):
            times.append(m.new_fixed_size_interval_var(t, 1, ""))
            spans.append(m.new_fixed_size_interval_var(o, size, ""))
            load[t].append(size)
        for t, until, o, then, k in zip(steps, steps[1:], mine, mine[1:], keeps, strict=False):
            m.add(o == then).only_enforce_if(k)
            cost.append(size * k.negated())
            if until - t > 1:
                times.append(m.new_optional_fixed_size_interval_var(t + 1, until - t - 1, k, ""))
                spans.append(m.new_optional_fixed_size_interval_var(o, size, k, ""))
                for between in range(t + 1, until):
                    load[between].append(size * k)
        if keeps and not problem.has_free_copy(a):
            written = m.new_bool_var(f"w{a}")
            for k in keeps:
                m.add_implication(k.negated(), written)
            cost.append(size * written)
        offsets.append(mine)
        kept.append(keeps)
    m.add_no_overlap_2d(times, spans)
    for terms in load:
        m.add(sum(terms) <= room)
    m.add(sum(cost) >= bound // unit)
    m.minimize(sum(cost))

    def report(best: int, _: int) -> None:
        if on_progress is not None:
            on_progress("residency and addresses", best * unit, bound)

    outcome = solve(m, limits, effort=effort, on_progress=report)
    if not outcome.solved:
        return None
    begins = [
        {t for t, k in zip(steps[1:], keeps, strict=True) if not outcome.value(k)}
        for steps, keeps in zip(uses, kept, strict=True)
    ]
    residency = residency_of(problem, order, begins)
    at = [
        {t: outcome.value(o) * unit for t, o in zip(steps, mine, strict=True)}
        for steps, mine in zip(uses, offsets, strict=True)
    ]
    addresses = tuple(
        tuple(at[a][i.first] for i in intervals) for a, intervals in enumerate(residency)
    )
    return Placed(Schedule(order, residency), addresses)
