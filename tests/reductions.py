"""Networks of one operator with a long reduction."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from sim.quantised import Conv, Dense, Network, Requantisation, Tensor
from sim.reference import Conv2d

__all__ = ["Size", "conv", "dense", "single"]

Size = tuple[int, int, int]


def _post(outputs: int, products: int) -> Requantisation:
    """So that the results of random operands use int8 well."""
    shift = 30 + int(np.log2(70 * 70 * products**0.5 / 40))
    return Requantisation(multiplier=np.full(outputs, 1 << 30), shift=np.full(outputs, shift))


def conv(
    size: Size,
    outputs: int,
    kernel: int,
    *,
    padding: tuple[int, int, int, int] = (0, 0, 0, 0),
    stride: tuple[int, int] = (1, 1),
) -> Conv:
    """Of an image (H, W, C)."""
    rng = np.random.default_rng(kernel)
    return Conv(
        name="op",
        inputs=("x",),
        output="y",
        weight=rng.integers(-128, 128, (outputs, kernel, kernel, size[2])).astype(np.int8),
        bias=rng.integers(-5000, 5000, outputs).astype(np.int32),
        geometry=Conv2d(padding=padding, stride=stride),
        pad_value=-3,
        post=_post(outputs, kernel * kernel * size[2]),
    )


def dense(size: Size, outputs: int) -> Dense:
    """Of an image (H, W, C)."""
    rng = np.random.default_rng(outputs)
    features = int(np.prod(size))
    return Dense(
        name="op",
        inputs=("x",),
        output="y",
        weight=rng.integers(-128, 128, (outputs, features)).astype(np.int8),
        bias=rng.integers(-5000, 5000, outputs).astype(np.int32),
        post=_post(outputs, features),
    )


def single(operator: Conv | Dense, size: Size) -> Network:
    """The network of one operator on an image (H, W, C)."""
    shape = (1, *size)
    return Network(
        name="net",
        tensors=(
            Tensor(name="x", shape=shape, scale=Fraction(1), zero_point=0),
            Tensor(name="y", shape=operator.output_shape(shape), scale=Fraction(1), zero_point=0),
        ),
        operators=(operator,),
        inputs=("x",),
        outputs=("y",),
    )
