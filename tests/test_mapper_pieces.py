"""mapper.pieces: which path runs an operator, and what is refused."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hw.errors import InputError
from hw.isa import Path
from mapper.pieces import pieces_of, require_sizes, words_per_pixel
from sim.quantised import (
    Add,
    AveragePool,
    Concat,
    Conv,
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

W = 4
X: dict[str, Any] = {"name": "op", "inputs": ("x",), "output": "y"}
POST = Requantisation(multiplier=np.array([1]), shift=np.array([0]))


def _network(operator: Operator, *shapes: Shape) -> Network:
    names = list(dict.fromkeys(operator.inputs))
    tensors = dict(zip(names, shapes, strict=True))
    tensors["y"] = operator.output_shape(*(tensors[name] for name in operator.inputs))
    return Network(
        name="net",
        tensors=tuple(
            Tensor(name=n, shape=s, scale=Fraction(1), zero_point=0) for n, s in tensors.items()
        ),
        operators=(operator,),
        inputs=tuple(names),
        outputs=("y",),
    )


def _conv(outputs: int, kernel: int, depth: int, **geometry: Any) -> Conv:
    return Conv(
        **X,
        weight=np.ones((outputs, kernel, kernel, depth), np.int8),
        bias=np.zeros(outputs, np.int32),
        geometry=Conv2d(**geometry),
        pad_value=0,
        post=POST,
    )


def _pool(kernel: int) -> MaxPool:
    return MaxPool(**X, kernel=(kernel, kernel), geometry=Conv2d(), bias=0, post=POST)


def test_words_of_a_pixel() -> None:
    assert [words_per_pixel(n, W) for n in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


@pytest.mark.parametrize(
    ("operator", "channels", "paths"),
    [
        (_conv(6, 3, 5), 5, [Path.ARRAY] * 2),
        (_conv(6, 1, 1, groups=6), 6, [Path.TAPS] * 2),
        (_conv(6, 1, 3, groups=2), 6, [Path.ARRAY] * 2),
        (_pool(2), 9, [Path.MAXIMUM] * 3),
        (GlobalAveragePool(**X, bias=0, post=POST), 4, [Path.SCALARS]),
        # Every second channel lies in another lane afterwards.
        (Shuffle(**X, groups=2), 8, [Path.ARRAY] * 2),
    ],
)
def test_one_piece_per_word_of_output(operator: Operator, channels: int, paths: list[Path]) -> None:
    pieces = pieces_of(_network(operator, (1, 4, 4, channels)), operator, W)
    assert [piece.path for piece in pieces] == paths
    assert [piece.out_word for piece in pieces] == list(range(len(paths)))
    # Parameters of 9 words, then weights in whole words.
    assert all(len(piece.block) % W == 0 and len(piece.block) >= 9 * W for piece in pieces)


def test_a_dense_group_reads_its_own_words_only() -> None:
    operator = _conv(8, 1, 4, groups=2)
    pieces = pieces_of(_network(operator, (1, 2, 2, 8)), operator, W)
    assert [(p.first_word, p.words) for p in pieces] == [(0, 1), (1, 1)]


def test_concatenation_at_whole_words_needs_no_array() -> None:
    operator = Concat(name="op", inputs=("x", "z"), output="y", biases=(0, 0), posts=(POST, POST))
    aligned = pieces_of(_network(operator, (1, 2, 2, 4), (1, 2, 2, 3)), operator, W)
    assert [(p.path, p.operand, p.out_word, p.mask) for p in aligned] == [
        (Path.SCALARS, 0, 0, 0b1111),
        (Path.SCALARS, 1, 1, 0b0111),
    ]
    shifted = pieces_of(_network(operator, (1, 2, 2, 3), (1, 2, 2, 2)), operator, W)
    assert [(p.path, p.operand, p.out_word, p.mask) for p in shifted] == [
        (Path.SCALARS, 0, 0, 0b0111),
        (Path.ARRAY, 1, 0, 0b1000),
        (Path.ARRAY, 1, 1, 0b0001),
    ]


def test_an_addition_reads_its_operands_as_two_taps() -> None:
    operator = Add(name="op", inputs=("x", "z"), output="y", factors=(5, 7), bias=-3, post=POST)
    (piece,) = pieces_of(_network(operator, (1, 2, 2, 3), (1, 2, 2, 3)), operator, W)
    assert (piece.path, piece.kernel, piece.scalars) == (Path.SCALARS, (1, 2), (5, 7))


def test_windows_at_the_border_are_regions_of_their_own() -> None:
    operator = AveragePool(
        **X,
        kernel=(3, 3),
        geometry=Conv2d(padding=(1, 1, 1, 1)),
        pad_value=0,
        bias=0,
        post=POST,
        border={4: POST, 6: POST},
    )
    pieces = pieces_of(_network(operator, (1, 4, 5, 1)), operator, W)
    covered = np.zeros((4, 5), int)
    for piece in pieces:
        top, bottom, left, right = piece.region
        covered[top:bottom, left:right] += 1
    assert len(pieces) == 9
    assert (covered == 1).all()


@pytest.mark.parametrize(
    ("operator", "shape", "message"),
    [
        (_conv(4, 1, 4 * 1024), (1, 1, 1, 4096), "words of 'op' must be at most 1023, not 1024"),
        (_pool(256), (1, 256, 256, 1), "kernel of 'op' must be at most 255, not 256"),
        (
            _conv(1, 1, 1, stride=(1, 16)),
            (1, 32, 32, 1),
            "stride of 'op' must be at most 15, not 16",
        ),
        (
            _conv(1, 2, 1, dilation=(16, 1)),
            (1, 32, 32, 1),
            "dilation of 'op' must be at most 15, not 16",
        ),
        (_conv(1, 1, 1), (2, 4, 4, 1), "batch of 'op' must be 1, not 2: run the images one after"),
    ],
)
def test_what_the_hardware_does_not_run_is_refused(
    operator: Operator, shape: Shape, message: str
) -> None:
    network = _network(operator, shape)
    with pytest.raises(InputError, match=rf"^net: {message}"):
        require_sizes(network, operator, pieces_of(network, operator, W))
