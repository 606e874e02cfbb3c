"""How long a computation takes on a digit array: the feeder and the array set each other's pace.

Three recurrences run along the operand beats of a computation:

* *gathering*: a block of words is gathered when its bank is free, one word per cycle;
* *streaming*: a beat leaves its bank, passes two registers, and is accepted by the array. While the
  beat in the second register waits, everything behind it stands still;
* *the array*: the first beat of a segment waits until every row has freed the half of the buffers
  that it is written into; rows and their passes follow as in `sim.timing.digit_array`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from hw.engine.digit_array import freed_after
from hw.engine.feeder import STAGES
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.sparse_digit import DigitElement
from sim.digits import pass_cycles, recode
from sim.timing.digit_array import TO_FIRST_DIGIT, DigitTiming

__all__ = ["GATHERED", "last_result"]

GATHERED = READ_LATENCY + 1
"""Cycles from a block's last read to its first beat on the way: scratchpad, bank, bank is full."""

_LONG_AGO = -(1 << 40)
_CHUNK = 1 << 20  # elements whose digits are held at once

assert STAGES == 2, "the recurrence below has two registers between bank and array"


def last_result(
    pe: DigitElement,
    taps: npt.ArrayLike,
    *,
    rows: int,
    cols: int,
    pad: int,
    before: npt.ArrayLike | None = None,
    keep: bool = False,
) -> tuple[int, int]:
    """When the last result row is taken, and when the last beat left the feeder's bank.

    Of a part whose sums are kept, instead of the former, when all beats are accepted and all rows
    have worked off the segments that are complete.

    Cycles from the first read of a computation that finds feeder and array at rest.

    Parameters
    ----------
    taps : (pixels, K)
        Activations of every output pixel in the order of streaming; K is whole words of `cols`.
    pad : int
        What the rows past the last pixel are made of.
    before : (rows, K'), optional
        Of the parts that it goes on with, for every row: their last segment may not be complete.
    keep : bool
        Nor need its own last one be.
    """
    operands = np.asarray(taps)
    pixels, k = operands.shape
    tiles = -(-pixels // rows)
    known = np.zeros((tiles * rows, 0), np.int64) if before is None else np.asarray(before)
    there = known.shape[1] % pe.segment
    whole = np.full((tiles * rows, there + k), pad, np.int64)
    whole[:, :there] = known[:, known.shape[1] - there :]
    whole[:pixels, there:] = operands
    timing = DigitTiming(pe, rows, cols)
    return _walk(
        _passes(pe, whole).reshape(tiles, rows, *_passes_shape(pe, there + k)),
        there,
        there + k,
        keep,
        pe.segment,
        cols,
        timing.turns,
        freed_after(timing.turns),
        # As arguments, because numba's cache would keep the values of another version.
        TO_FIRST_DIGIT,
        timing.to_result,
        GATHERED,
    )


def _passes_shape(pe: DigitElement, k: int) -> tuple[int, int]:
    return -(-k // pe.segment), pe.digit_count


def _passes(pe: DigitElement, whole: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Issuing cycles of every pass of every row: (rows of all tiles, segments, BW)."""
    low = pe.activation.min
    values = np.arange(low, pe.activation.max + 1)
    nonzero = (recode(values, pe.activation, pe.recoding) != 0).astype(np.int8)
    length, k = whole.shape
    cycles = np.empty((length, *_passes_shape(pe, k)), np.int64)
    step = max(1, _CHUNK // k)
    for first in range(0, length, step):
        digits = nonzero[whole[first : first + step] - low]
        for n, begin in enumerate(range(0, k, pe.segment)):
            segment = digits[:, begin : begin + pe.segment]
            cycles[first : first + step, n] = pass_cycles(segment, pe.group, pe.lanes)
    return cycles


@njit(cache=True)
def _walk(
    passes: npt.NDArray[np.int64],
    there: int,
    k: int,
    keep: bool,
    segment: int,
    steps: int,
    turns: int,
    freed_after: int,
    to_first_digit: int,
    to_result: int,
    gathered: int,
) -> tuple[int, int]:
    """Walks along the beats `there` to `k`; `passes` are (tiles, rows, segments, BW)."""
    tiles, rows, _, weights = passes.shape
    begun = -rows  # the reads of the block before
    released = np.zeros(2, np.int64)  # when the banks were free; a block takes the older one
    left = entered = accepted = before = _LONG_AGO
    freed = np.zeros(2, np.int64)
    ended = np.full(rows, _LONG_AGO, np.int64)
    taken = np.full(rows, _LONG_AGO, np.int64)
    full = emitted = 0
    for tile in range(tiles):
        for n in range(there, k):
            if (n - there) % steps == 0:
                begun = max(begun + rows, released[0])
                full = begun + rows - 1 + gathered
            # It leaves its bank in a cycle in which the registers move on.
            leaves = max(full, left + 1, entered)
            if entered < leaves < accepted:
                leaves = accepted
            left = leaves
            before = accepted
            entered = max(left + 1, before)
            accepted = entered + 1
            if n % segment == 0:
                accepted = max(accepted, freed[0])
            if (n - there) % steps == steps - 1:
                released[0], released[1] = released[1], left + 1
            if n % segment != segment - 1 and (keep or n != k - 1):
                continue
            part = n // segment
            last = 0
            for row in range(rows):
                end = ended[row]
                begin = max(end + 1, accepted + 1 + to_first_digit)
                for weight in range(weights):
                    end = max(begin + passes[tile, row, part, weight] - 1, end + turns)
                    if part == 0 and weight == 0:
                        end = max(end, taken[row] + 1)
                    begin = end + 1
                ended[row] = end
                last = max(last, end)
            freed[0], freed[1] = freed[1], last + freed_after
        if keep:
            return max(accepted + 1, freed[1]), left
        for row in range(rows):
            emitted = max(ended[row] + turns + to_result, emitted + 1)
            taken[row] = emitted
    return emitted, left
