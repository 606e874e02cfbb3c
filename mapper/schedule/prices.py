"""A lower bound that knows which tensors are on chip, with prices that make it sharp.

It forgets which of them have a copy off chip. The write of a tensor is shared out over the occasions
at which it can leave, each between two reads: Lagrange multipliers of "written once". Prices follow
the cheapest way, at first one that a search has found, then the one that the table thinks of: where
a tensor leaves there, it shall pay.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from mapper.schedule.chip import ChipTable
from mapper.schedule.compiled.chip import FAR, fill_chip, masks_of
from mapper.schedule.compiled.lattice import live_units
from mapper.schedule.downsets import TIES, Downsets
from mapper.schedule.levels import Searched, Way, least, search
from mapper.schedule.problem import bits
from mapper.schedule.solver import Limits

__all__ = ["Priced", "Prices", "affordable", "least_priced", "leavings_of", "priced"]

Array = Any
_BITS = 24  # live tensors of a down-set that has entries, at most
_CHUNK = 4_000_000  # entries between two looks at the clock
_ENTRIES = 650_000_000  # two bytes each
_PER_STATE = 12  # entries that take as long as one state of a search
_PER_SECOND = 12_000_000  # and per second of one worker
_CHEAP = 30_000_000  # entries of a table that is worth a second and third look at its prices

# A tensor of a part that leaves the chip, and how many of its readers are to come.
Leaving = tuple[int, int]


@dataclass(frozen=True)
class Priced:
    """A filled table.

    Attributes
    ----------
    table : ChipTable
    bound : int
        No way through the part costs less, in bytes; or `upper` was reached.
    entries : int
    leavings : list of Leaving
        On the cheapest way that the table knows of.
    """

    table: ChipTable
    bound: int
    entries: int
    leavings: list[Leaving]


class Prices:
    """What a tensor pays when it leaves, as a share of one write, by the readers to come."""

    def __init__(self, downsets: Downsets) -> None:
        part = downsets.part
        held = {a for own in part.held for a in own}
        readers = [sum(a in own for own in part.reads) for a in range(len(part.sizes))]
        self.share = np.zeros((len(part.sizes), 1 + max(readers, default=0)))
        for a, last in enumerate(readers):
            first = 0 if a in held else 1
            if last >= first:
                self.share[a, first : last + 1] = 1 / (last + 1 - first)

    def follow(self, leavings: list[Leaving], step: float) -> None:
        """Moves shares by `step` towards the occasions at which tensors leave on some way."""
        occasions: dict[int, set[int]] = {}
        for a, to_come in leavings:
            occasions.setdefault(a, set()).add(to_come)
        for a, own in occasions.items():
            self.share[a] *= 1 - step
            for to_come in own:
                self.share[a, to_come] += step / len(own)


def least_priced(
    downsets: Downsets,
    limits: Limits,
    *,
    upper: int,
    budget: int,
    lower: int = 0,
    widest: int = 3000,
) -> Searched:
    """`mapper.schedule.levels.least`; where that takes long, with a table with prices.

    Parameters as there. Where the table cannot have entries for all down-sets, it is left out: what
    passes through others costs nothing.
    """
    entries = entries_of(downsets)
    # As long without a table as it takes to make one.
    trial = limits.share(0.15)
    allowed = min(budget // 8, budget // 40 + entries // _PER_STATE)
    first = least(downsets, trial, upper=upper, lower=lower, budget=allowed, widest=widest)
    spent = first.states
    if first.way is None and not first.complete:
        # What is known of costs decides how finely the table tells them apart.
        beam = search(downsets, trial, threshold=upper, width=300, budget=budget // 8)
        first, spent = replace(beam, bound=max(first.bound, beam.bound)), spent + beam.states
    way, bound = first.way, max(lower, first.bound)
    upper = min(upper, way.cost) if way is not None else upper
    if first.complete or bound >= upper:
        return first
    most = _most_entries(limits, budget - spent)
    if entries <= most:
        prices = Prices(downsets)
        if way is not None:
            prices.follow(leavings_of(downsets, way), 1.0)
        best = 0
        for turn in range(3 if 3 * entries <= min(most, _CHEAP) else 1):
            found = priced(downsets, prices, upper=upper, limits=limits, most=most)
            spent += entries // _PER_STATE
            if found is None:
                break
            if found.bound > best:
                best, downsets.chip = found.bound, found.table
            bound = max(bound, min(upper, found.bound))
            if bound >= upper:
                return Searched(way, bound, True, spent)
            prices.follow(found.leavings, 0.5 / (1 + turn))
    last = least(
        downsets, limits, upper=upper, lower=bound, budget=max(0, budget - spent), widest=widest
    )
    return Searched(last.way or way, max(bound, last.bound), last.complete, spent + last.states)


def affordable(downsets: Downsets, limits: Limits, budget: int) -> bool:
    """Whether there is room and time for a table for all down-sets."""
    return entries_of(downsets) <= _most_entries(limits, budget)


def _most_entries(limits: Limits, budget: int) -> int:
    most = min(_ENTRIES, budget * 3 // 4 * _PER_STATE)
    remaining = limits.remaining()
    if remaining is None:
        return most
    return min(most, int(0.75 * remaining * _PER_SECOND * min(2, limits.workers)))


def entries_of(downsets: Downsets) -> int:
    """Entries of a table for all down-sets, and what it takes to number them."""
    live = _live(downsets)
    if live.max() > _BITS:
        return 1 << 62
    fitting = _most_on_chip(downsets.part.sizes, downsets.part.capacity)
    _, counts = _room(live, fitting, 1 << 62)
    # All masks of so many bits are listed, too.
    return int(counts[live].sum()) + (1 << int(live.max()))


def _live(downsets: Downsets) -> Array:
    """Live tensors of each down-set."""
    return live_units(downsets.live, np.ones(len(downsets.part.sizes), dtype=np.int64))


def leavings_of(downsets: Downsets, way: Way) -> list[Leaving]:
    """Where tensors leave on a way through the part."""
    part, found = downsets.part, []
    done, before = 0, sum(1 << a for a in part.resident)
    reads = _readers(downsets)
    for o, after in zip(way.order, way.resident, strict=True):
        operands = sum(1 << a for a in {*part.reads[o], *part.makes[o]})
        now = done | 1 << o
        for a in bits((before | operands) & ~after):
            if part.users[a] & ~now:
                # What the step uses leaves after it; what it does not use, before.
                found.append((a, (reads[a] & ~(now if operands >> a & 1 else done)).bit_count()))
        done, before = now, after
    return found


def priced(
    downsets: Downsets, prices: Prices, *, upper: int, limits: Limits, most: int
) -> Priced | None:
    """The table with these prices; None where it would have too few entries, or the time ends.

    Parameters
    ----------
    upper : int
        Bytes, more than 0; higher costs are not told apart.
    limits : Limits
        Its clock, and whether there is a second worker for half of the sets.
    most : int
        Entries. The down-sets with most live tensors get none where there would be more.
    """
    part, count = downsets.part, downsets.count
    live = _live(downsets)
    fitting = _most_on_chip(part.sizes, part.capacity)
    length, counts = _room(live, fitting, most)
    if length < 1:
        return None
    masks, rank = _masks_of(length, fitting)
    number = np.where(live <= length, counts[np.minimum(live, length)], 0)
    ends = np.concatenate([[0], np.cumsum(number)]).astype(np.int64)
    where = np.where(live <= length, ends[:-1], -1)
    chip = np.zeros(int(ends[-1]), dtype=np.uint16)
    scale = (FAR - 1) / upper
    fetch = np.array([int(min(x * scale, FAR)) for x in part.fetch], dtype=np.int32)
    price = np.zeros(prices.share.shape, dtype=np.int32)
    for a, cost in enumerate(part.write):
        paid = 0 if a in part.copied else min(cost * scale, FAR)
        price[a] = np.floor(prices.share[a] * paid + 1e-9)
    work = (
        downsets.sets,
        downsets.live,
        downsets.readers,
        downsets.first,
        downsets.moves,
        downsets.targets,
        downsets.operands,
        downsets.size,
        fetch,
        price,
        downsets.load,
        part.capacity,
        masks,
        rank,
        counts,
        where,
        chip,
        downsets.unit,
        downsets.where,
        downsets.width,
        downsets.table,
        downsets.rate / (TIES + 1) * scale,  # without the part of a charge that breaks ties
    )
    for size in range(len(part.reads), -1, -1):
        begin = int(downsets.level[size])
        end = int(downsets.level[size + 1]) if size < len(part.reads) else count
        while begin < end and size < len(part.reads):
            if limits.exhausted():
                return None
            until = int(np.searchsorted(ends, ends[begin] + _CHUNK, side="right")) - 1
            until = min(end, max(begin + 1, until))
            _in_two(work, begin, until, ends, limits.workers)
            begin = until
    table = ChipTable(rank, where, np.cumsum(price, axis=1), chip, 1 / scale)
    cost, leavings = _cheapest(downsets, table, fetch, price)
    quanta = int(np.ceil(cost / scale / downsets.quantum - 1e-6))
    return Priced(table, quanta * downsets.quantum, chip.size, leavings)


def _cheapest(
    downsets: Downsets, table: ChipTable, fetch: Array, price: Array
) -> tuple[int, list[Leaving]]:
    """Cost of the cheapest way that a table knows of, and where tensors leave on it.

    It ends at a down-set without entries, or where costs are not told apart.
    """
    part, found = downsets.part, []
    reads = _readers(downsets)
    resident, i = sum(1 << a for a in part.resident), 0

    def live(i: int) -> int:
        return int(downsets.live[i, 0]) | int(downsets.live[i, 1]) << 64

    def ahead(i: int, resident: int) -> int:
        if table.where[i] < 0:
            return 0
        mask = sum(1 << p for p, a in enumerate(bits(live(i))) if resident >> a & 1)
        return int(table.chip[table.where[i] + table.rank[mask]])

    cost = ahead(0, resident)
    while i < downsets.count - 1 and table.where[i] >= 0:
        now = ahead(i, resident)
        if now >= FAR:
            break
        done = int(downsets.sets[i, 0]) | int(downsets.sets[i, 1]) << 64
        for a in bits(resident):
            to_come = (reads[a] & ~done).bit_count()
            if int(price[a, to_come]) + ahead(i, resident & ~(1 << a)) == now:
                found.append((a, to_come))
                resident &= ~(1 << a)
                break
        else:
            for e in range(int(downsets.first[i]), int(downsets.first[i + 1])):
                o, j = int(downsets.moves[e]), int(downsets.targets[e])
                operands = sum(1 << a for a in {*part.reads[o], *part.makes[o]})
                kept = sum(part.sizes[a] for a in bits(resident & ~operands))
                paid = sum(int(fetch[a]) for a in bits(operands & live(i) & ~resident))
                after = (resident | operands) & live(j)
                if kept + part.load[o] <= part.capacity and paid + ahead(j, after) == now:
                    i, resident = j, after
                    break
            else:
                break  # by a set without entries
    return cost, found


def _in_two(work: tuple[Any, ...], begin: int, end: int, ends: Array, workers: int) -> None:
    """Sets of one level do not depend on each other: a second worker takes half of the entries."""
    middle = int(np.searchsorted(ends, (ends[begin] + ends[end]) // 2))
    if workers < 2 or ends[end] - ends[begin] < 100_000 or not begin < middle < end:
        fill_chip(begin, end, *work)
        return
    other = threading.Thread(target=fill_chip, args=(middle, end, *work), name="chip")
    other.start()
    fill_chip(begin, middle, *work)
    other.join()


def _readers(downsets: Downsets) -> list[int]:
    part = downsets.part
    return [
        sum(1 << o for o, own in enumerate(part.reads) if a in own) for a in range(len(part.sizes))
    ]


@lru_cache(maxsize=2)
def _masks_of(length: int, fitting: int) -> tuple[Array, Array]:
    masks, rank = masks_of(length, fitting)
    return masks, rank


def _most_on_chip(sizes: tuple[int, ...], capacity: int) -> int:
    """Tensors that are on chip at once at most."""
    number = 0
    for size in sorted(sizes):
        capacity -= size
        if capacity < 0:
            break
        number += 1
    return number


def _room(live: Array, fitting: int, most: int) -> tuple[int, Array]:
    """Live tensors of the largest sets that have entries, and by these how many entries a set has."""
    counts = np.ones(_BITS + 1, dtype=np.int64)
    row = np.zeros(_BITS + 2, dtype=np.int64)
    row[0], total = 1, 0
    sets = np.bincount(np.minimum(live, _BITS + 1), minlength=_BITS + 2)
    for length in range(_BITS + 1):
        if length:
            row[1:] += row[:-1].copy()
        counts[length] = row[: fitting + 1].sum()
        total += int(counts[length] * sets[length])
        if total > most:
            return length - 1, counts
    return int(min(_BITS, live.max())), counts
