"""When the digit array accepts its operands and delivers its results; it depends on the operands.

* A segment (at most `segment` elements of one tile) is written into all rows at once, one element
  per cycle, once every row has freed it: `freed_after(turns)` cycles after it has ended the last pass
  of the segment before the previous one.
* A row runs one pass per bit weight over a segment. Its first digit is issued 3 cycles after the
  segment is complete, or in the cycle after the pass before has ended, whichever is later. A pass
  issues for as many cycles as its longest lane needs, and ends `turns` cycles after the one before at
  the earliest.
* The first pass of a tile cannot end before the row's results of the tile before were taken.
* A row's results are offered `turns` + `to_result` cycles after its last pass; rows follow in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.engine.digit_array import freed_after
from hw.engine.shift_add import AdderParts
from hw.pe.digit_column import PAIRS_AFTER
from hw.pe.sparse_digit import DigitElement
from sim.digits import pass_cycles, recode
from sim.timing.systolic import Cycles, StreamTrace

__all__ = ["TO_FIRST_DIGIT", "DigitTiming", "DigitTrace"]

TO_FIRST_DIGIT = 3
"""Cycles from the one after a complete segment to its first digit."""


@dataclass(frozen=True)
class DigitTrace(StreamTrace):
    """Transfers, and where the time went.

    Attributes
    ----------
    issuing : (rows,)
        Cycles in which each row issued digits; what is left of its time is reading out and waiting.
    """

    issuing: Cycles


@dataclass(frozen=True)
class DigitTiming:
    """Exact timing of a `hw.engine.digit_array.DigitArray`.

    Attributes
    ----------
    pe : DigitElement
    rows, cols : int
        Size of the array.
    """

    pe: DigitElement
    rows: int
    cols: int

    @property
    def turns(self) -> int:
        """Least cycles from the end of a pass to that of the next: its pairs are read out."""
        return min(self.cols, self.pe.cells_per_adder)

    @property
    def to_result(self) -> int:
        """Cycles from the read-out of a tile's last pass to its results."""
        return PAIRS_AFTER + AdderParts.of(self.pe).latency - 1

    def passes(self, a: npt.ArrayLike) -> Cycles:
        """Issuing cycles of every pass over one segment.

        Parameters
        ----------
        a : (elements, rows)

        Returns
        -------
        (rows, BW)
        """
        digits = recode(np.asarray(a).T, self.pe.activation, self.pe.recoding)
        return pass_cycles(digits, self.pe.group, self.pe.lanes)

    def gemm_cycles(self, a: npt.ArrayLike, lengths: Sequence[int]) -> int:
        """Cycles of tiles on their own, nothing stalling."""
        return self.trace(a, lengths).total

    def trace(
        self,
        a: npt.ArrayLike,
        lengths: Sequence[int],
        gaps: npt.ArrayLike | None = None,
        ready: Sequence[bool] = (),
    ) -> DigitTrace:
        """Transfers of a sequence of tiles under stalls on both streams.

        Parameters
        ----------
        a : (operand beats, rows)
            Activations of all tiles, one row per element of K.
        lengths, gaps, ready
            As `sim.timing.systolic.SystolicTiming.trace`.

        Raises
        ------
        ValueError
            As there, or `a` has another shape.
        """
        beats, operands = sum(lengths), np.asarray(a, np.int64)
        idle = np.zeros(beats, np.int64) if gaps is None else np.asarray(gaps, np.int64)
        if operands.shape != (beats, self.rows):
            raise ValueError(f"operands must have shape {(beats, self.rows)}, not {operands.shape}")
        if any(k < 1 for k in lengths) or idle.shape != (beats,) or (idle < 0).any():
            raise ValueError("tiles must have 1 or more beats, and each beat a gap of 0 or more")
        if len(ready) and not any(ready):
            raise ValueError("the consumer must be ready at some time")

        accepted: list[int] = []
        emitted: list[int] = []
        issuing = np.zeros(self.rows, np.int64)
        ended = np.full(self.rows, -self.turns, np.int64)
        taken = np.full(self.rows, -1, np.int64)
        # When every row had freed the half that a segment is written into.
        freed = [0, 0]
        start, previous = 0, -1
        for k in lengths:
            for offset in range(0, k, self.pe.segment):
                stop = min(k, offset + self.pe.segment)
                part = slice(start + offset, start + stop)
                times = previous + np.cumsum(idle[part] + 1)
                times += max(0, freed[0] - int(times[0]))
                accepted += times.tolist()
                previous = int(times[-1])
                passes = self.passes(operands[part])
                issuing += passes.sum(axis=1)
                begin = np.maximum(ended + 1, previous + 1 + TO_FIRST_DIGIT)
                for weight in range(passes.shape[1]):
                    ended = np.maximum(begin + passes[:, weight] - 1, ended + self.turns)
                    if offset == 0 and weight == 0:
                        ended = np.maximum(ended, taken + 1)
                    begin = ended + 1
                freed = [freed[1], int(ended.max()) + freed_after(self.turns)]
            for row in range(self.rows):
                at = max(
                    int(ended[row]) + self.turns + self.to_result, emitted[-1] + 1 if emitted else 0
                )
                while len(ready) and not ready[at % len(ready)]:
                    at += 1
                emitted.append(at)
                taken[row] = at
            start += k
        return DigitTrace(np.array(accepted, np.int64), np.array(emitted, np.int64), issuing)
