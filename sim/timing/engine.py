"""Exact timing of any engine, by its PE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt

from hw.pe.base import ProcessingElement
from hw.pe.sparse_digit import DigitElement
from sim.timing.digit_array import DigitTiming
from sim.timing.systolic import StreamTrace, SystolicTiming

__all__ = ["engine_trace"]


def engine_trace(
    pe: ProcessingElement,
    a: npt.ArrayLike,
    lengths: Sequence[int],
    *,
    rows: int,
    cols: int,
    gaps: npt.ArrayLike | None = None,
    ready: Sequence[bool] = (),
) -> StreamTrace:
    """Transfers of a sequence of tiles on the engine that `pe` is made for.

    Parameters
    ----------
    a : (sum of lengths, rows)
        Activations, one row per element of K; only digit engines look at them.
    lengths : sequence of int
        K of each tile.
    gaps, ready
        Stalls of both streams; see `SystolicTiming.trace`.
    """
    if isinstance(pe, DigitElement):
        return DigitTiming(pe, rows, cols).trace(a, lengths, gaps, ready)
    return SystolicTiming.of(pe, rows, cols).trace(lengths, gaps, ready)
