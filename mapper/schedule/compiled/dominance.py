"""States that others make superfluous."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.words import ONE, ZERO, has, lowest, total_of

__all__ = ["compare_next_uses", "prune"]

Array = Any


@njit(cache=True)
def compare_next_uses(
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
        later[x, 0] = later[x, 1] = ZERO
        once[x] = False
        if not has(l0, l1, x):
            continue
        u0, u1 = readers[x, 0] & ~set0, readers[x, 1] & ~set1
        w0, w1 = users[x, 0] & ~set0, users[x, 1] & ~set1
        once[x] = (
            w0 == u0
            and w1 == u1
            and ((w1 == 0 and w0 & (w0 - ONE) == 0) or (w0 == 0 and w1 & (w1 - ONE) == 0))
        )
        a0, a1 = ZERO, ZERO
        while u0:
            o = lowest(u0)
            u0 &= u0 - ONE
            a0 |= after[o, 0]
            a1 |= after[o, 1]
        while u1:
            o = 64 + lowest(u1)
            u1 &= u1 - ONE
            a0 |= after[o, 0]
            a1 |= after[o, 1]
        for y in range(m):
            if y == x or size[y] != size[x] or fetch[y] != fetch[x] or not has(l0, l1, y):
                continue
            if (readers[y, 0] & ~set0 & ~a0) | (readers[y, 1] & ~set1 & ~a1):
                continue
            if y < 64:
                later[x, 0] |= ONE << np.uint64(y)
            else:
                later[x, 1] |= ONE << np.uint64(y - 64)


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
            compare_next_uses(
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
            need = total_of(y0, y1, write)
            # Tensors that only `b` has on chip, to stand in for those that only `i` has.
            h0, h1 = state[b, 0] & ~r0, state[b, 1] & ~r1
            while x0 | x1:
                if x0:
                    y = lowest(x0)
                    x0 &= x0 - ONE
                else:
                    y = 64 + lowest(x1)
                    x1 &= x1 - ONE
                best, gain = -1, np.int64(-1)
                g0, g1 = h0, h1
                while g0 | g1:
                    if g0:
                        x = lowest(g0)
                        g0 &= g0 - ONE
                    else:
                        x = 64 + lowest(g1)
                        g1 &= g1 - ONE
                    if not has(later[x, 0], later[x, 1], y):
                        continue
                    saved = np.int64(0)
                    if once[x] and has(y0, y1, x) and not has(c0, c1, y) and write[x] <= write[y]:
                        saved = write[x]
                    if saved > gain:
                        best, gain = x, saved
                if best < 0:
                    need += fetch[y]
                else:
                    need -= gain
                    if best < 64:
                        h0 &= ~(ONE << np.uint64(best))
                    else:
                        h1 &= ~(ONE << np.uint64(best - 64))
            if need <= slack:
                beaten = True
                break
        if not beaten:
            result[count] = i
            count += 1
            kept[number] = i
            number += 1
    return result[:count]
