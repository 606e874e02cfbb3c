"""Order and residency as one CP-SAT model; without addresses its optimum is a lower bound.

The problem is that of Li, Gupta and Malik (arXiv 2311.18246, eq. 1-12), stated with one operator
per step, exact windows (all ancestors before, all descendants after) and capacity in place of
addresses:

* ``x[o, t]``: operator `o` runs at step `t`; ``e[o, t]``: it has run at or before `t`;
* ``r[a, t]``: tensor `a` is resident during step `t`; ``f[a, t]``: it is fetched just before `t`
  (for a network input the first time means loaded);
* ``w[a]``: `a`, produced on chip and no network output, is written because it is fetched later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import gcd

from ortools.sat.python import cp_model

from mapper.schedule.problem import Problem, Schedule, bits, residency_of
from mapper.schedule.solver import Limits, Outcome, Progress, Var, any_of, implies, negated, solve

__all__ = ["CapacityModel", "Solved", "model_size", "solve_capacity"]

# Literals beyond which building the model costs more than it can bring.
_SIZE_LIMIT = 600_000


@dataclass(frozen=True)
class Solved:
    """A schedule, or None where none was found, and a proven bound on the cost of any."""

    schedule: Schedule | None
    bound: int
    status: str


@dataclass
class CapacityModel:
    """The model and its variables, for others to add to.

    Attributes
    ----------
    problem : Problem
    capacity : int
        Bytes.
    moving : bool
        Whether a tensor that is on chip may be fetched again, to another address: `kept` then says
        where it stays.
    unit : int
        Greatest common divisor of the sizes: what the model counts in.
    """

    problem: Problem
    capacity: int
    moving: bool = False
    model: cp_model.CpModel = field(default_factory=cp_model.CpModel)
    run: dict[tuple[int, int], Var] = field(default_factory=dict)
    resident: dict[tuple[int, int], Var] = field(default_factory=dict)
    fetched: dict[tuple[int, int], Var] = field(default_factory=dict)
    written: dict[int, Var] = field(default_factory=dict)
    kept: dict[tuple[int, int], Var] = field(default_factory=dict)

    def __post_init__(self) -> None:
        p = self.problem
        self.unit = gcd(*p.sizes)
        self.ran: dict[tuple[int, int], Var] = {}
        self._operators()
        for a in p.tensors:
            self._tensor(a)
        self._capacity()
        self.model.minimize(self.cost())

    def window(self, a: int) -> range:
        """Steps in which tensor `a` can be resident."""
        p = self.problem
        around = [p.windows[c] for c in p.consumers[a]]
        made = p.producer[a]
        first = p.windows[made].first if made >= 0 else min(w.first for w in around)
        last = max((w.last for w in around), default=p.windows[made].last)
        return range(first, last)

    def cost(self) -> Var:
        """Non-compulsory traffic plus the first load of each network input, in units."""
        p = self.problem
        terms = [self._units(a) * f for (a, _), f in self.fetched.items()]
        terms += [self._units(a) * w for a, w in self.written.items() if not p.has_free_copy(a)]
        return sum(terms)

    @property
    def compulsory(self) -> int:
        """Units of `cost` that every schedule pays: each network input is loaded once."""
        p = self.problem
        return sum(self._units(a) for a in p.tensors if p.producer[a] < 0)

    def hint(self, schedule: Schedule) -> None:
        """Suggests a complete solution to the solver."""
        at = {o: t for t, o in enumerate(schedule.order)}
        for (o, t), x in self.run.items():
            self._hint(x, at[o] == t)
        for (o, t), e in self.ran.items():
            self._hint(e, at[o] <= t)
        for (a, t), r in self.resident.items():
            if not self.problem.consumers[a]:
                continue  # the literal is its producer's, which has its hint
            intervals = schedule.residency[a]
            self._hint(r, any(i.first <= t < i.last for i in intervals))
            begins = [i.first for i in intervals[1 if self.problem.producer[a] >= 0 else 0 :]]
            if (a, t) in self.fetched:
                self._hint(self.fetched[a, t], t in begins)
            if (a, t) in self.kept:
                self._hint(self.kept[a, t], any(i.first < t < i.last for i in intervals))
        for a, w in self.written.items():
            self._hint(w, len(schedule.residency[a]) > 1)

    def schedule(self, outcome: Outcome) -> Schedule:
        """The solution as a schedule, residency trimmed to its uses."""
        p, value = self.problem, outcome.value
        steps = {t: o for (o, t), x in self.run.items() if value(x)}
        order = tuple(steps[t] for t in range(len(steps)))
        begins: list[set[int]] = [set() for _ in p.sizes]
        for (a, t), f in self.fetched.items():
            if value(f):
                begins[a].add(t)
        return Schedule(order, residency_of(p, order, begins))

    def _units(self, a: int) -> int:
        return self.problem.sizes[a] // self.unit

    def _hint(self, variable: Var, value: bool) -> None:
        if not isinstance(variable, int):
            self.model.add_hint(variable, int(value))

    def _operators(self) -> None:
        m, p = self.model, self.problem
        per_step: dict[int, list[Var]] = {}
        for o, window in enumerate(p.windows):
            steps = range(window.first, window.last)
            literals = [1] if len(steps) == 1 else [m.new_bool_var(f"x{o},{t}") for t in steps]
            m.add_exactly_one(literals)
            done: Var = 0
            for t, x in zip(steps, literals, strict=True):
                self.run[o, t] = x
                per_step.setdefault(t, []).append(x)
                now = 1 if t == steps[-1] else m.new_bool_var(f"e{o},{t}")
                if not all(isinstance(v, int) for v in (now, done, x)):
                    m.add(now == done + x)
                self.ran[o, t] = done = now
        for literals in per_step.values():
            m.add_exactly_one(literals)
        for o in p.operators:
            window = p.windows[o]
            for earlier in bits(p.predecessors[o]):
                for t in range(window.first, window.last):
                    implies(m, self._ran(o, t), self._ran(earlier, t - 1))

    def _ran(self, o: int, t: int) -> Var:
        """``e[o, t]``, extended beyond the window."""
        window = self.problem.windows[o]
        return 0 if t < window.first else 1 if t >= window.last else self.ran[o, t]

    def _run(self, o: int, t: int) -> Var:
        return self.run.get((o, t), 0)

    def _tensor(self, a: int) -> None:
        m, p = self.model, self.problem
        made, readers = p.producer[a], p.consumers[a]
        if not readers:
            # Nobody waits for it: it is there in the step of its producer and gone after it.
            for t in self.window(a):
                self.resident[a, t] = self._run(made, t)
            return
        if made >= 0:
            self.written[a] = m.new_bool_var(f"w{a}")
        before: Var = 0
        fetches = []
        for t in self.window(a):
            users = readers if made < 0 else (made, *readers)
            now = self.resident[a, t] = m.new_bool_var(f"r{a},{t}")
            for o in users:
                implies(m, self._run(o, t), now)  # use
            if made >= 0:
                implies(m, now, self._ran(made, t))  # birth
            any_of(m, [negated(now), *(negated(self._ran(o, t - 1)) for o in readers)])  # death
            f = self.fetched[a, t] = m.new_bool_var(f"f{a},{t}")
            born = self._run(made, t) if made >= 0 else 0
            stays = before
            if self.moving and t > self.window(a)[0]:
                stays = self.kept[a, t] = m.new_bool_var(f"k{a},{t}")
                implies(m, stays, before)
                m.add_implication(stays, now)
                implies(m, stays, negated(born))
            any_of(m, [negated(now), stays, born, f])  # resident without a reason: fetched
            m.add_implication(f, now)
            implies(m, f, negated(stays))
            implies(m, f, negated(born))
            any_of(m, [negated(f), *(self._run(o, t) for o in readers)])  # as late as possible
            if made >= 0:
                m.add_implication(f, self.written[a])
            fetches.append(f)
            before = now
        m.add(sum(fetches) <= len(readers))
        m.add(sum(fetches) >= (self.written[a] if made >= 0 else 1))

    def _capacity(self) -> None:
        by_step: dict[int, list[tuple[int, Var]]] = {}
        for (a, t), r in self.resident.items():
            by_step.setdefault(t, []).append((self._units(a), r))
        for terms in by_step.values():
            self.model.add(sum(size * r for size, r in terms) <= self.capacity // self.unit)


def solve_capacity(
    problem: Problem,
    capacity: int,
    limits: Limits,
    *,
    hint: Schedule | None = None,
    on_progress: Progress | None = None,
) -> Solved:
    """Least non-compulsory traffic over all orders and residencies within `capacity` bytes.

    Addresses are left out, so the bound holds for every plan, and the schedule need not pack.
    """
    if model_size(problem) > _SIZE_LIMIT:
        return Solved(None, 0, "unknown")
    model = CapacityModel(problem, capacity)
    if hint is not None:
        model.hint(hint)

    def report(best: int, bound: int) -> None:
        if on_progress is not None:
            to_bytes = [(x - model.compulsory) * model.unit for x in (best, bound)]
            on_progress("order and residency", *to_bytes)

    outcome = solve(model.model, limits, on_progress=report)
    bound = max(0, (outcome.bound - model.compulsory) * model.unit)
    return Solved(model.schedule(outcome) if outcome.solved else None, bound, outcome.status)


def model_size(problem: Problem) -> int:
    """Literals of a `CapacityModel`, roughly."""
    span = [w.last - w.first for w in problem.windows]
    users = [
        [*problem.consumers[a], *([problem.producer[a]] if problem.producer[a] >= 0 else [])]
        for a in problem.tensors
    ]
    reach = (
        max(problem.windows[o].last for o in around) - min(problem.windows[o].first for o in around)
        for around in users
    )
    return 2 * sum(span) + 2 * sum(reach)
