"""A plan with addresses that follows a schedule and repairs it where it has no address.

A beam of memories walks along the order. What a step brings in goes into holes, to the bottom, to
the top or where it is tightest; where no hole is wide enough, some stretch of memory is cleared: what
the schedule keeps there leaves and comes back at its next use, what it has no more use for leaves for
nothing. What may stay beyond that stays, and is not fetched again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapper.schedule.compiled.memories import successors
from mapper.schedule.problem import Placed, Problem, Schedule, residency_of, use_steps
from mapper.schedule.solver import Limits

__all__ = ["follow"]

_NEVER = 1 << 60
_ORDERS = 24  # of operands that are tried
_CLEARINGS = 4  # of each memory that go on
_MOVABLE = 8  # operands of a step that may move: each doubles what is tried
_BYTE = 64  # what a byte over the bus counts, where a byte that need not stay counts 1

Array = Any


@dataclass(frozen=True)
class _Step:
    """What became of a beam in one step: whom each memory comes of, and what came in for it."""

    parent: Array
    number: Array
    who: Array
    where: Array


def follow(
    problem: Problem, schedule: Schedule, capacity: int, limits: Limits, *, width: int
) -> Placed | None:
    """Addresses for `schedule`, cut where that is needed; None where the time ends.

    Parameters
    ----------
    schedule : Schedule
        In which every step fits.
    capacity : int
        Bytes.
    limits : Limits
        Only its clock.
    width : int
        Memories that are kept at each step.
    """
    walk = _Walk(problem, schedule, capacity, width)
    steps = []
    for t in range(len(schedule.order)):
        if limits.exhausted():
            return None
        steps.append(walk.step(t))
    return _placed(problem, schedule, steps)


def _placed(problem: Problem, schedule: Schedule, steps: list[_Step]) -> Placed:
    begins: list[set[int]] = [set() for _ in problem.sizes]
    addresses: list[dict[int, int]] = [{} for _ in problem.sizes]
    at = 0  # the cheapest comes first
    for t in reversed(range(len(steps))):
        step = steps[t]
        count = step.number[at]
        for a, place in zip(
            step.who[at, :count].tolist(), step.where[at, :count].tolist(), strict=True
        ):
            begins[a].add(t)
            addresses[a][t] = place
        at = step.parent[at]
    residency = residency_of(problem, schedule.order, begins)
    return Placed(
        Schedule(schedule.order, residency),
        tuple(
            tuple(own[i.first] for i in intervals)
            for own, intervals in zip(addresses, residency, strict=True)
        ),
    )


class _Beam:
    """Rows of memories, see `mapper.schedule.compiled.memories`; the first `count` are in use."""

    def __init__(self, rows: int, tensors: int) -> None:
        self.count = 0
        self.used, self.costs = np.zeros((2, rows), dtype=np.int64)
        self.tensors, self.at = np.zeros((2, rows, tensors), dtype=np.int64)
        self.copied = np.zeros((rows, tensors), dtype=np.bool_)

    def take(self, other: _Beam, rows: Array) -> None:
        """Becomes these rows of another."""
        self.count = len(rows)
        for mine, theirs in (
            (self.used, other.used),
            (self.costs, other.costs),
            (self.tensors, other.tensors),
            (self.at, other.at),
            (self.copied, other.copied),
        ):
            mine[: len(rows)] = theirs[rows]


class _Walk:
    """A beam of memories on its way along a schedule."""

    def __init__(self, problem: Problem, schedule: Schedule, capacity: int, width: int) -> None:
        self.problem, self.schedule, self.capacity = problem, schedule, capacity
        self.width = width
        uses = use_steps(problem, schedule.order)
        self.first = [steps[0] for steps in uses]
        self.last = [steps[-1] for steps in uses]
        self.interval = [0] * len(problem.sizes)
        self.size = np.array(problem.sizes, dtype=np.int64)
        # Absurdly large sums count in coarser units, so that they stay within 64 bits.
        most = sum(
            2 * _BYTE * size * len(steps) for size, steps in zip(problem.sizes, uses, strict=True)
        )
        self.weight = self.size >> max(0, (most // _NEVER).bit_length())
        self.until = np.zeros_like(self.size)  # end of the interval of the schedule
        self.fresh, self.gone = np.zeros((2, len(self.size)), dtype=np.bool_)
        self.refund = np.zeros_like(self.size)
        live, residents = 0, 1
        changes = [0] * len(schedule.order)
        for begin, end in zip(self.first, self.last, strict=True):
            changes[begin] += 1
            changes[end] -= 1
        for change in changes:
            live += change
            residents = max(residents, live)
        self.operands = max(map(len, problem.operands))
        rows = width * max(3, _CLEARINGS)
        self.beam, self.found = _Beam(width, residents), _Beam(rows + 1, residents)
        self.beam.count = 1
        self.parent, self.number = np.zeros((2, rows + 1), dtype=np.int64)
        self.slots = np.zeros(1 << (2 * rows).bit_length(), dtype=np.int64)

    def step(self, t: int) -> _Step:
        """Runs step `t`; the cheapest memories go on."""
        needed = self.problem.operands[self.schedule.order[t]]
        self._begin(t, needed)
        found = self.found
        self.slots[:] = -1
        who, where = np.zeros((2, len(self.parent), len(needed)), dtype=np.int64)
        found.count = successors(
            self.beam.count,
            self.beam.used,
            self.beam.costs,
            self.beam.tensors,
            self.beam.at,
            self.beam.copied,
            t,
            np.array(needed, dtype=np.int64),
            np.array(sorted(needed, key=lambda a: (-self.problem.sizes[a], a)), dtype=np.int64),
            self.until,
            self.size,
            self.weight,
            self.fresh,
            self.gone,
            self.refund,
            self.capacity,
            _BYTE,
            _CLEARINGS,
            _ORDERS,
            _MOVABLE,
            _NEVER,
            found.used,
            found.costs,
            found.tensors,
            found.at,
            found.copied,
            self.parent,
            self.number,
            who,
            where,
            self.slots,
        )
        self.refund[list(needed)] = 0
        best = np.argsort(found.costs[: found.count], kind="stable")[: self.width]
        self.beam.take(found, best)
        return _Step(self.parent[best], self.number[best], who[best], where[best])

    def _begin(self, t: int, needed: tuple[int, ...]) -> None:
        for a in needed:
            own = self.schedule.residency[a]
            while own[self.interval[a]].last <= t:
                self.interval[a] += 1
            fetched = own[self.interval[a]].first == t and self.interval[a] > 0
            self.refund[a] = _BYTE * self.weight[a] if fetched else 0
            self.until[a] = own[self.interval[a]].last
            self.fresh[a] = self.first[a] == t and not self.problem.has_free_copy(a)
            self.gone[a] = self.last[a] == t
