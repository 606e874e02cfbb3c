"""A lower bound that knows which tensors are on chip, for given prices of leaving.

It forgets which of them have a copy off chip: instead of a write, a tensor pays a price each time
that it leaves, see `mapper.schedule.prices`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mapper.schedule.chip import ChipTable
from mapper.schedule.compiled.chip import FAR, fill_chip, masks_of
from mapper.schedule.compiled.lattice import live_units
from mapper.schedule.downsets import TIES, Downsets
from mapper.schedule.problem import bits
from mapper.schedule.solver import Limits

__all__ = ["Leaving", "Priced", "entries_of", "priced", "readers_of"]

Array = Any
_BITS = 24  # live tensors of a down-set that has entries, at most
_CHUNK = 4_000_000  # entries between two looks at the clock
_UNITS = 2000  # lengths of a unit to choose from

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


def priced(
    downsets: Downsets, share: Array, *, upper: int, limits: Limits, most: int
) -> Priced | None:
    """The table with these prices; None where it would have too few entries, or the time ends.

    Parameters
    ----------
    share : (tensors, 1 + readers) float array
        Of its write, what each tensor pays when it leaves with so many readers to come. The shares
        of a tensor must be at least 0, and add up to at most 1.
    upper : int
        Bytes, more than 0; higher costs are not told apart.
    limits : Limits
        Its clock, and whether there is a second worker for half of the sets.
    most : int
        Entries. The down-sets with most live tensors get none where there would be more, nor do
        those through which no way costs less than `upper`.
    """
    part, count = downsets.part, downsets.count
    live, cheap = _live(downsets), _cheap(downsets, upper)
    fitting = _most_on_chip(part.sizes, part.capacity)
    length, counts = _room(live[cheap], fitting, most)
    if length < 1:
        return None
    masks, rank = _masks_of(length, fitting)
    with_entries = cheap & (live <= length)
    number = np.where(with_entries, counts[np.minimum(live, length)], 0)
    ends = np.concatenate([[0], np.cumsum(number)]).astype(np.int64)
    where = np.where(with_entries, ends[:-1], np.where(cheap, -1, -2))
    chip = np.zeros(int(ends[-1]), dtype=np.uint16)
    scale = _units_per_byte(downsets, upper)
    fetch, write = (
        np.array([int(min(x * scale + 1e-9, FAR)) for x in charges], dtype=np.int32)
        for charges in (part.fetch, part.write)
    )
    write[list(part.copied)] = 0
    price = np.floor(share * write[:, np.newaxis] + 1e-9).astype(np.int32)
    # What rounding took away goes to the largest share.
    left = np.floor(share.sum(axis=1) * write + 1e-9).astype(np.int32) - price.sum(axis=1)
    price[np.arange(len(write)), share.argmax(axis=1)] += left
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


def _units_per_byte(downsets: Downsets, upper: int) -> float:
    """As fine as `upper` allows, and so that little of what is paid is lost in rounding."""
    finest, quantum = upper / (FAR - 1), downsets.quantum
    if finest <= quantum:
        return int(quantum / finest) / quantum
    lengths = np.unique(np.linspace(np.ceil(finest), np.floor(2 * finest), _UNITS).astype(np.int64))
    charges, numbers = np.unique((*downsets.part.fetch, *downsets.part.write), return_counts=True)
    lost = [int((charges % length * numbers).sum()) for length in lengths]
    return 1 / int(lengths[int(np.argmin(lost))])


def entries_of(downsets: Downsets, upper: int) -> int:
    """Entries of a table for all down-sets, and what it takes to number them.

    Those through which no way costs less than `upper` bytes are left out.
    """
    live = _live(downsets)[_cheap(downsets, upper)]
    if live.max() > _BITS:
        return 1 << 62
    fitting = _most_on_chip(downsets.part.sizes, downsets.part.capacity)
    _, counts = _room(live, fitting, 1 << 62)
    # All masks of so many bits are listed, too.
    return int(counts[live].sum()) + (1 << int(live.max()))


def _cheap(downsets: Downsets, upper: int) -> Array:
    """Down-sets through which a way may cost less than `upper`; the first and the last are kept."""
    cheap = downsets.least_through() < upper - 1e-6
    cheap[[0, -1]] = True
    return cheap


def _live(downsets: Downsets) -> Array:
    """Live tensors of each down-set."""
    return live_units(downsets.live, np.ones(len(downsets.part.sizes), dtype=np.int64))


def _cheapest(
    downsets: Downsets, table: ChipTable, fetch: Array, price: Array
) -> tuple[int, list[Leaving]]:
    """Cost of the cheapest way that a table knows of, and where tensors leave on it.

    It ends at a down-set without entries, or where costs are not told apart.
    """
    part, found = downsets.part, []
    reads = readers_of(downsets)
    resident, i = sum(1 << a for a in part.resident), 0

    def live(i: int) -> int:
        return _mask(downsets.live[i])

    def ahead(i: int, resident: int) -> int:
        if table.where[i] < 0:
            return 0 if table.where[i] == -1 else FAR
        mask = sum(1 << p for p, a in enumerate(bits(live(i))) if resident >> a & 1)
        return int(table.chip[table.where[i] + table.rank[mask]])

    cost = ahead(0, resident)
    while i < downsets.count - 1 and table.where[i] >= 0:
        now = ahead(i, resident)
        if now >= FAR:
            break
        done = _mask(downsets.sets[i])
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


def _mask(row: Array) -> int:
    return int.from_bytes(row.tobytes(), "little")


def readers_of(downsets: Downsets) -> list[int]:
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
