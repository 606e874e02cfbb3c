"""What can follow a state: the next operator, and what is dropped to make room for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.chip import chip_ahead
from mapper.schedule.compiled.dominance import compare_next_uses
from mapper.schedule.compiled.table import ahead
from mapper.schedule.compiled.words import MIX, MIX2, ONE, ZERO, has, lowest, mixed, total_of

__all__ = ["expand", "index_states"]

Array = Any


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
    if (b0 & (b0 - ONE) if b0 else ZERO) | (b1 & (b1 - ONE) if b1 else ZERO):
        return False
    if b0 and b1:
        return False
    a = lowest(b0) if b0 else 64 + lowest(b1)
    if not has(outputs[o, 0], outputs[o, 1], a):
        return False
    d0, d1 = l0 & ~n0 & ~c0, l1 & ~n1 & ~c1
    while d0:
        v = lowest(d0)
        d0 &= d0 - ONE
        if size[v] >= size[a] and fetch[v] >= fetch[a] and write[v] >= write[a]:
            return True
    while d1:
        v = 64 + lowest(d1)
        d1 &= d1 - ONE
        if size[v] >= size[a] and fetch[v] >= fetch[a] and write[v] >= write[a]:
            return True
    return False


@njit(cache=True, inline="always")
def _state_hash(j: Any, s0: Any, s1: Any, t0: Any, t1: Any) -> Any:
    return mixed(s0 ^ (t0 * MIX), s1 ^ (t1 * MIX2) ^ (np.uint64(j) * MIX))


@njit(cache=True, nogil=True)
def index_states(sets: Array, state: Array, count: int, slots: Array) -> None:
    """Puts the first `count` states into an empty hash table."""
    mask = np.uint64(slots.size - 1)
    for i in range(count):
        slot = _state_hash(sets[i], state[i, 0], state[i, 1], state[i, 2], state[i, 3]) & mask
        while slots[slot] >= 0:
            slot = (slot + ONE) & mask
        slots[slot] = i


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
    rank: Array,
    prices: Array,
    chip_where: Array,
    chip: Array,
    chip_rate: float,
    grain: int,
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
        held = total_of(r0, r1, size)
        if at != before:
            compare_next_uses(
                sets[at, 0], sets[at, 1], l0, l1, readers, users, after, size, fetch, later, once
            )
            before = at
        only = -1
        for e in range(first[at], first[at + 1]):
            o, j = moves[e], targets[e]
            p0, p1 = operands[o, 0], operands[o, 1]
            if (p0 & l0 & ~r0) | (p1 & l1 & ~r1):
                continue
            kept = held - total_of(r0 & p0, r1 & p1, size)
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
            base = cost[i] + total_of(p0 & l0 & ~r0, p1 & l1 & ~r1, fetch)
            k0, k1 = r0 & ~p0, r1 & ~p1
            kept = total_of(k0, k1, size)
            excess = kept + load[o] - capacity
            n0, n1 = live[j, 0], live[j, 1]
            # Copies that come for free: of network outputs and of what enters at its first use.
            f0, f1 = n0 & ~l0 & free[0], n1 & ~l1 & free[1]
            # Drop each smallest set of others that makes room, found depth first.
            number = 0
            x0, x1 = k0, k1
            while x0:
                items[number] = lowest(x0)
                number += 1
                x0 &= x0 - ONE
            while x1:
                items[number] = 64 + lowest(x1)
                number += 1
                x1 &= x1 - ONE
            rest[number] = 0
            for q in range(number - 1, -1, -1):
                rest[q] = rest[q + 1] + size[items[q]]
            # Tensor `v` is dropped only together with those that it had better give way to: needed
            # no sooner, and no dearer to drop.
            if excess > 0:
                for q in range(number):
                    v = items[q]
                    y0, y1 = later[v, 0] & k0, later[v, 1] & k1
                    with0[q], with1[q] = ZERO, ZERO
                    copied = has(c0, c1, v)
                    for qq in range(number):
                        y = items[qq]
                        if not has(y0, y1, y):
                            continue
                        if not has(c0, c1, y):
                            if copied or not once[v] or write[y] != write[v]:
                                continue
                            same = True
                        else:
                            same = copied != ZERO
                        if same and y < v and has(later[y, 0], later[y, 1], v):
                            # Equals: the one of the lower number goes with the other.
                            if copied or once[y]:
                                continue
                        if y < 64:
                            with0[q] |= ONE << np.uint64(y)
                        else:
                            with1[q] |= ONE << np.uint64(y - 64)
            depth, position, gone, spent = 0, 0, np.int64(0), np.int64(0)
            e0, e1 = ZERO, ZERO
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
                    more = ahead(j, s0, s1, t0, t1, live, unit, where, width, table, rate)
                    if chip.size and g + more <= threshold:
                        units = chip_ahead(
                            j, s0, s1, t0, t1, sets, live, readers, rank, prices, chip_where, chip
                        )
                        more = max(more, np.int64(np.ceil(units * chip_rate - 1e-6)) * grain)
                    bound = g + more
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
                            slot = (slot + ONE) & mask
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
                        if not has(c0, c1, v):
                            spent -= write[v]
                        if v < 64:
                            e0 &= ~(ONE << np.uint64(v))
                        else:
                            e1 &= ~(ONE << np.uint64(v - 64))
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
                if not has(c0, c1, v):
                    spent += write[v]
                if v < 64:
                    e0 |= ONE << np.uint64(v)
                else:
                    e1 |= ONE << np.uint64(v - 64)
                position = chosen[depth - 1] + 1
        i += 1
    return i, count, least, generated
