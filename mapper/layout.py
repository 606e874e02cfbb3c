"""Where the elements of a tensor lie: NHWC, the channels of a pixel padded to whole words."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from mapper.pieces import words_per_pixel
from mapper.stage import Axis, Slice
from sim.quantised import Values

__all__ = ["pack_tensor", "slice_runs", "tensor_bytes", "unpack_tensor"]


def tensor_bytes(shape: tuple[int, ...], word_bytes: int) -> int:
    """Bytes of an NHWC tensor in the accelerator's layout."""
    count, height, width, channels = shape
    return count * height * width * words_per_pixel(channels, word_bytes) * word_bytes


def pack_tensor(values: Values, word_bytes: int) -> npt.NDArray[np.uint8]:
    """An (N, H, W, C) int8 tensor as it lies in memory, channels padded with zeros."""
    channels = values.shape[3]
    padded = words_per_pixel(channels, word_bytes) * word_bytes
    wide = np.pad(values, ((0, 0), (0, 0), (0, 0), (0, padded - channels)))
    return np.ascontiguousarray(wide).view(np.uint8).ravel()


def unpack_tensor(memory: npt.NDArray[np.uint8], shape: tuple[int, ...], word_bytes: int) -> Values:
    """The inverse of `pack_tensor`."""
    count, height, width, channels = shape
    wide = memory[: tensor_bytes(shape, word_bytes)].reshape(count, height, width, -1)
    return wide[..., :channels].view(np.int8)


def slice_runs(
    shape: tuple[int, ...], axis: Axis, x: Slice, word_bytes: int
) -> Iterator[tuple[int, int]]:
    """What of an NHWC tensor a slice moves: word offset and length of each contiguous run."""
    _, _, width, channels = shape
    pixel = words_per_pixel(channels, word_bytes)
    if axis == "rows":
        yield x.first * width * pixel, (x.last - x.first) * width * pixel
    elif axis == "tiles":
        if (x.left, x.right) == (0, width):
            yield x.first * width * pixel, (x.last - x.first) * width * pixel
            return
        for y in range(x.first, x.last):
            yield (y * width + x.left) * pixel, (x.right - x.left) * pixel
    elif axis == "reduction":
        yield x.first // word_bytes, (x.last - x.first) // word_bytes
    elif (x.first, x.last) == (0, pixel):
        yield 0, shape[1] * width * pixel
    else:
        for p in range(shape[1] * width):
            yield p * pixel + x.first, x.last - x.first
