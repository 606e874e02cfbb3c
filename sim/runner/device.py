"""What the native runners of engines share: their library's calls, and results as numbers."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.reference import Integers
from sim.runner.library import SimulationError
from sim.streams import unpack_field

__all__ = ["declared", "opened", "pointer", "require_results", "split_results"]


def pointer(array: npt.NDArray[Any]) -> Any:
    """What C gets of a contiguous array, which has to outlive the call."""
    return array.ctypes.data_as(ctypes.c_void_p)


def declared(library: Any, streams: Sequence[str], arguments: Sequence[Any]) -> Any:
    """Gives the functions of a harness their types.

    Parameters
    ----------
    library : CDLL
    streams : sequence of str
        Of each, the harness tells the bytes of a beat.
    arguments : sequence of ctypes types
        Of ``bitweft_run`` after the handle.
    """
    library.bitweft_open.restype = ctypes.c_void_p
    library.bitweft_close.argtypes = [ctypes.c_void_p]
    library.bitweft_close.restype = None
    for name in (*(f"{stream}_bytes" for stream in streams), "run"):
        getattr(library, f"bitweft_{name}").restype = ctypes.c_uint64
    library.bitweft_run.argtypes = [ctypes.c_void_p, *arguments]
    return library


@contextmanager
def opened(library: Any) -> Iterator[Any]:
    """A device of the library, closed at the end."""
    handle = library.bitweft_open()
    try:
        yield handle
    finally:
        library.bitweft_close(handle)


def require_results(received: int, wanted: int, limit: int) -> None:
    """Refuses a run that was cut off.

    Raises
    ------
    SimulationError
        Not all results came within `limit` cycles.
    """
    if received != wanted:
        raise SimulationError(
            f"the array must deliver {wanted} result beats within {limit} cycles, not {received}"
        )


def split_results(
    results: npt.NDArray[np.uint8], cols: int, width: int
) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Values (beats, cols) of `width` bits, and the flag behind them that ends a tile (beats,)."""
    flag = cols * width
    last = (results[:, flag // 8] >> (flag % 8)) & 1
    return unpack_field(results, count=cols, bits=width), last.astype(np.bool_)
