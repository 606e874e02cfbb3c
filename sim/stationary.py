"""How a matrix product becomes beats of a weight-stationary engine, and beats become its result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from sim.reference import Integers
from sim.streams import Stalls
from sim.timing.weight_stationary import StationaryTile

__all__ = ["StationaryGemm", "StationaryStalls"]


@dataclass(frozen=True)
class StationaryGemm:
    """A GEMM of size M × N × K in tiles of up to `tile_rows` rows by `cols` columns, K whole.

    Tiles run in row-major order. Each is ``ceil(K / rows)`` blocks of `rows` elements of K; tails of
    N and K are filled with zeros, while a tail of M is a shorter tile.
    """

    m: int
    n: int
    k: int
    rows: int
    cols: int
    tile_rows: int

    def __post_init__(self) -> None:
        if min(self.m, self.n, self.k, self.rows, self.cols, self.tile_rows) < 1:
            raise ValueError(f"sizes must be 1 or more, not {self}")

    @property
    def blocks(self) -> int:
        """Blocks of K in every tile."""
        return -(-self.k // self.rows)

    @cached_property
    def tiles(self) -> list[StationaryTile]:
        """Size of each tile."""
        along_n = -(-self.n // self.cols)
        heights = [min(self.tile_rows, self.m - i) for i in range(0, self.m, self.tile_rows)]
        return [StationaryTile(height, self.blocks) for height in heights for _ in range(along_n)]

    def weights(self, b: npt.ArrayLike) -> Integers:
        """Beats of weights, ``(tiles * blocks * rows, cols)``, of b (K, N)."""
        along_n = -(-self.n // self.cols)
        shape = (self.blocks * self.rows, along_n * self.cols)
        right = np.zeros(shape, np.int64)
        right[: self.k, : self.n] = b
        per_tile = right.reshape(shape[0], along_n, self.cols).transpose(1, 0, 2)
        along_m = len(self.tiles) // along_n
        return np.tile(per_tile, (along_m, 1, 1)).reshape(-1, self.cols)

    def activations(self, a: npt.ArrayLike) -> Integers:
        """Beats of activations, ``(sum of rows * blocks, rows)``, of a (M, K)."""
        left = np.zeros((self.m, self.blocks * self.rows), np.int64)
        left[:, : self.k] = a
        per_block = left.reshape(self.m, self.blocks, self.rows).transpose(1, 0, 2)
        parts, along_n = [], -(-self.n // self.cols)
        for first in range(0, self.m, self.tile_rows):
            part = per_block[:, first : first + self.tile_rows].reshape(-1, self.rows)
            parts += [part] * along_n
        return np.concatenate(parts)

    @cached_property
    def flags(self) -> Integers:
        """`block_end` and `tile_end` of each beat of activations."""
        return np.array(
            [
                (row == tile.rows - 1, block == tile.blocks - 1)
                for tile in self.tiles for block in range(tile.blocks) for row in range(tile.rows)
            ],
            np.int64,
        )  # fmt: skip

    @cached_property
    def last(self) -> Integers:
        """`last` of each result beat."""
        return np.array([r == t.rows - 1 for t in self.tiles for r in range(t.rows)], np.int64)

    def assemble(self, beats: Integers) -> Integers:
        """The (M, N) result from result beats."""
        along_n = -(-self.n // self.cols)
        whole = np.zeros((self.m, along_n * self.cols), beats.dtype)
        start = 0
        for number, tile in enumerate(self.tiles):
            top, left = number // along_n * self.tile_rows, number % along_n * self.cols
            part = beats[start : start + tile.rows]
            whole[top : top + tile.rows, left : left + self.cols] = part
            start += tile.rows
        if start != len(beats):
            raise ValueError(f"beats must be {start} rows, not {len(beats)}")
        return whole[:, : self.n]


@dataclass(frozen=True)
class StationaryStalls:
    """When the producers are idle and the consumer is ready; see `WeightStationaryTiming.trace`."""

    weights: Integers
    activations: Integers
    ready: tuple[bool, ...] = ()

    @classmethod
    def none(cls, work: StationaryGemm) -> StationaryStalls:
        weights, activations = _beats(work)
        return cls(np.zeros(weights, np.int64), np.zeros(activations, np.int64))

    @classmethod
    def random(
        cls, work: StationaryGemm, *, seed: int, idle: tuple[float, float], blocked: float
    ) -> StationaryStalls:
        """Producers of weights and of activations idle with these probabilities; see `Stalls`."""
        weights, activations = _beats(work)
        by_weights = Stalls.random(weights, seed=seed, idle=idle[0], blocked=0)
        others = Stalls.random(activations, seed=seed + 1, idle=idle[1], blocked=blocked)
        return cls(by_weights.gaps, others.gaps, others.ready)


def _beats(work: StationaryGemm) -> tuple[int, int]:
    """Beats of weights and of activations."""
    return work.rows * sum(tile.blocks for tile in work.tiles), len(work.flags)
