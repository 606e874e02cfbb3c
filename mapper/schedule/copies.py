"""Order, residency and addresses at once, with a new address after every fetch: the whole problem.

The model of Li, Gupta and Malik (arXiv 2311.18246, eq. 1-12) with the freedom of their eq. 11: the
address of a tensor holds while it stays on chip, and no longer. It is for what the bound without
addresses and the plans with one address per tensor leave open, in graphs of some dozen operators.
"""

from __future__ import annotations

from dataclasses import dataclass

from mapper.schedule.exact import CapacityModel, model_size
from mapper.schedule.problem import Placed, Problem
from mapper.schedule.solver import Limits, Progress, Var, solve

__all__ = ["Copies", "solve_copies"]

_SIZE_LIMIT = 12_000


@dataclass(frozen=True)
class Copies:
    """A plan better than the one that was known, or None, and a proven bound on any, in bytes."""

    placed: Placed | None
    bound: int


def solve_copies(
    problem: Problem,
    capacity: int,
    limits: Limits,
    *,
    bound: int,
    known: Placed,
    cost: int,
    effort: float,
    on_progress: Progress | None = None,
) -> Copies:
    """Looks for a plan that costs less than `cost`, or proves that there is none.

    Parameters
    ----------
    bound : int
        Proven lower bound in bytes.
    known : Placed
        A plan of cost `cost`, whose surroundings are looked at first.
    effort : float
        Deterministic limit of the search.
    """
    if model_size(problem) > _SIZE_LIMIT:
        return Copies(None, bound)
    base = CapacityModel(problem, capacity, moving=True)
    m, unit, room = base.model, base.unit, capacity // base.unit
    at: dict[tuple[int, int], Var] = {}
    by_step: dict[int, list[Var]] = {}
    for a, size in enumerate(problem.sizes):
        for t in base.window(a):
            offset = at[a, t] = m.new_int_var(0, room - size // unit, f"o{a},{t}")
            span = m.new_optional_fixed_size_interval_var(
                offset, size // unit, base.resident[a, t], f"s{a},{t}"
            )
            by_step.setdefault(t, []).append(span)
            if (a, t) in base.kept:
                m.add(offset == at[a, t - 1]).only_enforce_if(base.kept[a, t])
    for spans in by_step.values():
        m.add_no_overlap(spans)
    m.add(base.cost() >= -(-bound // unit) + base.compulsory)
    m.add(base.cost() <= (cost - 1) // unit + base.compulsory)
    base.hint(known.schedule)

    def report(best: int, _: int) -> None:
        if on_progress is not None:
            on_progress("addresses that change", (best - base.compulsory) * unit, bound)

    outcome = solve(m, limits, effort=effort, on_progress=report)
    if outcome.status == "infeasible":
        return Copies(None, cost)
    proven = max(bound, min(cost, (outcome.bound - base.compulsory) * unit))
    if not outcome.solved:
        return Copies(None, proven)
    schedule = base.schedule(outcome)
    addresses = tuple(
        tuple(outcome.value(at[a, i.first]) * unit for i in intervals)
        for a, intervals in enumerate(schedule.residency)
    )
    return Copies(Placed(schedule, addresses), proven)
