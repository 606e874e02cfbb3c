"""Room in a memory with addresses: holes for what comes in, and what must leave where there are none.

A memory is a row of what is on chip, sorted by address, as in `mapper.schedule.compiled.memories`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["clearings", "equal", "find", "holes"]

Array = Any


@njit(cache=True)
def find(tensors: Array, used: int, a: int) -> int:
    """Where tensor `a` is in the row of a memory; -1 where it is not on chip."""
    for i in range(used):
        if tensors[i] == a:
            return i
    return -1


@njit(cache=True)
def holes(
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
def equal(one: Array, other: Array, n: int) -> bool:
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
def clearings(
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
                while same < ways and not equal(chosen[same], chosen[ways], n):
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
