"""The table over (down-set, tensors on chip), and the bound that it gives.

It forgets only which of the tensors on chip have a copy, so what a write costs is shared out over
the occasions at which the tensor can leave: ``price[a, r]`` is paid when `a` leaves with `r` readers
to come, and the prices of one tensor add up to no more than one write.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.words import ONE, ZERO, contains, has, lowest, members, number_of

__all__ = ["FAR", "chip_ahead", "fill_chip", "masks_of"]

Array = Any
FAR = 60_000  # what an entry says at most


@njit(cache=True)
def masks_of(bits: int, most: int) -> Any:
    """Masks of at most `most` ones among `bits` bits, ascending, and where each mask is."""
    count = 0
    rank = np.full(1 << bits, -1, dtype=np.int32)
    for q in range(1 << bits):
        number, x = 0, q
        while x:
            x &= x - 1
            number += 1
        if number <= most:
            rank[q] = count
            count += 1
    masks = np.zeros(count, dtype=np.int32)
    for q in range(1 << bits):
        if rank[q] >= 0:
            masks[rank[q]] = q
    return masks, rank


@njit(cache=True, nogil=True)
def fill_chip(
    begin: int,
    end: int,
    sets: Array,
    live: Array,
    readers: Array,
    first: Array,
    moves: Array,
    targets: Array,
    operands: Array,
    size: Array,
    fetch: Array,
    price: Array,
    load: Array,
    capacity: int,
    masks: Array,
    rank: Array,
    count: Array,
    where: Array,
    chip: Array,
    unit: Array,
    coarse_where: Array,
    width: Array,
    coarse: Array,
    rate: float,
) -> None:
    """Fills the table for the down-sets ``begin .. end - 1``, those of later levels being filled.

    Entry ``where[i] + rank[m]`` is a lower bound on what is still to be paid after down-set `i` with
    the live tensors on chip whose positions among all live ones are the ones of `m`. `count[l]`
    masks have `l` bits. Sets with ``where[i] < 0`` have no entries: no way leads through those with
    -2; of the others is known what the coarse table says, of units off chip; one of its units is
    `rate`.
    """
    tensors = 64 * live.shape[1]
    mine, theirs = np.zeros(tensors, dtype=np.int64), np.zeros(tensors, dtype=np.int64)
    position = np.zeros(tensors, dtype=np.int64)
    most = 0
    for i in range(begin, end):
        if where[i] >= 0:
            most = max(most, count[members(live[i], mine)])
    held, after = np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int32)
    kept, paid = np.zeros(most, dtype=np.int64), np.zeros(most, dtype=np.int32)
    bit_size, bit_paid = np.zeros(tensors, dtype=np.int64), np.zeros(tensors, dtype=np.int32)
    bit_after = np.zeros(tensors, dtype=np.int32)
    for i in range(begin, end):
        at = where[i]
        if at < 0:
            continue
        bits = members(live[i], mine)
        number = count[bits]
        chip[at] = FAR
        for x in range(1, number):
            q = masks[x]
            held[x] = held[rank[q & (q - 1)]] + size[mine[lowest(np.uint64(q))]]
            chip[at + x] = FAR
        for e in range(first[i], first[i + 1]):
            o, j = moves[e], targets[e]
            touched = operands[o]
            others = members(live[j], theirs)
            fresh = np.int32(0)
            for b in range(others):
                position[theirs[b]] = b
                if contains(touched, theirs[b]):
                    fresh |= np.int32(1 << b)
            total = np.int32(0)
            for b in range(bits):
                a = mine[b]
                bit_size[b], bit_paid[b], bit_after[b] = 0, 0, 0
                if contains(touched, a):
                    bit_paid[b] = -fetch[a]
                    total += fetch[a]
                else:
                    bit_size[b] = size[a]
                    if contains(live[j], a):
                        bit_after[b] = np.int32(1 << position[a])
            then, wide = where[j], width[j]
            if then == -2:
                continue
            units = np.int64(0)
            for b in range(others):
                units += unit[theirs[b]]
            after[0], kept[0], paid[0] = fresh, load[o], total
            for x in range(number):
                if x:
                    q = masks[x]
                    b, rest = lowest(np.uint64(q)), rank[q & (q - 1)]
                    after[x] = after[rest] | bit_after[b]
                    kept[x] = kept[rest] + bit_size[b]
                    paid[x] = paid[rest] + bit_paid[b]
                if kept[x] <= capacity and held[x] <= capacity:
                    value = paid[x]
                    if then >= 0:
                        value += chip[then + rank[after[x]]]
                    elif wide > 0:
                        off, rest = units, np.uint64(after[x])
                        while rest:
                            off -= unit[theirs[lowest(rest)]]
                            rest &= rest - ONE
                        # As many copies as can be: the least that the table says.
                        value += np.int64(coarse[coarse_where[j] + off * wide + wide - 1] * rate)
                    if value < chip[at + x]:
                        chip[at + x] = value
        for b in range(bits):
            a = mine[b]
            bit_paid[b] = price[a, number_of(readers[a], sets[i])]
        for x in range(1, number):
            if held[x] > capacity:
                continue
            best = np.int32(chip[at + x])
            rest = np.uint64(masks[x])
            while rest:
                b = lowest(rest)
                rest &= rest - ONE
                value = bit_paid[b] + np.int32(chip[at + rank[masks[x] ^ (1 << b)]])
                if value < best:
                    best = value
            chip[at + x] = best


@njit(cache=True)
def chip_ahead(
    j: int,
    r0: Any,
    r1: Any,
    c0: Any,
    c1: Any,
    sets: Array,
    live: Array,
    readers: Array,
    rank: Array,
    before: Array,
    where: Array,
    chip: Array,
) -> Any:
    """What a state still has to pay at least, in the table's unit.

    Tensors with a copy do not pay their prices again: ``before[a, r]`` is what `a` may still pay
    with `r` readers to come, itself included.
    """
    if where[j] < 0:
        return np.int64(0)
    mask, bit, less = 0, 1, np.int64(0)
    x0, x1 = live[j, 0], live[j, 1]
    while x0 | x1:
        if x0:
            a = lowest(x0)
            x0 &= x0 - ONE
        else:
            a = 64 + lowest(x1)
            x1 &= x1 - ONE
        on_chip = has(r0, r1, a) != ZERO
        if on_chip:
            mask |= bit
        if has(c0, c1, a):
            to_come = number_of(readers[a], sets[j])
            if on_chip:
                less += before[a, to_come]
            elif to_come:
                less += before[a, to_come - 1]
        bit <<= 1
    return max(np.int64(0), np.int64(chip[where[j] + rank[mask]]) - less)
