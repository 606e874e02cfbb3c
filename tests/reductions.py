"""Networks with long reductions, and what they are planned and computed like."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np

from hw.spec import Spec
from mapper.budget import Budget
from mapper.check import check_plan
from mapper.layout import pack_tensor, unpack_tensor
from mapper.lower import lower
from mapper.lowered import Lowered
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Plan, Source
from sim.functional import Machine
from sim.quantised import Conv, Dense, GlobalAveragePool, Network, Requantisation, Tensor
from sim.quantised_run import run
from sim.random_networks import random_input
from sim.reference import Conv2d

__all__ = ["Size", "after_convolution", "average", "computed", "conv", "dense", "planned", "single"]

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


def average(size: Size) -> GlobalAveragePool:
    """Of an image (H, W, C)."""
    pixels = size[0] * size[1]
    # 1 / pixels, doubled for variety: int8 operands of either sign.
    return GlobalAveragePool(
        name="op",
        inputs=("x",),
        output="y",
        bias=7 * pixels,
        post=Requantisation(
            multiplier=np.array([2 * (1 << 30) // pixels + (1 << 24)]), shift=np.array([27])
        ),
    )


def single(operator: Conv | Dense | GlobalAveragePool, size: Size) -> Network:
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


def after_convolution(size: Size, channels: int, outputs: int) -> Network:
    """A dense layer behind a convolution of an image (H, W, C) to so many channels."""
    first = replace(conv(size, channels, 3, padding=(1, 1, 1, 1)), name="conv", output="t")
    between = (size[0], size[1], channels)
    last = replace(dense(between, outputs), inputs=("t",))
    shapes = {"x": (1, *size), "t": (1, *between), "y": (1, 1, 1, outputs)}
    return Network(
        name="net",
        tensors=tuple(
            Tensor(name=name, shape=shape, scale=Fraction(1), zero_point=0)
            for name, shape in shapes.items()
        ),
        operators=(first, last),
        inputs=("x",),
        outputs=("y",),
    )


def planned(network: Network, spec: Spec, scratchpad: int) -> Plan | None:
    """A plan that the checker accepts; None where the network does not fit."""
    source = Source("x", "0" * 64, 8, 8, spec.word_bytes, "bytes")
    graph, weights = network_graph(network, spec), spec.weight_buffer.bytes
    plan = map_graph(graph, Budget("bytes", scratchpad), source, weight_memory=weights).plan
    assert plan is None or check_plan(json.loads(plan.text())) is None
    return plan


def computed(network: Network, plan: Plan, spec: Spec, seed: int = 0) -> Lowered:
    """Lowers, runs on the functional simulator, and compares values and bytes."""
    lowered = lower(network, plan, spec)
    memory = lowered.image.copy()
    inputs = random_input(network, seed)
    for name, values in inputs.items():
        packed = pack_tensor(values, spec.word_bytes)
        memory[lowered.tensors[name] : lowered.tensors[name] + len(packed)] = packed
    machine = Machine(
        memory,
        word_bytes=spec.word_bytes,
        scratchpad_words=plan.scratchpad_bytes // spec.word_bytes,
        weight_words=spec.weight_buffer.bytes // spec.word_bytes,
        tile=spec.engine.tile,
    )
    machine.run(lowered.program)
    expected = run(network, inputs)
    for name, address in lowered.tensors.items():
        result = unpack_tensor(memory[address:], network.tensor(name).shape, spec.word_bytes)
        assert np.array_equal(result, expected[name]), name
    assert lowered.weight_bytes == sum(plan.traffic["weights"].values())
    moved = lowered.activation_bytes + lowered.stored_bytes
    assert moved == sum(plan.traffic["activations"].values())
    return lowered
