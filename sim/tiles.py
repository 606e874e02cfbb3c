"""How matrix products and convolutions become tiles of an engine, and tiles become results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.reference import Conv2d, Integers

__all__ = ["GemmTiles", "conv_matrices", "grouped_steps"]


@dataclass(frozen=True)
class GemmTiles:
    """A GEMM of size M × N × K cut into tiles of rows × cols, K whole.

    Tiles run in row-major order: all tiles of the first `rows` output rows, then the next. Tails
    are filled with zeros.
    """

    m: int
    n: int
    k: int
    rows: int
    cols: int

    def __post_init__(self) -> None:
        if min(self.m, self.n, self.k, self.rows, self.cols) < 1:
            raise ValueError(f"sizes must be 1 or more, not {self}")

    @property
    def grid(self) -> tuple[int, int]:
        """Tiles along M and along N."""
        return -(-self.m // self.rows), -(-self.n // self.cols)

    @property
    def count(self) -> int:
        return self.grid[0] * self.grid[1]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the GEMM itself, tails not counted."""
        return self.m * self.n * self.k

    def operands(self, a: npt.ArrayLike, b: npt.ArrayLike) -> tuple[Integers, Integers]:
        """Operand beats in the order of the stream.

        Parameters
        ----------
        a, b : (M, K), (K, N)

        Returns
        -------
        (count * K, rows), (count * K, cols)
        """
        left, right = np.asarray(a), np.asarray(b)
        if left.shape != (self.m, self.k) or right.shape != (self.k, self.n):
            raise ValueError(f"shapes must be ({self.m}, {self.k}) and ({self.k}, {self.n})")
        along_m, along_n = self.grid
        left = np.pad(left, ((0, along_m * self.rows - self.m), (0, 0)))
        right = np.pad(right, ((0, 0), (0, along_n * self.cols - self.n)))
        blocks_a = left.reshape(along_m, self.rows, self.k).transpose(0, 2, 1)
        blocks_b = right.reshape(self.k, along_n, self.cols).transpose(1, 0, 2)
        beats_a = np.repeat(blocks_a, along_n, axis=0).reshape(-1, self.rows)
        beats_b = np.tile(blocks_b, (along_m, 1, 1)).reshape(-1, self.cols)
        return beats_a.astype(np.int64), beats_b.astype(np.int64)

    def assemble(self, beats: Integers) -> Integers:
        """The (M, N) result from result beats (count * rows, cols)."""
        along_m, along_n = self.grid
        if beats.shape != (self.count * self.rows, self.cols):
            raise ValueError(
                f"beats must have shape {(self.count * self.rows, self.cols)}, not {beats.shape}"
            )
        tiles = beats.reshape(along_m, along_n, self.rows, self.cols).transpose(0, 2, 1, 3)
        whole = tiles.reshape(along_m * self.rows, along_n * self.cols)
        return whole[: self.m, : self.n]


def grouped_steps(
    values: npt.ArrayLike, lengths: Sequence[int], granularity: int
) -> tuple[Integers, list[int]]:
    """Elements of K gathered into steps of `granularity`, each tile filled up with zeros.

    Parameters
    ----------
    values : (sum of lengths, count)
        One row per element of K, tile after tile.
    lengths : sequence of int
        K of each tile.

    Returns
    -------
    (steps, count * granularity), list of int
        The elements of one row or column stand side by side; and the steps of each tile.
    """
    array = np.asarray(values, np.int64)
    count = array.shape[1]
    parts, steps = [], []
    edges = np.cumsum([0, *lengths])
    for start, end in zip(edges, edges[1:], strict=False):
        step = -(-int(end - start) // granularity)
        part = np.zeros((step * granularity, count), np.int64)
        part[: end - start] = array[start:end]
        parts.append(part.reshape(step, granularity, count).transpose(0, 2, 1).reshape(step, -1))
        steps.append(step)
    return np.concatenate(parts), steps


def conv_matrices(
    x: npt.ArrayLike, weight: npt.ArrayLike, conv: Conv2d, *, group: int = 0, pad_value: int = 0
) -> tuple[Integers, Integers]:
    """One group of a convolution as a GEMM: output pixels × output channels.

    K runs over kernel rows, kernel columns and channels, channels fastest: the order in which an
    address generator reads an NHWC tensor.

    Parameters
    ----------
    x : (N, H, W, C)
    weight : (O, KH, KW, C / groups)

    Returns
    -------
    (N * OH * OW, KH * KW * C / groups), (KH * KW * C / groups, O / groups)
    """
    image, kernel = np.asarray(x, np.int64), np.asarray(weight, np.int64)
    outputs, kh, kw, depth = kernel.shape
    oh, ow = conv.output_size((image.shape[1], image.shape[2]), (kh, kw))
    per_group = outputs // conv.groups
    n, y, z = np.meshgrid(
        np.arange(image.shape[0]), np.arange(oh), np.arange(ow), indexing="ij", sparse=False
    )
    columns = []
    for ky in range(kh):
        for kx in range(kw):
            iy = y * conv.stride[0] + ky * conv.dilation[0] - conv.padding[0]
            ix = z * conv.stride[1] + kx * conv.dilation[1] - conv.padding[1]
            inside = (iy >= 0) & (iy < image.shape[1]) & (ix >= 0) & (ix < image.shape[2])
            pixels = image[n, np.where(inside, iy, 0), np.where(inside, ix, 0)]
            channels = pixels[..., group * depth : (group + 1) * depth]
            columns.append(np.where(inside[..., None], channels, pad_value).reshape(-1, depth))
    part = kernel[group * per_group : (group + 1) * per_group]
    return np.concatenate(columns, axis=1), part.reshape(per_group, -1).T
