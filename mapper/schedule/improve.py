"""Order and residency without addresses: the best schedule that can be found, and a proven bound.

Small problems and segments go through the exact search over down-sets; longer ones through windows
for a schedule and stretches for a bound; what is left goes to CP-SAT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mapper.schedule.bounds import Stretch, stretches_bound
from mapper.schedule.cuts import cuts_of, segment_at
from mapper.schedule.downsets import Downsets, downsets_of
from mapper.schedule.exact import model_size, solve_capacity
from mapper.schedule.neighbourhood import Window, improve, spliced
from mapper.schedule.part import along, contracted
from mapper.schedule.problem import Problem, Schedule, cost_of, rank_of
from mapper.schedule.solver import Limits, Progress

__all__ = ["Best", "least_traffic"]

STATES = 2_000_000  # search states for one unit of effort
_EXACT_SETS = 100_000
# Larger models take longer to build than they are worth.
_MODEL = 40_000

Chains = tuple[tuple[int, ...], ...]


@dataclass
class Best:
    """The best schedule so far and what is proven; bytes."""

    problem: Problem
    schedule: Schedule
    bound: int
    on_progress: Progress | None = None

    @property
    def cost(self) -> int:
        """Non-compulsory bytes of the schedule."""
        return cost_of(self.problem, self.schedule)

    @property
    def proven(self) -> bool:
        """Whether no schedule is better."""
        return self.cost <= self.bound

    def offer(self, schedule: Schedule | None) -> None:
        """Takes a schedule if it is better than the best so far."""
        if schedule is None:
            return
        if rank_of(self.problem, schedule) < rank_of(self.problem, self.schedule):
            self.schedule = schedule
            self.tell()

    def tell(self, phase: str = "order and residency") -> None:
        """Reports the state of affairs."""
        if self.on_progress is not None:
            self.on_progress(phase, self.cost, self.bound)


def least_traffic(
    problem: Problem,
    capacity: int,
    schedules: Sequence[Schedule],
    limits: Limits,
    on_progress: Progress | None = None,
) -> Best:
    """Finds a schedule of least traffic, addresses left out.

    Parameters
    ----------
    problem : Problem
    capacity : int
        Bytes.
    schedules : sequence of Schedule
        To start from, at least one.
    limits : Limits
    on_progress : callable, optional
    """
    start = min(schedules, key=lambda s: rank_of(problem, s))
    best = Best(problem, start, 0, on_progress)
    if not best.cost:
        return best
    best.tell()
    segments = _Segments(best, capacity, limits)
    segments.solve()
    if not best.proven and not limits.exhausted() and model_size(problem) <= _MODEL:
        effort = limits.share(0.8)
        solved = solve_capacity(
            problem, capacity, effort, hint=best.schedule, on_progress=on_progress
        )
        best.bound = max(best.bound, solved.bound)
        best.offer(solved.schedule)
    return best


class _Segments:
    """The parts between the cuts of a problem, one after the other."""

    def __init__(self, best: Best, capacity: int, limits: Limits) -> None:
        self.best, self.capacity, self.limits = best, capacity, limits
        cuts = cuts_of(best.problem)
        self.spans = [range(a, b) for a, b in zip(cuts, cuts[1:], strict=False)]
        self.bounds = dict.fromkeys(self.spans, 0)
        # The rest is for CP-SAT, where that has a chance.
        self.part = 0.7 if model_size(best.problem) <= _MODEL else 1.0
        self.values: dict[range, dict[Stretch, int]] = {}

    def solve(self) -> None:
        costly = [s for s in self.spans if self._window(s).cost]
        for turn, span in enumerate(costly):
            if self.limits.exhausted():
                return
            limits = self.limits.share(
                self.part if turn + 1 == len(costly) else 1 / (len(costly) - turn)
            )
            self._segment(span, limits, int(limits.effort * STATES))

    def _window(self, span: range) -> Window:
        problem, schedule = self.best.problem, self.best.schedule
        return segment_at(problem, self.capacity, schedule, span.start, span.stop)

    def _raise(self, span: range, bound: int) -> None:
        self.bounds[span] = max(self.bounds[span], bound)
        self.best.bound = min(self.best.cost, sum(self.bounds.values()))
        self.best.tell()

    def _open(self, span: range, limits: Limits) -> bool:
        """Whether there is anything left to find, and time to find it."""
        return self._window(span).cost > self.bounds[span] and not limits.exhausted()

    def _segment(self, span: range, limits: Limits, budget: int) -> None:
        whole = self._coarsenings(span)
        steps: list[tuple[float, Callable[[Limits, int], None]]] = []
        if whole:
            # What is cheap first: mostly it is enough. Whatever gets better helps the rest.
            steps.append((0.05, partial(self._shorten, span, 2_000, 100)))
            steps += [(0.5, partial(self._whole, span, coarse)) for coarse in whole]
            steps.append((0.3, partial(self._shorten, span, 10_000, 300)))
        else:
            for sets, width, share, stride, effort, counted in (
                (2_000, 100, 0.1, 4, 4_000_000, 100_000),
                (10_000, 300, 0.3, 4, 12_000_000, 300_000),
                (30_000, 1000, 0.5, 1, 50_000_000, 400_000),
            ):
                steps.append((share, partial(self._shorten, span, sets, width)))
                steps.append((2 * share, partial(self._stretches, span, stride, effort, counted)))
        for fraction, step in steps:
            if not self._open(span, limits):
                return
            step(limits.share(fraction), int(budget * fraction))

    def _shorten(self, span: range, sets: int, width: int, limits: Limits, budget: int) -> None:
        schedule, _ = improve(
            self.best.problem,
            self.capacity,
            self.best.schedule,
            limits,
            bound=0,
            budget=budget,
            sets=sets,
            width=width,
            longest=125,
            span=span,
            on_better=self.best.offer,
        )
        self.best.offer(schedule)

    def _stretches(
        self, span: range, stride: int, effort: int, sets: int, limits: Limits, budget: int
    ) -> None:
        bound, _ = stretches_bound(
            self.best.problem,
            self.capacity,
            self.best.schedule,
            span,
            limits,
            upper=self._window(span).cost,
            stride=stride,
            effort=effort,
            sets=sets,
            budget=budget,
            values=self.values.setdefault(span, {}),
            on_better=lambda b: self._raise(span, b),
        )
        self._raise(span, bound)

    def _coarsenings(self, span: range) -> list[tuple[Downsets, Chains]]:
        """Down-sets of the segment with all chains made one, and with fewer and fewer."""
        found: list[tuple[Downsets, Chains]] = []
        part = self._window(span).part
        for share in (1, 4, 16, 0):
            smaller = contracted(part, part.capacity // share) if share else None
            downsets = downsets_of(smaller.part if smaller else part, _EXACT_SETS)
            if downsets is None:
                break
            if found and downsets.count == found[-1][0].count:
                found.pop()
            found.append((downsets, smaller.members if smaller else ()))
        return found

    def _whole(
        self, span: range, coarse: tuple[Downsets, Chains], limits: Limits, budget: int
    ) -> None:
        """The segment at once: a bound from the relaxation, and its order for the segment."""
        best, problem = self.best, self.best.problem
        downsets, chains = coarse
        if downsets.rate == 0.0:
            downsets.fill(limits)
        window = self._window(span)
        self._raise(span, downsets.bound_at_start())
        result = downsets.least(limits, upper=window.cost, lower=self.bounds[span], budget=budget)
        self._raise(span, result.bound)
        way = result.way
        if way is not None and chains:
            fine = downsets_of(along(window.part, [o for s in way.order for o in chains[s]]), 1000)
            way = None
            if fine is not None:
                fine.fill(limits, entries=2_000_000)
                way = fine.search(limits, threshold=window.cost, width=3000, budget=budget).way
        if way is not None:
            best.offer(spliced(problem, best.schedule, window, way))
