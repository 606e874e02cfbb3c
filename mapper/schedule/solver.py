"""Running CP-SAT: limits, determinism, Ctrl-C and integers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ortools.sat.python import cp_model

from mapper.limits import Limits

__all__ = ["Limits", "Outcome", "Progress", "Var", "any_of", "implies", "negated", "solve"]

Var = Any  # a cp_model variable, or an integer where it is fixed

# What is being done, the best cost so far, the bound so far; bytes.
Progress = Callable[[str, int | None, int | None], None]


@dataclass(frozen=True)
class Outcome:
    """What a solve gave.

    Attributes
    ----------
    status : str
        ``optimal``, ``feasible``, ``infeasible`` or ``unknown``.
    bound : int
        Proven lower bound on the model's integer objective; 0 where there is none.
    value : callable
        Integer value of a variable (or integer); only with a solution.
    """

    status: str
    bound: int
    value: Callable[[Var], int]

    @property
    def solved(self) -> bool:
        """Whether there is a solution."""
        return self.status in ("optimal", "feasible")


_STATUS = {
    cp_model.OPTIMAL: "optimal",
    cp_model.FEASIBLE: "feasible",
    cp_model.INFEASIBLE: "infeasible",
    cp_model.UNKNOWN: "unknown",
}


def solve(
    model: cp_model.CpModel,
    limits: Limits,
    *,
    effort: float | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Solves `model` in a thread of its own, so that Ctrl-C ends it at once.

    Parameters
    ----------
    model : CpModel
    limits : Limits
    effort : float, optional
        Deterministic limit in place of the one in `limits`.
    on_progress : callable, optional
        Receives best objective and bound of each better solution.

    Raises
    ------
    KeyboardInterrupt
        After the search has stopped.
    """
    solver = cp_model.CpSolver()
    parameters = solver.parameters
    parameters.max_deterministic_time = limits.effort if effort is None else effort
    parameters.num_workers = limits.workers
    # Several strategies take turns in fixed slices: as reproducible with many threads as with one.
    parameters.interleave_search = limits.workers > 1
    parameters.random_seed = limits.seed % (1 << 31)
    parameters.catch_sigint_signal = False
    remaining = limits.remaining()
    if remaining is not None:
        parameters.max_time_in_seconds = remaining
    callback = _Callback(on_progress) if on_progress is not None else None
    result: list[Any] = []

    finished = threading.Event()

    def run() -> None:
        try:
            result.append(solver.solve(model, callback))
        except BaseException as error:  # handed to the caller's thread below
            result.append(error)
        finally:
            finished.set()

    # An event, because a join that Ctrl-C interrupts takes the thread for dead (bpo-45274).
    threading.Thread(target=run, name="cp-sat", daemon=True).start()
    try:
        while not finished.wait(0.1):
            pass
    except BaseException:
        # Repeated, because a search that has not begun yet cannot be stopped.
        solver.stop_search()
        while not finished.wait(0.05):
            solver.stop_search()
        raise
    (status,) = result
    if isinstance(status, BaseException):
        raise status
    if status not in _STATUS:
        raise RuntimeError(f"CP-SAT refused the model: {model.validate()}")
    name = _STATUS[status]
    return Outcome(
        status=name,
        # The float objective may be off by one unit in the last place; this is the integer.
        bound=int(solver.response_proto.inner_objective_lower_bound) if name != "unknown" else 0,
        value=lambda v: v if isinstance(v, int) else int(solver.value(v)),
    )


class _Callback(cp_model.CpSolverSolutionCallback):
    def __init__(self, report: Callable[[int, int], None]) -> None:
        super().__init__()
        self._report = report

    def on_solution_callback(self) -> None:
        self._report(round(self.objective_value), round(self.best_objective_bound))


def implies(model: cp_model.CpModel, premise: Var, conclusion: Var) -> None:
    """Adds ``premise => conclusion`` for literals or the integers 0 and 1."""
    if (isinstance(premise, int) and not premise) or (isinstance(conclusion, int) and conclusion):
        return
    if isinstance(premise, int) and isinstance(conclusion, int):
        raise ValueError("1 => 0 must not be required: the windows contradict each other")
    if isinstance(premise, int):
        model.add_bool_or(conclusion)
    elif isinstance(conclusion, int):
        model.add_bool_or(premise.negated())
    else:
        model.add_implication(premise, conclusion)


def negated(literal: Var) -> Var:
    """The opposite of a literal or of the integers 0 and 1."""
    return 1 - literal if isinstance(literal, int) else literal.negated()


def any_of(model: cp_model.CpModel, literals: Sequence[Var]) -> None:
    """Adds a clause of literals and integers 0 and 1."""
    if any(isinstance(x, int) and x for x in literals):
        return
    model.add_bool_or([x for x in literals if not isinstance(x, int)])
