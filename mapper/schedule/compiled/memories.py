"""Steps of memories with addresses: what a step brings in, where it goes, what leaves for it.

A memory is a row of what is on chip, sorted by address: tensors, addresses, and whether each has a
copy. `needed` are the operands of the step, `until` the step at which the schedule drops each
tensor, `byte` what a byte over the bus counts where a byte that need not stay counts 1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["successors"]

Array = Any


@njit(cache=True)
def _find(tensors: Array, used: int, a: int) -> int:
    """Where tensor `a` is in the row of a memory; -1 where it is not on chip."""
    for i in range(used):
        if tensors[i] == a:
            return i
    return -1


@njit(cache=True)
def _holes(
    tensors: Array,
    at: Array,
    used: int,
    missing: Array,
    size: Array,
    capacity: int,
    rule: int,
    places: Array,
) -> bool:
    """Holes for tensors that come in: 0 the lowest, 1 the highest, 2 the tightest; if there are."""
    low_of = np.empty(used + missing.size, dtype=np.int64)
    high_of = np.empty(used + missing.size, dtype=np.int64)
    for i in range(used):
        low_of[i], high_of[i] = at[i], at[i] + size[tensors[i]]
    count = used
    for k in range(missing.size):
        need, low = size[missing[k]], np.int64(0)
        best, tightest = np.int64(-1), np.int64(-1)
        for i in range(count + 1):
            end = low_of[i] if i < count else capacity
            if end - low >= need:
                if rule == 1:
                    best = end - need
                elif best < 0 or (rule == 2 and end - low < tightest):
                    best, tightest = low, end - low
            if i < count:
                low = high_of[i]
        if best < 0:
            return False
        places[k] = best
        i = count
        while i > 0 and low_of[i - 1] > best:
            low_of[i], high_of[i] = low_of[i - 1], high_of[i - 1]
            i -= 1
        low_of[i], high_of[i] = best, best + need
        count += 1
    return True


@njit(cache=True)
def _window(
    need: int,
    fixed_low: Array,
    fixed_high: Array,
    fixed: int,
    low: Array,
    high: Array,
    cost: Array,
    count: int,
    capacity: int,
    tight: bool,
    never: int,
) -> Any:
    """The place that is cheapest to clear, the lowest of equal ones, and what that costs.

    `fixed` ones may not be touched; the other `count` may, at their cost, and are sorted by
    address. With `tight` the place lies beside what is fixed, or at an end of the memory.
    """
    best, place = np.int64(never), np.int64(0)
    starts = np.empty(2 + 2 * (fixed + count), dtype=np.int64)
    starts[0], starts[1] = 0, capacity - need
    number = 2
    for i in range(fixed):
        starts[number], starts[number + 1] = fixed_high[i], fixed_low[i] - need
        number += 2
    if not tight:
        for i in range(count):
            starts[number], starts[number + 1] = high[i], low[i] - need
            number += 2
    for s in range(number):
        start = starts[s]
        if start < 0 or start > capacity - need:
            continue
        free = True
        for i in range(fixed):
            if fixed_low[i] < start + need and start < fixed_high[i]:
                free = False
                break
        if not free:
            continue
        # The first that ends above the start, by bisection: they do not overlap.
        first, last = 0, count
        while first < last:
            middle = (first + last) // 2
            if high[middle] > start:
                last = middle
            else:
                first = middle + 1
        total = np.int64(0)
        while first < count and low[first] < start + need and total <= best:
            total += cost[first]
            first += 1
        if total < best or (total == best and total < never and start < place):
            best, place = total, start
    return best, place


@njit(cache=True)
def _clearings(
    tensors: Array,
    at: Array,
    used: int,
    leaving: Array,
    missing: Array,
    there: Array,
    size: Array,
    capacity: int,
    most: int,
    orders: int,
    movable: int,
    never: int,
    who: Array,
    where: Array,
    number: Array,
) -> int:
    """The cheapest places for tensors that come in, and for operands that had better move.

    Parameters
    ----------
    leaving : array
        What it costs that each tensor of the row leaves.
    there : array
        Positions in the row of the operands that are on chip, in the order of the operator's.
    most, orders : int
        Ways to return, and orders of the tensors to try for each choice of what moves.
    movable : int
        Operands, the first of them, that may move.
    who, where, number : arrays
        Receive the ways, the cheapest first: tensors, their addresses, and how many of them.

    Returns
    -------
    int
        How many ways.
    """
    m, k = missing.size, there.size
    low = np.empty(used, dtype=np.int64)
    high = np.empty(used, dtype=np.int64)
    cost = np.empty(used, dtype=np.int64)
    operand = np.zeros(used, dtype=np.bool_)
    for i in there:
        operand[i] = True
    count = 0
    for i in range(used):
        if not operand[i]:
            low[count], high[count] = at[i], at[i] + size[tensors[i]]
            cost[count] = leaving[i]
            count += 1
    found = np.empty(most, dtype=np.int64)
    kept = 0
    names = np.empty(m + k, dtype=np.int64)
    turn = np.empty(m + k, dtype=np.int64)
    fixed_low = np.empty(m + k, dtype=np.int64)
    fixed_high = np.empty(m + k, dtype=np.int64)
    # Ways of one choice of what moves, and what they cost: several orders can give the same.
    chosen = np.empty((2 * orders + 1, m + k), dtype=np.int64)
    totals = np.empty(2 * orders, dtype=np.int64)
    for moved in range(1 << min(k, movable)):
        base, n = np.int64(0), m
        names[:m] = missing
        for i in range(k):
            if moved >> i & 1:
                base += leaving[there[i]]
                names[n] = tensors[there[i]]
                n += 1
        if kept >= most and base >= found[most - 1]:
            continue
        for i in range(n):
            turn[i] = i
        ways = 0
        for _ in range(orders):
            for tight in (False, True):
                fixed = 0
                for i in range(k):
                    if not moved >> i & 1:
                        fixed_low[fixed] = at[there[i]]
                        fixed_high[fixed] = at[there[i]] + size[tensors[there[i]]]
                        fixed += 1
                total = base
                for i in range(n):
                    need = size[names[turn[i]]]
                    extra, place = _window(
                        need,
                        fixed_low,
                        fixed_high,
                        fixed,
                        low,
                        high,
                        cost,
                        count,
                        capacity,
                        tight,
                        never,
                    )
                    total += extra
                    if total >= never:
                        break
                    chosen[ways, turn[i]] = place
                    fixed_low[fixed], fixed_high[fixed] = place, place + need
                    fixed += 1
                if total >= never:
                    continue
                same = 0
                while same < ways and not _equal(chosen[same], chosen[ways], n):
                    same += 1
                if same == ways:
                    totals[ways] = total
                    ways += 1
                elif total < totals[same]:
                    totals[same] = total
            if not _next_order(turn, n):
                break
        for i in range(ways):
            if kept >= most and totals[i] >= found[most - 1]:
                continue
            w = min(kept, most - 1)
            kept = min(kept + 1, most)
            while w > 0 and found[w - 1] > totals[i]:
                found[w], number[w] = found[w - 1], number[w - 1]
                who[w], where[w] = who[w - 1], where[w - 1]
                w -= 1
            found[w], number[w] = totals[i], n
            who[w, :n], where[w, :n] = names[:n], chosen[i, :n]
    return kept


@njit(cache=True)
def _equal(one: Array, other: Array, n: int) -> bool:
    for i in range(n):
        if one[i] != other[i]:
            return False
    return True


@njit(cache=True)
def _next_order(turn: Array, n: int) -> bool:
    """The next permutation in lexicographic order; False after the last."""
    i = n - 2
    while i >= 0 and turn[i] > turn[i + 1]:
        i -= 1
    if i < 0:
        return False
    j = n - 1
    while turn[j] < turn[i]:
        j -= 1
    turn[i], turn[j] = turn[j], turn[i]
    turn[i + 1 : n] = turn[i + 1 : n][::-1].copy()
    return True


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
            if _find(tensors[b], n, a) < 0:
                absent[m] = a
                m += 1
        missing = absent[:m]
        ways = 0
        for rule in range(3 if m else 1):
            if not _holes(tensors[b], at[b], n, missing, size, capacity, rule, where[ways]):
                continue
            same = 0
            while same < ways and not _equal(where[same], where[ways], m):
                same += 1
            if same == ways:
                who[ways, :m] = missing
                number[ways] = m
                ways += 1
        if not ways:
            there = np.empty(wide, dtype=np.int64)
            k = 0
            for a in needed:
                i = _find(tensors[b], n, a)
                if i >= 0:
                    there[k] = i
                    k += 1
            ways = _clearings(
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
                    and _equal(to_tensors[other], to_tensors[total], count)
                    and _equal(to_at[other], to_at[total], count)
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
