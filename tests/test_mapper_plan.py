from __future__ import annotations

import json

import jsonschema  # type: ignore[import-untyped]
import pytest

from hw.errors import InputError
from mapper.budget import Budget, resolve_budget
from mapper.check import check_plan
from mapper.compare import compare_model
from mapper.graph import Graph, Operator, Tensor
from mapper.mapping import map_model
from mapper.networks.digits import digits
from mapper.onnx_import import Layout
from mapper.plan import Plan, plan_schema
from tests.mapper_graphs import graph_from, light_model, mapped, random_graph

NETWORKS = [
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
]


class TestLightNetworks:
    @pytest.mark.parametrize("budget", ["MR", "MH", "MP", "8MiB"])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_every_plan_is_optimal_and_accepted(self, name: str, budget: str) -> None:
        result = map_model(light_model(name), scratchpad=budget)
        assert result.plan is not None
        assert result.plan.status == "optimal"
        content = json.loads(result.plan.text())
        assert check_plan(content) is None
        assert compare_model(content, light_model(name)) is None
        # Only two of the nine discriminate, and only below their least peak.
        published = {"densenet121": 1372 * 1024, "shufflenet": 37632}
        want = published.get(name, 0) if budget in ("MR", "MH") else 0
        assert result.plan.objective_bytes == want

    def test_baselines_of_shufflenet(self) -> None:
        plan = map_model(light_model("shufflenet")).plan
        assert plan is not None
        # Plain Belady in file order moves four times 37632 bytes.
        assert plan.baselines["belady_file_order"] == 150528
        assert min(plan.baselines.values()) == 37632

    def test_compulsory_bytes_of_densenet(self) -> None:
        plan = map_model(light_model("densenet121")).plan
        assert plan is not None
        assert plan.compulsory.activations_loaded == 3 * 224 * 224
        assert plan.compulsory.activations_stored == 1000
        assert [(t.step, t.kind, t.bytes) for t in plan.transfers][0] == (0, "load", 150528)

    def test_below_the_largest_operator(self) -> None:
        result = map_model(light_model("vgg19"), scratchpad="6271KiB", may_split=False)
        assert result.status == "infeasible"
        assert result.summary["needed_bytes"] == 6272 * 1024

    def test_padded_channels(self) -> None:
        layout = Layout(channel_multiple=16)
        plan = map_model(light_model("densenet121"), layout=layout).plan
        assert plan is not None
        # Three channels of the image become sixteen; all others are multiples already.
        assert plan.compulsory.activations_loaded == 16 * 224 * 224
        assert plan.compulsory.activations_stored == 1008


class TestJson:
    def test_fits_its_schema_and_returns(self) -> None:
        for seed in range(8):
            plan = mapped(random_graph(seed, 8), 40).plan
            assert plan is not None
            content = json.loads(plan.text())
            jsonschema.validate(content, plan_schema())
            assert Plan.from_json(content) == plan

    def test_every_field_of_the_schema_is_described(self) -> None:
        schema = plan_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        for name, field in schema["properties"].items():
            assert "description" in field or name in ("format", "operators", "tensors", "seed"), (
                name
            )

    def test_summary_is_the_head_and_the_time(self) -> None:
        result = map_model(light_model("squeezenet"))
        assert result.plan is not None
        assert result.summary.items() >= result.plan.head().items()
        assert {"solve_seconds", "import_seconds"} <= result.summary.keys()
        assert "seconds" not in result.plan.text()

    def test_text_is_ascii_whatever_the_names(self) -> None:
        graph = graph_from([("ö\n", ["ß"], ["🙂"])], {"ß": 1, "🙂": 1}, ["🙂"])
        plan = mapped(graph, 2).plan
        assert plan is not None
        assert plan.text().isascii()
        assert json.loads(plan.text())["order"] == ["ö\n"]


