"""mapper.lower and mapper.observe: random networks as programs, on the functional simulator."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest

from hw.errors import InputError
from hw.isa import Begin, Compute, End, Load, Store, Target, decode
from hw.spec import Spec, WeightBuffer, load_spec
from mapper.budget import Budget, resolve_budget
from mapper.check import check_plan
from mapper.layout import pack_tensor, unpack_tensor
from mapper.lower import lower
from mapper.lowered import Lowered
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.observe import observe
from mapper.pieces import pieces_of
from mapper.plan import Plan, Source, plan_schema
from mapper.smallest import least_scratchpad, smallest_piece
from sim.functional import Machine
from sim.quantised import Conv, GlobalAveragePool, Network, Requantisation, Shuffle, Tensor
from sim.quantised_run import run
from sim.random_networks import (
    KINDS,
    deep_network,
    random_input,
    random_network,
    skipping_network,
    wide_network,
)
from sim.reference import Conv2d

SPECS = {name: load_spec(name) for name in ("tiny", "small")}


def _mapped(network: Network, spec: Spec, budget: Budget) -> Plan | None:
    source = Source("x", "0" * 64, 8, 8, spec.word_bytes, budget.name)
    graph = network_graph(network, spec)
    weights = spec.weight_buffer.bytes
    return map_graph(graph, budget, source, weight_memory=weights).plan


def _planned(network: Network, spec: Spec, budget: str) -> Plan:
    plan = _mapped(network, spec, resolve_budget(network_graph(network, spec), budget))
    assert plan is not None
    assert check_plan(json.loads(plan.text())) is None
    return plan


def _machine(
    image: Any, lowered: Lowered, inputs: dict[str, Any], spec: Spec, plan: Plan
) -> Machine:
    memory = image.copy()
    for name, values in inputs.items():
        packed = pack_tensor(values, spec.word_bytes)
        memory[lowered.tensors[name] : lowered.tensors[name] + len(packed)] = packed
    return Machine(
        memory,
        word_bytes=spec.word_bytes,
        # Exactly what the plan was made for: one word more would be out of range.
        scratchpad_words=plan.scratchpad_bytes // spec.word_bytes,
        weight_words=spec.weight_buffer.bytes // spec.word_bytes,
    )


@pytest.mark.parametrize("seed", range(40))
def test_a_random_network_computes_what_the_reference_computes(seed: int) -> None:
    network = random_network(seed)
    spec = SPECS["small" if seed % 4 == 3 else "tiny"]
    _check(network, spec, _planned(network, spec, "MP" if seed % 2 else "MR"), seed)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_spilled_and_fetched_is_still_right(seed: int) -> None:
    network, spec = skipping_network(seed), SPECS["tiny"]
    plan = _planned(network, spec, "MR")
    assert plan.objective_bytes > 0
    _check(network, spec, plan, seed)


@pytest.mark.parametrize("weights", [4096, 1536])
@pytest.mark.parametrize("seed", range(20))
def test_operators_that_do_not_fit_run_in_patches(seed: int, weights: int) -> None:
    network = deep_network(seed)
    spec = SPECS["tiny"].model_copy(update={"weight_buffer": WeightBuffer(bytes=weights)})
    graph = network_graph(network, spec)
    need = max(graph.operand_bytes(o) for o in graph.operators)
    plans = [
        _mapped(network, spec, Budget("bytes", need * share // 8 // 4 * 4)) for share in (6, 4, 3)
    ]
    found = [plan for plan in plans if plan is not None]
    assert found
    for plan in found:
        assert check_plan(json.loads(plan.text())) is None
        assert any(o.stage for o in plan.operators)
        assert Plan.from_json(json.loads(plan.text())) == plan
        _check(network, spec, plan, seed)


@pytest.mark.parametrize("seed", range(10))
def test_operators_of_which_no_row_fits_run_in_tiles(seed: int) -> None:
    """In the least scratchpad, and in so much that other tiles are chosen."""
    network, spec = wide_network(seed), SPECS["small" if seed % 4 == 3 else "tiny"]
    graph = network_graph(network, spec)
    _, least = least_scratchpad(graph)
    rows = max(smallest_piece(graph, o, ("rows", "channels", "reduction")) for o in graph.operators)
    tiles = set()
    for capacity in (least, (least + rows) // 16 * 8, rows - 8):
        plan = _mapped(network, spec, Budget("bytes", capacity))
        assert plan is not None
        content = json.loads(plan.text())
        assert check_plan(content) is None
        jsonschema.validate(content, plan_schema())
        assert Plan.from_json(content) == plan
        _check(network, spec, plan, seed)
        tiles |= {s for o in plan.operators if (s := o.stage) and s.axis == "tiles"}
    assert tiles
    # With a row more to spare none are needed.
    plan = _mapped(network, spec, Budget("bytes", rows))
    assert plan is not None
    assert not any(o.stage and o.stage.axis == "tiles" for o in plan.operators)


def test_weights_of_channel_patches_are_counted_as_they_are_loaded() -> None:
    # The matrix does not stay in the weight memory; the pooling has one block for all its words,
    # the convolution one for each, the first two of which are equal.
    rng = np.random.default_rng(1)
    weight = rng.integers(-127, 128, (40, 1, 1, 48)).astype(np.int8)
    weight[4:8] = weight[:4]
    same = Requantisation(multiplier=np.array([1 << 30]), shift=np.array([40]))
    shapes = {"x": (1, 5, 5, 48), "y": (1, 5, 5, 40), "z": (1, 1, 1, 40)}
    network = Network(
        name="pool",
        tensors=tuple(
            Tensor(name=n, shape=s, scale=Fraction(1), zero_point=0) for n, s in shapes.items()
        ),
        operators=(
            Conv(
                name="conv",
                inputs=("x",),
                output="y",
                weight=weight,
                bias=np.zeros(40, np.int32),
                geometry=Conv2d(),
                pad_value=0,
                post=same,
            ),
            GlobalAveragePool(name="pool", inputs=("y",), output="z", bias=0, post=same),
        ),
        inputs=("x",),
        outputs=("z",),
    )
    spec = SPECS["tiny"].model_copy(update={"weight_buffer": WeightBuffer(bytes=1024)})
    plan = _mapped(network, spec, Budget("bytes", 1200 + 40 + 300))
    assert plan is not None
    (stage,) = [o.stage for o in plan.operators if o.stage]
    assert (stage.axis, len(stage.members)) == ("channels", 2)
    assert [m.loaded_weight_bytes > m.weight_bytes for m in stage.members] == [True, True]
    _check(network, spec, plan, 3)


def test_blocks_that_return_are_loaded_once_in_a_small_weight_memory() -> None:
    # Four different matrices move the channels of this shuffle, and two of them fit at a time.
    scale = Fraction(1, 4)
    tensors = tuple(
        Tensor(name=name, shape=(1, 2, 3, 64), scale=scale, zero_point=5) for name in ("x", "y")
    )
    network = Network(
        name="shuffle",
        tensors=tensors,
        operators=(Shuffle(name="mix", inputs=("x",), output="y", groups=4),),
        inputs=("x",),
        outputs=("y",),
    )
    weights = WeightBuffer(bytes=130 * SPECS["tiny"].word_bytes)
    spec = SPECS["tiny"].model_copy(update={"weight_buffer": weights})
    assert {
        len(p.block) // spec.word_bytes for p in pieces_of(network, network.operators[0], 4)
    } == {61}
    _check(network, spec, _planned(network, spec, "MR"), 1)


def _check_purposes(network: Network, plan: Plan, lowered: Lowered, spec: Spec) -> None:
    """Every instruction moves or makes what its purpose says, for an operator of that step."""
    operators = {o.name: o for o in network.operators}
    blocks = {
        name: {piece.block for piece in pieces_of(network, o, spec.word_bytes)}
        for name, o in operators.items()
    }
    sizes = {t.name: t.bytes for t in plan.tensors}
    made = iter(lowered.results)
    result, computes = next(made), 0
    for instruction, (name, tensor) in zip(lowered.program, lowered.purposes, strict=True):
        if isinstance(instruction, Begin | End):
            assert (name, tensor) == ("", "")
            continue
        if isinstance(instruction, Compute):
            while computes == result.computes:
                result = next(made)
            computes += 1
            assert (name, tensor) == (result.operator, operators[name].output)
            continue
        assert isinstance(instruction, Load | Store)
        end = instruction.memory + instruction.words * spec.word_bytes
        if not tensor:
            assert instruction.target == Target.WEIGHTS
            assert lowered.image[instruction.memory : end].tobytes() in blocks[name]
            continue
        home = lowered.tensors[tensor]
        assert home <= instruction.memory < end <= home + sizes[tensor]
        if isinstance(instruction, Load):
            assert tensor in operators[name].inputs
        elif tensor in network.outputs:
            assert tensor == operators[name].output


def _runs(
    network: Network, plan: Plan, lowered: Lowered, spec: Spec
) -> Iterator[tuple[str, int, int]]:
    """Direction, address and bytes of every contiguous run that the plan's transfers consist of."""
    stages = {o.name: o.stage for o in plan.operators}
    for t in plan.transfers:
        way = "in" if t.kind in ("load", "fetch") else "out"
        _, height, width, channels = network.tensor(t.tensor).shape
        words = -(-channels // spec.word_bytes)
        home, stage = lowered.tensors[t.tensor], stages[plan.order[t.step]]
        whole = (t.first, t.last) == (0, words)
        slices = stage is not None and stage.axis == "channels" and t.tensor in {
            x.tensor for p in stage.patches for x in (*p.loads, *p.stores)
        }  # fmt: skip
        if slices and not whole:
            for pixel in range(height * width):
                offset = (pixel * words + t.first) * spec.word_bytes
                yield way, home + offset, (t.last - t.first) * spec.word_bytes
        elif 0 < t.right - t.left < width:
            for row in range(t.first, t.last):
                offset = (row * width + t.left) * words * spec.word_bytes
                yield way, home + offset, (t.right - t.left) * words * spec.word_bytes
        else:
            first = 0 if slices else t.first
            yield way, home + first * width * words * spec.word_bytes, t.bytes


def _check(network: Network, spec: Spec, plan: Plan, seed: int) -> None:
    """Values of everything in memory, and each transfer and byte of the plan."""
    inputs = random_input(network, seed)
    lowered = lower(network, plan, spec)
    _check_purposes(network, plan, lowered, spec)
    machine = _machine(lowered.image, lowered, inputs, spec, plan)
    machine.run(lowered.program)
    expected = run(network, inputs)
    assert {*network.inputs, *network.outputs} <= set(lowered.tensors)
    for name, address in lowered.tensors.items():
        shape = network.tensor(name).shape
        result = unpack_tensor(machine.memory[address:], shape, spec.word_bytes)
        assert np.array_equal(result, expected[name]), name

    # Every transfer of the plan is in the program once, and there is no other.
    moved = [
        ("in" if isinstance(i, Load) else "out", i.memory, i.words * spec.word_bytes)
        for i in lowered.program
        if isinstance(i, Load | Store) and i.target == Target.SCRATCHPAD
    ]
    wanted = list(_runs(network, plan, lowered, spec))
    assert Counter(moved) == Counter(wanted)
    assert sum(b for _, _, b in wanted) == sum(t.bytes for t in plan.transfers)
    weights = [i for i in lowered.program if isinstance(i, Load) and i.target == Target.WEIGHTS]
    planned_weights = plan.compulsory.weights + plan.reread_weight_bytes
    assert sum(i.words for i in weights) * spec.word_bytes == planned_weights
    assert lowered.weight_bytes == planned_weights
    assert lowered.activation_bytes == sum(b for way, _, b in wanted if way == "in")
    assert lowered.stored_bytes == sum(b for way, _, b in wanted if way == "out")

    # The image begins with the program; Begin and End enclose it.
    assert tuple(decode(lowered.image[: lowered.program_bytes].tobytes())) == lowered.program
    assert isinstance(lowered.program[0], Begin)
    assert isinstance(lowered.program[-1], End)
    computes = [made.computes for made in lowered.results]
    assert computes == sorted(computes)
    assert set(lowered.operators) == {o.name for o in network.operators}


@pytest.mark.parametrize("kind", KINDS)
def test_every_layer_can_be_observed(kind: str) -> None:
    spec = SPECS["tiny"]
    network = random_network(3, ("conv", kind, "conv", kind))
    inputs = random_input(network, 1)
    plan = _planned(network, spec, "MR")
    lowered = lower(network, plan, spec)
    expected = run(network, inputs)
    outputs = {o.name: o.output for o in network.operators}
    for names, stop in ((plan.order, False), (plan.order[:2], True), (plan.order[1:2], True)):
        seen = observe(lowered, network, spec, operators=names, stop=stop)
        assert set(seen.results) == set(names)
        code = seen.image[seen.address :].tobytes()
        assert tuple(decode(code)) == seen.program
        machine = _machine(seen.image, lowered, inputs, spec, plan)
        machine.run(seen.program)
        for name, address in seen.results.items():
            shape = network.tensor(outputs[name]).shape
            result = unpack_tensor(machine.memory[address:], shape, spec.word_bytes)
            assert np.array_equal(result, expected[outputs[name]]), name


def test_an_unknown_layer_cannot_be_observed() -> None:
    spec = SPECS["tiny"]
    network = random_network(1, ("conv",))
    plan = _planned(network, spec, "MR")
    lowered = lower(network, plan, spec)
    with pytest.raises(
        ValueError, match=r"^operators must be some of the network's, not \['op9'\]$"
    ):
        observe(lowered, network, spec, operators=["op9"])


def test_weights_that_do_not_fit_are_refused() -> None:
    content = SPECS["tiny"].resolved()
    content["weight_buffer"]["bytes"] = 32
    spec = Spec.model_validate_json(json.dumps(content))
    network = random_network(1, ("conv",))
    plan = _planned(network, spec, "MR")
    with pytest.raises(
        InputError, match=r"^weight_buffer.bytes must be at least \d+ for the weights of one word"
    ):
        lower(network, plan, spec)


@pytest.mark.parametrize("channels", [1, 4, 7])
def test_tensors_are_padded_to_whole_words(channels: int) -> None:
    values = np.arange(2 * 3 * channels, dtype=np.int8).reshape(1, 2, 3, channels)
    packed = pack_tensor(values, 4)
    assert packed.size == 6 * 4 * -(-channels // 4)
    assert packed.reshape(6, -1)[:, channels:].sum() == 0
    assert np.array_equal(unpack_tensor(packed, values.shape, 4), values)
