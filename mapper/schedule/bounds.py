"""Lower bounds on the traffic of every schedule, from stretches that are solved on their own.

Take some operators out of a problem, and every schedule of the whole gives one of the rest that
costs no more. So the least traffic of a stretch is a bound; and the bounds of stretches add up,
where each tensor's traffic counts in one of them alone: in the one that holds its first reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from mapper.schedule.downsets import Downsets, downsets_of
from mapper.schedule.part import contracted, part_of
from mapper.schedule.prices import least_priced
from mapper.schedule.problem import Problem, Schedule
from mapper.schedule.solver import Limits

__all__ = ["Effort", "Guide", "Stretches"]

Stretch = tuple[int, frozenset[int], frozenset[int]]
_ENTRIES = 8_000_000  # of a table


@dataclass(frozen=True)
class Guide:
    """An order of some operators in which they cost less by `gain` bytes, alone."""

    steps: tuple[int, ...]
    gain: int


@dataclass(frozen=True)
class Effort:
    """How much to look at.

    Attributes
    ----------
    grid : int
        Stretches begin and end at multiples of so many operators.
    sets : int
        Most down-sets of a stretch.
    shares : tuple of int
        Chains of at most capacity / share are made one; 0 for none.
    states : int
        Search states to look at for one stretch.
    """

    grid: int
    sets: int
    shares: tuple[int, ...]
    states: int


@dataclass
class Stretches:
    """Stretches of one span of a problem, with what is known of each.

    Attributes
    ----------
    problem : Problem
    capacity : int
        Bytes.
    span : range
        Steps between two cuts.
    known : dict
        Bounds by what was made one, the operators, and the tensors that count; they hold for
        whatever schedule the stretches were taken from.
    guides : list of Guide
        What the last call found out about its schedule.
    """

    problem: Problem
    capacity: int
    span: range
    known: dict[Stretch, int] = field(default_factory=dict)
    guides: list[Guide] = field(default_factory=list)

    def bound(
        self,
        schedule: Schedule,
        effort: Effort,
        limits: Limits,
        *,
        budget: int,
        on_better: Callable[[int], None] | None = None,
    ) -> int:
        """The best sum of bounds over disjoint stretches of ``schedule.order`` within the span.

        Parameters
        ----------
        schedule : Schedule
            What it pays for a stretch is the most that a bound can reach; where it does, the
            stretch is done with.
        effort : Effort
        limits : Limits
            Only its clock.
        budget : int
            Search states to look at in all.
        on_better : callable, optional
            Receives each better sum.
        """
        walk = _Walk(self, schedule, effort, limits)
        best = walk.total()
        self.guides = []
        for share in effort.shares:
            for first in walk.starts():
                if limits.exhausted() or walk.spent >= budget:
                    return walk.total()
                walk.solve(share, first, budget)
                if walk.total() > best:
                    best = walk.total()
                    if on_better is not None:
                        on_better(best)
        return walk.total()


class _Walk:
    """Stretches along one schedule."""

    def __init__(
        self, stretches: Stretches, schedule: Schedule, effort: Effort, limits: Limits
    ) -> None:
        self.own, self.order, self.spent = stretches, schedule.order, 0
        self.effort, self.limits = effort, limits
        self.reach: dict[int, int] = {}  # first step -> end of the longest stretch from there
        problem, span = stretches.problem, stretches.span
        at = {o: t for t, o in enumerate(self.order)}
        # The step of the first reader says in which stretch a tensor's traffic counts.
        self.reader = {a: min(at[c] for c in r) for a, r in enumerate(problem.consumers) if r}
        self.costs = [0] * (len(self.order) + 1)  # of the tensors that count before each step
        for a, t in self.reader.items():
            moves = len(schedule.residency[a]) - 1
            if moves:
                moves += not problem.has_free_copy(a)
            self.costs[t + 1] += moves * problem.sizes[a]
        for t in range(len(self.order)):
            self.costs[t + 1] += self.costs[t]
        self.border = problem.outputs[self.order[span.start - 1]] if span.start else ()
        self.bounds: dict[tuple[int, int], int] = {}
        # What is known from other schedules holds where the same operators stand together.
        for (_, inside, charged), bound in stretches.known.items():
            steps = [at[o] for o in inside]
            first, last = min(steps), max(steps) + 1
            if last - first == len(inside) and charged == self.charged(first, last):
                self.bounds[first, last] = max(bound, self.bounds.get((first, last), 0))

    def charged(self, first: int, last: int) -> frozenset[int]:
        return frozenset(a for a, t in self.reader.items() if first <= t < last)

    def paid(self, first: int, last: int) -> int:
        """What the schedule pays for the tensors that count in a stretch."""
        return self.costs[last] - self.costs[first]

    def within(self, first: int, last: int) -> int:
        """The largest sum of known bounds over disjoint stretches in one."""
        best: dict[int, int] = {first: 0}
        top = 0
        inner = [s for s in self.bounds.items() if first <= s[0][0] and s[0][1] <= last]
        by_end = sorted(inner, key=lambda s: s[0][1])
        for (begin, end), bound in by_end:
            before = max(v for e, v in best.items() if e <= begin)
            top = max(top, before + bound)
            best[end] = max(best.get(end, 0), top)
        return top

    def total(self) -> int:
        span = self.own.span
        return min(self.within(span.start, span.stop), self.paid(span.start, span.stop))

    def starts(self) -> Iterator[int]:
        """Where to begin: stretches that follow one another, then those between."""
        span, self.reach = self.own.span, {}
        first = span.start
        while first < span.stop:
            yield first
            first = self.reach[first]
        yield from (
            t for t in range(span.start, span.stop, self.effort.grid) if t not in self.reach
        )

    def solve(self, share: int, first: int, budget: int) -> None:
        """Raises the bound of the longest stretch from a step on whose down-sets can be counted."""
        span, grid = self.own.span, self.effort.grid
        near = max((t for t in self.reach if t <= first), default=first)
        last = min(span.stop, max(self.reach.get(near, 0), first + grid))
        self.reach[first] = last
        if not self._open(first, min(span.stop, last + 4 * grid)):
            return
        downsets = self._downsets(share, first, last)
        while downsets is None and last - grid > first and not self.limits.exhausted():
            last = max(first + grid, last - grid)
            downsets = self._downsets(share, first, last)
        while downsets is not None and last < span.stop and not self.limits.exhausted():
            further = self._downsets(share, first, min(span.stop, last + grid))
            if further is None:
                break
            downsets, last = further, min(span.stop, last + grid)
        self.reach[first] = last
        if downsets is not None and self._open(first, last):
            self._search(share, first, last, downsets, budget)

    def _search(self, share: int, first: int, last: int, downsets: Downsets, budget: int) -> None:
        downsets.fill(self.limits, entries=_ENTRIES)
        key = share, frozenset(self.order[first:last]), self.charged(first, last)
        paid = self.paid(first, last)
        result = least_priced(
            downsets,
            self.limits.share(0.5),
            upper=paid,
            lower=max(self.own.known.get(key, 0), self.within(first, last)),
            budget=min(self.effort.states, budget - self.spent),
            widest=300,
        )
        self.spent += result.states + downsets.count
        bound = min(paid, result.bound)
        self.own.known[key] = max(self.own.known.get(key, 0), bound)
        self.bounds[first, last] = max(self.bounds.get((first, last), 0), bound)
        way = result.way
        if not share and way is not None and way.cost < paid:
            steps = tuple(downsets.part.operators[o] for o in way.order)
            self.own.guides.append(Guide(steps, paid - way.cost))
        if result.complete or last - first <= 2 * self.effort.grid:
            return
        # Too much to search: both halves are easier, and their bounds add up.
        middle = first + (last - first) // 2
        for begin, end in ((first, middle), (middle, last)):
            if self._open(begin, end) and self.spent < budget and not self.limits.exhausted():
                half = self._downsets(share, begin, end)
                if half is not None:
                    self._search(share, begin, end, half, budget)

    def _open(self, first: int, last: int) -> bool:
        return self.within(first, last) < self.paid(first, last)

    def _downsets(self, share: int, first: int, last: int) -> Downsets | None:
        problem, capacity = self.own.problem, self.own.capacity
        self.spent += 1000
        part = part_of(
            problem,
            capacity,
            sorted(self.order[first:last]),
            done=self.order[:first],
            # At a cut it is known what is on chip, and that it has no copy yet.
            resident=self.border if first == self.own.span.start else None,
            charged=self.charged(first, last),
        )
        if share:
            part = contracted(part, capacity // share).part
        return downsets_of(part, self.effort.sets, self.limits)
