"""mapper.reduction: operators whose weights come in parts, planned, lowered and computed."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from hw.control.execute import PARAMETER_WORDS
from hw.isa import Compute, Load, Target
from hw.spec import Engine, Spec, WeightBuffer, load_spec
from mapper.budget import resolve_budget
from mapper.check import check_plan
from mapper.network_graph import network_graph
from mapper.pieces import pieces_of
from mapper.plan import Plan
from mapper.reduction import parts_of, reduction_of
from mapper.stage import Reduction
from sim.quantised import Network
from sim.random_networks import deep_network, random_network
from tests.reductions import computed, conv, dense, planned, single

TINY = load_spec("tiny")
W = TINY.word_bytes


def _with_weights(size: int, spec: Spec = TINY) -> Spec:
    return spec.model_copy(update={"weight_buffer": WeightBuffer(bytes=size)})


def _reductions(plan: Plan) -> Mapping[str, Reduction]:
    return {
        m.name: m.reduction
        for o in plan.operators
        if o.stage
        for m in o.stage.members
        if m.reduction
    }


@pytest.mark.parametrize("size", [112, 208, 400])
@pytest.mark.parametrize("make", [random_network, deep_network])
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_in_a_small_weight_memory(
    seed: int, make: Callable[[int], Network], size: int
) -> None:
    network, spec = make(seed), _with_weights(size)
    need = resolve_budget(network_graph(network, spec), "MR").bytes
    # Whole operators, or some of them in patches as well.
    plan = planned(network, spec, need if make is random_network else need // 2 // W * W)
    if plan is None:
        plan = planned(network, spec, need)
    assert plan is not None
    computed(network, plan, spec, seed)


def test_the_random_networks_have_reductions() -> None:
    found = [
        bool(_reductions(plan))
        for seed in range(6)
        if (plan := planned(random_network(seed), _with_weights(112), 1 << 16))
    ]
    assert sum(found) >= 4


def test_the_bytes_of_a_convolution() -> None:
    """5 × 5 pixels, 160 channels, a kernel of 3 × 3: 40 words per tap, three kernel rows."""
    network = single(conv((5, 5, 160), 8, 3, padding=(1, 1, 1, 1)), (5, 5, 160))
    plan = planned(network, TINY, 1 << 14)
    assert plan is not None
    row = W * (PARAMETER_WORDS + 3 * 40 * W)
    assert _reductions(plan) == {"op": Reduction(2, (row, row, row), tile_rows=1, row_tiles=2)}
    # Two blocks; ten tiles, of which the first loads three parts and every other one one.
    assert plan.compulsory.weights == 2 * 3 * row
    assert plan.reread_weight_bytes == plan.objective_bytes == 2 * 9 * row
    assert json.loads(plan.text())["version"] == 4
    lowered = computed(network, plan, TINY)
    computes = [i for i in lowered.program if isinstance(i, Compute)]
    assert [c.keep for c in computes] == [1, 1, 0] * 20
    # The kernel rows of two tiles: forth and back.
    assert [c.pad_top for c in computes[:6]] == [1, 0, -1, -1, 0, 1]
    loads = [i for i in lowered.program if isinstance(i, Load) and i.target == Target.WEIGHTS]
    assert len(loads) == 2 * (3 + 9)


def test_a_dense_layer_reads_its_weights_once() -> None:
    network = single(dense((3, 4, 500), 6), (3, 4, 500))
    plan = planned(network, TINY, 1 << 14)
    assert plan is not None
    (reduction,) = _reductions(plan).values()
    assert (reduction.blocks, reduction.tile_rows, reduction.row_tiles) == (2, 4, 1)
    assert sum(reduction.parts) == W * (len(reduction.parts) * PARAMETER_WORDS + 12 * 125 * W)
    assert plan.objective_bytes == plan.reread_weight_bytes == 0
    computed(network, plan, TINY)


def test_more_words_than_an_instruction_counts_are_parts_too() -> None:
    spec = _with_weights(1 << 17)
    network = single(dense((1, 1, 4 * 1100), 4), (1, 1, 4 * 1100))
    plan = planned(network, spec, 1 << 14)
    assert plan is not None
    assert _reductions(plan)["op"].parts == tuple([W * (PARAMETER_WORDS + 550 * W)] * 2)
    computed(network, plan, spec)


@pytest.mark.parametrize(("tile", "tiles"), [(2, (1, 2)), (4, (1, 1)), (9, (3, 1))])
def test_where_weights_stand_still_a_tile_has_its_own_rows(
    tile: int, tiles: tuple[int, int]
) -> None:
    engine = Engine(dataflow="weight-stationary", rows=4, cols=4, tile_rows=tile)
    spec = _with_weights(600, TINY.model_copy(update={"engine": engine}))
    network = single(conv((5, 3, 60), 5, 3, padding=(1, 1, 1, 1)), (5, 3, 60))
    plan = planned(network, spec, 1 << 14)
    assert plan is not None
    reduction = _reductions(plan)["op"]
    assert (reduction.tile_rows, reduction.row_tiles) == tiles
    computed(network, plan, spec)


@pytest.mark.parametrize(
    ("kernel", "channels", "size"), [(1, 40, 112), (3, 40, 208), (5, 3, 300), (3, 7, 112)]
)
def test_parts_cover_the_reduction_once(kernel: int, channels: int, size: int) -> None:
    operator, spec = conv((9, 9, channels), 6, kernel), _with_weights(size)
    network = single(operator, (9, 9, channels))
    for piece in pieces_of(network, operator, W):
        parts = parts_of(operator, piece, spec)
        covered = np.zeros((kernel, kernel, piece.words), int)
        weights = np.frombuffer(piece.block[PARAMETER_WORDS * W :], np.uint8)
        cube = weights.reshape(*covered.shape, W * W)
        for part in parts:
            assert 2 * len(part.block) <= size
            (y, x), (high, wide) = part.first_tap, part.kernel
            box = np.s_[y : y + high, x : x + wide, part.first_word : part.first_word + part.words]
            covered[box] += 1
            head = piece.block[: PARAMETER_WORDS * W]
            assert part.block == head + cube[box].tobytes()
        assert (covered == 1).all()


def test_what_fits_is_not_in_parts() -> None:
    operator = conv((4, 4, 16), 4, 3)
    network = single(operator, (4, 4, 16))
    block = W * (PARAMETER_WORDS + 9 * 4 * W)
    pieces = pieces_of(network, operator, W)
    assert reduction_of(operator, pieces, 2, _with_weights(block)) is None
    assert reduction_of(operator, pieces, 2, _with_weights(block - 8)) is not None
    # Not even one word of one tap, twice.
    assert (
        reduction_of(operator, pieces, 2, _with_weights(2 * W * (PARAMETER_WORDS + W) - 8)) is None
    )
    plan = planned(network, _with_weights(block), 1 << 14)
    assert plan is not None
    assert json.loads(plan.text())["version"] == 3


def _member(plan: dict[str, Any]) -> dict[str, Any]:
    member: dict[str, Any] = plan["operators"][0]["stage"]["members"][0]
    return member


@pytest.mark.parametrize(
    ("change", "rule", "detail"),
    [
        (
            lambda p: _member(p)["reduction"].update(row_tiles=3),
            "stages",
            r"loaded_weight_bytes of 'op' must be \d+, what its tiles sweep over",
        ),
        (
            lambda p: _member(p)["reduction"].update(blocks=3),
            "stages",
            r"weight_bytes of 'op' must be \d+, its parts'",
        ),
        (
            lambda p: _member(p)["reduction"]["parts"].pop(),
            "stages",
            r"weight_bytes of 'op' must be \d+, its parts'",
        ),
        (
            lambda p: _member(p)["reduction"].update(parts=[5868]),
            "stages",
            r"reduction of 'op' must have parts, not 1",
        ),
        (
            lambda p: p.update(weight_memory_bytes=3908),
            "stages",
            r"two parts of the reduction of 'op' must fit into the weight memory of 3908 bytes",
        ),
        (
            lambda p: p.update(weight_memory_bytes=None),
            "stages",
            r"two parts of the reduction of 'op' must fit into the weight memory of None bytes",
        ),
        (
            lambda p: p["operators"][0]["stage"].update(reread_weight_bytes=0),
            "stages",
            r"reread_weight_bytes must be 35208, not 0",
        ),
        (lambda p: _member(p).pop("reduction"), "schema", r"plan.+\.reduction must be given"),
        (
            lambda p: p.update(version=3),
            "schema",
            r"plan.+'reduction' must be removed: there is no such field",
        ),
        (lambda p: p.update(version=5), "schema", r"plan.+ must be given"),
        (lambda p: p.update(version=6), "schema", "plan.version must be 3 or 4 or 5, not 6"),
    ],
)
def test_a_broken_reduction_is_named(
    change: Callable[[dict[str, Any]], object], rule: str, detail: str
) -> None:
    plan = planned(
        single(conv((5, 5, 160), 8, 3, padding=(1, 1, 1, 1)), (5, 5, 160)), TINY, 1 << 14
    )
    assert plan is not None
    broken = copy.deepcopy(json.loads(plan.text()))
    change(broken)
    verdict = check_plan(broken)
    assert verdict is not None
    assert verdict.rule == rule
    assert re.search(detail, verdict.detail), verdict.detail


def test_a_plan_with_reductions_is_read_back_and_described() -> None:
    plan = planned(single(dense((3, 4, 500), 6), (3, 4, 500)), TINY, 1 << 14)
    assert plan is not None
    assert Plan.from_json(json.loads(plan.text())) == plan
