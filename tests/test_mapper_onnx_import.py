from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hw.errors import InputError
from mapper.budget import resolve_budget
from mapper.graph import Graph
from mapper.onnx_import import Layout, import_onnx
from tests.mapper_graphs import light_model

Shape = Sequence[int | str]


def _info(name: str, shape: Shape | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _weight(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def _ints(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: dict[str, Shape | None],
    outputs: Sequence[str],
    constants: Sequence[onnx.TensorProto] = (),
    opset: int = 17,
    **fields: Any,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [_info(name, shape) for name, shape in inputs.items()],
        [_info(name, None) for name in outputs],
        list(constants),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **fields)


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _import(model: onnx.ModelProto, folder: Path, **options: Any) -> Graph:
    return import_onnx(_save(model, folder), **options)


IMAGE: dict[str, Shape | None] = {"x": [1, 3, 8, 8]}


class TestLightNetworks:
    """The nine networks of the onnx package.

    Published figures for them round each tensor up to a whole KiB before adding; these are bytes.
    """

    @pytest.mark.parametrize(
        ("name", "operators", "largest", "peak"),
        [
            ("bvlc_alexnet", 11, 430464, 430464),
            ("densenet121", 242, 1568 * 1024, 1764 * 1024),
            ("inception_v1", 81, 996416, 996416),
            ("inception_v2", 93, 980 * 1024, 980 * 1024),
            ("resnet50", 72, 2352 * 1024, 2352 * 1024),
            ("shufflenet", 87, 686 * 1024, 721280),
            ("squeezenet", 38, 982144, 982144),
            ("vgg19", 24, 6272 * 1024, 6272 * 1024),
            ("zfnet512", 11, 1420512, 1420512),
        ],
    )
    def test_operators_and_budgets(
        self, name: str, operators: int, largest: int, peak: int
    ) -> None:
        graph = import_onnx(light_model(name))
        assert len(graph.operators) == operators
        assert resolve_budget(graph, "MR").bytes == largest
        found = resolve_budget(graph, "mp")
        assert (found.bytes, found.proven) == (peak, True)
        assert resolve_budget(graph, "MH").bytes == (largest + peak) // 2

    def test_resnet_counts_its_published_macs(self) -> None:
        # 4.09 G multiply-accumulates and 25.6 M parameters (He et al., arXiv 1512.03385).
        graph = import_onnx(light_model("resnet50"))
        assert sum(o.macs for o in graph.operators) == 4_089_184_256
        assert 25_500_000 < sum(o.weight_bytes for o in graph.operators) < 25_700_000

    @pytest.mark.parametrize(("bits", "scale"), [(4, 0.5), (16, 2), (32, 4)])
    def test_bytes_follow_the_element_width(self, bits: int, scale: float) -> None:
        graph = import_onnx(light_model("densenet121"), layout=Layout(activation_bits=bits))
        assert resolve_budget(graph, "MR").bytes == 1568 * 1024 * scale

    def test_first_convolution_of_densenet(self) -> None:
        graph = import_onnx(light_model("densenet121"))
        first = graph.operators[0].convolution
        assert first is not None
        assert (first.input_shape, first.output_shape) == ((1, 3, 224, 224), (1, 64, 112, 112))
        assert (first.kernel, first.strides, first.pads) == ((7, 7), (2, 2), (3, 3, 3, 3))
        assert (first.dilations, first.groups) == ((1, 1), 1)
        assert graph.operators[0].macs == 64 * 112 * 112 * 3 * 49


class TestFusion:
    def test_followers_join_their_producer(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
            helper.make_node("Mul", ["c", "s"], ["m"], name="scale"),
            helper.make_node("Relu", ["m"], ["y"], name="relu"),
        ]
        constants = [_weight("w", 4, 3, 3, 3), _weight("s", 4, 1, 1)]
        graph = _import(_model(nodes, IMAGE, ["y"], constants), tmp_path)
        (operator,) = graph.operators
        assert (operator.name, operator.kind) == ("conv", "Conv")
        assert operator.nodes == ("conv", "scale", "relu")
        assert (operator.inputs, operator.outputs) == (("x",), ("y",))
        assert operator.weight_bytes == 4 * 3 * 9 + 4

    @pytest.mark.parametrize(
        ("nodes", "outputs", "why"),
        [
            ([("Conv", "x w", "c"), ("Relu", "c", "r"), ("Add", "c r", "y")], "y", "two readers"),
            ([("Conv", "x w", "c"), ("Relu", "c", "y")], "c y", "a network output"),
            ([("Relu", "x", "r"), ("Conv", "r w", "y")], "y", "a network input"),
            ([("GlobalMaxPool", "x", "c"), ("Add", "c x", "y")], "y", "two activations"),
        ],
    )
    def test_what_is_needed_elsewhere_stays(
        self, tmp_path: Path, nodes: list[tuple[str, str, str]], outputs: str, why: str
    ) -> None:
        built = [
            helper.make_node(kind, reads.split(), writes.split()) for kind, reads, writes in nodes
        ]
        graph = _import(_model(built, IMAGE, outputs.split(), [_weight("w", 4, 3, 1, 1)]), tmp_path)
        assert len(graph.operators) == len(nodes), why

    def test_a_constant_that_makes_the_result_larger_is_not_elementwise(
        self, tmp_path: Path
    ) -> None:
        nodes = [
            helper.make_node("GlobalAveragePool", ["x"], ["g"]),
            helper.make_node("Mul", ["g", "s"], ["y"]),
        ]
        graph = _import(_model(nodes, IMAGE, ["y"], [_weight("s", 1, 3, 8, 8)]), tmp_path)
        assert [o.kind for o in graph.operators] == ["GlobalAveragePool", "Mul"]

    def test_an_operand_read_twice_counts_once(self, tmp_path: Path) -> None:
        graph = _import(
            _model([helper.make_node("Mul", ["x", "x"], ["y"])], IMAGE, ["y"]), tmp_path
        )
        assert graph.operators[0].inputs == ("x",)
        assert graph.operand_bytes(graph.operators[0]) == 2 * 192

    def test_dead_nodes_and_unread_outputs_are_dropped(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Split", ["x"], ["a", "b"], axis=2),
            helper.make_node("Transpose", ["b"], ["dead"]),
            helper.make_node("Transpose", ["a"], ["y"]),
        ]
        graph = _import(_model(nodes, IMAGE, ["y"], opset=13), tmp_path)
        assert [(o.kind, o.outputs) for o in graph.operators] == [
            ("Split", ("a",)),
            ("Transpose", ("y",)),
        ]


class TestViewsAndConstants:
    def test_views_are_aliases_under_the_output_name(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Conv", ["x", "w"], ["c"]),
            helper.make_node("Flatten", ["c"], ["f"]),
            helper.make_node("Dropout", ["f"], ["d"]),
            helper.make_node("Identity", ["d"], ["y"]),
        ]
        graph = _import(_model(nodes, IMAGE, ["y"], [_weight("w", 4, 3, 1, 1)]), tmp_path)
        assert [o.outputs for o in graph.operators] == [("y",)]
        assert graph.tensor("y").network_output
        assert graph.tensor("y").bytes == 4 * 64

    def test_a_computed_reshape_target_is_evaluated(self, tmp_path: Path) -> None:
        # The exporters' idiom: batch = shape[0]; reshape to (batch, size / batch).
        nodes = [
            helper.make_node("Shape", ["x"], ["s"]),
            helper.make_node("Gather", ["s", "zero"], ["n"]),
            helper.make_node("ReduceProd", ["s"], ["size"], keepdims=0),
            helper.make_node("Div", ["size", "n"], ["rest"]),
            helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
            helper.make_node("Unsqueeze", ["rest", "axes"], ["r1"]),
            helper.make_node("Concat", ["n1", "r1"], ["target"], axis=0),
            helper.make_node("Reshape", ["x", "target"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["y"]),
        ]
        zero = numpy_helper.from_array(np.array(0, np.int64), "zero")
        constants = [zero, _ints("axes", 0), _weight("w", 192, 10)]
        graph = _import(_model(nodes, IMAGE, ["y"], constants), tmp_path)
        (operator,) = graph.operators
        assert (operator.kind, operator.macs) == ("MatMul", 192 * 10)
        assert graph.tensor("y").shape == (1, 10)

    def test_huge_constants_are_never_built(self, tmp_path: Path) -> None:
        # 16 TiB of weights, as a shape.
        nodes = [
            helper.make_node("ConstantOfShape", ["s"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
        model = _model(nodes, {"x": [1, 1 << 20]}, ["y"], [_ints("s", 1 << 20, 1 << 24)])
        graph = _import(model, tmp_path)
        assert graph.operators[0].weight_bytes == 1 << 44

    def test_weights_in_another_file_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        weight = _weight("w", 4, 3, 5, 5)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", "0"), ("length", "1200")):
            weight.external_data.add(key=key, value=value)
        (tmp_path / "w.bin").write_bytes(bytes(1200))
        model = _model([helper.make_node("Conv", ["x", "w"], ["y"])], IMAGE, ["y"], [weight])
        monkeypatch.delattr("onnx.external_data_helper.load_external_data_for_tensor")
        assert _import(model, tmp_path).operators[0].weight_bytes == 4 * 3 * 25

    def test_a_table_counts_the_rows_that_are_read(self, tmp_path: Path) -> None:
        node = helper.make_node("Gather", ["table", "ids"], ["y"])
        graph = helper.make_graph(
            [node],
            "net",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 5])],
            [_info("y", None)],
            [_weight("table", 1000, 16)],
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        assert _import(model, tmp_path).operators[0].weight_bytes == 5 * 16


class TestGeometry:
    @pytest.mark.parametrize(
        ("attributes", "weight", "pads", "shape"),
        [
            ({"pads": [1, 2, 3, 4]}, (4, 3, 3, 3), (1, 2, 3, 4), (1, 4, 10, 12)),
            ({"auto_pad": "SAME_UPPER"}, (4, 3, 2, 2), (0, 0, 1, 1), (1, 4, 8, 8)),
            ({"auto_pad": "SAME_LOWER"}, (4, 3, 2, 2), (1, 1, 0, 0), (1, 4, 8, 8)),
            ({"auto_pad": "VALID"}, (4, 3, 3, 3), (0, 0, 0, 0), (1, 4, 6, 6)),
            (
                {"auto_pad": "SAME_UPPER", "strides": [3, 3], "dilations": [2, 2]},
                (4, 3, 3, 3),
                (1, 1, 2, 2),
                (1, 4, 3, 3),
            ),
        ],
    )
    def test_padding_is_resolved(
        self,
        tmp_path: Path,
        attributes: dict[str, Any],
        weight: tuple[int, ...],
        pads: tuple[int, ...],
        shape: tuple[int, ...],
    ) -> None:
        node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
        graph = _import(_model([node], IMAGE, ["y"], [_weight("w", *weight)]), tmp_path)
        convolution = graph.operators[0].convolution
        assert convolution is not None
        assert (convolution.pads, convolution.output_shape) == (pads, shape)

    def test_depthwise_and_transposed_macs(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Conv", ["x", "d"], ["c"], group=3, pads=[1, 1, 1, 1]),
            helper.make_node("ConvTranspose", ["c", "t"], ["y"], strides=[2, 2]),
        ]
        constants = [_weight("d", 3, 1, 3, 3), _weight("t", 3, 5, 2, 2)]
        graph = _import(_model(nodes, IMAGE, ["y"], constants), tmp_path)
        assert [o.macs for o in graph.operators] == [3 * 64 * 9, 3 * 64 * 5 * 4]

    def test_gemm_transposed(self, tmp_path: Path) -> None:
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1, transB=1)
        constants = [_weight("w", 7, 5), _weight("b", 7)]
        graph = _import(_model([node], {"x": [5, 2]}, ["y"], constants), tmp_path)
        assert (graph.operators[0].macs, graph.operators[0].weight_bytes) == (2 * 7 * 5, 42)

    @pytest.mark.parametrize(
        ("shape", "bits", "multiple", "count"),
        [
            ((1, 3, 8, 8), 8, 16, 16 * 64),
            ((1, 17, 2, 2), 4, 16, 32 * 4 // 2),
            ((1, 3, 2, 2, 2), 8, 4, 32),
            ((1, 1000), 8, 16, 1008),
            ((1, 128, 100), 8, 16, 128 * 112),
            ((3,), 4, 1, 2),
            ((), 8, 4, 4),
        ],
    )
    def test_layout(self, shape: tuple[int, ...], bits: int, multiple: int, count: int) -> None:
        layout = Layout(activation_bits=bits, channel_multiple=multiple)
        assert layout.tensor_bytes(shape) == count


class TestShapes:
    def test_an_override_makes_dynamic_dimensions_static(self, tmp_path: Path) -> None:
        node = helper.make_node("Relu", ["x"], ["y"])
        model = _model([node], {"x": ["batch", 3, "h", "w"]}, ["y"])
        graph = _import(model, tmp_path, input_shapes={"x": (2, 3, 4, 5)})
        assert graph.tensor("y").shape == (2, 3, 4, 5)

    @pytest.mark.parametrize(
        ("shape", "override", "message"),
        [
            (
                ["batch", 3, 4],
                {},
                r"dimension 0 of input 'x' must be a positive number, not 'batch': .* x=1,3,4\.$",
            ),
            ([1, 0], {}, r"dimension 1 of input 'x' must be a positive number, not 0"),
            (None, {}, r"input 'x' must have a static shape, not none at all"),
            (["n", 3], {"x": (2, 4)}, r"dimension 1 of input 'x' must be 3 as in the model, not 4"),
            (["n", 3], {"x": (2,)}, r"shape of input 'x' must have 2 dimensions, not the 1 of '2'"),
            ([1, 3], {"z": (2,)}, r"--shape must name a network input \('x'\), not 'z'\.$"),
        ],
    )
    def test_refusals(
        self,
        tmp_path: Path,
        shape: Shape | None,
        override: dict[str, Sequence[int]],
        message: str,
    ) -> None:
        model = _model([helper.make_node("Relu", ["x"], ["y"])], {"x": shape}, ["y"])
        with pytest.raises(InputError, match=message):
            _import(model, tmp_path, input_shapes=override)

    def test_shapes_that_depend_on_data(self, tmp_path: Path) -> None:
        graph = helper.make_graph(
            [helper.make_node("Expand", ["x", "s"], ["y"], name="grow")],
            "net",
            [_info("x", [1, 3]), helper.make_tensor_value_info("s", TensorProto.INT64, [2])],
            [_info("y", None)],
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        with pytest.raises(
            InputError, match=r"shape of tensor 'y' \(node 'grow', Expand\) must be static"
        ):
            _import(model, tmp_path)

    def test_shapes_that_do_not_fit(self, tmp_path: Path) -> None:
        node = helper.make_node("Conv", ["x", "w"], ["y"], name="first")
        model = _model([node], {"x": [1, 3, 8]}, ["y"], [_weight("w", 4, 3, 1, 1)])
        with pytest.raises(InputError, match="shapes at node 'first' must fit Conv, but do not"):
            _import(model, tmp_path)


class TestNames:
    def test_nodes_without_a_name_and_with_the_same(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Transpose", ["x"], ["a"]),
            helper.make_node("Transpose", ["a"], ["b"], name="t"),
            helper.make_node("Transpose", ["b"], ["c"], name="t"),
            helper.make_node("Transpose", ["c"], ["y"], name="t_2"),
        ]
        graph = _import(_model(nodes, IMAGE, ["y"]), tmp_path)
        assert [o.name for o in graph.operators] == ["Transpose_0", "t", "t_2", "t_2_2"]

    def test_odd_names_survive(self, tmp_path: Path) -> None:
        odd = "слой/0:$x^2\n\u202e🙂[b]"
        nodes = [helper.make_node("Transpose", ["x"], [odd], name=odd)]
        graph = _import(_model(nodes, IMAGE, [odd]), tmp_path)
        assert graph.operators[0].name == odd
        assert graph.tensor(odd).network_output

    def test_nodes_out_of_order_are_sorted(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Transpose", ["a"], ["y"], name="second"),
            helper.make_node("Transpose", ["x"], ["a"], name="first"),
        ]
        graph = _import(_model(nodes, IMAGE, ["y"]), tmp_path)
        assert [o.name for o in graph.operators] == ["first", "second"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            (
                [helper.make_node("Relu", ["z"], ["y"], name="r")],
                r"input 'z' of node 'r' must be a network input, .*, not undefined\.$",
            ),
            (
                [
                    helper.make_node("Add", ["x", "b"], ["a"], name="p"),
                    helper.make_node("Relu", ["a"], ["b"], name="q"),
                    helper.make_node("Relu", ["b"], ["y"]),
                ],
                r"nodes must not form a cycle, but 'p' waits for itself\.$",
            ),
            (
                [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y"])],
                r"tensor 'y' must have one producer, not a second in node Abs -> \['y'\]: rename",
            ),
            (
                [helper.make_node("Relu", ["x"], ["x"], name="r")],
                r"tensor 'x' must have one producer, not a second in node 'r'",
            ),
            (
                [helper.make_node("Hash", ["x"], ["y"], name="h", domain="com.acme")],
                r"operator Hash \(domain com\.acme\) of node 'h' is not known",
            ),
            (
                [helper.make_node("Relu", ["x"], ["y"], domain="com.acme")],
                r"operator Relu \(domain com\.acme\) of node Relu -> \['y'\] is not known",
            ),
            (
                [helper.make_node("NonZero", ["x"], ["y"], name="nz")],
                r"operator NonZero \(domain ai\.onnx\) of node 'nz' is not known",
            ),
            (
                [helper.make_node("Gelu", ["x"], ["y"], name="g")],
                r"operator Gelu of node 'g' must be in ONNX operator set 17",
            ),
            ([helper.make_node("Identity", ["x"], ["y"])], r"network must have an operator left"),
            ([], r"network output 'y' must be produced by a node, not undefined\.$"),
        ],
        ids=lambda x: "" if isinstance(x, str) else f"{len(x)} nodes",
    )
    def test_graphs(self, tmp_path: Path, nodes: list[onnx.NodeProto], message: str) -> None:
        with pytest.raises(InputError, match=message) as caught:
            _import(_model(nodes, IMAGE, ["y"]), tmp_path)
        assert "\n" not in str(caught.value)

    def test_no_nodes_and_no_outputs(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="network must have an operator left to run"):
            _import(_model([], IMAGE, []), tmp_path)

    def test_control_flow(self, tmp_path: Path) -> None:
        body = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["t"])], "then", [], [_info("t", None)]
        )
        node = helper.make_node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body)
        constant = numpy_helper.from_array(np.array(True), "c")
        with pytest.raises(InputError, match=r"node 'if' must not be control flow \(If\): export"):
            _import(_model([node], IMAGE, ["y"], [constant]), tmp_path)

    def test_dropout_whose_mask_is_read(self, tmp_path: Path) -> None:
        nodes = [helper.make_node("Dropout", ["x"], ["d", "y"], name="drop")]
        with pytest.raises(InputError, match="node 'drop' .* must be used for inference"):
            _import(_model(nodes, IMAGE, ["y"]), tmp_path)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"ir_version": 99}, r"ir_version must be at most \d+, not 99: export it"),
            ({"opset": 99}, r"ONNX operator set must be version 1 to \d+, not 99"),
            ({"opset": 0}, r"ONNX operator set must be version 1 to \d+, not 0"),
            ({"opset": None}, r"opset_import must name the ONNX operator set"),
        ],
    )
    def test_versions(self, tmp_path: Path, change: dict[str, Any], message: str) -> None:
        model = _model([helper.make_node("Relu", ["x"], ["y"])], IMAGE, ["y"])
        if "opset" in change:
            del model.opset_import[:]
            if change["opset"] is not None:
                model.opset_import.append(helper.make_opsetid("", change["opset"]))
        else:
            model.ir_version = change["ir_version"]
        with pytest.raises(InputError, match=message):
            _import(model, tmp_path)

    def test_files(self, tmp_path: Path) -> None:
        whole = light_model("squeezenet").read_bytes()
        cases: list[tuple[bytes, str]] = [
            (b"", r"net\.onnx: must be an ONNX model, not an empty file\.$"),
            (whole[:-100], r"net\.onnx: must be an ONNX model, not a truncated file or another"),
            (whole[: len(whole) // 2], r"must be an ONNX model, not a truncated file or another"),
            (b"\x89PNG\r\n\x1a\n" + bytes(50), r"must be an ONNX model, not "),
            (b"hello, world", r"must be an ONNX model, not "),
        ]
        path = tmp_path / "net.onnx"
        for content, message in cases:
            path.write_bytes(content)
            with pytest.raises(InputError, match=message):
                import_onnx(path)

    def test_flipped_bytes_are_refused_or_imported(self, tmp_path: Path) -> None:
        whole = light_model("squeezenet").read_bytes()
        path = tmp_path / "net.onnx"
        refused = 0
        for seed in range(150):
            random = Random(seed)
            content = bytearray(whole)
            for _ in range(random.randint(1, 4)):
                content[random.randrange(len(content))] ^= 1 << random.randrange(8)
            path.write_bytes(content)
            try:
                graph = import_onnx(path)
            except InputError as error:
                assert "\n" not in str(error)
                refused += 1
            else:
                assert all(isinstance(o.name, str) for o in graph.operators)
        assert 0 < refused < 150

    def test_every_test_model_of_onnx_is_imported_or_refused(self) -> None:
        folder = Path(onnx.__file__).parent / "backend" / "test" / "data"
        imported = 0
        for path in sorted(folder.rglob("*.onnx")):
            try:
                import_onnx(path)
            except InputError as error:
                assert "\n" not in str(error)
            else:
                imported += 1
        assert imported > 100

    def test_missing_files_and_folders(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^Model must be a readable ONNX file, not .*no such"):
            import_onnx(tmp_path / "nowhere.onnx")
        with pytest.raises(InputError, match=r"^Model must be an ONNX file, not the folder "):
            import_onnx(tmp_path)

    @pytest.mark.parametrize(
        ("location", "length", "message"),
        [
            ("../w.bin", "48", r"must lie in the model's folder, not at '\.\./w\.bin': move it"),
            ("/etc/passwd", "48", r"must lie in the model's folder, not at '/etc/passwd'"),
            ("link.bin", "48", r"must lie in the model's folder, not at 'link\.bin'"),
            ("", "48", r"must lie in the model's folder, not at ''"),
            ("w.bin", "48", r"must be there, but 'w\.bin' is missing: copy it beside the model"),
            ("short.bin", "48", r"must lie within the 10 bytes of 'short\.bin', not at 0 to 48"),
            ("short.bin", "many", r"must name a file, offset and length, not "),
            ("short.bin", "-1", r"must lie within the 10 bytes"),
        ],
    )
    def test_external_data(self, tmp_path: Path, location: str, length: str, message: str) -> None:
        folder = tmp_path / "model"
        folder.mkdir()
        (tmp_path / "w.bin").write_bytes(bytes(48))
        (folder / "short.bin").write_bytes(bytes(10))
        (folder / "link.bin").symlink_to(tmp_path / "w.bin")
        weight = _weight("w", 4, 3, 1, 1)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "0"), ("length", length)):
            weight.external_data.add(key=key, value=value)
        model = _model([helper.make_node("Conv", ["x", "w"], ["y"])], IMAGE, ["y"], [weight])
        with pytest.raises(InputError, match=f"external data of 'w' {message}"):
            _import(model, folder)

    def test_an_initializer_that_is_cut_short(self, tmp_path: Path) -> None:
        target = _ints("s", 1, 192)
        target.raw_data = target.raw_data[:5]
        model = _model([helper.make_node("Reshape", ["x", "s"], ["y"])], IMAGE, ["y"], [target])
        with pytest.raises(InputError, match="initializer 's' must have data that fits its"):
            _import(model, tmp_path)


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    opset = helper.make_opsetid("", 17)
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Transpose", ["a"], ["b"])], [opset]
    )
    model = _model([helper.make_node("Twice", ["x"], ["y"], domain="local")], IMAGE, ["y"])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    graph = _import(model, tmp_path)
    assert [o.kind for o in graph.operators] == ["Transpose"]
