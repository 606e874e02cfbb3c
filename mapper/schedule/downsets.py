"""Exact and beam search over the down-sets of a part, after the notes on spill bounds.

A state is the set of operators that have run, the tensors on chip, and those with a copy off chip.
A table over (down-set, bytes off chip, bytes with a copy) gives a lower bound on what any state
still has to pay; a search level by level, an operator per level, keeps the states that can end
within a threshold. If none can, the threshold is exceeded by every schedule; if one does, the
cheapest is optimal.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from mapper.schedule import kernels
from mapper.schedule.part import Part
from mapper.schedule.problem import bits
from mapper.schedule.solver import Limits

__all__ = ["TIES", "Downsets", "Searched", "Way", "downsets_of"]

Array = Any
LARGEST = 128  # operators or tensors: two words
_ENTRIES = 48_000_000  # of the table
_CHUNK = 400_000  # successors between two looks at the clock
_DEPTH = 400  # states that each is compared with for dominance
_NONE = 1 << 62
_expand: Any = kernels.expand  # its type knows too few arguments
_LARGEST_SUM = 1 << 42  # bytes, so that the cost of a search stays within 64 bits
# Costs count bytes times this, plus one for each transfer: of equal bytes, the fewest transfers.
TIES = 4096


@dataclass(frozen=True)
class Way:
    """A way through a part: its operators in order, and per step the tensors on chip at its end.

    Attributes
    ----------
    cost : int
        Bytes.
    order : tuple of int
        Operators of the part.
    resident : tuple of int
        Mask of the part's tensors that are on chip and needed after each step.
    """

    cost: int
    order: tuple[int, ...]
    resident: tuple[int, ...]


@dataclass(frozen=True)
class Searched:
    """What one search gave.

    Attributes
    ----------
    way : Way or None
    bound : int
        No way through the part costs less.
    complete : bool
        Whether everything within the threshold was looked at.
    states : int
        States generated.
    """

    way: Way | None
    bound: int
    complete: bool
    states: int


def downsets_of(part: Part, limit: int) -> Downsets | None:
    """The down-sets of a part, or None where there are more than `limit` or it is too large."""
    n, m = len(part.reads), len(part.sizes)
    if n > LARGEST or m > LARGEST or n == 0 or sum(part.sizes) > _LARGEST_SUM:
        return None
    before = _words(part.before)
    count, *rest = kernels.enumerate_sets(before, n, limit)
    return None if count < 0 else Downsets(part, int(count), *rest)


class Downsets:
    """The down-sets of a part, their table, and searches over them."""

    def __init__(
        self,
        part: Part,
        count: int,
        sets: Array,
        level: Array,
        first: Array,
        moves: Array,
        targets: Array,
    ) -> None:
        self.part, self.count, self.level = part, count, level
        self.first, self.moves, self.targets = first, moves, targets
        maker = [-2 if a in part.given else -1 for a in range(len(part.sizes))]
        for o, makes in enumerate(part.makes):
            for a in makes:
                maker[a] = o
        self.operands = _words(
            sum(1 << a for a in {*r, *m}) for r, m in zip(part.reads, part.makes, strict=True)
        )
        self.outputs = _words(sum(1 << a for a in m) for m in part.makes)
        self.free = _words([sum(1 << a for a, w in enumerate(part.write) if not w)])[0]
        self.size = np.array(part.sizes, dtype=np.int64)
        self.fetch, self.write = (
            np.array([x * TIES + (x > 0) for x in charges], dtype=np.int64)
            for charges in (part.fetch, part.write)
        )
        self.load = np.array(part.load, dtype=np.int64)
        self.sets = sets
        self.users = _words(part.users)
        real = [0] * len(part.sizes)
        for o, reads in enumerate(part.reads):
            for a in reads:
                real[a] |= 1 << o
        self.readers = _words(real)
        self.after = _words(_closure(part.before))
        self.live = kernels.live_sets(
            sets, count, np.array(maker, dtype=np.int64), _words(part.users)
        )
        self.quantum = math.gcd(*part.fetch, *part.write) or 1
        self.unit = np.zeros_like(self.size)
        self.rate = 0.0
        self.where = np.zeros(count, dtype=np.int64)
        self.width = np.zeros(count, dtype=np.int64)
        self.table = np.zeros(1, dtype=np.int32)

    def fill(self, limits: Limits, entries: int = _ENTRIES) -> int:
        """Builds the table, in the finest unit that `entries` allow; returns the bound at its root."""
        if not len(self.size) or self.count > entries:
            return 0
        grain = max(1, math.gcd(*self.part.sizes))
        grain = max(grain, self.part.capacity // 512)
        while True:
            unit = self.size // grain
            width = self._units(unit) + 1
            if int((width * width).sum()) <= entries:
                break
            grain = grain + max(1, grain // 8)
        if not unit.any():
            return 0
        counted = unit > 0
        rates = [self.fetch[counted] / unit[counted]]
        paid = counted & (self.write > 0)
        rates.append(self.write[paid] / unit[paid])
        rate = min((float(r.min()) for r in rates if r.size), default=0.0)
        where = np.concatenate([[0], np.cumsum(width * width)[:-1]]).astype(np.int64)
        table = np.zeros(int((width * width).sum()), dtype=np.int32)
        load = self.load // grain
        capacity = self.part.capacity // grain
        # The last down-set, everything done, needs nothing more.
        for size in range(len(self.part.reads) - 1, -1, -1):
            begin, end = int(self.level[size]), int(self.level[size + 1])
            step = max(1, 4000)
            for low in range(begin, end, step):
                if limits.exhausted():
                    return 0
                kernels.fill_table(
                    low,
                    min(end, low + step),
                    self.live,
                    self.first,
                    self.moves,
                    self.targets,
                    self.operands,
                    self.outputs,
                    self.free,
                    unit,
                    load,
                    capacity,
                    where,
                    width,
                    table,
                )
        self.unit, self.rate, self.where, self.width, self.table = unit, rate, where, width, table
        return self.bound_at_start()

    def least_peak(self) -> tuple[int, list[int]]:
        """Most live bytes of any step in the order in which they are fewest, and that order."""
        peak, parent, move = kernels.least_peak(
            self.count,
            self.live,
            self.first,
            self.moves,
            self.targets,
            self.operands,
            self.size,
            self.load,
        )
        order, at = [], self.count - 1
        while at:
            order.append(int(move[at]))
            at = int(parent[at])
        return int(peak[-1]), order[::-1]

    def _rounded(self, bound: int) -> int:
        """The least bytes that a cost of at least `bound` stands for.

        The transfers are fewer than `TIES`, and every charge is a multiple of the quantum.
        """
        return -(-(bound // TIES) // self.quantum) * self.quantum

    def bound_at_start(self) -> int:
        """Lower bound of the table on the whole part, in bytes."""
        return self._rounded(self._root())

    def _root(self) -> int:
        at, state = np.zeros(1, dtype=np.int64), self._start()
        return int(
            kernels.heuristic(
                at, state, self.live, self.unit, self.where, self.width, self.table, self.rate
            )[0]
        )

    def search(
        self,
        limits: Limits,
        *,
        threshold: int,
        width: int,
        budget: int,
        transfers: int = TIES - 1,
        room: int = 6_000_000,
    ) -> Searched:
        """Searches level by level for the cheapest way of at most `threshold`.

        Parameters
        ----------
        limits : Limits
            Only its clock.
        threshold : int
            Bytes; dearer states are dropped.
        transfers : int
            Of those of as many bytes, states of more transfers are dropped, too.
        width : int
            States to keep per level, those of least bound; when it drops any, or `budget` ends,
            the result proves nothing.
        budget : int
            Successors to look at.
        room : int
            States to hold in all.
        """
        n = len(self.part.reads)
        sets, states = np.zeros(1, dtype=np.int32), self._start()
        costs = np.zeros(1, dtype=np.int64)
        history: list[tuple[Array, Array, Array]] = []
        least, spent, complete, total = _NONE, 0, True, 0
        limit = min(threshold, _LARGEST_SUM << 8) * TIES + transfers
        for _ in range(n):
            result = self._level(sets, states, costs, limit, budget - spent, room - total, limits)
            if result is None:
                return Searched(None, 0, False, spent)
            sets, states, costs, bounds, parents, moves, cut, used = result
            least, spent = min(least, cut), spent + used
            if not sets.size:
                break
            if sets.size > width:
                complete = False
                best = np.lexsort((np.arange(sets.size), costs, bounds))[:width]
                sets, states, costs = sets[best], states[best], costs[best]
                parents, moves = parents[best], moves[best]
            total += sets.size
            history.append((states, parents, moves))
        else:
            last = int(np.argmin(costs))
            cost = int(costs[last]) // TIES
            way = self._path(history, last, cost)
            return Searched(way, cost if complete else 0, complete, spent)
        return Searched(None, self._rounded(least) if complete else 0, complete, spent)

    def least(
        self,
        limits: Limits,
        *,
        upper: int,
        budget: int,
        lower: int = 0,
        width: int = 300,
        widest: int = 3000,
    ) -> Searched:
        """The cheapest way, or a bound: beams for a way, then thresholds that rise towards it.

        Parameters
        ----------
        limits : Limits
            Only its clock.
        upper : int
            Bytes; dearer ways are of no interest.
        budget : int
            Successors to look at in all.
        lower : int
            A bound that is known.
        width, widest : int
            Of the first and the last beam; each is ten times as wide as the one before.
        """
        bound, way, spent = max(lower, self.bound_at_start()), None, 0
        while width <= widest and bound <= upper and spent < budget:
            beam = self.search(limits, threshold=upper, width=width, budget=budget // 4)
            spent += beam.states
            if beam.way is not None:
                way, upper = beam.way, beam.way.cost
            if beam.complete:
                return Searched(way, max(bound, beam.bound), True, spent)
            width *= 10
        threshold = bound
        while spent < budget and bound <= upper:
            result = self.search(limits, threshold=threshold, width=_NONE, budget=budget - spent)
            spent += result.states
            if not result.complete:
                return Searched(way, bound, False, spent)
            bound = max(bound, result.bound)
            if result.way is not None:
                return Searched(result.way, bound, True, spent)
            # Below `bound` there is nothing; a quarter of the rest at a time costs little more.
            threshold = min(upper, max(bound, threshold + (upper - threshold) // 4))
        return Searched(way, bound, bound > upper, spent)

    def _level(
        self,
        sets: Array,
        states: Array,
        costs: Array,
        threshold: int,
        budget: int,
        most: int,
        limits: Limits,
    ) -> Any:
        """Successors of a level, superfluous ones pruned; None when a limit is reached."""
        room = min(max(4096, 8 * sets.size), max(most, 4096))
        slots = np.full(_power(2 * room), -1, dtype=np.int32)
        out = self._arrays(room)
        at, count, least, spent = 0, 0, _NONE, 0
        while at < sets.size:
            if limits.exhausted() or spent > budget:
                return None
            began, filled = at, count
            at, count, cut, used = _expand(
                at,
                sets,
                states,
                costs,
                self.sets,
                self.readers,
                self.users,
                self.after,
                self.live,
                self.first,
                self.moves,
                self.targets,
                self.operands,
                self.outputs,
                self.free,
                self.size,
                self.fetch,
                self.write,
                self.unit,
                self.load,
                self.part.capacity,
                self.where,
                self.width,
                self.table,
                self.rate,
                threshold,
                min(_CHUNK, budget - spent + 1),
                slots,
                *out,
                count,
            )
            least, spent = min(least, int(cut)), spent + int(used)
            if count < 0:
                if room >= most:
                    return None
                # More room, and this chunk again: what it left behind is found and kept.
                del began
                room = min(4 * room, most)
                filled = out[0].size
                old, out = out, self._arrays(room)
                for before, after in zip(old, out, strict=True):
                    after[:filled] = before[:filled]
                count = filled
                slots = np.full(_power(2 * room), -1, dtype=np.int32)
                kernels.index_states(out[0], out[1], count, slots)
        found, state, cost, bound, parent, move = (x[:count] for x in out)
        order = np.lexsort((cost, found))
        keep = kernels.prune(
            order,
            found,
            state,
            cost,
            self.sets,
            self.live,
            self.readers,
            self.users,
            self.after,
            self.size,
            self.fetch,
            self.write,
            _DEPTH,
        )
        return (
            found[keep],
            state[keep],
            cost[keep],
            bound[keep],
            parent[keep],
            move[keep],
            least,
            spent,
        )

    @staticmethod
    def _arrays(room: int) -> tuple[Array, ...]:
        return (
            np.zeros(room, dtype=np.int32),
            np.zeros((room, 4), dtype=np.uint64),
            np.zeros(room, dtype=np.int64),
            np.zeros(room, dtype=np.int64),
            np.zeros(room, dtype=np.int32),
            np.zeros(room, dtype=np.int16),
        )

    def _start(self) -> Array:
        resident = _words([sum(1 << a for a in self.part.resident)])[0]
        copied = _words([sum(1 << a for a in self.part.copied)])[0]
        return np.concatenate([resident, copied])[np.newaxis, :]

    def _path(self, history: list[tuple[Array, Array, Array]], at: int, cost: int) -> Way:
        order: list[int] = []
        resident: list[int] = []
        for states, parents, moves in reversed(history):
            order.append(int(moves[at]))
            resident.append(int(states[at, 0]) | int(states[at, 1]) << 64)
            at = int(parents[at])
        return Way(cost, tuple(reversed(order)), tuple(reversed(resident)))

    def _units(self, unit: Array) -> Array:
        """Live units of each down-set."""
        return kernels.live_units(self.live, unit)


def _closure(before: tuple[int, ...]) -> list[int]:
    """Per operator: mask of itself and of all that come after it."""
    masks = [1 << o for o in range(len(before))]
    for o in reversed(
        list(TopologicalSorter({o: bits(b) for o, b in enumerate(before)}).static_order())
    ):
        for p in bits(before[o]):
            masks[p] |= masks[o]
    return masks


def _power(least: int) -> int:
    return 1 << max(6, (least - 1).bit_length())


def _words(masks: Any) -> Array:
    """Masks as rows of two 64-bit words."""
    rows = [(x & ((1 << 64) - 1), x >> 64) for x in masks]
    return np.array(rows, dtype=np.uint64).reshape(len(rows), 2)
