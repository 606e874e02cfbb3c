"""The down-sets of a part, what is live after each, and the least peak on the way to each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.words import ONE, ZERO, has, mixed, total_of

__all__ = ["enumerate_sets", "least_peak", "live_sets", "live_units"]

Array = Any


@njit(cache=True, nogil=True)
def enumerate_sets(before: Array, n: int, limit: int) -> Any:
    """All down-sets, by size, and the operators that lead from one to the next.

    Parameters
    ----------
    before : (n, 2) uint64
        Operators that must have run.
    limit : int
        Most down-sets.

    Returns
    -------
    (count, sets, level, first, operator, target)
        `count` is -1 when there are more than `limit`; set `i` has the moves
        ``first[i] .. first[i + 1] - 1``; sets of `l` operators are ``level[l] .. level[l + 1] - 1``.
    """
    size = 64
    while size < 3 * limit:
        size *= 2
    if size > 1 << 14:
        size = 1 << 14
    slots = np.full(size, -1, dtype=np.int32)
    mask = np.uint64(size - 1)
    room = min(limit, 1024)
    sets = np.zeros((room, 2), dtype=np.uint64)
    first = np.zeros(limit + 1, dtype=np.int64)
    level = np.zeros(n + 2, dtype=np.int64)
    moves = np.zeros(8192, dtype=np.int16)
    targets = np.zeros(8192, dtype=np.int32)
    used, count = 0, 1
    h0 = mixed(ZERO, ZERO) & mask
    slots[h0] = 0
    begin, end = 0, 1
    for step in range(n):
        level[step] = begin
        for i in range(begin, end):
            first[i] = used
            low, high = sets[i, 0], sets[i, 1]
            for o in range(n):
                if has(low, high, o):
                    continue
                if (before[o, 0] & ~low) | (before[o, 1] & ~high):
                    continue
                a, b = low, high
                if o < 64:
                    a |= ONE << np.uint64(o)
                else:
                    b |= ONE << np.uint64(o - 64)
                slot = mixed(a, b) & mask
                found = -1
                while slots[slot] >= 0:
                    j = slots[slot]
                    if sets[j, 0] == a and sets[j, 1] == b:
                        found = j
                        break
                    slot = (slot + ONE) & mask
                if found < 0:
                    if count >= limit:
                        return -1, sets, level, first, moves, targets
                    if count >= room:
                        room = min(limit, 2 * room)
                        grown = np.zeros((room, 2), dtype=np.uint64)
                        grown[:count] = sets[:count]
                        sets = grown
                    found = count
                    sets[count, 0], sets[count, 1] = a, b
                    slots[slot] = count
                    count += 1
                    if 3 * count > size:
                        size *= 2
                        mask = np.uint64(size - 1)
                        slots = np.full(size, -1, dtype=np.int32)
                        for j in range(count):
                            at = mixed(sets[j, 0], sets[j, 1]) & mask
                            while slots[at] >= 0:
                                at = (at + ONE) & mask
                            slots[at] = j
                if used >= moves.size:
                    more_moves = np.zeros(2 * used, dtype=np.int16)
                    more_moves[:used] = moves[:used]
                    moves = more_moves
                    more_targets = np.zeros(2 * used, dtype=np.int32)
                    more_targets[:used] = targets[:used]
                    targets = more_targets
                moves[used] = o
                targets[used] = found
                used += 1
        begin, end = end, count
    level[n] = begin
    level[n + 1] = count
    first[count - 1] = used
    first[count] = used
    return count, sets, level, first, moves, targets


@njit(cache=True, nogil=True)
def live_sets(sets: Array, count: int, made: Array, users: Array) -> Any:
    """Tensors that are live after each down-set: (count, 2) uint64.

    `made` is the operator that makes a tensor, -1 for one that begins with its first use, -2 for
    one that was there before.
    """
    m = made.size
    live = np.zeros((count, 2), dtype=np.uint64)
    for i in range(count):
        low, high = sets[i, 0], sets[i, 1]
        for a in range(m):
            if not ((users[a, 0] & ~low) | (users[a, 1] & ~high)):
                continue
            if made[a] >= 0:
                begun = has(low, high, made[a]) != ZERO
            elif made[a] == -1:
                begun = ((users[a, 0] & low) | (users[a, 1] & high)) != ZERO
            else:
                begun = True
            if begun:
                if a < 64:
                    live[i, 0] |= ONE << np.uint64(a)
                else:
                    live[i, 1] |= ONE << np.uint64(a - 64)
    return live


@njit(cache=True, nogil=True)
def live_units(live: Array, unit: Array) -> Array:
    """Live units after each down-set."""
    result = np.zeros(live.shape[0], dtype=np.int64)
    for i in range(live.shape[0]):
        result[i] = total_of(live[i, 0], live[i, 1], unit)
    return result


@njit(cache=True, nogil=True)
def least_peak(
    count: int,
    live: Array,
    first: Array,
    moves: Array,
    targets: Array,
    operands: Array,
    size: Array,
    load: Array,
) -> Any:
    """Least peak in which each down-set can be reached, and the set and move that it comes by."""
    peak = np.full(count, np.int64(1 << 62), dtype=np.int64)
    parent = np.full(count, -1, dtype=np.int64)
    move = np.full(count, -1, dtype=np.int64)
    peak[0] = 0
    for i in range(count):
        l0, l1 = live[i, 0], live[i, 1]
        for e in range(first[i], first[i + 1]):
            o, j = moves[e], targets[e]
            others = total_of(l0 & ~operands[o, 0], l1 & ~operands[o, 1], size)
            value = max(peak[i], others + load[o])
            if value < peak[j]:
                peak[j], parent[j], move[j] = value, i, o
    return peak, parent, move
