"""From a problem and a capacity to a placed schedule, a proven bound and the baselines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from mapper.schedule.baselines import METHODS, baseline
from mapper.schedule.constructive import place_along
from mapper.schedule.greedy import belady
from mapper.schedule.improve import least_traffic
from mapper.schedule.orders import file_order, least_peak, random_orders
from mapper.schedule.place import place
from mapper.schedule.problem import Placed, Problem, Schedule, cost_of
from mapper.schedule.reduced import Reduced, reduced
from mapper.schedule.solver import Limits, Progress

__all__ = ["Found", "search"]

ORDERS = 100
_TRIED = 60_000  # operators times orders at most, so that huge graphs get fewer orders
_PLACED_OPERATORS = 3_000  # beyond, greedy-by-size takes longer than it is worth


@dataclass(frozen=True)
class Found:
    """The best plan and what is known about it.

    Attributes
    ----------
    placed : Placed
        Schedule and addresses.
    objective, bound : int
        Its non-compulsory bytes, and a proven lower bound on those of any plan.
    baselines : dict of str to int
        Non-compulsory bytes of each baseline: those of `mapper.schedule.baselines` with addresses,
        the others without, which flatters them.
    """

    placed: Placed
    objective: int
    bound: int
    baselines: dict[str, int]


def search(
    problem: Problem,
    capacity: int,
    limits: Limits | None = None,
    on_progress: Progress | None = None,
    *,
    method: str = "best",
) -> Found:
    """Finds a plan of least non-compulsory traffic; of equal ones, one of few transfers.

    In turn: the baselines; order and residency with a bound, see `mapper.schedule.improve`; then
    addresses, see `mapper.schedule.place`. The plan is never worse than a baseline with addresses.

    Parameters
    ----------
    problem : Problem
    capacity : int
        Bytes, at least the operands of every single operator.
    limits : Limits, optional
        Deterministic by default.
    on_progress : callable, optional
        Receives the phase, the best cost and the bound.
    method : str
        ``best``, or one of `mapper.schedule.baselines.METHODS` for that baseline's plan.

    Raises
    ------
    ValueError
        Some operator does not fit by itself, or there is no such method.
    """
    limits = limits or Limits()
    need = max(sum(problem.sizes[a] for a in operands) for operands in problem.operands)
    if need > capacity:
        raise ValueError(f"capacity must be at least {need} for the largest operator")
    if method != "best" and method not in METHODS:
        raise ValueError(f"method must be best or one of {', '.join(METHODS)}, not {method!r}")

    def tell(phase: str, best: int | None, bound: int | None) -> None:
        if on_progress is not None:
            on_progress(phase, best, bound)

    tell("baselines", None, None)
    orders = {
        "file_order": file_order(problem),
        "least_peak_order": least_peak(problem, limits=limits.share(0.1)).order,
    }
    plans = _baselines(problem, orders, capacity, limits.share(0.15))
    smaller = reduced(problem)
    baselines, schedules, starts = _warm_start(problem, smaller, orders, capacity, limits)
    baselines.update({n: cost_of(problem, p.schedule) for n, p in plans.items()})
    if method != "best":
        plan = plans.get(method) or baseline(problem, method, orders, capacity)
        return Found(plan, cost_of(problem, plan.schedule), 0, baselines)
    known = [*plans.values()]
    for order in orders.values():
        known.append(place_along(problem, order, capacity))
    schedules += [p.schedule for p in known]
    bound = 0
    if all(cost_of(problem, schedule) for schedule in schedules):
        best = least_traffic(smaller.problem, capacity, starts, limits.share(0.8), on_progress)
        schedules.insert(0, smaller.expanded(best.schedule))
        bound = best.bound
    tell("addresses", min(cost_of(problem, schedule) for schedule in schedules), bound)
    placed, bound = place(
        problem, schedules, known, capacity, limits, bound=bound, on_progress=on_progress
    )
    return Found(placed, cost_of(problem, placed.schedule), bound, baselines)


def _baselines(
    problem: Problem, orders: dict[str, tuple[int, ...]], capacity: int, limits: Limits
) -> dict[str, Placed]:
    """The plans of the literature's baselines, as many as the clock allows."""
    if len(problem.inputs) > _PLACED_OPERATORS:
        return {}
    plans = {}
    for name in METHODS:
        if not limits.exhausted():
            plans[name] = baseline(problem, name, orders, capacity)
    return plans


def _warm_start(
    problem: Problem,
    smaller: Reduced,
    orders: dict[str, tuple[int, ...]],
    capacity: int,
    limits: Limits,
) -> tuple[dict[str, int], list[Schedule], list[Schedule]]:
    """Costs of greedy replacement, its schedules, and schedules of the smaller problem."""
    schedules = {
        f"{rule}_{name}": belady(problem, order, capacity, write_aware=rule == "write_aware")
        for name, order in orders.items()
        for rule in ("belady", "write_aware")
    }
    costs = {name: cost_of(problem, schedule) for name, schedule in schedules.items()}
    small = smaller.problem
    best, starts = min(costs.values()), list[Schedule]()
    tries = max(2, min(ORDERS, _TRIED // len(small.inputs)))
    within = limits.share(0.1)
    tried = set[tuple[int, ...]]()
    # Lazily: an order of thousands of operators takes a while to draw.
    for order in chain(
        map(smaller.grouped, orders.values()), random_orders(small, tries, limits.seed)
    ):
        if len(starts) >= 2 * len(orders) and (best == 0 or within.exhausted()):
            break
        if order in tried:
            continue
        tried.add(order)
        for write_aware in (True, False):
            other = belady(small, order, capacity, write_aware=write_aware)
            starts.append(other)
            best = min(best, cost_of(small, other))
    return {**costs, f"best_of_{ORDERS}_orders": best}, [*schedules.values()], starts
