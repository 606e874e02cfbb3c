"""Random small networks on the RTL: values, bytes and, without stalls, cycles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hw.spec import load_spec
from mapper.budget import Budget, resolve_budget
from mapper.check import check_plan
from mapper.layout import pack_tensor, unpack_tensor
from mapper.lower import lower
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Plan, Source
from mapper.smallest import least_scratchpad
from sim.quantised import Conv, Dense, Network
from sim.quantised_run import run
from sim.random_networks import (
    deep_network,
    random_input,
    random_network,
    skipping_network,
    wide_network,
)
from sim.runner.accelerator import MemoryModel, NativeAccelerator
from sim.timing.program import program_timing
from tests.reductions import Size, after_convolution, average, conv, dense, single

SPEC = load_spec("tiny")


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("make", [random_network, skipping_network, deep_network])
@pytest.mark.parametrize("seed", range(100, 110))
def test_values_bytes_and_cycles(seed: int, make: Callable[[int], Network], stalls: float) -> None:
    network = make(seed)
    budget = resolve_budget(network_graph(network, SPEC), "MR")
    if make is deep_network:
        # What does not fit runs in patches.
        budget = Budget("bytes", budget.bytes // 2 // SPEC.word_bytes * SPEC.word_bytes)
    plan = _planned(network, budget)
    assert (make is deep_network) == any(o.stage for o in plan.operators)
    _compare(network, plan, seed, stalls)


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize(
    ("operator", "size"),
    [
        (conv((3, 5, 160), 6, 3, padding=(1, 1, 1, 1)), (3, 5, 160)),
        (conv((3, 2, 1100), 5, 1), (3, 2, 1100)),
        (conv((7, 7, 48), 4, 5, padding=(2, 0, 1, 2), stride=(3, 2)), (7, 7, 48)),
        (dense((3, 4, 300), 9), (3, 4, 300)),
    ],
    ids=["3x3", "1x1", "5x5", "dense"],
)
def test_a_reduction_in_parts(operator: Conv | Dense, size: Size, stalls: float) -> None:
    network = single(operator, size)
    plan = _planned(network, Budget("spec", SPEC.scratchpad.bytes))
    assert plan.has_reductions
    _compare(network, plan, 1, stalls)


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize(
    "network",
    [
        single(dense((1, 1, 4201), 13), (1, 1, 4201)),
        single(dense((5, 9, 61), 3), (5, 9, 61)),
        after_convolution((6, 10, 12), 64, 5),
        single(average((30, 17, 7)), (30, 17, 7)),
    ],
    ids=["flat", "image", "behind a convolution", "average"],
)
def test_an_operator_whose_input_does_not_fit(network: Network, stalls: float) -> None:
    plan = _planned(network, Budget("bytes", 2400))
    assert any(o.stage and o.stage.axis == "reduction" for o in plan.operators)
    _compare(network, plan, 2, stalls)


@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize("seed", range(5))
def test_networks_of_which_no_row_fits(seed: int, stalls: float) -> None:
    network = wide_network(seed)
    _, least = least_scratchpad(network_graph(network, SPEC))
    plan = _planned(network, Budget("bytes", 2 * least // 8 * 4 + seed % 2 * least // 8 * 4))
    stages = [o.stage for o in plan.operators if o.stage]
    assert any(s.axis == "tiles" for s in stages)
    _compare(network, plan, seed, stalls)


@pytest.mark.parametrize("stalls", [0.0, 0.4])
def test_a_reduction_in_parts_in_tiles(stalls: float) -> None:
    size = (4, 10, 128)
    network = single(conv(size, 6, 3, padding=(1, 1, 1, 1), stride=(2, 1)), size)
    plan = _planned(network, Budget("bytes", 3000))
    ((stage,),) = [[o.stage for o in plan.operators]]
    assert stage is not None
    assert (stage.axis, plan.has_reductions) == ("tiles", True)
    _compare(network, plan, 3, stalls)


def _planned(network: Network, budget: Budget) -> Plan:
    source = Source("x", "0" * 64, 8, 8, SPEC.word_bytes, budget.name)
    graph, weights = network_graph(network, SPEC), SPEC.weight_buffer.bytes
    plan = map_graph(graph, budget, source, weight_memory=weights).plan
    assert plan is not None
    assert check_plan(json.loads(plan.text())) is None
    return plan


def _compare(network: Network, plan: Plan, seed: int, stalls: float) -> None:
    inputs = random_input(network, seed)
    lowered = lower(network, plan, SPEC)
    memory = replace(MemoryModel.of(SPEC, len(lowered.image)), stalls=stalls, seed=seed)
    expected = run(network, inputs)
    timing = program_timing(lowered.program, SPEC)
    with NativeAccelerator(SPEC, memory) as accelerator:
        accelerator.memory[:] = lowered.image
        for name, values in inputs.items():
            packed = pack_tensor(values, SPEC.word_bytes)
            home = lowered.tensors[name]
            accelerator.memory[home : home + len(packed)] = packed
        length = len(lowered.program)
        limit = 100 * (timing.cycles + 1000)
        assert accelerator.run(program=0, length=length, limit=limit) == 0
        for name, address in lowered.tensors.items():
            shape = network.tensor(name).shape
            result = unpack_tensor(accelerator.memory[address:], shape, SPEC.word_bytes)
            assert np.array_equal(result, expected[name]), name
        moved = {"in": 0, "out": 0}
        for transfer in plan.transfers:
            moved["in" if transfer.kind in ("load", "fetch") else "out"] += transfer.bytes
        assert accelerator.read("bytes_weights") == (
            plan.compulsory.weights + plan.reread_weight_bytes
        )
        assert accelerator.read("bytes_activations") == moved["in"]
        assert accelerator.read("bytes_stored") == moved["out"]
        assert accelerator.read("bytes_instructions") == lowered.program_bytes
        if stalls == 0:
            assert accelerator.read("cycles") == timing.cycles
            finished = [cycle + 1 for cycle in timing.computes]
            assert accelerator.finish_cycles().tolist() == finished
