"""The table over (down-set, units off chip, units with a copy), and the bound that it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from mapper.schedule.compiled.words import total_of

__all__ = ["ahead", "fill_table", "heuristic", "least_through"]

Array = Any


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
            others = total_of(l0 & ~p0, l1 & ~p1, unit)
            staying = total_of(l0 & n0, l1 & n1, unit)
            # Network outputs have a copy at once; what enters at its first use has one, too.
            new_free = total_of(n0 & ~l0 & free[0], n1 & ~l1 & free[1], unit)
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
def ahead(
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
    k = total_of(live[j, 0] & ~r0, live[j, 1] & ~r1, unit)
    c = total_of(c0, c1, unit)
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
        result[i] = ahead(
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


@njit(cache=True, nogil=True)
def least_through(room: int, given: Array, width: Array, where: Array, table: Array) -> Array:
    """Units that cross the bus at least on any way through each down-set, before and after it.

    `room` units fit on chip. Of the live units with a copy, all but `given` were written before.
    """
    result = np.zeros(width.size, dtype=np.int64)
    for i in range(width.size):
        w, best = width[i], np.int64(1 << 60)
        for k in range(max(0, w - 1 - room), w):
            for c in range(k, w):
                best = min(best, max(0, c - given[i]) + np.int64(table[where[i] + k * w + c]))
        result[i] = best
    return result
