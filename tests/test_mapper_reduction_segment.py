"""mapper.reduction_segment: dense layers whose input is larger than the scratchpad."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from hw.isa import Compute, Load, Target
from hw.spec import load_spec
from mapper.check import check_plan
from mapper.graph import Graph
from mapper.network_graph import network_graph
from mapper.plan import Plan
from mapper.reduction_segment import ReductionSegment
from mapper.segments import segment_of
from mapper.stage import Stage
from sim.quantised import Network
from tests.reductions import Size, after_convolution, average, computed, dense, planned, single

TINY = load_spec("tiny")
W = TINY.word_bytes


def _stage(plan: Plan) -> Stage:
    (stage,) = (o.stage for o in plan.operators if o.stage and o.stage.axis == "reduction")
    return stage


def _dense(size: Size, outputs: int) -> Network:
    return single(dense(size, outputs), size)


@pytest.mark.parametrize(
    ("size", "outputs", "scratchpad"),
    [
        ((1, 1, 5000), 4, 4096),
        ((1, 1, 5000), 9, 2048),
        ((5, 7, 61), 6, 1200),
        ((3, 1, 1300), 8, 1040),
        ((1, 1, 4201), 13, 1024),
    ],
)
def test_values_and_bytes(size: Size, outputs: int, scratchpad: int) -> None:
    network = _dense(size, outputs)
    plan = planned(network, TINY, scratchpad)
    assert plan is not None
    assert _stage(plan).workspace
    computed(network, plan, TINY)


def test_what_is_loaded_again_is_all_but_two_slices() -> None:
    """40,000 bytes of input; ten outputs are three words of output channels."""
    network = _dense((10, 10, 400), 10)
    plan = planned(network, TINY, 1 << 14)
    assert plan is not None
    stage = _stage(plan)
    # Eighty parts of 500 bytes; two slices beside 12 bytes of output: 16 parts are 8,000 bytes.
    assert [len(p.loads) for p in stage.patches] == [1] * 5 + [0, 0, 1, 1, 1] * 2
    assert [p.parts[0][1:3] for p in stage.patches[3:7]] == [
        (24_000, 32_000),
        (32_000, 40_000),
        (32_000, 40_000),
        (24_000, 32_000),
    ]
    assert plan.traffic["activations"] == {
        "compulsory": 40_000 + 12,
        "non_compulsory": 2 * 3 * 8_000,
    }
    assert plan.traffic["weights"]["non_compulsory"] == 0
    assert plan.objective_bytes == 48_000
    lowered = computed(network, plan, TINY)
    computes = [i for i in lowered.program if isinstance(i, Compute)]
    assert [c.keep for c in computes] == ([1] * 79 + [0]) * 3
    loads = [i for i in lowered.program if isinstance(i, Load) and i.target == Target.SCRATCHPAD]
    assert [i.words for i in loads] == [2_000] * 11


def test_one_word_of_outputs_reads_everything_once() -> None:
    network = _dense((32, 32, 20), 4)
    plan = planned(network, TINY, 1 << 14)
    assert plan is not None
    assert plan.objective_bytes == 0
    computed(network, plan, TINY)


def test_more_scratchpad_is_never_worse() -> None:
    network = _dense((1, 1, 6000), 12)
    moved = []
    for scratchpad in (1100, 1500, 2200, 3000, 4500, 6100):
        plan = planned(network, TINY, scratchpad)
        assert plan is not None
        moved.append(plan.objective_bytes)
    assert moved == sorted(moved, reverse=True)
    assert moved[-1] == 0
    assert len(set(moved)) > 3


def test_the_input_may_be_made_in_patches() -> None:
    """A convolution whose result does not fit either: it goes off chip row by row."""
    network = after_convolution((6, 10, 12), 64, 5)
    plan = planned(network, TINY, 2500)
    assert plan is not None
    axes = [o.stage.axis if o.stage else "" for o in plan.operators]
    assert axes == ["rows", "reduction"]
    assert {t.kind for t in plan.transfers} == {"load", "spill", "fetch", "store"}
    computed(network, plan, TINY)


def test_what_cannot_be_cut_fine_enough_does_not_fit() -> None:
    network = _dense((1, 1, 5000), 4)
    # Two parts of 500 bytes and a word of output.
    assert planned(network, TINY, 1004) is not None
    assert planned(network, TINY, 1000) is None


@pytest.mark.parametrize(
    ("size", "scratchpad"), [((80, 80, 4), 1 << 14), ((40, 12, 11), 1300), ((9, 7, 6), 200)]
)
def test_a_global_average(size: Size, scratchpad: int) -> None:
    network = single(average(size), size)
    plan = planned(network, TINY, scratchpad)
    assert plan is not None
    stage = _stage(plan)
    row = size[1] * -(-size[2] // W) * W
    (reduction,) = (m.reduction for m in stage.members)
    assert reduction is not None
    assert reduction.ends == tuple(row * (n + 1) for n in range(size[0]))
    lowered = computed(network, plan, TINY)
    # A part of a sweep is one computation.
    assert sum(isinstance(i, Compute) for i in lowered.program) == len(stage.patches)
    assert plan.traffic["weights"]["non_compulsory"] == 0


def _segment(graph: Graph) -> ReductionSegment:
    segment = segment_of(graph, graph.operators[-1:], "reduction")
    assert isinstance(segment, ReductionSegment)
    return segment


def test_only_long_dense_layers_have_patches_along_the_reduction() -> None:
    graph = network_graph(_dense((1, 1, 5000), 8), TINY)
    assert _segment(graph).most_patches == 10
    assert _segment(network_graph(_dense((1, 1, 900), 8), TINY)).most_patches == 1
    both = segment_of(
        network_graph(after_convolution((6, 10, 12), 64, 5), TINY),
        network_graph(after_convolution((6, 10, 12), 64, 5), TINY).operators,
        "reduction",
    )
    assert both.most_patches == 1


def _of(plan: dict[str, Any]) -> dict[str, Any]:
    stage: dict[str, Any] = plan["operators"][0]["stage"]
    return stage


def _move(plan: dict[str, Any], n: int, **more: int) -> None:
    patch = _of(plan)["patches"][n]
    for x in (*patch["buffers"], *patch["parts"], *patch["loads"]):
        x.update({name: value for name, value in more.items() if name in x})


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda p: _of(p)["patches"].pop(), "its patches must be 2 sweeps of as many, not 9"),
        (
            lambda p: _of(p)["patches"].reverse(),
            "bytes 3000 to 4000 of 'x' must be in the workspace in patch 3",
        ),
        (lambda p: _move(p, 2, last=3004), "patch 2 must go on at byte 2000 of 'x' with whole"),
        (lambda p: _move(p, 4, last=4500), "sweep 0 must end at byte 5000, not 4500"),
        (
            lambda p: _of(p)["patches"][7]["loads"].clear(),
            r"bytes 2000 to 3000 of 'x' must be in the workspace in patch 7",
        ),
        (
            lambda p: _move(p, 3, offset=0),
            r"bytes 3000 to 4000 of 'x' must be in the workspace in patch 6",
        ),
        (lambda p: _move(p, 3, offset=2000), "buffer of patch 3 must end within 2000, not 3000"),
        (
            lambda p: _of(p)["patches"][0]["loads"][0].update(last=900),
            "load of patch 0 must fill its buffer",
        ),
        (
            lambda p: _of(p)["patches"][0]["parts"][0].update(last=500),
            "part of patch 0 must be its buffer",
        ),
        (
            lambda p: _of(p)["patches"][0]["parts"].clear(),
            "patch 0 must have one buffer and one part",
        ),
        (
            lambda p: _of(p)["patches"][0]["parts"][0].update(operator="y"),
            "patch 0 must be of 'op' and its input",
        ),
        (lambda p: _of(p)["members"].clear(), "it must have one member"),
        (
            lambda p: _of(p)["members"][0].update(reduction=None),
            "its member must have a reduction in parts",
        ),
        (
            lambda p: _of(p)["members"][0]["reduction"]["ends"].pop(),
            "must end one after another, the last at 5000",
        ),
        (lambda p: _of(p).update(workspace="x"), "its input must not"),
        (lambda p: p["operators"][0].update(macs=7), "macs must be 40000, its member's"),
        (lambda p: _of(p).update(reread_weight_bytes=4), "reread_weight_bytes must be 0, not 4"),
        (
            lambda p: _of(p)["members"][0].update(loaded_weight_bytes=4),
            "loaded_weight_bytes must be weight_bytes",
        ),
    ],
)
def test_a_broken_sweep_is_named(change: Callable[[dict[str, Any]], object], detail: str) -> None:
    plan = planned(_dense((1, 1, 5000), 8), TINY, 2010)
    assert plan is not None
    broken = copy.deepcopy(json.loads(plan.text()))
    assert len(_of(broken)["patches"]) == 10
    change(broken)
    verdict = check_plan(broken)
    assert verdict is not None
    assert verdict.rule == "stages"
    assert re.search(detail, verdict.detail), verdict.detail
