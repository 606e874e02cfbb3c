"""The graph as integers, and what a schedule of it costs.

Operators and tensors are positions in the graph's tuples. Every interval is half-open. Sets of
operators are bit masks, because ancestors and down-sets are compared in the millions.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mapper.graph import Graph

__all__ = [
    "Interval",
    "Move",
    "Placed",
    "Problem",
    "Schedule",
    "bits",
    "cost_of",
    "moves_of",
    "rank_of",
    "repaired",
    "residency_of",
    "use_steps",
]


class Interval(NamedTuple):
    """Steps ``first, ..., last - 1``."""

    first: int
    last: int


class Move(NamedTuple):
    """Activation bytes over the bus at one step: a load, store, fetch or spill of a tensor."""

    step: int
    kind: str
    tensor: int


@dataclass(frozen=True)
class Problem:
    """Wiring and sizes.

    Attributes
    ----------
    sizes : tuple of int
        Bytes per tensor.
    inputs, outputs : tuple of tuple of int
        Tensors that each operator reads and writes.
    network_outputs : frozenset of int
        Tensors that must end off chip.
    after : tuple of tuple of int
        Per operator, others that must have run although no tensor joins them; empty for none at
        all.
    """

    sizes: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]
    outputs: tuple[tuple[int, ...], ...]
    network_outputs: frozenset[int]
    after: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def of(cls, graph: Graph) -> Problem:
        """The integers of `graph`."""
        at = graph.index
        number = {o.name: i for i, o in enumerate(graph.operators)}
        after = tuple(
            tuple(number[name] for name in getattr(o, "after", ())) for o in graph.operators
        )
        return cls(
            sizes=tuple(t.bytes for t in graph.tensors),
            inputs=tuple(tuple(at[n] for n in o.inputs) for o in graph.operators),
            outputs=tuple(tuple(at[n] for n in o.outputs) for o in graph.operators),
            network_outputs=frozenset(i for i, t in enumerate(graph.tensors) if t.network_output),
            after=after if any(after) else (),
        )

    @property
    def operators(self) -> range:
        """Positions of the operators."""
        return range(len(self.inputs))

    @property
    def tensors(self) -> range:
        """Positions of the tensors."""
        return range(len(self.sizes))

    @cached_property
    def operands(self) -> tuple[tuple[int, ...], ...]:
        """Distinct tensors that must be resident while each operator runs."""
        return tuple(
            tuple(sorted({*reads, *writes}))
            for reads, writes in zip(self.inputs, self.outputs, strict=True)
        )

    @cached_property
    def producer(self) -> tuple[int, ...]:
        """Operator that writes each tensor; -1 for a network input."""
        result = [-1] * len(self.sizes)
        for o, writes in enumerate(self.outputs):
            for a in writes:
                result[a] = o
        return tuple(result)

    @cached_property
    def consumers(self) -> tuple[tuple[int, ...], ...]:
        """Operators that read each tensor."""
        result: list[list[int]] = [[] for _ in self.sizes]
        for o, reads in enumerate(self.inputs):
            for a in reads:
                result[a].append(o)
        return tuple(map(tuple, result))

    @cached_property
    def predecessors(self) -> tuple[int, ...]:
        """Mask of the operators that each operator directly waits for."""
        after = self.after or ((),) * len(self.inputs)
        return tuple(
            sum({1 << p for p in (*(self.producer[a] for a in reads), *others) if p >= 0})
            for reads, others in zip(self.inputs, after, strict=True)
        )

    @cached_property
    def ancestors(self) -> tuple[int, ...]:
        """Mask of the operators that must run before each operator."""
        masks = [0] * len(self.inputs)
        for o in self.operators:
            for p in bits(self.predecessors[o]):
                masks[o] |= masks[p] | (1 << p)
        return tuple(masks)

    @cached_property
    def windows(self) -> tuple[Interval, ...]:
        """Steps at which each operator can run: after all ancestors, before all descendants."""
        descendants = [0] * len(self.inputs)
        for o in reversed(self.operators):
            for p in bits(self.predecessors[o]):
                descendants[p] |= descendants[o] | (1 << o)
        n = len(self.inputs)
        return tuple(
            Interval(before.bit_count(), n - after.bit_count())
            for before, after in zip(self.ancestors, descendants, strict=True)
        )

    def has_free_copy(self, tensor: int) -> bool:
        """Whether the off-chip copy is there anyway: a network input, or an output once stored."""
        return self.producer[tensor] < 0 or tensor in self.network_outputs


@dataclass(frozen=True)
class Schedule:
    """An order and, per tensor, the intervals of steps in which it is resident.

    Every interval begins and ends with a step that uses the tensor: it is produced, loaded or
    fetched no earlier than needed and dropped after its last use. Two intervals may touch; the
    tensor is then fetched again (to another address) although it was there.
    """

    order: tuple[int, ...]
    residency: tuple[tuple[Interval, ...], ...]


def bits(mask: int) -> list[int]:
    """Positions of the ones in `mask`, lowest first."""
    result = []
    while mask:
        low = mask & -mask
        result.append(low.bit_length() - 1)
        mask ^= low
    return result


def repaired(before: Sequence[int], order: Sequence[int]) -> list[int]:
    """`order` where that is allowed: an operator waits for those of its mask in `before`."""
    at = {o: t for t, o in enumerate(order)}
    left = list(before)
    then: list[list[int]] = [[] for _ in left]
    for o, mask in enumerate(left):
        for p in bits(mask):
            then[p].append(o)
    ready = [at[o] for o in order if not left[o]]
    heapq.heapify(ready)
    result = []
    while ready:
        o = order[heapq.heappop(ready)]
        result.append(o)
        for q in then[o]:
            left[q] &= ~(1 << o)
            if not left[q]:
                heapq.heappush(ready, at[q])
    return result


def use_steps(problem: Problem, order: tuple[int, ...]) -> list[list[int]]:
    """Steps at which each tensor is produced or read, in time order."""
    uses: list[list[int]] = [[] for _ in problem.tensors]
    for t, o in enumerate(order):
        for a in problem.operands[o]:
            uses[a].append(t)
    return uses


def residency_of(
    problem: Problem, order: tuple[int, ...], begins: list[set[int]]
) -> tuple[tuple[Interval, ...], ...]:
    """Intervals from the use steps at which each tensor starts anew; others are kept until."""
    residency = []
    for steps, anew in zip(use_steps(problem, order), begins, strict=True):
        intervals: list[Interval] = []
        for t in steps:
            if not intervals or t in anew:
                intervals.append(Interval(t, t + 1))
            else:
                intervals[-1] = Interval(intervals[-1].first, t + 1)
        residency.append(tuple(intervals))
    return tuple(residency)


def moves_of(problem: Problem, schedule: Schedule) -> list[Move]:
    """Every activation that crosses the bus, by step, kind and tensor.

    A load or fetch happens just before its step, a store or spill just after it. A network input
    is loaded at its first interval; a network output is stored after the step that produces it; a
    produced tensor that is fetched later is spilled once, after the last step of its first
    interval, unless it is a network output and so off chip already.
    """
    moves = []
    for a, intervals in enumerate(schedule.residency):
        produced = problem.producer[a] >= 0
        if produced and a in problem.network_outputs:
            moves.append(Move(intervals[0].first, "store", a))
        elif produced and len(intervals) > 1:
            moves.append(Move(intervals[0].last - 1, "spill", a))
        elif not produced:
            moves.append(Move(intervals[0].first, "load", a))
        moves.extend(Move(i.first, "fetch", a) for i in intervals[1:])
    return sorted(moves, key=lambda m: (m.step, _KINDS.index(m.kind), m.tensor))


def cost_of(problem: Problem, schedule: Schedule) -> int:
    """Non-compulsory bytes: what is spilled and fetched."""
    return rank_of(problem, schedule)[0]


def rank_of(problem: Problem, schedule: Schedule) -> tuple[int, int]:
    """Non-compulsory bytes, then transfers: what makes one schedule better than another.

    They are those of the fetches and spills of `moves_of`.
    """
    cost = transfers = 0
    for a, intervals in enumerate(schedule.residency):
        if len(intervals) > 1:
            moves = len(intervals) - problem.has_free_copy(a)
            cost += moves * problem.sizes[a]
            transfers += moves
    return cost, transfers


_KINDS = ("load", "fetch", "store", "spill")


@dataclass(frozen=True)
class Placed:
    """A schedule with an address for every residency interval of every tensor."""

    schedule: Schedule
    addresses: tuple[tuple[int, ...], ...]
