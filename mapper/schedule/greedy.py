"""Replacement along a fixed order: the baselines, and the start of every search."""

from __future__ import annotations

from collections.abc import Callable

from mapper.schedule.problem import Problem, Schedule, residency_of, use_steps

__all__ = ["belady", "cheapest_set"]

# Positions in a knapsack of this many pieces are exact; larger ones count in coarser units.
_PIECES = 4096


def belady(
    problem: Problem, order: tuple[int, ...], capacity: int, *, write_aware: bool
) -> Schedule:
    """Keeps what is used soonest.

    When an operator's operands do not fit, tensors that it does not use are dropped: the one whose
    next use is furthest away, by plain Belady. Write-aware, the distance of a tensor that would
    have to be written first counts half, since dropping it costs twice.

    Parameters
    ----------
    problem : Problem
    order : tuple of int
        A topological order.
    capacity : int
        Bytes, enough for every single operator.
    """

    def victims(walk: _Walk, t: int, others: list[int], excess: int) -> list[int]:
        chosen: list[int] = []
        ranked = sorted(
            others,
            key=lambda a: (
                (walk.next_use(a) - t) * (2 if walk.written[a] or not write_aware else 1),
                problem.sizes[a],
                -a,
            ),
        )
        while excess > 0:
            chosen.append(ranked.pop())
            excess -= problem.sizes[chosen[-1]]
        return chosen

    return _Walk(problem, order, capacity).run(victims)


def cheapest_set(problem: Problem, order: tuple[int, ...], capacity: int) -> Schedule:
    """Drops at each step the set that costs least to drop and to fetch again.

    It is a small integer programme: of the tensors that the step does not use, the cheapest whose
    bytes make room; a tensor without a copy costs twice its bytes. Of equal sets, the one whose next
    uses are further away. Parameters as of `belady`.
    """

    def victims(walk: _Walk, t: int, others: list[int], excess: int) -> list[int]:
        # Keeping is the knapsack: the dearest set to keep within the room that is left.
        unit = max(1, -(-sum(problem.sizes[a] for a in others) // _PIECES))
        room = (sum(problem.sizes[a] for a in others) - excess) // unit
        best: list[tuple[int, int, tuple[int, ...]]] = [(0, 0, ())] * (room + 1)
        for a in sorted(others):
            size = -(-problem.sizes[a] // unit)
            value = problem.sizes[a] * (1 if walk.written[a] else 2)
            near = -(walk.next_use(a) - t)
            for r in range(room, size - 1, -1):
                worth, soon, kept = best[r - size]
                offer = (worth + value, soon + near, (*kept, a))
                if offer[:2] > best[r][:2]:
                    best[r] = offer
        staying = set(best[room][2])
        return [a for a in others if a not in staying]

    return _Walk(problem, order, capacity).run(victims)


class _Walk:
    """Steps of an order, what is resident, and what has a copy."""

    def __init__(self, problem: Problem, order: tuple[int, ...], capacity: int) -> None:
        self.problem, self.order, self.capacity = problem, order, capacity
        self.uses = use_steps(problem, order)
        self.upcoming = [0] * len(problem.sizes)  # position in `uses` of the next use
        self.written = [problem.has_free_copy(a) for a in problem.tensors]

    def next_use(self, a: int) -> int:
        return self.uses[a][self.upcoming[a]]

    def run(self, victims: Callable[[_Walk, int, list[int], int], list[int]]) -> Schedule:
        problem, sizes = self.problem, self.problem.sizes
        begins: list[set[int]] = [set() for _ in sizes]
        resident: set[int] = set()
        load = 0
        for t, o in enumerate(self.order):
            needed = set(problem.operands[o])
            for a in needed - resident:
                begins[a].add(t)
                resident.add(a)
                load += sizes[a]
            if load > self.capacity:
                for a in victims(self, t, sorted(resident - needed), load - self.capacity):
                    resident.remove(a)
                    load -= sizes[a]
                    self.written[a] = True
            for a in needed:
                self.upcoming[a] += 1
                if self.upcoming[a] == len(self.uses[a]):
                    resident.remove(a)
                    load -= sizes[a]
        return Schedule(self.order, residency_of(problem, self.order, begins))
