"""Sets of up to 128 operators or tensors as two 64-bit words.

Numba looks at the file of a function alone when it decides whether its cached code is current: after
a change here, the cache of the modules beside it must be removed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["MIX", "MIX2", "ONE", "ZERO", "has", "lowest", "mixed", "total_of"]

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
