"""A plan with addresses that follows a schedule and repairs it where it has no address.

A beam of memories walks along the order. What a step brings in goes into holes, to the bottom, to
the top or where it is tightest; where no hole is wide enough, some stretch of memory is cleared: what
the schedule keeps there leaves and comes back at its next use, what it has no more use for leaves for
nothing. What may stay beyond that stays, and is not fetched again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, permutations

from mapper.schedule.problem import Placed, Problem, Schedule, residency_of, use_steps
from mapper.schedule.solver import Limits

__all__ = ["follow"]

_NEVER = 1 << 60
_ORDERS = 24  # of operands that are tried
_CLEARINGS = 4  # of each memory that go on
_BYTE = 64  # what a byte over the bus counts, where a byte that need not stay counts 1

Places = dict[int, int]


@dataclass(frozen=True)
class _Memory:
    """What is on chip and where, what has a copy, what that cost, and how it came about."""

    cost: int
    at: Places
    written: frozenset[int]
    before: _Memory | None
    step: int
    places: Places


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
    walk = _Walk(problem, schedule, capacity)
    free = frozenset(a for a in problem.tensors if problem.has_free_copy(a))
    beam = [_Memory(0, {}, free, None, -1, {})]
    for t in range(len(schedule.order)):
        if limits.exhausted():
            return None
        walk.begin(t)
        found: dict[tuple[tuple[int, int], ...], _Memory] = {}
        for memory in beam:
            for then in walk.options(memory):
                key = tuple(sorted(then.at.items()))
                if key not in found or then.cost < found[key].cost:
                    found[key] = then
        beam = sorted(found.values(), key=lambda m: m.cost)[:width]
    return _placed(problem, schedule, beam[0])


def _placed(problem: Problem, schedule: Schedule, last: _Memory) -> Placed:
    begins: list[set[int]] = [set() for _ in problem.sizes]
    addresses: list[Places] = [{} for _ in problem.sizes]
    memory: _Memory | None = last
    while memory is not None:
        for a, place in memory.places.items():
            begins[a].add(memory.step)
            addresses[a][memory.step] = place
        memory = memory.before
    residency = residency_of(problem, schedule.order, begins)
    return Placed(
        Schedule(schedule.order, residency),
        tuple(
            tuple(own[i.first] for i in intervals)
            for own, intervals in zip(addresses, residency, strict=True)
        ),
    )


class _Walk:
    """The step of a schedule at which all memories of a beam are."""

    def __init__(self, problem: Problem, schedule: Schedule, capacity: int) -> None:
        self.problem, self.schedule, self.capacity = problem, schedule, capacity
        self.last = [steps[-1] for steps in use_steps(problem, schedule.order)]
        self.interval = [0] * len(problem.sizes)
        self.until = [0] * len(problem.sizes)  # end of the interval of the schedule
        self.t, self.needed, self.fetched = -1, tuple[int, ...](), set[int]()

    def begin(self, t: int) -> None:
        """Goes to step `t`."""
        self.t, self.needed = t, self.problem.operands[self.schedule.order[t]]
        self.fetched = set()
        for a in self.needed:
            own = self.schedule.residency[a]
            while own[self.interval[a]].last <= t:
                self.interval[a] += 1
            if own[self.interval[a]].first == t and self.interval[a]:
                self.fetched.add(a)
            self.until[a] = own[self.interval[a]].last

    def options(self, memory: _Memory) -> Iterator[_Memory]:
        """The memories that can come of one in this step."""
        sizes = self.problem.sizes
        missing = sorted(
            (a for a in self.needed if a not in memory.at), key=lambda a: (-sizes[a], a)
        )
        seen = set()
        for rule in range(3 if missing else 1):
            places = self._holes(memory, missing, rule)
            if places is not None and tuple(places.items()) not in seen:
                seen.add(tuple(places.items()))
                yield self._after(memory, places)
        if not seen:
            for places in self._clearings(memory, missing):
                yield self._after(memory, places)

    def _after(self, memory: _Memory, places: Places) -> _Memory:
        """Tensors come in; what is in their places leaves, and what was read last is gone."""
        sizes, at, cost, lost = self.problem.sizes, dict(memory.at), memory.cost, set()
        for a, place in places.items():
            for b, low in memory.at.items():
                if b in at and (b == a or (low < place + sizes[a] and place < low + sizes[b])):
                    del at[b]
                    cost += self._cost(memory, b)
                    lost.add(b)
        # What the schedule fetches here and is there all the same.
        cost -= sum(_BYTE * sizes[a] for a in self.fetched if a in at)
        at.update(places)
        for a in self.needed:
            if self.last[a] == self.t:
                del at[a]
        written = memory.written | lost if lost else memory.written
        return _Memory(cost, at, written, memory, self.t, places)

    def _cost(self, memory: _Memory, a: int) -> int:
        """What it costs that a tensor leaves."""
        size = self.problem.sizes[a]
        if self.until[a] > self.t:
            return size * _BYTE * (1 if a in memory.written else 2)
        return size

    def _holes(self, memory: _Memory, missing: list[int], rule: int) -> Places | None:
        """Holes for tensors that come in: 0 the lowest, 1 the highest, 2 the tightest."""
        places: Places = {}
        sizes = self.problem.sizes
        for a in missing:
            low, size, holes = 0, sizes[a], []
            for at, end in sorted(
                (p, p + sizes[b]) for b, p in (*memory.at.items(), *places.items())
            ):
                if at - low >= size:
                    holes.append((low, at))
                low = end
            if self.capacity - low >= size:
                holes.append((low, self.capacity))
            if not holes:
                return None
            if rule == 0:
                places[a] = holes[0][0]
            elif rule == 1:
                places[a] = holes[-1][1] - size
            else:
                places[a] = min(holes, key=lambda h: h[1] - h[0])[0]
        return places

    def _clearings(self, memory: _Memory, missing: list[int]) -> list[Places]:
        """The cheapest places for tensors that come in, and for operands that had better move."""
        there = [a for a in self.needed if a in memory.at]
        found: dict[tuple[tuple[int, int], ...], int] = {}
        for moved in range(1 << len(there)):
            moving = [a for i, a in enumerate(there) if moved >> i & 1]
            base = sum(self._cost(memory, a) for a in moving)
            if len(found) >= _CLEARINGS and base >= sorted(found.values())[_CLEARINGS - 1]:
                continue
            for order in islice(permutations([*missing, *moving]), _ORDERS):
                for tight in (False, True):
                    fixed = {a: memory.at[a] for a in there if a not in moving}
                    cost, places = base, Places()
                    for a in order:
                        extra, place = self._window(memory, a, fixed, set(there), tight=tight)
                        cost += extra
                        fixed[a] = places[a] = place
                    if cost < _NEVER:
                        key = tuple(sorted(places.items()))
                        found[key] = min(cost, found.get(key, cost))
        best = sorted(found.items(), key=lambda item: item[1])[:_CLEARINGS]
        return [dict(key) for key, _ in best]

    def _window(
        self, memory: _Memory, a: int, fixed: Places, operands: set[int], *, tight: bool
    ) -> tuple[int, int]:
        """The place that is cheapest to clear, between what is fixed; and what that costs.

        Operands that move are on their way: their old places are free. `tight` ones lie beside what
        is fixed, which leaves the rest in one piece.
        """
        sizes, size = self.problem.sizes, self.problem.sizes[a]
        there = [(at, at + sizes[b], _NEVER) for b, at in fixed.items()]
        there += [
            (at, at + sizes[b], self._cost(memory, b))
            for b, at in memory.at.items()
            if b not in operands
        ]
        starts = {0, self.capacity - size}
        for low, high, cost in there:
            if not tight or cost == _NEVER:
                starts.update((high, low - size))
        best = _NEVER, 0
        for start in sorted(starts):
            if 0 <= start <= self.capacity - size:
                cost = sum(c for low, high, c in there if low < start + size and start < high)
                best = min(best, (cost, start))
        return best
