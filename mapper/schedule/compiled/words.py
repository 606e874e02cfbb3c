"""Sets of operators or tensors as 64-bit words: two of them in a search, rows of any length in tables.

Numba looks at the file of a function alone when it decides whether its cached code is current: after
a change here, the cache of the modules beside it must be removed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = [
    "MIX",
    "MIX2",
    "ONE",
    "ZERO",
    "contains",
    "has",
    "lowest",
    "members",
    "mixed",
    "number_of",
    "row_hash",
    "total_of",
]

Array = Any


ONE = np.uint64(1)
ZERO = np.uint64(0)
MIX = np.uint64(0x9E3779B97F4A7C15)
MIX2 = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)
# Position of the lowest set bit, through a de Bruijn sequence.
_DEBRUIJN = np.uint64(0x03F79D71B4CB0A89)
_TOP6 = np.uint64(58)
_LOWEST = np.zeros(64, dtype=np.int64)
for _i in range(64):
    _LOWEST[((0x03F79D71B4CB0A89 << _i) & ((1 << 64) - 1)) >> 58] = _i


@njit(cache=True, inline="always")
def lowest(x: Any) -> Any:
    return _LOWEST[((x & (~x + ONE)) * _DEBRUIJN) >> _TOP6]


@njit(cache=True, inline="always")
def has(low: Any, high: Any, i: int) -> Any:
    if i < 64:
        return (low >> np.uint64(i)) & ONE
    return (high >> np.uint64(i - 64)) & ONE


@njit(cache=True)
def total_of(low: Any, high: Any, values: Array) -> Any:
    """Sum of `values` over a set."""
    total = np.int64(0)
    while low:
        total += values[lowest(low)]
        low &= low - ONE
    while high:
        total += values[64 + lowest(high)]
        high &= high - ONE
    return total


@njit(cache=True, inline="always")
def mixed(a: Any, b: Any) -> Any:
    h = (a ^ (b * MIX2)) * MIX
    h ^= h >> _SHIFT
    h = (h + b) * MIX2
    return h ^ (h >> _SHIFT)


@njit(cache=True, inline="always")
def contains(row: Array, i: int) -> Any:
    return (row[i >> 6] >> np.uint64(i & 63)) & ONE


@njit(cache=True)
def members(row: Array, out: Array) -> int:
    """Writes the members of a set, ascending; returns how many."""
    number = 0
    for word in range(row.size):
        x = row[word]
        while x:
            out[number] = 64 * word + lowest(x)
            number += 1
            x &= x - ONE
    return number


@njit(cache=True)
def number_of(row: Array, without: Array) -> int:
    """How many members of a set are not in another."""
    number = 0
    for word in range(row.size):
        x = row[word] & ~without[word]
        while x:
            number += 1
            x &= x - ONE
    return number


@njit(cache=True)
def row_hash(row: Array) -> Any:
    h = ZERO
    for word in range(0, row.size, 2):
        h = mixed(row[word] ^ h, row[word + 1])
    return h
