"""Addresses for buffers with known lifetimes: static memory allocation.

A buffer lives in the half-open interval ``[lower, upper)`` and has a size; buffers that live at
the same time must not overlap, and none may end above the capacity.
"""

from mapper.pack.buffers import Buffer, live_sets, peak_load
from mapper.pack.least import Least, least_capacity
from mapper.pack.solve import OnProgress, Packing, pack

__all__ = [
    "Buffer",
    "Least",
    "OnProgress",
    "Packing",
    "least_capacity",
    "live_sets",
    "pack",
    "peak_load",
]
