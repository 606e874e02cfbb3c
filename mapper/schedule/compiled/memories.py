"""Steps of memories with addresses: what a step brings in, where it goes, what leaves for it.

A memory is a row of what is on chip, sorted by address: tensors, addresses, and whether each has a
copy. `needed` are the operands of the step, `until` the step at which the schedule drops each
tensor, `byte` what a byte over the bus counts where a byte that need not stay counts 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.room import clearings, equal, find, holes

__all__ = ["successors"]

Array = Any


@njit(cache=True)
def _follow_up(
    tensors: Array,
    at: Array,
    copied: Array,
    used: int,
    leaving: Array,
    who: Array,
    where: Array,
    n: int,
    size: Array,
    fresh: Array,
    gone: Array,
    refund: Array,
    to_tensors: Array,
    to_at: Array,
    to_copied: Array,
) -> Any:
    """The memory after a step: what is in the places leaves, and what was read last is gone.

    Parameters
    ----------
    who, where : arrays
        The `n` tensors that come in or move, and their places.
    fresh, gone : arrays of bool
        Per tensor: whether it comes in without a copy, and whether this step is its last.
    refund : array
        Per tensor: what is saved if it is still there, since the schedule fetches it here.

    Returns
    -------
    (int, int)
        How many tensors the memory has, and what the step costs.
    """
    cost, count = np.int64(0), 0
    for i in range(used):
        a, low = tensors[i], at[i]
        stays = True
        for k in range(n):
            if who[k] == a or (low < where[k] + size[who[k]] and where[k] < low + size[a]):
                stays = False
                break
        if not stays:
            cost += leaving[i]
            continue
        cost -= refund[a]
        if gone[a]:
            continue
        to_tensors[count], to_at[count], to_copied[count] = a, low, copied[i]
        count += 1
    for k in range(n):
        a, low = who[k], where[k]
        if gone[a]:
            continue
        i = count
        while i > 0 and to_at[i - 1] > low:
            to_tensors[i], to_at[i] = to_tensors[i - 1], to_at[i - 1]
            to_copied[i] = to_copied[i - 1]
            i -= 1
        to_tensors[i], to_at[i], to_copied[i] = a, low, not fresh[a]
        count += 1
    return count, cost


@njit(cache=True, nogil=True)
def successors(
    beam: int,
    used: Array,
    costs: Array,
    tensors: Array,
    at: Array,
    copied: Array,
    step: int,
    needed: Array,
    by_size: Array,
    until: Array,
    size: Array,
    weight: Array,
    fresh: Array,
    gone: Array,
    refund: Array,
    capacity: int,
    byte: int,
    most: int,
    orders: int,
    movable: int,
    never: int,
    to_used: Array,
    to_costs: Array,
    to_tensors: Array,
    to_at: Array,
    to_copied: Array,
    to_parent: Array,
    to_number: Array,
    to_who: Array,
    to_where: Array,
    slots: Array,
) -> int:
    """The different memories that can come of those of a beam in one step, each the cheapest way.

    Parameters
    ----------
    needed, by_size : arrays
        Operands of the step as the operator has them, and the largest first.
    weight : array
        Of each tensor's bytes in what things cost.
    to_parent : array
        Receives which memory of the beam each one comes of.
    to_number, to_who, to_where : arrays
        Receive what came in or moved: how many tensors, which, and to where.
    slots : array
        All -1; a power of two, more than memories can come of the beam.

    Returns
    -------
    int
        How many.
    """
    total = 0
    mask = np.uint64(slots.size - 1)
    wide = needed.size
    who = np.empty((max(3, most), wide), dtype=np.int64)
    where = np.empty((max(3, most), wide), dtype=np.int64)
    number = np.empty(max(3, most), dtype=np.int64)
    for b in range(beam):
        n = used[b]
        leaving = np.empty(n, dtype=np.int64)
        for i in range(n):
            a = tensors[b, i]
            leaving[i] = weight[a]
            if until[a] > step:
                leaving[i] *= byte if copied[b, i] else 2 * byte
        absent = np.empty(wide, dtype=np.int64)
        m = 0
        for a in by_size:
            if find(tensors[b], n, a) < 0:
                absent[m] = a
                m += 1
        missing = absent[:m]
        ways = 0
        for rule in range(3 if m else 1):
            if not holes(tensors[b], at[b], n, missing, size, capacity, rule, where[ways]):
                continue
            same = 0
            while same < ways and not equal(where[same], where[ways], m):
                same += 1
            if same == ways:
                who[ways, :m] = missing
                number[ways] = m
                ways += 1
        if not ways:
            there = np.empty(wide, dtype=np.int64)
            k = 0
            for a in needed:
                i = find(tensors[b], n, a)
                if i >= 0:
                    there[k] = i
                    k += 1
            ways = clearings(
                tensors[b],
                at[b],
                n,
                leaving,
                missing,
                there[:k],
                size,
                capacity,
                most,
                orders,
                movable,
                never,
                who,
                where,
                number,
            )
        for w in range(ways):
            count, cost = _follow_up(
                tensors[b],
                at[b],
                copied[b],
                n,
                leaving,
                who[w],
                where[w],
                number[w],
                size,
                fresh,
                gone,
                refund,
                to_tensors[total],
                to_at[total],
                to_copied[total],
            )
            cost += costs[b]
            mixed = np.uint64(14695981039346656037)
            for i in range(count):
                mixed = (mixed ^ np.uint64(to_tensors[total, i])) * np.uint64(1099511628211)
                mixed = (mixed ^ np.uint64(to_at[total, i])) * np.uint64(1099511628211)
                mixed ^= mixed >> np.uint64(29)
            slot = mixed & mask
            found = -1
            while slots[slot] >= 0:
                other = slots[slot]
                if (
                    to_used[other] == count
                    and equal(to_tensors[other], to_tensors[total], count)
                    and equal(to_at[other], to_at[total], count)
                ):
                    found = other
                    break
                slot = (slot + np.uint64(1)) & mask
            if found < 0:
                slots[slot] = total
                found = total
                total += 1
            elif cost >= to_costs[found]:
                continue
            else:
                to_copied[found, :count] = to_copied[total, :count]
            to_used[found], to_costs[found], to_parent[found] = count, cost, b
            to_number[found] = number[w]
            to_who[found], to_where[found] = who[w], where[w]
    return total
