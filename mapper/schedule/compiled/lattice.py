"""The down-sets of a part, what is live after each, and the least peak on the way to each."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.words import ONE, contains, lowest, row_hash

__all__ = ["enumerate_sets", "least_peak", "live_sets", "live_units"]

Array = Any


@njit(cache=True, inline="always")
def _within(small: Array, large: Array) -> Any:
    for word in range(small.size):
        if small[word] & ~large[word]:
            return False
    return True


@njit(cache=True, inline="always")
def _equal(one: Array, other: Array) -> Any:
    for word in range(one.size):
        if one[word] != other[word]:
            return False
    return True


@njit(cache=True, nogil=True)
def enumerate_sets(before: Array, n: int, limit: int) -> Any:
    """All down-sets, by size, and the operators that lead from one to the next.

    Parameters
    ----------
    before : (n, words) uint64
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
    room, words = min(limit, 1024), before.shape[1]
    sets = np.zeros((room, words), dtype=np.uint64)
    first = np.zeros(limit + 1, dtype=np.int64)
    level = np.zeros(n + 2, dtype=np.int64)
    moves = np.zeros(8192, dtype=np.int16)
    targets = np.zeros(8192, dtype=np.int32)
    used, count = 0, 1
    then = np.zeros(words, dtype=np.uint64)
    some, every = np.zeros(words, dtype=np.uint64), np.zeros(words, dtype=np.uint64)
    possible = np.zeros(n, dtype=np.int64)
    slots[row_hash(then) & mask] = 0
    begin, end = 0, 1
    for step in range(n):
        level[step] = begin
        some[:], every[:] = sets[begin], sets[begin]
        for i in range(begin + 1, end):
            for word in range(words):
                some[word] |= sets[i, word]
                every[word] &= sets[i, word]
        candidates = 0
        for o in range(n):
            if not contains(every, o) and _within(before[o], some):
                possible[candidates] = o
                candidates += 1
        for i in range(begin, end):
            first[i] = used
            for candidate in range(candidates):
                o = possible[candidate]
                if contains(sets[i], o) or not _within(before[o], sets[i]):
                    continue
                then[:] = sets[i]
                then[o >> 6] |= ONE << np.uint64(o & 63)
                slot = row_hash(then) & mask
                found = -1
                while slots[slot] >= 0:
                    if _equal(sets[slots[slot]], then):
                        found = slots[slot]
                        break
                    slot = (slot + ONE) & mask
                if found < 0:
                    if count >= limit:
                        return -1, sets, level, first, moves, targets
                    if count >= room:
                        room = min(limit, 2 * room)
                        grown = np.zeros((room, words), dtype=np.uint64)
                        grown[:count] = sets[:count]
                        sets = grown
                    found = count
                    sets[count] = then
                    slots[slot] = count
                    count += 1
                    if 3 * count > size:
                        size *= 2
                        mask = np.uint64(size - 1)
                        slots = np.full(size, -1, dtype=np.int32)
                        for j in range(count):
                            at = row_hash(sets[j]) & mask
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
def live_sets(sets: Array, count: int, made: Array, users: Array, words: int) -> Any:
    """Tensors that are live after each down-set: (count, words) uint64.

    `made` is the operator that makes a tensor, -1 for one that begins with its first use, -2 for
    one that was there before.
    """
    live = np.zeros((count, words), dtype=np.uint64)
    for i in range(count):
        for a in range(made.size):
            if made[a] >= 0 and not contains(sets[i], made[a]):
                continue
            if _within(users[a], sets[i]):
                continue
            if made[a] == -1:
                begun = False
                for word in range(users.shape[1]):
                    begun |= (users[a, word] & sets[i, word]) != 0
                if not begun:
                    continue
            live[i, a >> 6] |= ONE << np.uint64(a & 63)
    return live


@njit(cache=True, nogil=True)
def live_units(live: Array, unit: Array) -> Array:
    """Live units after each down-set."""
    result = np.zeros(live.shape[0], dtype=np.int64)
    for i in range(live.shape[0]):
        for word in range(live.shape[1]):
            x = live[i, word]
            while x:
                result[i] += unit[64 * word + lowest(x)]
                x &= x - ONE
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
        for e in range(first[i], first[i + 1]):
            o, j = moves[e], targets[e]
            value = load[o]
            for word in range(live.shape[1]):
                x = live[i, word] & ~operands[o, word]
                while x:
                    value += size[64 * word + lowest(x)]
                    x &= x - ONE
            value = max(peak[i], value)
            if value < peak[j]:
                peak[j], parent[j], move[j] = value, i, o
    return peak, parent, move
