"""Exact timing of any engine, by its kind and PE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from hw.engine.catalogue import EngineKind, array_element, engine_kind_of
from hw.pe.base import ProcessingElement
from hw.pe.sparse_digit import DigitElement
from hw.spec import Spec
from sim.timing.digit_array import DigitTiming
from sim.timing.systolic import MatrixTiming, StreamTrace, SystolicTiming
from sim.timing.weight_stationary import WeightStationaryTiming

__all__ = ["array_timing", "engine_trace", "spec_timing"]


def array_timing(
    pe: ProcessingElement,
    *,
    rows: int,
    cols: int,
    kind: EngineKind | None = None,
    depth: int | None = None,
) -> SystolicTiming | DigitTiming:
    """Timing of the engine that `hw.engine.catalogue.create_array` makes of the same."""
    kind = kind or engine_kind_of(pe)
    element = array_element(pe, kind, depth)
    if isinstance(element, DigitElement):
        return DigitTiming(element, rows, cols)
    timing = MatrixTiming if kind in ("matrix", "tree") else SystolicTiming
    return timing.of(element, rows, cols)


def spec_timing(spec: Spec) -> SystolicTiming | DigitTiming | WeightStationaryTiming:
    """Timing of the engine of a spec."""
    engine = spec.engine
    if engine.tile_rows is not None:
        return WeightStationaryTiming.of(spec.pe, engine.rows, engine.cols)
    return array_timing(
        spec.pe, rows=engine.rows, cols=engine.cols, kind=engine.kind, depth=engine.depth
    )


def engine_trace(
    pe: ProcessingElement,
    a: npt.ArrayLike,
    lengths: Sequence[int],
    *,
    rows: int,
    cols: int,
    kind: EngineKind | None = None,
    depth: int | None = None,
    gaps: npt.ArrayLike | None = None,
    ready: Sequence[bool] = (),
) -> StreamTrace:
    """Transfers of a sequence of tiles on an engine of `pe`; of the usual kind where none is given.

    Parameters
    ----------
    a : (sum of lengths, rows)
        Activations, one row per element of K; only digit engines look at them.
    lengths : sequence of int
        K of each tile.
    gaps, ready
        Stalls of both streams; see `SystolicTiming.trace`.
    """
    timing = array_timing(pe, rows=rows, cols=cols, kind=kind, depth=depth)
    if isinstance(timing, DigitTiming):
        return timing.trace(a, lengths, gaps, ready)
    return timing.trace(lengths, gaps, ready)
