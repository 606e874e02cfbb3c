"""Helpers that several test files share."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable

import pytest
from amaranth.hdl import UnusedElaboratable

from hw.spec import Spec, parse_spec

__all__ = ["refuses", "smallest"]

_SMALLEST = """
engine = { rows = 2, cols = 2 }
pe = { kind = "mac" }
scratchpad = { bytes = 4096, banks = 1 }
weight_buffer = { bytes = 4096 }
memory = { bus_bits = 16, latency_cycles = 1, bytes_per_cycle = 2 }
"""


def refuses(create: Callable[[], object], message: str) -> None:
    """Asserts that `create` raises a ValueError whose text matches `message`.

    Amaranth warns of every component that is never elaborated, even of one that refused its
    parameters, and does so when the garbage collector finds it; so it is collected here.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedElaboratable)
        with pytest.raises(ValueError, match=message):
            create()
        gc.collect()


def smallest() -> Spec:
    """The spec of the smallest accelerator that there is: quick to build."""
    return parse_spec(_SMALLEST, "smallest", "test")
