from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from mapper.budget import resolve_budget
from mapper.onnx_import import Layout, import_onnx
from tests.mapper_graphs import light_model
from tests.onnx_models import IMAGE, float_model, imported, integers, value_info, zeros


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
        constants = [zeros("w", 4, 3, 3, 3), zeros("s", 4, 1, 1)]
        graph = imported(float_model(nodes, IMAGE, ["y"], constants), tmp_path)
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
        graph = imported(
            float_model(built, IMAGE, outputs.split(), [zeros("w", 4, 3, 1, 1)]), tmp_path
        )
        assert len(graph.operators) == len(nodes), why

    def test_a_constant_that_makes_the_result_larger_is_not_elementwise(
        self, tmp_path: Path
    ) -> None:
        nodes = [
            helper.make_node("GlobalAveragePool", ["x"], ["g"]),
            helper.make_node("Mul", ["g", "s"], ["y"]),
        ]
        graph = imported(float_model(nodes, IMAGE, ["y"], [zeros("s", 1, 3, 8, 8)]), tmp_path)
        assert [o.kind for o in graph.operators] == ["GlobalAveragePool", "Mul"]

    def test_an_operand_read_twice_counts_once(self, tmp_path: Path) -> None:
        graph = imported(
            float_model([helper.make_node("Mul", ["x", "x"], ["y"])], IMAGE, ["y"]), tmp_path
        )
        assert graph.operators[0].inputs == ("x",)
        assert graph.operand_bytes(graph.operators[0]) == 2 * 192

    def test_dead_nodes_and_unread_outputs_are_dropped(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Split", ["x"], ["a", "b"], axis=2),
            helper.make_node("Transpose", ["b"], ["dead"]),
            helper.make_node("Transpose", ["a"], ["y"]),
        ]
        graph = imported(float_model(nodes, IMAGE, ["y"], opset=13), tmp_path)
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
        graph = imported(float_model(nodes, IMAGE, ["y"], [zeros("w", 4, 3, 1, 1)]), tmp_path)
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
        constants = [zero, integers("axes", 0), zeros("w", 192, 10)]
        graph = imported(float_model(nodes, IMAGE, ["y"], constants), tmp_path)
        (operator,) = graph.operators
        assert (operator.kind, operator.macs) == ("MatMul", 192 * 10)
        assert graph.tensor("y").shape == (1, 10)

    def test_huge_constants_are_never_built(self, tmp_path: Path) -> None:
        # 16 TiB of weights, as a shape.
        nodes = [
            helper.make_node("ConstantOfShape", ["s"], ["w"]),
            helper.make_node("MatMul", ["x", "w"], ["y"]),
        ]
        model = float_model(nodes, {"x": [1, 1 << 20]}, ["y"], [integers("s", 1 << 20, 1 << 24)])
        graph = imported(model, tmp_path)
        assert graph.operators[0].weight_bytes == 1 << 44

    def test_weights_in_another_file_are_not_read(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        weight = zeros("w", 4, 3, 5, 5)
        weight.ClearField("raw_data")
        weight.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w.bin"), ("offset", "0"), ("length", "1200")):
            weight.external_data.add(key=key, value=value)
        (tmp_path / "w.bin").write_bytes(bytes(1200))
        model = float_model([helper.make_node("Conv", ["x", "w"], ["y"])], IMAGE, ["y"], [weight])
        monkeypatch.delattr("onnx.external_data_helper.load_external_data_for_tensor")
        assert imported(model, tmp_path).operators[0].weight_bytes == 4 * 3 * 25

    def test_a_table_counts_the_rows_that_are_read(self, tmp_path: Path) -> None:
        node = helper.make_node("Gather", ["table", "ids"], ["y"])
        graph = helper.make_graph(
            [node],
            "net",
            [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, 5])],
            [value_info("y", None)],
            [zeros("table", 1000, 16)],
        )
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        assert imported(model, tmp_path).operators[0].weight_bytes == 5 * 16


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
        graph = imported(float_model([node], IMAGE, ["y"], [zeros("w", *weight)]), tmp_path)
        convolution = graph.operators[0].convolution
        assert convolution is not None
        assert (convolution.pads, convolution.output_shape) == (pads, shape)

    def test_depthwise_and_transposed_macs(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Conv", ["x", "d"], ["c"], group=3, pads=[1, 1, 1, 1]),
            helper.make_node("ConvTranspose", ["c", "t"], ["y"], strides=[2, 2]),
        ]
        constants = [zeros("d", 3, 1, 3, 3), zeros("t", 3, 5, 2, 2)]
        graph = imported(float_model(nodes, IMAGE, ["y"], constants), tmp_path)
        assert [o.macs for o in graph.operators] == [3 * 64 * 9, 3 * 64 * 5 * 4]

    def test_gemm_transposed(self, tmp_path: Path) -> None:
        node = helper.make_node("Gemm", ["x", "w", "b"], ["y"], transA=1, transB=1)
        constants = [zeros("w", 7, 5), zeros("b", 7)]
        graph = imported(float_model([node], {"x": [5, 2]}, ["y"], constants), tmp_path)
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


class TestNames:
    def test_nodes_without_a_name_and_with_the_same(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Transpose", ["x"], ["a"]),
            helper.make_node("Transpose", ["a"], ["b"], name="t"),
            helper.make_node("Transpose", ["b"], ["c"], name="t"),
            helper.make_node("Transpose", ["c"], ["y"], name="t_2"),
        ]
        graph = imported(float_model(nodes, IMAGE, ["y"]), tmp_path)
        assert [o.name for o in graph.operators] == ["Transpose_0", "t", "t_2", "t_2_2"]

    def test_odd_names_survive(self, tmp_path: Path) -> None:
        odd = "слой/0:$x^2\n\u202e🙂[b]"
        nodes = [helper.make_node("Transpose", ["x"], [odd], name=odd)]
        graph = imported(float_model(nodes, IMAGE, [odd]), tmp_path)
        assert graph.operators[0].name == odd
        assert graph.tensor(odd).network_output

    def test_nodes_out_of_order_are_sorted(self, tmp_path: Path) -> None:
        nodes = [
            helper.make_node("Transpose", ["a"], ["y"], name="second"),
            helper.make_node("Transpose", ["x"], ["a"], name="first"),
        ]
        graph = imported(float_model(nodes, IMAGE, ["y"]), tmp_path)
        assert [o.name for o in graph.operators] == ["first", "second"]


def test_local_functions_are_inlined(tmp_path: Path) -> None:
    opset = helper.make_opsetid("", 17)
    function = helper.make_function(
        "local", "Twice", ["a"], ["b"], [helper.make_node("Transpose", ["a"], ["b"])], [opset]
    )
    model = float_model([helper.make_node("Twice", ["x"], ["y"], domain="local")], IMAGE, ["y"])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("local", 1))
    graph = imported(model, tmp_path)
    assert [o.kind for o in graph.operators] == ["Transpose"]
