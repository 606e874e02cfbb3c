"""Compiled inner loops of the searches over down-sets.

Sets of operators and of tensors are two 64-bit words each. Tensors are numbered from the largest to
the smallest. All other numbers are 64-bit integers: bytes, or units where it says so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = [
    "enumerate_sets",
    "expand",
    "fill_table",
    "heuristic",
    "index_states",
    "least_peak",
    "live_sets",
    "prune",
]

Array = Any
WORD = 64

_ONE = np.uint64(1)
_ZERO = np.uint64(0)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_MIX2 = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)
# Position of the lowest set bit, through a de Bruijn sequence.
_DEBRUIJN = np.uint64(0x03F79D71B4CB0A89)
_TOP6 = np.uint64(58)
_LOWEST = np.zeros(64, dtype=np.int64)
for _i in range(64):
    _LOWEST[((0x03F79D71B4CB0A89 << _i) & ((1 << 64) - 1)) >> 58] = _i


@njit(cache=True, inline="always")
def _lowest(x: Any) -> Any:
    return _LOWEST[((x & (~x + _ONE)) * _DEBRUIJN) >> _TOP6]


@njit(cache=True, inline="always")
def _has(low: Any, high: Any, i: int) -> Any:
    if i < 64:
        return (low >> np.uint64(i)) & _ONE
    return (high >> np.uint64(i - 64)) & _ONE


@njit(cache=True)
def _total(low: Any, high: Any, values: Array) -> Any:
    """Sum of `values` over a set."""
    total = np.int64(0)
    while low:
        total += values[_lowest(low)]
        low &= low - _ONE
    while high:
        total += values[64 + _lowest(high)]
        high &= high - _ONE
    return total


@njit(cache=True, inline="always")
def _hash(a: Any, b: Any) -> Any:
    h = (a ^ (b * _MIX2)) * _MIX
    h ^= h >> _SHIFT
    h = (h + b) * _MIX2
    return h ^ (h >> _SHIFT)


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
    h0 = _hash(_ZERO, _ZERO) & mask
    slots[h0] = 0
    begin, end = 0, 1
    for step in range(n):
        level[step] = begin
        for i in range(begin, end):
            first[i] = used
            low, high = sets[i, 0], sets[i, 1]
            for o in range(n):
                if _has(low, high, o):
                    continue
                if (before[o, 0] & ~low) | (before[o, 1] & ~high):
                    continue
                a, b = low, high
                if o < 64:
                    a |= _ONE << np.uint64(o)
                else:
                    b |= _ONE << np.uint64(o - 64)
                slot = _hash(a, b) & mask
                found = -1
                while slots[slot] >= 0:
                    j = slots[slot]
                    if sets[j, 0] == a and sets[j, 1] == b:
                        found = j
                        break
                    slot = (slot + _ONE) & mask
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
                            at = _hash(sets[j, 0], sets[j, 1]) & mask
                            while slots[at] >= 0:
                                at = (at + _ONE) & mask
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
                begun = _has(low, high, made[a]) != _ZERO
            elif made[a] == -1:
                begun = ((users[a, 0] & low) | (users[a, 1] & high)) != _ZERO
            else:
                begun = True
            if begun:
                if a < 64:
                    live[i, 0] |= _ONE << np.uint64(a)
                else:
                    live[i, 1] |= _ONE << np.uint64(a - 64)
    return live


@njit(cache=True, nogil=True)
def live_units(live: Array, unit: Array) -> Array:
    """Live units after each down-set."""
    result = np.zeros(live.shape[0], dtype=np.int64)
    for i in range(live.shape[0]):
        result[i] = _total(live[i, 0], live[i, 1], unit)
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
            others = _total(l0 & ~operands[o, 0], l1 & ~operands[o, 1], size)
            value = max(peak[i], others + load[o])
            if value < peak[j]:
                peak[j], parent[j], move[j] = value, i, o
    return peak, parent, move


@njit(cache=True, nogil=True)
def fill_table(
    begin: int,
    end: int,
    live: Array,
    first: Array,
    moves: Array,
    targets: Array,
    operands: Array,
    outputs: Array,
    free: Array,
    unit: Array,
    load: Array,
    capacity: int,
    where: Array,
    width: Array,
    table: Array,
) -> None:
    """Fills the table for the down-sets ``begin .. end - 1``, those of later levels being filled.

    Entry ``where[i] + k * width[i] + c`` is the least number of units that must still cross the
    bus after down-set `i` when `k` live units are off chip and `c` have a copy there.
    """
    big = np.int32(1 << 29)
    for i in range(begin, end):
        l0, l1 = live[i, 0], live[i, 1]
        total = width[i] - 1
        at, w = where[i], width[i]
        for k in range(w):
            for c in range(w):
                table[at + k * w + c] = big
        for e in range(first[i], first[i + 1]):
            o, j = moves[e], targets[e]
            n0, n1 = live[j, 0], live[j, 1]
            p0, p1 = operands[o, 0], operands[o, 1]
            others = _total(l0 & ~p0, l1 & ~p1, unit)
            staying = _total(l0 & n0, l1 & n1, unit)
            # Network outputs have a copy at once; what enters at its first use has one, too.
            new_free = _total(n0 & ~l0 & free[0], n1 & ~l1 & free[1], unit)
            at2, w2 = where[j], width[j]
            for k in range(total + 1):
                fetched = max(0, k - others)
                k1 = k - fetched
                evicted = max(0, load[o] + others - k1 - capacity)
                if evicted > others - k1:
                    evicted = others - k1
                k2 = k1 + evicted
                for c in range(k, total + 1):
                    written = max(0, evicted - min(c - k1, others - k1))
                    c2 = min(c + written, staying) + new_free
                    if c2 < k2:
                        c2 = k2
                    if c2 > w2 - 1:
                        c2 = w2 - 1
                    kk = k2 if k2 <= w2 - 1 else w2 - 1
                    value = fetched + written + table[at2 + kk * w2 + c2]
                    if value < table[at + k * w + c]:
                        table[at + k * w + c] = value
        # Fetching, writing and dropping more than needed must not lead to a lower value.
        for c in range(w):
            for k in range(1, c + 1):
                v = table[at + (k - 1) * w + c] + 1
                if v < table[at + k * w + c]:
                    table[at + k * w + c] = v
            for k in range(c - 1, -1, -1):
                v = table[at + (k + 1) * w + c]
                if v < table[at + k * w + c]:
                    table[at + k * w + c] = v
        for k in range(w):
            for c in range(k + 1, w):
                v = table[at + k * w + c - 1]
                if v < table[at + k * w + c]:
                    table[at + k * w + c] = v
            for c in range(w - 2, k - 1, -1):
                v = table[at + k * w + c + 1] + 1
                if v < table[at + k * w + c]:
                    table[at + k * w + c] = v


@njit(cache=True, inline="always")
def _ahead(
    j: int,
    r0: Any,
    r1: Any,
    c0: Any,
    c1: Any,
    live: Array,
    unit: Array,
    where: Array,
    width: Array,
    table: Array,
    rate: float,
) -> Any:
    """Lower bound in bytes on what is still to be paid."""
    if width[j] == 0:
        return np.int64(0)
    k = _total(live[j, 0] & ~r0, live[j, 1] & ~r1, unit)
    c = _total(c0, c1, unit)
    return np.int64(np.ceil(table[where[j] + k * width[j] + c] * rate - 1e-6))


@njit(cache=True, nogil=True)
def heuristic(
    at: Array,
    state: Array,
    live: Array,
    unit: Array,
    where: Array,
    width: Array,
    table: Array,
    rate: float,
) -> Any:
    """The lower bound for each of some states."""
    result = np.zeros(at.size, dtype=np.int64)
    for i in range(at.size):
        result[i] = _ahead(
            at[i],
            state[i, 0],
            state[i, 1],
            state[i, 2],
            state[i, 3],
            live,
            unit,
            where,
            width,
            table,
            rate,
        )
    return result


@njit(cache=True)
def _is_safe(
    o: int,
    l0: Any,
    l1: Any,
    n0: Any,
    n1: Any,
    c0: Any,
    c1: Any,
    outputs: Array,
    operands: Array,
    size: Array,
    fetch: Array,
    write: Array,
) -> Any:
    """Whether running `o` now, with all its operands on chip and room for its results, is free.

    It is where its result takes the place of a tensor that ends with it, at least as large and
    without a copy: whatever a schedule does to that tensor until it runs `o`, it can do to the
    result instead.
    """
    # What begins with `o` and stays; a tensor that enters by its first use counts as well.
    b0, b1 = n0 & ~l0, n1 & ~l1
    if not (b0 | b1):
        return True
    if (b0 & (b0 - _ONE) if b0 else _ZERO) | (b1 & (b1 - _ONE) if b1 else _ZERO):
        return False
    if b0 and b1:
        return False
    a = _lowest(b0) if b0 else 64 + _lowest(b1)
    if not _has(outputs[o, 0], outputs[o, 1], a):
        return False
    d0, d1 = l0 & ~n0 & ~c0, l1 & ~n1 & ~c1
    while d0:
        v = _lowest(d0)
        d0 &= d0 - _ONE
        if size[v] >= size[a] and fetch[v] >= fetch[a] and write[v] >= write[a]:
            return True
    while d1:
        v = 64 + _lowest(d1)
        d1 &= d1 - _ONE
        if size[v] >= size[a] and fetch[v] >= fetch[a] and write[v] >= write[a]:
            return True
    return False


@njit(cache=True, inline="always")
def _state_hash(j: Any, s0: Any, s1: Any, t0: Any, t1: Any) -> Any:
    return _hash(s0 ^ (t0 * _MIX), s1 ^ (t1 * _MIX2) ^ (np.uint64(j) * _MIX))


@njit(cache=True, nogil=True)
def index_states(sets: Array, state: Array, count: int, slots: Array) -> None:
    """Puts the first `count` states into an empty hash table."""
    mask = np.uint64(slots.size - 1)
    for i in range(count):
        slot = _state_hash(sets[i], state[i, 0], state[i, 1], state[i, 2], state[i, 3]) & mask
        while slots[slot] >= 0:
            slot = (slot + _ONE) & mask
        slots[slot] = i


@njit(cache=True)
def _compare_next_uses(
    set0: Any,
    set1: Any,
    l0: Any,
    l1: Any,
    readers: Array,
    users: Array,
    after: Array,
    size: Array,
    fetch: Array,
    later: Array,
    once: Array,
) -> None:
    """Which live tensors are surely needed no sooner than which others, after a down-set.

    ``later[x]`` are the tensors `y` of the size of `x` of which every reader to come is, or comes
    after, a reader of `x`: whoever drops `x` and keeps `y` fetches `x` before he needs `y`.
    ``once[x]`` says that `x` has one user left, and that it reads it.
    """
    m = size.size
    for x in range(m):
        later[x, 0] = later[x, 1] = _ZERO
        once[x] = False
        if not _has(l0, l1, x):
            continue
        u0, u1 = readers[x, 0] & ~set0, readers[x, 1] & ~set1
        w0, w1 = users[x, 0] & ~set0, users[x, 1] & ~set1
        once[x] = (
            w0 == u0
            and w1 == u1
            and ((w1 == 0 and w0 & (w0 - _ONE) == 0) or (w0 == 0 and w1 & (w1 - _ONE) == 0))
        )
        a0, a1 = _ZERO, _ZERO
        while u0:
            o = _lowest(u0)
            u0 &= u0 - _ONE
            a0 |= after[o, 0]
            a1 |= after[o, 1]
        while u1:
            o = 64 + _lowest(u1)
            u1 &= u1 - _ONE
            a0 |= after[o, 0]
            a1 |= after[o, 1]
        for y in range(m):
            if y == x or size[y] != size[x] or fetch[y] != fetch[x] or not _has(l0, l1, y):
                continue
            if (readers[y, 0] & ~set0 & ~a0) | (readers[y, 1] & ~set1 & ~a1):
                continue
            if y < 64:
                later[x, 0] |= _ONE << np.uint64(y)
            else:
                later[x, 1] |= _ONE << np.uint64(y - 64)


@njit(cache=True, nogil=True)
def expand(
    begin: int,
    set_of: Array,
    state: Array,
    cost: Array,
    sets: Array,
    readers: Array,
    users: Array,
    after: Array,
    live: Array,
    first: Array,
    moves: Array,
    targets: Array,
    operands: Array,
    outputs: Array,
    free: Array,
    size: Array,
    fetch: Array,
    write: Array,
    unit: Array,
    load: Array,
    capacity: int,
    where: Array,
    width: Array,
    table: Array,
    rate: float,
    threshold: int,
    budget: int,
    slots: Array,
    out_set: Array,
    out_state: Array,
    out_cost: Array,
    out_bound: Array,
    out_parent: Array,
    out_move: Array,
    count: int,
) -> Any:
    """Successors of the states from `begin` on, until about `budget` were generated.

    A state is a down-set, the tensors on chip and those with a copy: (set_of, state[:, 4]). Equal
    successors are merged through the hash table `slots`; what is bounded above `threshold` is left
    out.

    Returns
    -------
    (next, count, least, generated)
        State to go on with; successors so far, or -1 when their arrays are full; least bound above
        the threshold; successors looked at.
    """
    room = out_set.size
    mask = np.uint64(slots.size - 1)
    least = np.int64(1 << 60)
    generated = 0
    chosen = np.zeros(129, dtype=np.int64)
    items = np.zeros(129, dtype=np.int64)
    rest = np.zeros(130, dtype=np.int64)
    later = np.zeros((size.size, 2), dtype=np.uint64)
    once = np.zeros(size.size, dtype=np.bool_)
    with0 = np.zeros(129, dtype=np.uint64)
    with1 = np.zeros(129, dtype=np.uint64)
    before = -1
    i = begin
    while i < set_of.size:
        if generated >= budget:
            break
        at = set_of[i]
        l0, l1 = live[at, 0], live[at, 1]
        r0, r1, c0, c1 = state[i, 0], state[i, 1], state[i, 2], state[i, 3]
        held = _total(r0, r1, size)
        if at != before:
            _compare_next_uses(
                sets[at, 0], sets[at, 1], l0, l1, readers, users, after, size, fetch, later, once
            )
            before = at
        only = -1
        for e in range(first[at], first[at + 1]):
            o, j = moves[e], targets[e]
            p0, p1 = operands[o, 0], operands[o, 1]
            if (p0 & l0 & ~r0) | (p1 & l1 & ~r1):
                continue
            kept = held - _total(r0 & p0, r1 & p1, size)
            if kept + load[o] > capacity:
                continue
            if _is_safe(
                o,
                l0,
                l1,
                live[j, 0],
                live[j, 1],
                c0,
                c1,
                outputs,
                operands,
                size,
                fetch,
                write,
            ):
                only = e
                break
        lo = first[at] if only < 0 else only
        hi = first[at + 1] if only < 0 else only + 1
        for e in range(lo, hi):
            o, j = moves[e], targets[e]
            p0, p1 = operands[o, 0], operands[o, 1]
            base = cost[i] + _total(p0 & l0 & ~r0, p1 & l1 & ~r1, fetch)
            k0, k1 = r0 & ~p0, r1 & ~p1
            kept = _total(k0, k1, size)
            excess = kept + load[o] - capacity
            n0, n1 = live[j, 0], live[j, 1]
            # Copies that come for free: of network outputs and of what enters at its first use.
            f0, f1 = n0 & ~l0 & free[0], n1 & ~l1 & free[1]
            # Drop each smallest set of others that makes room, found depth first.
            number = 0
            x0, x1 = k0, k1
            while x0:
                items[number] = _lowest(x0)
                number += 1
                x0 &= x0 - _ONE
            while x1:
                items[number] = 64 + _lowest(x1)
                number += 1
                x1 &= x1 - _ONE
            rest[number] = 0
            for q in range(number - 1, -1, -1):
                rest[q] = rest[q + 1] + size[items[q]]
            # Tensor `v` is dropped only together with those that it had better give way to: needed
            # no sooner, and no dearer to drop.
            if excess > 0:
                for q in range(number):
                    v = items[q]
                    y0, y1 = later[v, 0] & k0, later[v, 1] & k1
                    with0[q], with1[q] = _ZERO, _ZERO
                    copied = _has(c0, c1, v)
                    for qq in range(number):
                        y = items[qq]
                        if not _has(y0, y1, y):
                            continue
                        if not _has(c0, c1, y):
                            if copied or not once[v] or write[y] != write[v]:
                                continue
                            same = True
                        else:
                            same = copied != _ZERO
                        if same and y < v and _has(later[y, 0], later[y, 1], v):
                            # Equals: the one of the lower number goes with the other.
                            if copied or once[y]:
                                continue
                        if y < 64:
                            with0[q] |= _ONE << np.uint64(y)
                        else:
                            with1[q] |= _ONE << np.uint64(y - 64)
            depth, position, gone, spent = 0, 0, np.int64(0), np.int64(0)
            e0, e1 = _ZERO, _ZERO
            while True:
                complete = gone >= excess
                proper = complete
                for q in range(depth):
                    if (with0[chosen[q]] & ~e0) | (with1[chosen[q]] & ~e1):
                        proper = False
                        break
                if proper:
                    generated += 1
                    s0 = ((r0 & ~e0) | p0) & n0
                    s1 = ((r1 & ~e1) | p1) & n1
                    t0 = ((c0 | e0) & n0) | f0
                    t1 = ((c1 | e1) & n1) | f1
                    g = base + spent
                    bound = g + _ahead(j, s0, s1, t0, t1, live, unit, where, width, table, rate)
                    if bound > threshold:
                        if bound < least:
                            least = bound
                    else:
                        slot = _state_hash(j, s0, s1, t0, t1) & mask
                        while True:
                            q = slots[slot]
                            if q < 0:
                                if count >= room:
                                    return i, -1, least, generated
                                slots[slot] = count
                                out_set[count] = j
                                out_state[count, 0], out_state[count, 1] = s0, s1
                                out_state[count, 2], out_state[count, 3] = t0, t1
                                out_cost[count], out_bound[count] = g, bound
                                out_parent[count], out_move[count] = i, o
                                count += 1
                                break
                            if (
                                out_set[q] == j
                                and out_state[q, 0] == s0
                                and out_state[q, 1] == s1
                                and out_state[q, 2] == t0
                                and out_state[q, 3] == t1
                            ):
                                if g < out_cost[q]:
                                    out_cost[q], out_bound[q] = g, bound
                                    out_parent[q], out_move[q] = i, o
                                break
                            slot = (slot + _ONE) & mask
                # Next: add the next tensor, or replace the last by a later one.
                if not complete and position < number and gone + rest[position] >= excess:
                    chosen[depth] = position
                    depth += 1
                else:
                    found = False
                    while depth > 0:
                        depth -= 1
                        back = chosen[depth]
                        v = items[back]
                        gone -= size[v]
                        if not _has(c0, c1, v):
                            spent -= write[v]
                        if v < 64:
                            e0 &= ~(_ONE << np.uint64(v))
                        else:
                            e1 &= ~(_ONE << np.uint64(v - 64))
                        position = back + 1
                        if position < number and gone + rest[position] >= excess:
                            chosen[depth] = position
                            depth += 1
                            found = True
                            break
                    if not found:
                        break
                v = items[chosen[depth - 1]]
                gone += size[v]
                if not _has(c0, c1, v):
                    spent += write[v]
                if v < 64:
                    e0 |= _ONE << np.uint64(v)
                else:
                    e1 |= _ONE << np.uint64(v - 64)
                position = chosen[depth - 1] + 1
        i += 1
    return i, count, least, generated


@njit(cache=True, nogil=True)
def prune(
    order: Array,
    set_of: Array,
    state: Array,
    cost: Array,
    sets: Array,
    live: Array,
    readers: Array,
    users: Array,
    after: Array,
    size: Array,
    fetch: Array,
    write: Array,
    depth: int,
) -> Any:
    """States that no other of the same down-set makes superfluous, sorted by down-set.

    One does when it can do whatever the other does for no more than the difference of their costs:
    fetching what only the other has on chip, writing what only the other has a copy of; and where
    it has a tensor on chip that the other needs to fetch sooner than what it lacks itself, it
    fetches this one instead. `order` sorts the states by down-set, then by cost; each is compared
    with at most `depth` that were kept.
    """
    result = np.zeros(order.size, dtype=np.int64)
    kept = np.zeros(order.size, dtype=np.int64)
    later = np.zeros((size.size, 2), dtype=np.uint64)
    once = np.zeros(size.size, dtype=np.bool_)
    number, current, count = 0, -1, 0
    for position in range(order.size):
        i = order[position]
        at = set_of[i]
        if at != current:
            current, number = at, 0
            _compare_next_uses(
                sets[at, 0],
                sets[at, 1],
                live[at, 0],
                live[at, 1],
                readers,
                users,
                after,
                size,
                fetch,
                later,
                once,
            )
        r0, r1, c0, c1 = state[i, 0], state[i, 1], state[i, 2], state[i, 3]
        beaten = False
        for q in range(min(number, depth)):
            b = kept[q]
            slack = cost[i] - cost[b]
            x0, x1 = r0 & ~state[b, 0], r1 & ~state[b, 1]
            y0, y1 = c0 & ~state[b, 2], c1 & ~state[b, 3]
            if not (x0 | x1 | y0 | y1):
                beaten = True
                break
            if not (x0 | x1) and slack <= 0:
                continue
            need = _total(y0, y1, write)
            # Tensors that only `b` has on chip, to stand in for those that only `i` has.
            h0, h1 = state[b, 0] & ~r0, state[b, 1] & ~r1
            while x0 | x1:
                if x0:
                    y = _lowest(x0)
                    x0 &= x0 - _ONE
                else:
                    y = 64 + _lowest(x1)
                    x1 &= x1 - _ONE
                best, gain = -1, np.int64(-1)
                g0, g1 = h0, h1
                while g0 | g1:
                    if g0:
                        x = _lowest(g0)
                        g0 &= g0 - _ONE
                    else:
                        x = 64 + _lowest(g1)
                        g1 &= g1 - _ONE
                    if not _has(later[x, 0], later[x, 1], y):
                        continue
                    saved = np.int64(0)
                    if once[x] and _has(y0, y1, x) and not _has(c0, c1, y) and write[x] <= write[y]:
                        saved = write[x]
                    if saved > gain:
                        best, gain = x, saved
                if best < 0:
                    need += fetch[y]
                else:
                    need -= gain
                    if best < 64:
                        h0 &= ~(_ONE << np.uint64(best))
                    else:
                        h1 &= ~(_ONE << np.uint64(best - 64))
            if need <= slack:
                beaten = True
                break
        if not beaten:
            result[count] = i
            count += 1
            kept[number] = i
            number += 1
    return result[:count]
