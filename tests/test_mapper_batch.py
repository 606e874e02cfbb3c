"""Several images in one program: weights that stay, planned, checked, and on the RTL."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bitweft.cli import create_app
from hw.spec import Spec, WeightBuffer, load_spec
from mapper.batch import batch_graphs, image_name
from mapper.batch_network import batched_network
from mapper.budget import Budget
from mapper.check import check_plan
from mapper.graph import Graph, Operator, Tensor
from mapper.layout import pack_tensor, unpack_tensor
from mapper.lower import lower
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.networks.digits import digits
from mapper.plan import Plan, Source, plan_schema
from mapper.quantised_import import import_quantised
from sim.quantised import Network, Values
from sim.quantised_run import run
from sim.random_networks import deep_network, random_input, random_network
from sim.runner.accelerator import MemoryModel, NativeAccelerator
from sim.timing.program import program_timing

TINY = load_spec("tiny")
SOURCE = Source("x", "0" * 64, 8, 8, 4, "bytes")


@cache
def _digits() -> Network:
    return import_quantised(digits().int8).network


def _plan(network: Network, spec: Spec, images: int, capacity: int | None = None) -> Plan:
    budget = Budget("bytes", capacity or spec.scratchpad.bytes)
    memory = spec.weight_buffer.bytes
    graph = network_graph(network, spec)
    plan = map_graph(graph, budget, SOURCE, weight_memory=memory, images=images).plan
    assert plan is not None
    assert check_plan(json.loads(plan.text())) is None
    return plan


def _chain(weights: list[int], blocks: int = 4, size: int = 8) -> Graph:
    """Operators one after another with so many bytes of weights, in so many loads each."""
    names = [f"t{n}" for n in range(len(weights) + 1)]
    return Graph(
        name="chain",
        tensors=tuple(
            Tensor(
                name=t, shape=(size,), bytes=size,
                network_input=t == names[0], network_output=t == names[-1],
            )
            for t in names
        ),
        operators=tuple(
            Operator(
                name=f"o{n}", kind="T", inputs=(names[n],), outputs=(names[n + 1],),
                weight_bytes=count, block_bytes=-(-count // blocks),
            )
            for n, count in enumerate(weights)
        ),
    )  # fmt: skip


def _streamed(graph: Graph) -> int:
    return sum(s.bytes * (len(s.operators) - 1) for s in graph.shared if s.address is None)


@pytest.mark.parametrize("memory", [0, 40, 100, 130, 170, 1000])
def test_image_by_image_the_weights_that_stay_are_the_best_set(memory: int) -> None:
    sizes = [64, 40, 96, 24, 52]
    graph = _chain(sizes)
    order = [o.name for o in graph.operators]
    by_image = next(
        g
        for g in batch_graphs(graph, order, 3, capacity=10**6, weight_memory=memory)
        if g.operators[1].name == image_name("o1", 1)
    )
    best = 0
    for count in range(len(sizes) + 1):
        for kept in combinations(range(len(sizes)), count):
            held = sum(sizes[n] for n in kept)
            rooms = (2 * sizes[n] // 4 for n in range(len(sizes)) if n not in kept)
            if held + max(rooms, default=0) <= memory:
                best = max(best, held)
    assert _streamed(by_image) == 2 * (sum(sizes) - best)


def test_what_moves_fewest_bytes_is_the_plan() -> None:
    graph = _chain([60, 60], size=100)
    # Both fit the weight memory: image by image nothing moves twice, layer by layer results leave.
    small = map_graph(graph, Budget("bytes", 200), SOURCE, weight_memory=120, images=4).plan
    assert small is not None
    assert small.objective_bytes == 0
    assert small.order[1] == image_name("o1", 1)
    # Only one of them fits, and the scratchpad holds all results: layer by layer.
    wide = map_graph(graph, Budget("bytes", 700), SOURCE, weight_memory=60, images=4).plan
    assert wide is not None
    assert wide.objective_bytes == 0
    assert wide.order[1] == image_name("o0", 2)
    # Neither: three loads of one layer's weights are less than what four results would move.
    both = map_graph(graph, Budget("bytes", 200), SOURCE, weight_memory=100, images=4).plan
    assert both is not None
    assert both.traffic["weights"] == {"compulsory": 120, "non_compulsory": 3 * 60}
    assert both.traffic["activations"] == {"compulsory": 8 * 100, "non_compulsory": 0}


class TestHardware:
    @staticmethod
    def _run(network: Network, plan: Plan, spec: Spec, images: int) -> None:
        """Values of every tensor off chip, bytes of every class, and every cycle."""
        together = batched_network(network, images)
        lowered = lower(together, plan, spec)
        inputs: dict[str, Values] = {}
        expected: dict[str, Values] = {}
        for n in range(1, images + 1):
            feeds = random_input(network, 77 + n)
            inputs |= {image_name(name, n): v for name, v in feeds.items()}
            expected |= {image_name(name, n): v for name, v in run(network, feeds).items()}
        timing = program_timing(lowered.program, spec, image=lowered.image)
        with NativeAccelerator(spec, MemoryModel.of(spec, len(lowered.image))) as accelerator:
            accelerator.memory[:] = lowered.image
            for name, values in inputs.items():
                packed = pack_tensor(values, spec.word_bytes)
                home = lowered.tensors[name]
                accelerator.memory[home : home + len(packed)] = packed
            limit = 100 * (timing.cycles + 1000)
            length = len(lowered.program)
            assert accelerator.run(program=0, length=length, limit=limit) == 0
            for name, address in lowered.tensors.items():
                shape = together.tensor(name).shape
                result = unpack_tensor(accelerator.memory[address:], shape, spec.word_bytes)
                assert np.array_equal(result, expected[name]), name
            counted = {
                kind: accelerator.read(f"bytes_{kind}")
                for kind in ("weights", "activations", "stored", "instructions")
            }
            assert accelerator.read("cycles") == timing.cycles
        assert counted.pop("instructions") == lowered.program_bytes
        assert counted.pop("weights") == sum(plan.traffic["weights"].values())
        assert sum(counted.values()) == sum(plan.traffic["activations"].values())

    @pytest.mark.parametrize("images", [2, 5])
    def test_digits(self, images: int) -> None:
        plan = _plan(_digits(), TINY, images)
        alone = _plan(_digits(), TINY, 1)
        assert plan.compulsory.weights == alone.compulsory.weights
        moved = sum(plan.compulsory) + plan.objective_bytes
        assert moved < images * (sum(alone.compulsory) + alone.objective_bytes) * 0.7
        self._run(_digits(), plan, TINY, images)

    @pytest.mark.parametrize("make", [random_network, deep_network])
    @pytest.mark.parametrize("seed", range(4))
    def test_random_networks(self, seed: int, make: Callable[[int], Network]) -> None:
        network = make(200 + seed)
        # In half of the memory for weights, and in patches where operators are large.
        buffer = WeightBuffer(bytes=1536 if seed % 2 else 4096)
        graph = network_graph(network, TINY)
        need = max(graph.operand_bytes(o) for o in graph.operators)
        capacity = need // 2 // 4 * 4 if make is deep_network else need
        spec = TINY.model_copy(update={"weight_buffer": buffer})
        plan = _plan(network, spec, 3, capacity)
        assert (make is deep_network) == any(o.stage for o in plan.operators)
        # The hardware has the whole weight buffer; the program uses as much as the plan says.
        self._run(network, plan, TINY, 3)


class TestPlan:
    def test_fits_its_schema_and_returns(self) -> None:
        plan = _plan(_digits(), TINY, 3)
        content = json.loads(plan.text())
        jsonschema.validate(content, plan_schema())
        assert Plan.from_json(content) == plan

    def test_the_same_input_gives_the_same_bytes(self) -> None:
        assert _plan(_digits(), TINY, 3).text() == _plan(_digits(), TINY, 3).text()


def _content() -> dict[str, Any]:
    graph = _chain([64, 40, 96])
    plan = map_graph(graph, Budget("bytes", 16), SOURCE, weight_memory=150, images=3).plan
    assert plan is not None
    content: dict[str, Any] = json.loads(plan.text())
    assert check_plan(content) is None
    return content


def _overlap(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    shared[2]["address"] = shared[1]["address"]


def _beyond(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    shared[0]["address"] = 150 - shared[0]["bytes"] + 1


def _no_memory(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    plan["weight_memory_bytes"] = None


def _stranger(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    shared[0]["operators"][0] = "nobody"


def _twice(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    shared.append(copy.deepcopy(shared[0]))


def _other_bytes(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    shared[0]["bytes"] -= 1


def _alone(shared: list[dict[str, Any]], plan: dict[str, Any]) -> None:
    del shared[0]["operators"][1:]


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (_overlap, "must not overlap: both stay in step "),
        (_beyond, "must end within the 150 bytes of the weight memory, not at 151"),
        (_no_memory, "weight_memory_bytes must be given where weights stay, not null"),
        (_stranger, "shared weights must name operators, not 'nobody'"),
        (_twice, "must share its weights once, not twice"),
        (_other_bytes, "bytes, not "),
        (_alone, "shared weights must have several operators"),
    ],
)
def test_the_checker_names_what_is_wrong_with_shared_weights(
    fault: Callable[[list[dict[str, Any]], dict[str, Any]], None], sentence: str
) -> None:
    plan = _content()
    # One layer by itself, then two layers image by image.
    assert [s["address"] for s in plan["shared_weights"]] == [0, 0, 40]
    fault(plan["shared_weights"], plan)
    verdict = check_plan(plan)
    assert verdict is not None
    assert verdict.rule == "weights"
    assert sentence in verdict.detail


class TestCommand:
    @staticmethod
    def _run(*words: str | Path) -> Result:
        line = ["run", str(digits().int8), "--spec", "tiny", *map(str, words)]
        return CliRunner().invoke(create_app(["run"]), line)

    def test_images_of_an_input_run_in_one_program(self, tmp_path: Path) -> None:
        files = digits()
        pixels, _ = files.load_test_set()
        np.save(tmp_path / "x.npy", files.as_input(pixels[:3]))
        summary = {}
        for name, more in (("batch", ["--batch"]), ("apart", [])):
            path = tmp_path / f"{name}.json"
            done = self._run("--input", tmp_path / "x.npy", *more, "--json", path)
            assert done.exit_code == 0, done.output
            summary[name] = json.loads(path.read_text())
            assert (summary[name]["status"], summary[name]["mismatches"]) == ("agrees", 0)
        together, apart = summary["batch"], summary["apart"]
        assert together["input"] == "given, 3 images in one program"
        assert together["bytes_counted"] == together["bytes_planned"]
        assert together["bytes_counted"]["weights"] < apart["bytes_counted"]["weights"] * 0.6
        assert together["macs"] == apart["macs"]

    def test_a_batch_needs_images(self) -> None:
        done = self._run("--batch")
        assert done.exit_code == 2
        assert "--batch must come with an --input of several images" in done.stderr
