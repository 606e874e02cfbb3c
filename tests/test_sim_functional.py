"""sim.functional: instructions against the mathematics of sim.reference."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from hw.isa import ISA_VERSION, Begin, Compute, End, Instruction, Load, Path, Store, Target
from sim.functional import Machine, ProgramError
from sim.reference import Conv2d, Integers, conv2d
from sim.requantise import requantise

W = 4
Array = npt.NDArray[Any]


def _machine(memory: int = 4096) -> Machine:
    return Machine(np.zeros(memory, np.uint8), word_bytes=W, scratchpad_words=400, weight_words=600)


def _part(c: Compute, taps: range, **more: Any) -> Compute:
    """Some kernel rows of a window of a stride and dilation of 1."""
    pitch = c.tap_y + (c.kernel_x - 1) * c.tap_x
    moved = {
        "source": (c.source + taps.start * pitch) % (1 << 24),
        "pad_top": c.pad_top - taps.start,
        "kernel_y": len(taps),
    }
    return replace(c, **moved, **more)


def _put(machine: Machine, address: int, image: Array) -> None:
    """An image (H, W, C) of whole words, at a word address."""
    words = image.astype(np.int8).reshape(-1, W).view(np.uint8)
    machine.scratchpad[address : address + len(words)] = words


def _parameters(machine: Machine, bias: Array, multiplier: Array, shift: Array) -> None:
    block = bias.astype("<i4").tobytes() + multiplier.astype("<u4").tobytes()
    block += shift.astype(np.uint8).tobytes()
    machine.weights[:9] = np.frombuffer(block, np.uint8).reshape(9, W)


def _window(
    path: Path, image: tuple[int, int, int], kernel: int, conv: Conv2d, **more: Any
) -> Compute:
    """The pattern of a window over an image at word 0, results from word 200 on."""
    height, width, words = image
    rows, cols = conv.output_size((height, width), (kernel, kernel))
    (sy, sx), (dy, dx) = conv.stride, conv.dilation
    top, left = conv.padding[:2]
    values: dict[str, Any] = {
        "path": path,
        "source": (-(top * width + left) * words) % (1 << 24),
        "pixels": rows * cols,
        "out_width": cols,
        "step_x": sx * words,
        "step_y": (sy * width - (cols - 1) * sx) * words,
        "tap_x": dx * words,
        "tap_y": (dy * width - (kernel - 1) * dx) * words,
        "in_height": height,
        "in_width": width,
        "stride_y": sy,
        "stride_x": sx,
        "dilation_y": dy,
        "dilation_x": dx,
        "pad_top": top,
        "pad_left": left,
        "kernel_y": kernel,
        "kernel_x": kernel,
        "words": 1,
        "pad_value": 0,
        "weights": 0,
        "destination": 200,
        "destination_step": 1,
        "mask": 15,
        "zero_point": 0,
        "low": -128,
        "high": 127,
    }
    return Compute(**{**values, **more})


CONVOLUTIONS = [
    Conv2d(),
    Conv2d(padding=(1, 1, 1, 1)),
    Conv2d(stride=(2, 1), padding=(1, 0, 1, 2)),
    Conv2d(dilation=(2, 2), padding=(2, 2, 2, 2)),
]


def _result(machine: Machine, pixels: int) -> Integers:
    return machine.scratchpad[200 : 200 + pixels].view(np.int8).astype(np.int64)


@pytest.mark.parametrize("conv", CONVOLUTIONS)
@pytest.mark.parametrize("kernel", [1, 3])
class TestWindows:
    SIZE = (6, 5)

    def _setting(self, channels: int) -> tuple[Machine, Any, Array, Array, Array, Array]:
        rng = np.random.default_rng(channels)
        machine = _machine()
        image = rng.integers(-128, 128, (*self.SIZE, channels))
        _put(machine, 0, image)
        bias = rng.integers(-2000, 2000, W)
        multiplier, shift = rng.integers(2**30, 2**31, W), rng.integers(36, 42, W)
        _parameters(machine, bias, multiplier, shift)
        return machine, rng, image, bias, multiplier, shift

    def test_convolution_on_the_array(self, kernel: int, conv: Conv2d) -> None:
        machine, rng, image, bias, multiplier, shift = self._setting(8)
        weight = rng.integers(-128, 128, (W, kernel, kernel, 8))
        stream = weight.reshape(W, -1).T.astype(np.int8).view(np.uint8)
        machine.weights[9 : 9 + len(stream)] = stream
        compute = _window(
            Path.ARRAY, (*self.SIZE, 2), kernel, conv, words=2, pad_value=-7, zero_point=3, low=-90
        )
        machine.step(compute)
        acc = conv2d(image[None], weight, conv, pad_value=-7)[0].reshape(-1, W) + bias
        expected = requantise(acc, multiplier, shift, 3, -90, 127)
        assert np.array_equal(_result(machine, len(acc)), expected)

    def test_depthwise_on_the_lanes(self, kernel: int, conv: Conv2d) -> None:
        machine, rng, image, bias, multiplier, shift = self._setting(4)
        weight = rng.integers(-128, 128, (W, kernel, kernel, 1))
        stream = weight.reshape(W, -1).T.astype(np.int8).view(np.uint8)
        machine.weights[9 : 9 + len(stream)] = stream
        machine.step(_window(Path.TAPS, (*self.SIZE, 1), kernel, conv, pad_value=5))
        each = Conv2d(stride=conv.stride, padding=conv.padding, dilation=conv.dilation, groups=W)
        acc = conv2d(image[None], weight, each, pad_value=5)[0].reshape(-1, W) + bias
        expected = requantise(acc, multiplier, shift, 0, -128, 127)
        assert np.array_equal(_result(machine, len(acc)), expected)

    def test_greatest_of_a_window(self, kernel: int, conv: Conv2d) -> None:
        machine, _, image, _, _, _ = self._setting(4)
        _parameters(machine, np.zeros(W), np.full(W, 1 << 30), np.full(W, 30))
        machine.step(_window(Path.MAXIMUM, (*self.SIZE, 1), kernel, conv, pad_value=-128))
        rows, cols = conv.output_size(self.SIZE, (kernel, kernel))
        expected = np.full((rows, cols, W), -128)
        for y, x, i, j in np.ndindex(rows, cols, kernel, kernel):
            row = y * conv.stride[0] - conv.padding[0] + i * conv.dilation[0]
            col = x * conv.stride[1] - conv.padding[1] + j * conv.dilation[1]
            if 0 <= row < self.SIZE[0] and 0 <= col < self.SIZE[1]:
                expected[y, x] = np.maximum(expected[y, x], image[row, col])
        assert np.array_equal(_result(machine, rows * cols), expected.reshape(-1, W))


def test_addition_weighs_two_tensors() -> None:
    rng = np.random.default_rng(3)
    machine = _machine()
    a, b = (rng.integers(-128, 128, (3, 2, W)) for _ in range(2))
    _put(machine, 0, a)
    _put(machine, 100, b)
    bias, shift = np.array([5, -5, 0, 9]), np.full(W, 38)
    multiplier = rng.integers(2**30, 2**31, W)
    _parameters(machine, bias, multiplier, shift)
    machine.step(
        _window(
            Path.SCALARS,
            (3, 2, 1),
            1,
            Conv2d(),
            kernel_x=2,
            tap_x=100,
            dilation_x=0,
            scalar_0=70,
            scalar_1=-90,
        )
    )
    acc = (70 * a - 90 * b).reshape(-1, W) + bias
    assert np.array_equal(_result(machine, 6), requantise(acc, multiplier, shift, 0, -128, 127))


def test_masked_bytes_are_left_alone() -> None:
    machine = _machine()
    _parameters(machine, np.full(W, 9), np.full(W, 1 << 30), np.full(W, 30))
    machine.scratchpad[200:204] = 77
    machine.step(
        _window(Path.SCALARS, (2, 2, 1), 1, Conv2d(), mask=0b0101, destination_step=2, scalar_0=1)
    )
    assert machine.scratchpad[200:204].tolist() == [[9, 77, 9, 77], [77] * 4] * 2


class TestPrograms:
    def test_tokens_order_units_whatever_the_order_in_the_program(self) -> None:
        machine = _machine()
        machine.memory[:8] = np.arange(8)
        store = Store(after_load=1, memory=64, local=7, words=2)
        load = Load(target=Target.SCRATCHPAD, memory=0, local=7, words=2)
        machine.run([Begin(), store, load, End()])
        assert machine.memory[64:72].tolist() == list(range(8))

    @pytest.mark.parametrize(
        ("program", "message"),
        [
            ([], "program must end with End"),
            ([Begin()], "program must end with End"),
            ([End()], "program must begin with Begin of version 2"),
            ([Begin(version=ISA_VERSION + 1), End()], "program must begin with Begin of version 2"),
            (
                [Begin(), Load(after_store=1, target=0, memory=0, local=0, words=1), End()],
                r"tokens must be reachable, not wait for ever after \[0, 0, 0\]",
            ),
            (
                [Begin(), Load(target=0, memory=4092, local=0, words=2), End()],
                "memory must reach byte 4100, not end at 4096",
            ),
            (
                [Begin(), Load(target=0, memory=0, local=399, words=2), End()],
                "on-chip memory must reach word 401, not end at 400",
            ),
            (
                [Begin(), Load(target=1, memory=0, local=599, words=2), End()],
                "on-chip memory must reach word 601, not end at 600",
            ),
            ([Begin(), Begin(), End()], "program must have Begin and End at its ends only"),
            ([Begin(), End(), End()], "program must have Begin and End at its ends only"),
            ([Begin(), Store(memory=0, local=0, words=0), End()], "transfers must have words"),
            (
                [Begin(), Store(memory=0, local=400, words=1), End()],
                "on-chip memory must reach word 401, not end at 400",
            ),
            (
                [Begin(), _window(Path.SCALARS, (2, 2, 1), 1, Conv2d(), destination=398), End()],
                "scratchpad must reach word 401",
            ),
            (
                [Begin(), _window(Path.SCALARS, (2, 2, 1), 1, Conv2d(), source=398), End()],
                "scratchpad must reach word 40[01]",
            ),
        ],
    )
    def test_what_cannot_run_is_refused(self, program: list[Instruction], message: str) -> None:
        with pytest.raises(ProgramError, match=rf"^{message}$"):
            _machine().run(program)


@pytest.mark.parametrize("path", list(Path))
def test_a_reduction_in_parts_is_that_of_the_whole(path: Path) -> None:
    rng = np.random.default_rng(path)
    whole, parts = _machine(), _machine()
    size, pixels = (5, 3, 1), 6 if path == Path.ARRAY else 1
    image = rng.integers(-128, 128, (5, 3, W))
    for machine in (whole, parts):
        _put(machine, 0, image)
        _parameters(
            machine, np.full(W, -77), np.full(W, 1 << 30), np.array([36, 37, 38, 30 + path])
        )
    step = W if path == Path.ARRAY else 1
    weights = rng.integers(0, 256, (9 * step, W)).astype(np.uint8)
    c = _window(path, size, 3, Conv2d(padding=(1, 1, 1, 1)), scalar_0=5, scalar_1=5)
    c = replace(c, pixels=pixels)
    whole.weights[9 : 9 + len(weights)] = weights
    whole.step(c)
    seen: list[int] = []
    parts.on_compute = lambda part, _: seen.append(part.keep)
    # The parts in any order, each with its own weights.
    for keep, rows in ((1, range(2, 3)), (1, range(0, 1)), (0, range(1, 2))):
        parts.weights[9 : 9 + 3 * step] = weights[3 * step * rows.start : 3 * step * rows.stop]
        assert not parts.scratchpad[200:].any()
        parts.step(_part(c, rows, keep=keep))
    assert seen == [1, 1, 0]
    assert np.array_equal(parts.scratchpad, whole.scratchpad)
    assert parts.scratchpad[200:].any()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([{"keep": 1}], "program must end its reductions, not keep sums of the last one"),
        (
            [{"keep": 1}, {"pixels": 3}],
            "a part must have the path 0 and the 4 pixels of the one before, not 0 and 3",
        ),
        (
            [{"keep": 1, "pixels": 1}, {"pixels": 1, "path": Path.TAPS}],
            "a part must have the path 0 and the 1 pixels of the one before, not 1 and 1",
        ),
        ([{"keep": 1, "pixels": 5}, {}], "pixels whose sums stay must be at most 4, not 5"),
        (
            [{"keep": 1, "path": Path.MAXIMUM}, {}],
            "pixels whose sums stay must be at most 1, not 4",
        ),
    ],
)
def test_parts_that_do_not_match_are_refused(parts: list[dict[str, Any]], message: str) -> None:
    machine = _machine()
    machine.tile = 4
    c = replace(_window(Path.ARRAY, (4, 4, 1), 1, Conv2d()), pixels=4)
    with pytest.raises(ProgramError, match=rf"^{message}$"):
        machine.run([Begin(), *(replace(c, **part) for part in parts), End()])