class TestCompare:
    def test_another_model_or_other_figures(self) -> None:
        plan = map_model(light_model("squeezenet")).plan
        assert plan is not None
        content = json.loads(plan.text())
        other = compare_model(content, light_model("zfnet512"))
        assert other is not None
        assert other.detail.startswith("sha256 of ")
        content["operators"][3]["macs"] += 1
        changed = compare_model(content, light_model("squeezenet"))
        assert changed is not None
        assert changed.rule == "model"
        assert "must have macs" in changed.detail

    def test_members_of_a_stage_and_every_image_of_a_batch(self) -> None:
        # 2,000 bytes: most of the network runs in patches.
        plan = map_model(
            digits().int8, scratchpad=Budget("bytes", 2000), weight_memory=4096, images=3
        ).plan
        assert plan is not None
        content = json.loads(plan.text())
        assert check_plan(content) is None
        assert compare_model(content, digits().int8) is None
        stage = next(o["stage"] for o in content["operators"] if o["stage"])
        name = stage["members"][0]["name"]
        stage["members"][0]["macs"] += 1
        changed = compare_model(content, digits().int8)
        assert changed is not None
        assert changed.detail.startswith(f"operator {name!r} must have macs ")
        stage["members"][0]["macs"] -= 1
        first = next(o for o in content["operators"] if o["stage"])
        first["nodes"] = first["nodes"][1:]
        changed = compare_model(content, digits().int8)
        assert changed is not None
        assert changed.detail.startswith(f"operator {first['name']!r} must have nodes ")

    def test_an_image_of_a_batch_that_is_missing(self) -> None:
        plan = map_model(digits().int8, weight_memory=4096, images=2).plan
        assert plan is not None
        content = json.loads(plan.text())
        content["operators"].pop()
        changed = compare_model(content, digits().int8)
        assert changed is not None
        assert changed.detail.startswith("operator 'classifier/gemm_1 of image 2' of the model")


class TestBudget:
    GRAPH = graph_from(
        [("a", ["in"], ["x"]), ("b", ["x"], ["y"]), ("c", ["x", "y"], ["out"])],
        {"in": 3, "x": 4, "y": 2, "out": 5},
        ["out"],
    )

    @pytest.mark.parametrize(
        ("text", "budget"),
        [
            ("MR", Budget("MR", 11)),
            (" mp ", Budget("MP", 11)),
            ("MH", Budget("MH", 11)),
            ("256KiB", Budget("bytes", 262144)),
            ("1.5MB", Budget("bytes", 1500000)),
            ("17", Budget("bytes", 17)),
        ],
    )
    def test_forms(self, text: str, budget: Budget) -> None:
        assert resolve_budget(self.GRAPH, text) == budget

    @pytest.mark.parametrize(
        "text", ["", "0", "-1", "MX", "12 parsecs", "1e9", "99999999999999TiB"]
    )
    def test_refusals(self, text: str) -> None:
        with pytest.raises(InputError, match=r"^--scratchpad must be "):
            resolve_budget(self.GRAPH, text)


class TestGraph:
    @staticmethod
    def _tensor(name: str, **flags: bool) -> Tensor:
        return Tensor(name=name, shape=(1,), bytes=1, **flags)

    @staticmethod
    def _operator(name: str, reads: str, writes: str) -> Operator:
        return Operator(
            name=name, kind="T", inputs=tuple(reads.split()), outputs=tuple(writes.split())
        )

    @pytest.mark.parametrize(
        ("operators", "message"),
        [
            ([("a", "in", "x"), ("a", "x", "y")], "Operator name must be unique, not 'a' twice"),
            ([("a", "in", "x y"), ("b", "in", "y")], "Tensor 'y' must have one producer, not two"),
            ([("a", "x", "y"), ("b", "y", "x")], "'x' of 'a' must be produced before it is read"),
            ([("a", "in", "x")], "Tensor 'y' must be produced by an operator, not by none"),
            ([("a", "in", "z")], "Operand of 'a' must be a tensor, not 'z'"),
            ([("a", "in in", "x")], "'a' must list its inputs once, not twice"),
            ([("a", "in", "")], "'a' must have an output, not none"),
        ],
    )
    def test_refusals(self, operators: list[tuple[str, str, str]], message: str) -> None:
        tensors = (self._tensor("in", network_input=True), self._tensor("x"), self._tensor("y"))
        with pytest.raises(ValueError, match=message):
            Graph(name="g", operators=tuple(self._operator(*o) for o in operators), tensors=tensors)

    def test_empty_tensors_are_refused(self) -> None:
        with pytest.raises(ValueError, match="^Bytes of tensor 'x' must be positive, not 0$"):
            Tensor(name="x", shape=(0,), bytes=0)
