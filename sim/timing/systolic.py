"""When output-stationary arrays accept their operands and deliver their results.

The array knows one time of its own: it advances in every cycle in which the result queue has room,
and stands still otherwise. In that time

* one operand beat is accepted per step, but one beat of a tile not before `rows` steps after the
  last beat of the tile before it, since each column resolves one result per step. Where operands
  are skewed, cells finish one after another, and it is the last beat that waits; where they are
  broadcast, cells hold their results until they have been taken, and it is the first;
* result row i of a tile enters the queue ``latency - 1 + i`` steps after its last beat.

The queue holds two beats and delivers one per cycle to a consumer that is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np
import numpy.typing as npt

from hw.pe.base import ProcessingElement, cell_element

__all__ = ["MatrixTiming", "StreamTrace", "SystolicTiming"]

Cycles = npt.NDArray[np.int64]

_QUEUE_BEATS = 2


@dataclass(frozen=True)
class StreamTrace:
    """Cycles in which beats were transferred; cycle 0 is the first after reset.

    Attributes
    ----------
    accepted : (operand beats,)
    emitted : (result beats,)
    """

    accepted: Cycles
    emitted: Cycles

    @property
    def total(self) -> int:
        """Cycles from the first after reset to the transfer of the last result, inclusive."""
        return int(self.emitted[-1]) + 1 if len(self.emitted) else 0


@dataclass(frozen=True)
class SystolicTiming:
    """Exact timing of a `SystolicArray`.

    Attributes
    ----------
    rows, cols : int
        Size of the array.
    latency : int
        Cycles from the last operand beat of a tile to its first result beat, nothing stalling.
    k_granularity : int
        Elements of K in one operand beat.
    """

    rows: int
    cols: int
    latency: int
    k_granularity: int = 1

    first_waits: ClassVar[bool] = False
    """Whether the first beat of a tile waits for the results of the tile before, or the last one."""

    @classmethod
    def of(cls, pe: ProcessingElement, rows: int, cols: int) -> Self:
        """Timing of an array of `pe`: border register, PE, multiplexer, resolve, skew, queue."""
        cell = cell_element(pe)
        latency = cell.latency + cell.resolve_latency + cols + 2
        return cls(rows, cols, latency, pe.k_granularity)

    def beats(self, k: int) -> int:
        """Operand beats of a tile of K elements."""
        return -(-k // self.k_granularity)

    def tile_interval(self, k: int) -> int:
        """Cycles from one tile to the next, both of K elements, nothing stalling."""
        if self.first_waits:
            return self.beats(k) + self.rows - 1
        return max(self.beats(k), self.rows)

    def gemm_cycles(self, m: int, n: int, k: int) -> int:
        """Cycles of an M × N × K GEMM on its own, nothing stalling; see `StreamTrace.total`."""
        tiles = -(-m // self.rows) * -(-n // self.cols)
        return (tiles - 1) * self.tile_interval(k) + self.beats(k) - 1 + self.latency + self.rows

    def utilisation(self, m: int, n: int, k: int) -> float:
        """MACs of the GEMM over what the array could do in its cycles."""
        return m * n * k / (self.rows * self.cols * self.k_granularity * self.gemm_cycles(m, n, k))

    def trace(
        self,
        lengths: Sequence[int],
        gaps: npt.ArrayLike | None = None,
        ready: Sequence[bool] = (),
    ) -> StreamTrace:
        """Transfers of a sequence of tiles under stalls on both streams.

        Parameters
        ----------
        lengths : sequence of int
            K of each tile.
        gaps : (operand beats,), optional
            Idle cycles of the producer before it offers a beat, counted from the transfer of the
            beat before. Without it the producer is never idle.
        ready : sequence of bool
            Whether the consumer is ready in a cycle, repeated for ever. Empty: always.

        Raises
        ------
        ValueError
            A tile is empty, a gap is negative, or the consumer is never ready.
        """
        lengths = [self.beats(k) for k in lengths]
        beats = sum(lengths)
        idle = np.zeros(beats, np.int64) if gaps is None else np.asarray(gaps, np.int64)
        if any(k < 1 for k in lengths) or idle.shape != (beats,) or (idle < 0).any():
            raise ValueError("tiles must have 1 or more beats, and each beat a gap of 0 or more")
        if len(ready) and not any(ready):
            raise ValueError("the consumer must be ready at some time")
        if all(ready):
            return self._without_back_pressure(lengths, idle)
        return self._with_back_pressure(lengths, idle, ready)

    def _without_back_pressure(self, lengths: Sequence[int], idle: Cycles) -> StreamTrace:
        """The queue never fills, so the array's own time is the clock."""
        accepted, emitted = [], []
        start, previous_last, offset = 0, -self.rows, 0
        for k in lengths:
            times = start + np.cumsum(idle[offset : offset + k] + 1) - 1
            free = previous_last + self.rows
            if self.first_waits:
                times += max(0, free - int(times[0]))
            times[-1] = last = max(int(times[-1]), free)
            accepted.append(times)
            emitted.append(last + self.latency + np.arange(self.rows))
            start, previous_last, offset = last + 1, last, offset + k
        if not accepted:
            return StreamTrace(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return StreamTrace(np.concatenate(accepted), np.concatenate(emitted))

    def _with_back_pressure(
        self, lengths: Sequence[int], idle: Cycles, ready: Sequence[bool]
    ) -> StreamTrace:
        """Walks through the cycles."""
        is_last = np.zeros(len(idle), bool)
        is_last[np.cumsum(lengths) - 1] = True
        waits = np.roll(is_last, 1) if self.first_waits else is_last
        accepted: list[int] = []
        emitted: list[int] = []
        arrivals: deque[int] = deque()
        results = self.rows * len(lengths)
        cycle = step = level = 0
        free_at = 0
        offered_at = int(idle[0])
        while len(emitted) < results:
            enable = level < _QUEUE_BEATS
            pop = level > 0 and ready[cycle % len(ready)]
            push = False
            if enable:
                push = bool(arrivals) and arrivals[0] == step
                beat = len(accepted)
                if beat < len(idle) and cycle >= offered_at:
                    last = bool(is_last[beat])
                    if not waits[beat] or step >= free_at:
                        accepted.append(cycle)
                        if last:
                            free_at = step + self.rows
                            first = step + self.latency - 1
                            arrivals.extend(range(first, first + self.rows))
                        if beat + 1 < len(idle):
                            offered_at = cycle + 1 + int(idle[beat + 1])
                step += 1
            if push:
                arrivals.popleft()
            if pop:
                emitted.append(cycle)
            level += push - pop
            cycle += 1
        return StreamTrace(np.array(accepted, np.int64), np.array(emitted, np.int64))


@dataclass(frozen=True)
class MatrixTiming(SystolicTiming):
    """Exact timing of a `MatrixArray`."""

    first_waits: ClassVar[bool] = True

    @classmethod
    def of(cls, pe: ProcessingElement, rows: int, cols: int) -> Self:
        """Timing of an array of `pe`: border register, PE, multiplexer, resolve, queue."""
        cell = cell_element(pe)
        latency = cell.latency + cell.resolve_latency + 3
        return cls(rows, cols, latency, pe.k_granularity)
