"""Runs an engine's Verilog as native code: a Verilated model, one call for a whole run."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.emit import to_verilog
from hw.engine.catalogue import EngineKind, array_element, create_array, engine_kind_of
from hw.pe.base import ProcessingElement
from sim.reference import Integers
from sim.runner.device import declared, opened, pointer, require_results, split_results
from sim.runner.library import native_library
from sim.streams import Stalls, pack_fields
from sim.tiles import grouped_steps
from sim.timing.systolic import StreamTrace

__all__ = ["EngineRun", "NativeEngine"]

_POINTER, _COUNT = ctypes.c_void_p, ctypes.c_uint64
_RUN = (
    *(_POINTER, _COUNT, _POINTER, _POINTER, _COUNT),
    *(_POINTER, _COUNT, _POINTER, _POINTER, ctypes.c_int64),
)


@dataclass(frozen=True)
class EngineRun:
    """What came out of an engine and when.

    Attributes
    ----------
    values : (result beats, cols)
    last : (result beats,)
    trace : StreamTrace
    """

    values: Integers
    last: npt.NDArray[np.bool_]
    trace: StreamTrace


class NativeEngine:
    """A Verilated engine in this process.

    Building takes seconds to a minute once; the compiled model is cached by its Verilog and options.

    Parameters
    ----------
    kind, depth
        Of the engine, as `hw.engine.catalogue.create_array` takes them.
    verilog, module : str, optional
        The array's Verilog and the name of its top module, where it has been generated already.

    Raises
    ------
    InputError
        A program that simulation needs is missing.
    """

    def __init__(
        self,
        pe: ProcessingElement,
        *,
        rows: int,
        cols: int,
        kind: EngineKind | None = None,
        depth: int | None = None,
        verilog: str | None = None,
        module: str = "top",
    ) -> None:
        self._pe = pe
        self._rows = rows
        self._cols = cols
        kind = kind or engine_kind_of(pe)
        self._elements = array_element(pe, kind, depth).k_granularity
        text = verilog or to_verilog(
            create_array(pe, rows=rows, cols=cols, kind=kind, depth=depth), module
        )
        self._library = declared(
            native_library(text, module, "engine.cpp"), ("operand", "result"), _RUN
        )
        self._operand_bytes = int(self._library.bitweft_operand_bytes())
        self._result_bytes = int(self._library.bitweft_result_bytes())

    @property
    def pe(self) -> ProcessingElement:
        return self._pe

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def cols(self) -> int:
        return self._cols

    def run(
        self,
        a: Integers,
        b: Integers,
        lengths: Sequence[int],
        stalls: Stalls | None = None,
        *,
        limit: int,
    ) -> EngineRun:
        """Resets the array and streams tiles through it.

        Parameters
        ----------
        a, b : (sum of lengths, rows), (sum of lengths, cols)
            Operands of all tiles, one row per element of K.
        lengths : sequence of int
            K of each tile.
        limit : int
            Cycles after which a run counts as hung.

        Raises
        ------
        SimulationError
            The array did not deliver all results within `limit` cycles.
        """
        elements, wanted = sum(lengths), self._rows * len(lengths)
        if a.shape != (elements, self._rows) or b.shape != (elements, self._cols):
            raise ValueError(f"operands must have {elements} rows, not {a.shape} and {b.shape}")
        if self._elements > 1:
            a, _ = grouped_steps(a, lengths, self._elements)
            b, lengths = grouped_steps(b, lengths, self._elements)
        beats = len(a)
        stalls = stalls or Stalls.none(beats)
        last = np.zeros((beats, 1), np.int64)
        last[np.cumsum(lengths) - 1] = 1
        operands = pack_fields(
            [(a, self._pe.activation.bits), (b, self._pe.weight.bits), (last, 1)],
            self._operand_bytes,
        )
        gaps = np.ascontiguousarray(stalls.gaps, np.int64)
        ready = np.array(stalls.ready, np.uint8)
        results = np.zeros((wanted, self._result_bytes), np.uint8)
        accepted, emitted = np.zeros(beats, np.int64), np.zeros(wanted, np.int64)
        with opened(self._library) as handle:
            received = self._library.bitweft_run(
                handle,
                *(pointer(operands), beats, pointer(gaps), pointer(ready), len(ready)),
                *(pointer(results), wanted, pointer(accepted), pointer(emitted), limit),
            )
        require_results(received, wanted, limit)
        values, is_last = split_results(results, self._cols, self._pe.accumulator_bits)
        return EngineRun(values, is_last, StreamTrace(accepted, emitted))
