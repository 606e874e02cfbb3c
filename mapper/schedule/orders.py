"""Topological orders: the file's, memory-greedy, depth-first, and the one of least peak."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from mapper.schedule.problem import Problem, bits
from mapper.schedule.reduced import reduced
from mapper.schedule.solver import Limits

__all__ = ["Peak", "file_order", "least_peak", "peak_of", "random_orders"]


# Sets to expand, and sets times operators: a set is expanded by looking at every operator.
_STATES, _WORK = 100_000, 6_000_000

# Operators of a heuristic order times ready ones that it looks at for each: of thousands that are
# ready at once, only the first are looked at.
_LOOKS = 400_000


class Peak(NamedTuple):
    """An order, the most bytes that are live in any of its steps, and whether that is minimal."""

    bytes: int
    order: tuple[int, ...]
    proven: bool


def file_order(problem: Problem) -> tuple[int, ...]:
    """The order in which the graph lists its operators."""
    return tuple(problem.operators)


class _Live:
    """Live bytes after a set of executed operators, nothing spilled.

    A network input becomes live at its first use; a tensor dies with its last reader, and at once
    if it has none.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.readers = [sum(1 << o for o in c) for c in problem.consumers]

    def step(self, done: int, live: int, o: int) -> tuple[int, int]:
        """Bytes during `o` and after it, from those before it."""
        p = self.problem
        during = live
        for a in p.operands[o]:
            if p.producer[a] == o or (p.producer[a] < 0 and not self.readers[a] & done):
                during += p.sizes[a]
        after, done = during, done | 1 << o
        for a in p.operands[o]:
            if not self.readers[a] & ~done:
                after -= p.sizes[a]
        return during, after


def peak_of(problem: Problem, order: tuple[int, ...]) -> int:
    """Most bytes that are live in any step of `order`."""
    live, state, done, peak = _Live(problem), 0, 0, 0
    for o in order:
        during, state = live.step(done, state, o)
        done |= 1 << o
        peak = max(peak, during)
    return peak


def random_orders(problem: Problem, count: int, seed: int) -> Iterator[tuple[int, ...]]:
    """`count` seeded orders: memory-greedy with growing jitter, depth-first, and random mixes."""
    random = Random(seed)
    for i in range(count):
        if i % 3 == 0:
            yield _memory_greedy(problem, random, 0.0 if i == 0 else 0.5 * random.random())
        else:
            yield _depth_first(problem, random, 0.0 if i == 1 else random.random() ** 2)


def least_peak(
    problem: Problem, state_limit: int | None = None, *, limits: Limits | None = None
) -> Peak:
    """Order of least peak, by a best-first search over the sets of executed operators.

    Sets are expanded by least peak so far, most operators first, so the first complete set is
    optimal. An operator that frees at least what it adds, within the peak so far, is run at once:
    running it earlier never makes a later step larger.

    Parameters
    ----------
    problem : Problem
    state_limit : int, optional
        Sets to expand before giving up; the best of a few heuristic orders is then returned,
        unproven. By default as many as take a second or so.
    limits : Limits, optional
        Only its clock.
    """
    # The result is kept: budgets and baselines ask for it again.
    key = (problem, state_limit)
    if key not in _KNOWN:
        smaller = reduced(problem)
        peak = _least_peak(smaller.problem, state_limit, limits or Limits())
        if not peak.proven and state_limit is None and not (limits and limits.exhausted()):
            # Imported late: most problems end above, without compiled code.
            from mapper.schedule.peaks import peak_by_downsets

            peak = peak_by_downsets(smaller.problem, peak, limits or Limits())
        peak = peak._replace(order=smaller.order(peak.order))
        if not peak.proven and limits is not None and limits.exhausted():
            return peak
        while len(_KNOWN) >= 8:
            del _KNOWN[next(iter(_KNOWN))]
        _KNOWN[key] = peak
    return _KNOWN[key]


_KNOWN: dict[tuple[Problem, int | None], Peak] = {}


