"""The down-sets of a part, the sets of operators that can have run, and a table over them.

The table forgets which tensors are off chip: over (down-set, bytes off chip, bytes with a copy) it
gives a lower bound on what any such state still has to pay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from graphlib import TopologicalSorter
from typing import Any

import numpy as np

from mapper.schedule.chip import NO_CHIP
from mapper.schedule.compiled import lattice
from mapper.schedule.compiled.table import fill_table, heuristic, least_through
from mapper.schedule.part import Part
from mapper.schedule.problem import bits
from mapper.schedule.solver import Limits

__all__ = ["LARGEST_SUM", "TIES", "Downsets", "downsets_of"]

Array = Any
_LARGEST = 128  # operators or tensors of what can be searched: two words
_ENTRIES = 48_000_000  # of the table
# Sets that are counted in a second even on a busy computer, of a part that can be searched; and
# so many in any case.
_PER_SECOND, _FEWEST = 40_000, 500
LARGEST_SUM = 1 << 42  # bytes, so that the cost of a search stays within 64 bits
# Costs count bytes times this, plus one for each transfer: of equal bytes, the fewest transfers.
TIES = 4096


def downsets_of(
    part: Part, limit: int, limits: Limits | None = None, *, searchable: bool = True
) -> Downsets | None:
    """The down-sets of a part, or None where there are more than `limit` or it is too large.

    Parameters
    ----------
    part : Part
    limit : int
        Most down-sets.
    limits : Limits, optional
        Where a clock runs, they are no more than can be counted in some of the time that is left.
    searchable : bool
        Whether the part must be small enough for a search and for the coarse table. Otherwise its
        size does not matter: `mapper.schedule.prices.priced` takes any.
    """
    n, largest = len(part.reads), max(len(part.reads), len(part.sizes))
    remaining = limits.remaining() if limits is not None else None
    if remaining is not None:
        # More operators and longer words: more work for each.
        rate = _PER_SECOND * min(1.0, _LARGEST / max(1, largest)) ** 1.5
        limit = min(limit, max(_FEWEST, int(remaining * rate)))
    if n == 0 or (searchable and largest > _LARGEST) or sum(part.sizes) > LARGEST_SUM:
        return None
    words = 2 * max(1, -(-largest // _LARGEST))
    count, *rest = lattice.enumerate_sets(_words(part.before, words), n, limit)
    return None if count < 0 else Downsets(part, words, int(count), *rest)


class Downsets:
    """The down-sets of a part, their table, and searches over them."""

    def __init__(
        self,
        part: Part,
        words: int,
        count: int,
        sets: Array,
        level: Array,
        first: Array,
        moves: Array,
        targets: Array,
    ) -> None:
        self.part, self.words, self.count, self.level = part, words, count, level
        self.first, self.moves, self.targets = first, moves, targets
        maker = [-2 if a in part.given else -1 for a in range(len(part.sizes))]
        for o, makes in enumerate(part.makes):
            for a in makes:
                maker[a] = o
        operands = [
            sum(1 << a for a in {*r, *m}) for r, m in zip(part.reads, part.makes, strict=True)
        ]
        self.operands = _words(operands, words)
        self.outputs = _words([sum(1 << a for a in m) for m in part.makes], words)
        self.free = _words([sum(1 << a for a, w in enumerate(part.write) if not w)], words)[0]
        self.size = np.array(part.sizes, dtype=np.int64)
        self.fetch, self.write = (
            np.array([x * TIES + (x > 0) for x in charges], dtype=np.int64)
            for charges in (part.fetch, part.write)
        )
        self.load = np.array(part.load, dtype=np.int64)
        self.sets = sets
        self.users = _words(part.users, words)
        real = [0] * len(part.sizes)
        for o, reads in enumerate(part.reads):
            for a in reads:
                real[a] |= 1 << o
        self.readers = _words(real, words)
        self.after = _words(_closure(part.before), words)
        self.live = lattice.live_sets(
            sets, count, np.array(maker, dtype=np.int64), self.users, words
        )
        self.quantum = math.gcd(*part.fetch, *part.write) or 1
        self.unit = np.zeros_like(self.size)
        self.room = 0
        self.rate = 0.0
        self.where = np.zeros(count, dtype=np.int64)
        self.width = np.zeros(count, dtype=np.int64)
        self.table = np.zeros(1, dtype=np.int32)
        self.chip = NO_CHIP

    @property
    def searchable(self) -> bool:
        """Whether operators and tensors fit into the words of a search."""
        return self.words == 2

    def fill(self, limits: Limits, entries: int = _ENTRIES) -> int:
        """Builds the table, in the finest unit that `entries` allow; returns the bound at its root."""
        if not len(self.size) or self.count > entries or not self.searchable:
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
                fill_table(
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
        self.room = capacity
        return self.bound_at_start()

    def least_peak(self) -> tuple[int, list[int]]:
        """Most live bytes of any step in the order in which they are fewest, and that order."""
        peak, parent, move = lattice.least_peak(
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

    def least_through(self) -> Array:
        """Bytes that any way through each down-set costs at least; 0 without a table."""
        if not self.rate:
            return np.zeros(self.count)
        part = self.part
        free = [a in part.copied or not write for a, write in enumerate(part.write)]
        units = least_through(
            self.room, self._units(self.unit * free), self.width, self.where, self.table
        )
        return units * (self.rate / (TIES + 1))

    def rounded(self, bound: int) -> int:
        """The least bytes that a cost of at least `bound` stands for.

        The transfers are fewer than `TIES`, and every charge is a multiple of the quantum.
        """
        return -(-(bound // TIES) // self.quantum) * self.quantum

    def bound_at_start(self) -> int:
        """Lower bound of the table on the whole part, in bytes."""
        return self.rounded(self._root())

    def _root(self) -> int:
        if not self.searchable:
            return 0
        at, state = np.zeros(1, dtype=np.int64), self.start()
        return int(
            heuristic(
                at, state, self.live, self.unit, self.where, self.width, self.table, self.rate
            )[0]
        )

    def start(self) -> Array:
        """The state at the begin: words of what is on chip, and of what has a copy."""
        resident = _words([sum(1 << a for a in self.part.resident)], 2)[0]
        copied = _words([sum(1 << a for a in self.part.copied)], 2)[0]
        return np.concatenate([resident, copied])[np.newaxis, :]

    def _units(self, unit: Array) -> Array:
        """Live units of each down-set."""
        return lattice.live_units(self.live, unit)


def _closure(before: tuple[int, ...]) -> list[int]:
    """Per operator: mask of itself and of all that come after it."""
    masks = [1 << o for o in range(len(before))]
    for o in reversed(
        list(TopologicalSorter({o: bits(b) for o, b in enumerate(before)}).static_order())
    ):
        for p in bits(before[o]):
            masks[p] |= masks[o]
    return masks


def _words(masks: Sequence[int], words: int) -> Array:
    """Masks as rows of 64-bit words, lowest first."""
    whole = b"".join(mask.to_bytes(8 * words, "little") for mask in masks)
    return np.frombuffer(whole, dtype="<u8").reshape(len(masks), words).copy()
