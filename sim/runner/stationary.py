"""Runs a weight-stationary engine's Verilog as native code, one call for a whole run."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.emit import to_verilog
from hw.engine.weight_stationary import WeightStationaryArray
from hw.pe.base import ProcessingElement
from sim.reference import Integers
from sim.runner.library import SimulationError, native_library
from sim.stationary import StationaryGemm, StationaryStalls
from sim.streams import pack_fields, unpack_field
from sim.timing.weight_stationary import StationaryTrace

__all__ = ["NativeStationaryEngine", "StationaryRun"]


@dataclass(frozen=True)
class StationaryRun:
    """What came out of an engine and when.

    Attributes
    ----------
    values : (result beats, cols)
    last : (result beats,)
    trace : StationaryTrace
    """

    values: Integers
    last: npt.NDArray[np.bool_]
    trace: StationaryTrace


class NativeStationaryEngine:
    """A Verilated weight-stationary engine in this process.

    Building takes seconds to a minute once; the compiled model is cached by its Verilog and options.

    Raises
    ------
    InputError
        A program that simulation needs is missing.
    """

    def __init__(self, pe: ProcessingElement, *, rows: int, cols: int, tile_rows: int) -> None:
        self._pe = pe
        self._size = (rows, cols, tile_rows)
        array = WeightStationaryArray(pe, rows=rows, cols=cols, tile_rows=tile_rows)
        self._library = _typed(native_library(to_verilog(array, "top"), "top", "stationary.cpp"))

    @property
    def pe(self) -> ProcessingElement:
        return self._pe

    def run(
        self,
        work: StationaryGemm,
        a: npt.ArrayLike,
        b: npt.ArrayLike,
        stalls: StationaryStalls | None = None,
        *,
        limit: int,
    ) -> StationaryRun:
        """Resets the array and streams a GEMM through it.

        Parameters
        ----------
        work : StationaryGemm
            Of the engine's size.
        a, b : (M, K), (K, N)
        limit : int
            Cycles after which a run counts as hung.

        Raises
        ------
        SimulationError
            The array did not deliver all results within `limit` cycles.
        """
        if (work.rows, work.cols, work.tile_rows) != self._size:
            raise ValueError(f"work must be cut for an engine of {self._size}, not {work}")
        library, pe, cols = self._library, self._pe, work.cols
        beats_b, beats_a = work.weights(b), work.activations(a)
        stalls = stalls or StationaryStalls.none(work)
        weights = pack_fields([(beats_b, pe.weight.bits)], int(library.bitweft_weight_bytes()))
        activations = pack_fields(
            [(beats_a, pe.activation.bits), (work.flags, 1)],
            int(library.bitweft_activation_bytes()),
        )
        gaps = [np.ascontiguousarray(g, np.int64) for g in (stalls.weights, stalls.activations)]
        ready = np.array(stalls.ready, np.uint8)
        wanted = len(work.last)
        results = np.zeros((wanted, int(library.bitweft_result_bytes())), np.uint8)
        trace = [np.zeros(n, np.int64) for n in (len(beats_b), len(beats_a), wanted)]
        handle = library.bitweft_open()
        try:
            received = library.bitweft_run(
                handle,
                *(_pointer(weights), len(beats_b), _pointer(gaps[0])),
                *(_pointer(activations), len(beats_a), _pointer(gaps[1])),
                *(_pointer(ready), len(ready), _pointer(results), wanted),
                *map(_pointer, trace),
                limit,
            )
        finally:
            library.bitweft_close(handle)
        if received != wanted:
            raise SimulationError(
                f"the array must deliver {wanted} result beats within {limit} cycles, "
                f"not {received}"
            )
        values = unpack_field(results, count=cols, bits=pe.accumulator_bits)
        flag = cols * pe.accumulator_bits
        is_last = (results[:, flag // 8] >> (flag % 8)) & 1
        return StationaryRun(values, is_last.astype(np.bool_), StationaryTrace(*trace))


def _pointer(array: npt.NDArray[Any]) -> Any:
    return array.ctypes.data_as(ctypes.c_void_p)


def _typed(library: Any) -> Any:
    """Declares the functions of ``stationary.cpp``."""
    library.bitweft_open.restype = ctypes.c_void_p
    library.bitweft_close.argtypes = [ctypes.c_void_p]
    library.bitweft_close.restype = None
    for name in ("weight_bytes", "activation_bytes", "result_bytes", "run"):
        getattr(library, f"bitweft_{name}").restype = ctypes.c_uint64
    pointer, count = ctypes.c_void_p, ctypes.c_uint64
    library.bitweft_run.argtypes = [
        *(pointer, pointer, count, pointer, pointer, count, pointer),
        *(pointer, count, pointer, count),
        *(pointer, pointer, pointer, ctypes.c_int64),
    ]
    return library