def _least_peak(problem: Problem, state_limit: int | None, limits: Limits) -> Peak:
    live, everything = _Live(problem), (1 << len(problem.inputs)) - 1
    if state_limit is None:
        state_limit = min(_STATES, _WORK // len(problem.inputs))
    best = min(
        (Peak(peak_of(problem, order), order, False) for order in _candidates(problem, limits)),
        key=lambda p: p.bytes,
    )
    floor = max(sum(problem.sizes[a] for a in operands) for operands in problem.operands)
    if best.bytes == floor:
        return best._replace(proven=True)
    came: dict[int, tuple[int, int]] = {0: (-1, -1)}  # set -> (set before, operator)
    queue: list[tuple[int, int, int, int]] = [(0, 0, 0, 0)]  # peak, -size, set, live bytes
    peaks = {0: 0}
    for turn in range(state_limit):
        if turn % 16 == 0 and limits.exhausted():
            return best
        if not queue:
            # Every way on is at least as large as the heuristic order.
            return best._replace(proven=True)
        peak, _, done, now = heapq.heappop(queue)
        if peak > peaks[done]:
            continue
        if done == everything:
            return Peak(peak, _path(came, done), True)
        if peak >= best.bytes:
            return best._replace(proven=True)
        moves = []
        for o in problem.operators:
            if done >> o & 1 or problem.predecessors[o] & ~done:
                continue
            during, after = live.step(done, now, o)
            if during <= peak and after <= now:
                moves = [(o, during, after)]
                break
            moves.append((o, during, after))
        for o, during, after in moves:
            new, reached = done | 1 << o, max(peak, during)
            if reached < peaks.get(new, best.bytes):
                peaks[new], came[new] = reached, (done, o)
                heapq.heappush(queue, (reached, -new.bit_count(), new, after))
    return best


def _candidates(problem: Problem, limits: Limits) -> Iterator[tuple[int, ...]]:
    yield file_order(problem)
    for order in random_orders(problem, 12, seed=0):
        yield order
        if limits.exhausted():
            return


def _path(came: dict[int, tuple[int, int]], done: int) -> tuple[int, ...]:
    order = []
    while done:
        done, o = came[done]
        order.append(o)
    return tuple(reversed(order))


class _Ready:
    """The operators whose predecessors have run."""

    def __init__(self, problem: Problem) -> None:
        self.waiting = [mask.bit_count() for mask in problem.predecessors]
        self.successors: list[list[int]] = [[] for _ in problem.operators]
        for o in problem.operators:
            for p in bits(problem.predecessors[o]):
                self.successors[p].append(o)
        self.ready = [o for o in problem.operators if not self.waiting[o]]
        self.most = max(1, _LOOKS // len(problem.operators))
        self.done: set[int] = set()

    @property
    def some(self) -> list[int]:
        """Those that have been ready longest, as many as are worth a look."""
        return self.ready[: self.most]

    def still(self, operators: list[int]) -> list[int]:
        """Of operators that were ready, those that have not run; as many as are worth a look."""
        return [o for o in operators[: self.most] if o not in self.done]

    def run(self, o: int) -> list[int]:
        """Takes `o` off the list; returns the operators that it made ready."""
        self.ready.remove(o)
        self.done.add(o)
        woken = []
        for s in self.successors[o]:
            self.waiting[s] -= 1
            if not self.waiting[s]:
                woken.append(s)
        self.ready.extend(woken)
        return woken


def _memory_greedy(problem: Problem, random: Random, jitter: float) -> tuple[int, ...]:
    """Always the operator after which least is live, sizes blurred by `jitter`."""
    ready, live, order, done, now = _Ready(problem), _Live(problem), [], 0, 0
    while ready.ready:
        scored = []
        for o in ready.some:
            during, after = live.step(done, now, o)
            blur = 1 + jitter * (random.random() - 0.5)
            scored.append(((after - now) * blur, during, o, after))
        _, _, o, now = min(scored)
        ready.run(o)
        done |= 1 << o
        order.append(o)
    return tuple(order)


def _depth_first(problem: Problem, random: Random, mix: float) -> tuple[int, ...]:
    """Follows the newest results; with probability `mix` runs any ready operator instead."""
    ready, order = _Ready(problem), []
    newest: list[int] = []
    while ready.ready:
        newest = ready.still(newest) or ready.some
        o = random.choice(ready.ready if random.random() < mix else newest)
        order.append(o)
        newest = ready.run(o) + [x for x in newest if x != o]
    return tuple(order)
