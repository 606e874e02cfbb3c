"""When the weight-stationary array accepts its operands and delivers its results.

The array advances in every cycle in which the result queue has room, and stands still otherwise. In
that time of its own

* one row of weights is accepted per step into a register in front of the cells, and moves into them
  one step later or more: not before the block before the last one that moved in has begun;
* one row of activations is accepted per step; the first of a block not before the step in which the
  last of its weights moves in, nor before every row has passed for `revisit` steps;
* a row's result enters the queue ``latency - 1`` steps after its activations of the last block.

The queue holds two beats and delivers one per cycle to a consumer that is ready.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.pe.base import ProcessingElement
from hw.pe.stationary import stationary_form
from sim.timing.systolic import Cycles

__all__ = ["StationaryTile", "StationaryTrace", "WeightStationaryTiming"]

_QUEUE_BEATS = 2


@dataclass(frozen=True)
class StationaryTile:
    """Size of a tile: rows of A, and blocks of K."""

    rows: int
    blocks: int

    def __post_init__(self) -> None:
        if min(self.rows, self.blocks) < 1:
            raise ValueError(f"tile must have 1 or more rows and blocks, not {self}")


@dataclass(frozen=True)
class StationaryTrace:
    """Cycles in which beats were transferred; cycle 0 is the first after reset.

    Attributes
    ----------
    weights, activations : (beats,)
        Acceptance.
    emitted : (result beats,)
    """

    weights: Cycles
    activations: Cycles
    emitted: Cycles

    @property
    def total(self) -> int:
        """Cycles from the first after reset to the transfer of the last result, inclusive."""
        return int(self.emitted[-1]) + 1 if len(self.emitted) else 0


@dataclass(frozen=True)
class WeightStationaryTiming:
    """Exact timing of a `WeightStationaryArray`.

    Attributes
    ----------
    rows, cols : int
        Elements of K and columns of N in a block.
    latency : int
        Cycles from a row's activations of the last block to its result beat, nothing stalling.
    revisit : int
        Fewest cycles between two blocks of one row.
    """

    rows: int
    cols: int
    latency: int
    revisit: int

    @classmethod
    def of(cls, pe: ProcessingElement, rows: int, cols: int) -> WeightStationaryTiming:
        """Timing of an array of `pe`: swap tag, border, cells, resolve, skew, adder, queue."""
        form = stationary_form(pe, rows)
        latency = 2 + rows + form.resolve_latency + (cols - 1) + form.add_latency + 1
        return cls(rows, cols, latency, form.add_latency + 2)

    def block_interval(self, rows: int) -> int:
        """Cycles from one block to the next of a tile of `rows` rows, nothing stalling."""
        return max(rows, self.rows, self.revisit)

    def utilisation(self, tiles: Sequence[StationaryTile]) -> float:
        """MACs of whole blocks over what the array could do in its cycles."""
        beats = sum(tile.rows * tile.blocks for tile in tiles)
        return beats / self.trace(tiles).total

    def trace(
        self,
        tiles: Sequence[StationaryTile],
        weight_gaps: npt.ArrayLike | None = None,
        activation_gaps: npt.ArrayLike | None = None,
        ready: Sequence[bool] = (),
    ) -> StationaryTrace:
        """Transfers of a sequence of tiles under stalls on all streams.

        Parameters
        ----------
        weight_gaps, activation_gaps : (beats,), optional
            Idle cycles of the producer before it offers a beat, counted from the transfer of the
            beat before. Without them the producer is never idle.
        ready : sequence of bool
            Whether the consumer is ready in a cycle, repeated for ever. Empty: always.

        Raises
        ------
        ValueError
            A gap is negative or missing, or the consumer is never ready.
        """
        rows = [row for tile in tiles for _ in range(tile.blocks) for row in range(tile.rows)]
        ends = [
            block == tile.blocks - 1
            for tile in tiles for block in range(tile.blocks) for _ in range(tile.rows)
        ]  # fmt: skip
        loads = self.rows * sum(tile.blocks for tile in tiles)
        idle_w, idle_a = _gaps(weight_gaps, loads), _gaps(activation_gaps, len(rows))
        if len(ready) and not any(ready):
            raise ValueError("the consumer must be ready at some time")

        weights: list[int] = []
        activations: list[int] = []
        emitted: list[int] = []
        arrivals: deque[int] = deque()
        wanted = sum(ends)
        cycle = step = level = 0
        held, moved, settled = False, 0, 0
        offered_w = idle_w[0] if loads else 0
        offered_a = idle_a[0] if rows else 0
        while len(emitted) < wanted:
            pop = level > 0 and (not ready or ready[cycle % len(ready)])
            push = False
            if level < _QUEUE_BEATS:
                push = bool(arrivals) and arrivals[0] == step
                room = moved < self.rows
                moves = held and room
                complete = not room or (held and moved == self.rows - 1)
                moved += moves
                if not held or room:
                    held = len(weights) < loads and cycle >= offered_w
                    if held:
                        weights.append(cycle)
                        if len(weights) < loads:
                            offered_w = cycle + 1 + idle_w[len(weights)]
                beat = len(activations)
                if beat < len(rows) and cycle >= offered_a:
                    row = rows[beat]
                    if row or (complete and step >= settled):
                        activations.append(cycle)
                        settled = max(settled, step + self.revisit - row)
                        if not row:
                            moved = 0
                        if ends[beat]:
                            arrivals.append(step + self.latency - 1)
                        if beat + 1 < len(rows):
                            offered_a = cycle + 1 + idle_a[beat + 1]
                step += 1
            if push:
                arrivals.popleft()
            if pop:
                emitted.append(cycle)
            level += push - pop
            cycle += 1
        return StationaryTrace(*(np.array(t, np.int64) for t in (weights, activations, emitted)))


def _gaps(gaps: npt.ArrayLike | None, beats: int) -> list[int]:
    idle = np.zeros(beats, np.int64) if gaps is None else np.asarray(gaps, np.int64)
    if idle.shape != (beats,) or (idle < 0).any():
        raise ValueError(f"each of {beats} beats must have a gap of 0 or more, not {idle.tolist()}")
    return [int(gap) for gap in idle]
