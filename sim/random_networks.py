"""Random quantised networks, made without a quantiser."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from sim.quantised import (
    Add,
    AveragePool,
    Concat,
    Conv,
    Dense,
    GlobalAveragePool,
    MaxPool,
    Network,
    Operator,
    Requantisation,
    Shape,
    Shuffle,
    Tensor,
)
from sim.reference import Conv2d

__all__ = [
    "KINDS",
    "deep_network",
    "random_input",
    "random_network",
    "skipping_network",
    "wide_network",
]

KINDS = (
    "conv",
    "grouped",
    "depthwise",
    "add",
    "max",
    "average",
    "border",
    "concat",
    "shuffle",
)


class _Maker:
    """Grows a network; each method returns the name of its result."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.operators: list[Operator] = []
        self.shapes: dict[str, Shape] = {}

    def number(self, low: int, high: int) -> int:
        """One of low, ..., high."""
        return int(self.rng.integers(low, high + 1))

    def post(self, size: int, gain: float) -> Requantisation:
        """Multipliers around `gain`, as many as `size`, a zero point, and sometimes a range."""
        factor = gain * self.rng.uniform(0.5, 2, size)
        exponent = np.ceil(np.log2(factor)).astype(np.int64)
        multiplier = np.floor(factor / 2.0**exponent * (2**31 - 1)).astype(np.int64)
        return Requantisation(
            multiplier=multiplier,
            shift=31 - exponent,
            zero_point=self.number(-30, 30),
            low=self.number(-128, -60),
            high=self.number(60, 127),
        )

    def add(self, kind: type[Any], *inputs: str, **values: Any) -> str:
        n = len(self.operators)
        operator = kind(name=f"op{n}", inputs=inputs, output=f"t{n}", **values)
        self.operators.append(operator)
        self.shapes[f"t{n}"] = operator.output_shape(*(self.shapes[x] for x in inputs))
        return f"t{n}"

    def window(self, x: str, kernel: int) -> Conv2d:
        """A geometry whose result is not empty."""
        return Conv2d(
            stride=(self.number(1, 2), self.number(1, 2)),
            padding=tuple(self.number(0, kernel // 2) for _ in range(4)),  # type: ignore[arg-type]
        )

    def conv(self, x: str, outputs: int, *, groups: int = 1, same: bool = False) -> str:
        kernel = 1 if min(self.shapes[x][1:3]) < 5 else int(self.rng.choice([1, 3]))
        dilation = 2 if kernel == 3 and self.number(0, 3) == 0 else 1
        geometry = self.window(x, kernel)
        if same:
            pad = kernel // 2 * dilation
            geometry = Conv2d(padding=(pad,) * 4, dilation=(dilation, dilation))
        geometry = Conv2d(
            stride=geometry.stride,
            padding=geometry.padding,
            dilation=(dilation, dilation),
            groups=groups,
        )
        depth = self.shapes[x][3] // groups
        weight = self.rng.integers(-127, 128, (outputs, kernel, kernel, depth)).astype(np.int8)
        size = outputs if self.number(0, 1) else 1
        return self.add(
            Conv,
            x,
            weight=weight,
            bias=self.rng.integers(-5000, 5000, outputs).astype(np.int32),
            geometry=geometry,
            pad_value=self.number(-128, 127),
            post=self.post(size, 1 / (70 * (kernel * kernel * depth) ** 0.5)),
        )

    def grow(self, kind: str, x: str) -> str:
        channels = self.shapes[x][3]
        if kind == "conv":
            return self.conv(x, self.number(1, 11))
        if kind == "grouped":
            return self.conv(
                x, channels * self.number(1, 2), groups=channels if channels < 4 else 1
            )
        if kind == "depthwise":
            return self.conv(x, channels, groups=channels)
        if kind == "add":
            return self.add(
                Add,
                self.conv(x, channels, same=True),
                x,
                factors=(self.number(0, 2**22 - 1), self.number(0, 2**22 - 1)),
                bias=self.number(-(2**20), 2**20),
                post=self.post(1, 2.0**-22),
            )
        if kind == "concat":
            parts = [x, self.conv(x, self.number(1, 7), same=True), x]
            posts = tuple(self.post(1, 1) for _ in parts)
            biases = tuple(self.number(-50, 50) for _ in parts)
            # An operand that is read twice lies in the scratchpad once.
            return self.add(Concat, *parts, biases=biases, posts=posts)
        if kind == "shuffle":
            groups = next(g for g in (4, 3, 2, 1) if channels % g == 0)
            return self.add(Shuffle, x, groups=groups)
        if min(self.shapes[x][1:3]) < 3:
            return x
        bias, post = self.number(-100, 100), self.post(1, 1 / 9)
        if kind == "max":
            post, kernel = self.post(1, 1), (3, 2)
            return self.add(
                MaxPool, x, kernel=kernel, geometry=self.window(x, 2), bias=bias, post=post
            )
        values: dict[str, Any] = {"pad_value": self.number(-20, 20), "bias": bias, "post": post}
        if kind == "border":
            values["border"] = {n: self.post(1, 1 / n) for n in range(1, 9)}
            values["geometry"] = Conv2d(padding=(1, 1, 1, 1))
        else:
            values["geometry"] = self.window(x, 3)
        return self.add(AveragePool, x, kernel=(3, 3), **values)

    def classify(self, x: str) -> str:
        if self.number(0, 1):
            height, width = self.shapes[x][1:3]
            x = self.add(GlobalAveragePool, x, bias=7, post=self.post(1, 1 / (height * width)))
        features = int(np.prod(self.shapes[x][1:]))
        return self.add(
            Dense,
            x,
            weight=self.rng.integers(-127, 128, (10, features)).astype(np.int8),
            bias=self.rng.integers(-5000, 5000, 10).astype(np.int32),
            post=self.post(10, 1 / (70 * features**0.5)),
        )


def random_network(seed: int, kinds: tuple[str, ...] | None = None) -> Network:
    """A network of all kinds of operator in random order, or of `kinds`."""
    maker = _Maker(seed)
    side = maker.number(6, 9)
    maker.shapes["x"] = (1, side, side + maker.number(0, 2), maker.number(1, 9))
    x = "x"
    for kind in kinds or tuple(str(k) for k in maker.rng.permutation(KINDS)):
        x = maker.grow(kind, x)
    outputs = (maker.classify(x),) if kinds is None else (x,)
    return _network(maker, seed, outputs)


def skipping_network(seed: int) -> Network:
    """An early tensor is read after wide layers, for which it has to leave a small scratchpad."""
    maker = _Maker(seed)
    maker.shapes["x"] = (1, 6, 6, 4)
    first = maker.conv("x", maker.number(4, 12), same=True)
    kept = [first, maker.conv(first, maker.number(4, 12), same=True)]
    wide = maker.conv(maker.conv(kept[1], 40, same=True), 40, same=True)
    narrow = maker.conv(wide, maker.number(1, 6), same=True)
    posts = tuple(maker.post(1, 1) for _ in range(3))
    joined = maker.add(Concat, narrow, *kept, biases=(1, 2, 3), posts=posts)
    return _network(maker, seed, (maker.conv(joined, 5),))


def deep_network(seed: int) -> Network:
    """Operators of all kinds on an image of many rows, with a branch that skips some of them."""
    maker = _Maker(seed)
    maker.shapes["x"] = (1, maker.number(16, 26), maker.number(5, 9), maker.number(1, 9))
    x = maker.conv("x", maker.number(3, 9), same=True)
    for kind in maker.rng.permutation(KINDS)[:6]:
        x = maker.grow(str(kind), x)
    skipped = maker.conv(x, 8, same=True)
    wide = maker.conv(maker.conv(skipped, 24, same=True), 8, same=True)
    values = {"factors": (3000, 5000), "bias": 100, "post": maker.post(1, 2.0**-13)}
    return _network(maker, seed, (maker.grow("max", maker.add(Add, wide, skipped, **values)),))


def wide_network(seed: int) -> Network:
    """An inverted residual, a strided one, and pooling, on an image whose rows are long."""
    maker = _Maker(seed)
    maker.shapes["x"] = (1, maker.number(5, 8), maker.number(21, 33), maker.number(3, 9))
    x = maker.conv("x", 8, same=True)
    inside = maker.conv(x, 24, same=True)
    inside = maker.conv(maker.conv(inside, 24, groups=24, same=True), 8, same=True)
    values = {"factors": (3000, 5000), "bias": 100, "post": maker.post(1, 2.0**-13)}
    x = maker.add(Add, inside, x, **values)
    x = maker.conv(maker.conv(x, 20, same=True), 20, groups=20)
    kinds = ("max", "average", "border", "concat", "shuffle")
    x = maker.grow(kinds[seed % len(kinds)], x)
    return _network(maker, seed, (maker.conv(x, 12),))


def _network(maker: _Maker, seed: int, outputs: tuple[str, ...]) -> Network:
    return Network(
        name=f"random{seed}",
        tensors=tuple(
            Tensor(name=name, shape=shape, scale=Fraction(1), zero_point=0)
            for name, shape in maker.shapes.items()
        ),
        operators=tuple(maker.operators),
        inputs=("x",),
        outputs=outputs,
    )


def random_input(network: Network, seed: int) -> dict[str, np.ndarray[Any, np.dtype[np.int8]]]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.integers(-128, 128, network.tensor(name).shape).astype(np.int8)
        for name in network.inputs
    }
