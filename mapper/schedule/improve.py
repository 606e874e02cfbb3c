"""Order and residency without addresses: the best schedule that can be found, and a proven bound.

Small problems and segments go through the exact search over down-sets; longer ones through windows
for a schedule and stretches for a bound, side by side, of which each helps the other in the next
phase; what is left goes to CP-SAT.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from mapper.schedule.bounds import Effort, Guide, Stretches
from mapper.schedule.cuts import cuts_of, segment_at
from mapper.schedule.downsets import Downsets, downsets_of
from mapper.schedule.exact import model_size, solve_capacity
from mapper.schedule.levels import Way, search
from mapper.schedule.neighbourhood import Window, improve, spliced, window_at
from mapper.schedule.part import Part, along, contracted
from mapper.schedule.prices import Prices, affordable, ascend, entries_within, least_priced
from mapper.schedule.problem import Problem, Schedule, cost_of, rank_of
from mapper.schedule.side_by_side import side_by_side
from mapper.schedule.solver import Limits, Progress

__all__ = ["Best", "least_traffic"]

STATES = 2_000_000  # search states for one unit of effort
_EXACT_SETS = 400_000
# Larger models take longer to build than they are worth.
_MODEL = 40_000

Chains = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class _Phase:
    """Part of the time that is left, and how hard to look for schedules and for bounds."""

    share: float
    sets: int
    width: int
    stretches: Effort


_PHASES = (
    _Phase(0.2, 5_000, 300, Effort(16, 100_000, (2,), 4_000_000)),
    _Phase(0.3, 50_000, 1_000, Effort(16, 100_000, (8,), 4_000_000)),
    _Phase(0.5, 400_000, 3_000, Effort(16, 400_000, (4, 0), 12_000_000)),
    _Phase(0.9, 800_000, 10_000, Effort(8, 1_500_000, (0,), 20_000_000)),
)
# Chains that are made one for a table over a whole segment: shares of the capacity, 0 for none.
_TABLES = (4, 0)
_TIMES = 6  # that such a table is made, at least
_GUIDED = 6  # orders that a stretch suggests are tried, those of largest gain
_AROUND = 24  # operators before and after such a stretch that have to adapt


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
        self.part = 0.9 if model_size(best.problem) <= _MODEL else 1.0
        self.stretches = {s: Stretches(best.problem, capacity, s) for s in self.spans}

    def solve(self) -> None:
        # A clock may cut a part short that needed little more: loading compiled code takes time.
        for _ in range(1 if self.limits.seconds is None else 2):
            self._round()

    def _round(self) -> None:
        """Each part that is not proven, with its share of what is left."""
        costly = [s for s in self.spans if self._window(s).cost > self.bounds[s]]
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
        whole, exact = self._coarsenings(span, limits)
        steps: list[tuple[float, Callable[[Limits, int], None]]] = []
        if whole:
            # What is cheap first: mostly it is enough. Whatever gets better helps the rest.
            self._shorten(span, 2_000, 100, limits.share(0.05), budget // 20)
            steps += [(0.5, partial(self._whole, span, coarse)) for coarse in whole]
            if exact and self._open(span, limits):
                finest = whole[-1][0]
                finest.fill(limits)
                exact = affordable(finest, self._window(span).cost, limits, budget)
                # Nothing else is as strong where it can end: then it gets the rest.
                steps[-1] = (1.0 if exact else 0.2, steps[-1][1])
        if not exact:
            if tables := self._tables(span, limits, budget):
                steps.append((0.1, partial(self._shorten, span, 5_000, 300)))
                prices: list[Prices] = []
                steps += [(0.8, partial(self._table, span, own, prices)) for own in tables]
            steps += [(phase.share, partial(self._phase, span, phase)) for phase in _PHASES]
        for fraction, step in steps:
            if not self._open(span, limits):
                return
            step(limits.share(fraction), int(budget * fraction))

    def _tables(self, span: range, limits: Limits, budget: int) -> list[Downsets]:
        """Down-sets of the segment, if there is time for tables over them, coarser ones first."""
        part, found = self._window(span).part, list[Downsets]()
        for share in _TABLES:
            smaller = contracted(part, part.capacity // share).part if share else part
            downsets = downsets_of(smaller, _EXACT_SETS, limits, searchable=False)
            if downsets is None or not affordable(
                downsets, self._window(span).cost, limits, budget, tables=_TIMES
            ):
                break
            found.append(downsets)
        return found

    def _table(
        self, span: range, downsets: Downsets, known: list[Prices], limits: Limits, budget: int
    ) -> None:
        """A bound on the segment from what tensors pay when they leave, beside better schedules.

        Prices begin with the last `known` ones, those of a coarser table, and become known.
        """
        known.append(Prices(downsets, known[-1] if known else None))

        def bound(own: Limits) -> None:
            ascend(
                downsets,
                known[-1],
                upper=self._window(span).cost,
                limits=own,
                entries=entries_within(own, budget),
                on_better=lambda b: self._raise(span, b),
            )

        side_by_side(limits, lambda own: self._shorten(span, 50_000, 1_000, own, budget), bound)

    def _phase(self, span: range, phase: _Phase, limits: Limits, budget: int) -> None:
        """A better schedule and a higher bound, side by side; then one learns from the other."""
        start, stretches = self.best.schedule, self.stretches[span]

        def shorten(own: Limits) -> None:
            self._shorten(span, phase.sets, phase.width, own, budget)

        def bound(own: Limits) -> None:
            found = stretches.bound(
                start,
                phase.stretches,
                own,
                budget=budget,
                on_better=lambda b: self._raise(span, b),
            )
            self._raise(span, found)

        side_by_side(limits, shorten, bound)
        for guide in sorted(stretches.guides, key=lambda g: -g.gain)[:_GUIDED]:
            if not self._open(span, limits):
                return
            self._follow(guide, span, limits.share(0.2), budget // 10)

    def _follow(self, guide: Guide, span: range, limits: Limits, budget: int) -> None:
        """The best schedule with a stretch in another order, and what is around it solved anew."""
        problem, best, capacity = self.best.problem, self.best.schedule, self.capacity
        steps = sorted(best.order.index(o) for o in guide.steps)
        first, last = steps[0], steps[-1] + 1
        wanted = list(best.order)
        for t, o in zip(steps, guide.steps, strict=True):
            wanted[t] = o
        window = window_at(problem, capacity, best, first, last)
        at = {o: i for i, o in enumerate(window.part.operators)}
        way = _along(window.part, [at[o] for o in (*wanted[first:last], -1)], limits, budget)
        if way is None:
            return
        schedule, _ = improve(
            problem,
            capacity,
            spliced(problem, best, window, way),
            limits,
            bound=0,
            budget=budget,
            sets=5_000,
            width=300,
            span=range(max(span.start, first - _AROUND), min(span.stop, last + _AROUND)),
        )
        self.best.offer(schedule)

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

    def _coarsenings(
        self, span: range, limits: Limits
    ) -> tuple[list[tuple[Downsets, Chains]], bool]:
        """Down-sets of the segment with all chains made one, and with fewer and fewer.

        Also, whether the last are those of the segment itself.
        """
        found: list[tuple[Downsets, Chains]] = []
        part = self._window(span).part
        for share in (1, 4, 16, 0):
            smaller = contracted(part, part.capacity // share) if share else None
            downsets = downsets_of(smaller.part if smaller else part, _EXACT_SETS, limits)
            if downsets is None:
                return found, False
            if found and downsets.count == found[-1][0].count:
                found.pop()
            found.append((downsets, smaller.members if smaller else ()))
        return found, True

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
        result = least_priced(
            downsets, limits, upper=window.cost, lower=self.bounds[span], budget=budget
        )
        self._raise(span, result.bound)
        way = result.way
        if way is not None and chains:
            way = _along(window.part, [o for s in way.order for o in chains[s]], limits, budget)
        if way is not None:
            best.offer(spliced(problem, best.schedule, window, way))


def _along(part: Part, order: Sequence[int], limits: Limits, budget: int) -> Way | None:
    """The cheapest way through a part in one order, or nearly."""
    chain = downsets_of(along(part, order), 1000)
    if chain is None:
        return None
    chain.fill(limits, entries=2_000_000)
    return search(chain, limits, threshold=1 << 42, width=3000, budget=budget).way
