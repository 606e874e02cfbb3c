"""Runs a weight-stationary engine's Verilog as native code, one call for a whole run."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.emit import to_verilog
from hw.engine.weight_stationary import WeightStationaryArray
from hw.pe.base import ProcessingElement
from sim.reference import Integers
from sim.runner.device import declared, opened, pointer, require_results, split_results
from sim.runner.library import native_library
from sim.stationary import StationaryGemm, StationaryStalls
from sim.streams import pack_fields
from sim.timing.weight_stationary import StationaryTrace

__all__ = ["NativeStationaryEngine", "StationaryRun"]

_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_uint64
_RUN = (
    *(_POINTER, _COUNT, _POINTER, _POINTER, _COUNT, _POINTER),
    *(_POINTER, _COUNT, _POINTER, _COUNT),
    *(_POINTER, _POINTER, _POINTER, ctypes.c_int64),
)


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
        self._library = declared(
            native_library(to_verilog(array, "top"), "top", "stationary.cpp"),
            ("weight", "activation", "result"),
            _RUN,
        )

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
        with opened(library) as handle:
            received = library.bitweft_run(
                handle,
                *(pointer(weights), len(beats_b), pointer(gaps[0])),
                *(pointer(activations), len(beats_a), pointer(gaps[1])),
                *(pointer(ready), len(ready), pointer(results), wanted),
                *map(pointer, trace),
                limit,
            )
        require_results(received, wanted, limit)
        values, is_last = split_results(results, cols, pe.accumulator_bits)
        return StationaryRun(values, is_last, StationaryTrace(*trace))
