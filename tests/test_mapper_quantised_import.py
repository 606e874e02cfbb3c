"""mapper.quantised_import: against ONNX Runtime's int8 kernels, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hw.errors import InputError
from mapper.onnx_runtime import exact_session
from mapper.quantised_build import add_factors
from mapper.quantised_import import import_quantised
from mapper.quantised_model import QuantisedModel
from sim.quantised import Add, AveragePool, Concat, Conv, Dense, MaxPool, Shuffle
from sim.quantised_run import run
from tests.quantised_models import (
    Array,
    Builder,
    Difference,
    compare,
    mobilenet_model,
    ort_tensors,
    quantised,
    random_model,
    resnet_model,
)

# Form, activation type, weights per channel. ONNX Runtime has no QGemm for int8 activations.
FORMS = [("QDQ", "QInt8", True), ("QDQ", "QUInt8", False), ("QOperator", "QUInt8", True)]


def _differences(path: Path, seed: int = 0) -> tuple[QuantisedModel, Difference, Difference]:
    model = import_quantised(path)
    (port,) = model.inputs
    x = np.random.default_rng(seed).standard_normal(port.shape, np.float32)
    theirs = ort_tensors(path, {"x": x}, [t.name for t in model.network.tensors])
    # All but the shuffles, which are several nodes in ONNX, are there to compare with.
    shuffles = sum(isinstance(o, Shuffle) for o in model.network.operators)
    assert len([o for o in model.network.operators if o.output in theirs]) >= (
        len(model.network.operators) - shuffles
    )
    return model, *compare(model.network, model.feeds({"x": x}), theirs)


class TestAgainstOnnxRuntime:
    @pytest.mark.parametrize(("form", "activation", "per_channel"), FORMS)
    @pytest.mark.parametrize("seed", range(12))
    def test_random_networks(
        self, tmp_path: Path, seed: int, form: str, activation: str, per_channel: bool
    ) -> None:
        path = quantised(
            random_model(seed),
            tmp_path,
            form=form,
            activation=activation,
            per_channel=per_channel,
            seed=seed,
        )
        _, each, _ = _differences(path, seed)
        assert each.worst <= 1
        # Ties that float32 decides otherwise: rare, but averages of small windows have many.
        assert each.off <= each.elements / 200

    @pytest.mark.parametrize(("form", "activation", "per_channel"), FORMS)
    @pytest.mark.parametrize("build", [mobilenet_model, resnet_model])
    def test_blocks_of_known_networks(
        self,
        tmp_path: Path,
        build: Callable[[int], onnx.ModelProto],
        form: str,
        activation: str,
        per_channel: bool,
    ) -> None:
        path = quantised(
            build(7), tmp_path, form=form, activation=activation, per_channel=per_channel
        )
        model, each, whole = _differences(path)
        assert each.worst <= 1
        assert each.off <= each.elements / 10_000
        # One flipped tie is amplified by every layer behind it, but few elements are reached.
        assert whole.off <= whole.elements / 50
        convolutions = [o for o in model.network.operators if isinstance(o, Conv)]
        assert any(o.depthwise for o in convolutions) == (build is mobilenet_model)
        assert any(isinstance(o, MaxPool) for o in model.network.operators) == (
            build is resnet_model
        )

    def test_results_are_the_model_s_own(self, tmp_path: Path) -> None:
        """Through the border: real numbers in, real numbers out, as the ONNX model has them."""
        path = quantised(mobilenet_model(3), tmp_path)
        model = import_quantised(path)
        x = np.random.default_rng(1).standard_normal((1, 3, 48, 48), np.float32)
        mine = model.results(run(model.network, model.feeds({"x": x})))
        session = exact_session(path)
        (name,) = mine
        (theirs,) = session.run([name], {"x": x})
        assert mine[name].shape == theirs.shape == (1, 10)
        step = float(model.network.tensor(model.outputs[0].tensor).scale)
        np.testing.assert_allclose(mine[name], theirs, atol=2.01 * step)


class TestStructure:
    def test_operators_and_activations(self, tmp_path: Path) -> None:
        """Activations are ranges, shuffles are one operator, the rest keeps its name."""
        b = Builder(0, (1, 3, 8, 8))
        x = b.conv("x", 8, act="relu6")
        y = b.pool("AveragePool", x, 3, 1, pads=[1] * 4)
        x = b.shuffle(b.concat(x, y), 4, 8)
        x = b.conv(x, 16, groups=16, act="relu")
        model = import_quantised(quantised(b.model(x), tmp_path, form="QOperator"))
        kinds = [type(o) for o in model.network.operators]
        assert kinds == [Conv, AveragePool, Concat, Shuffle, Conv]
        first = model.network.operators[0]
        assert isinstance(first, Conv)
        # A ReLU6 whose zero is the least integer needs no narrower range below.
        tensor = model.network.tensor(first.output)
        assert (first.post.low, tensor.zero_point) == (-128, -128)
        average = model.network.operators[1]
        assert isinstance(average, AveragePool)
        # Corners have four elements, edges six.
        assert sorted(average.border) == [4, 6]
        assert model.network.tensor(model.network.inputs[0]).shape == (1, 8, 8, 3)

    def test_a_shuffle_that_two_operators_read_is_made_once(self, tmp_path: Path) -> None:
        b = Builder(0, (1, 8, 4, 4))
        x = b.shuffle(b.conv("x", 8), 2, 4)
        model = import_quantised(quantised(b.model(b.add(b.conv(x, 8), x)), tmp_path))
        assert sum(isinstance(o, Shuffle) for o in model.network.operators) == 1

    def test_equal_scales_add_exactly(self) -> None:
        assert add_factors(Fraction(3, 7), Fraction(3, 7)) == (1, 1, Fraction(3, 7))
        assert add_factors(Fraction(1, 8), Fraction(1, 2)) == (1, 4, Fraction(1, 8))

    @given(
        st.fractions(min_value=Fraction(1, 10**9), max_value=10**3),
        st.fractions(min_value=Fraction(1, 10**9), max_value=10**3),
    )
    def test_factors_of_an_addition_keep_their_bound(self, a: Fraction, b: Fraction) -> None:
        left, right, unit = add_factors(a, b)
        assert 0 <= min(left, right) <= max(left, right) < 2**22
        for factor, scale in ((left, a), (right, b)):
            assert abs(factor * unit - scale) <= max(a, b) / (2**23 - 2)


# --- hand-made models ------------------------------------------------------------------------


def _constant(name: str, value: Any, kind: Any = np.float32) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(value, kind), name)


class Qdq:
    """A model in QDQ form, written node by node."""

    def __init__(self, opset: int = 17, **inputs: Sequence[int]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs = inputs
        self.opset = opset
        self.kind = TensorProto.FLOAT

    def constant(self, name: str, value: Any, kind: Any = np.float32) -> str:
        self.constants.append(_constant(name, value, kind))
        return name

    def node(self, kind: str, *inputs: str, to: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [to], f"n_{to}", **attributes))
        return to

    def quantise(self, x: str, scale: Any = 0.5, zero: Any = 0, kind: Any = np.int8) -> str:
        """Q and DQ of an activation; the name of the real result."""
        parameters = [
            self.constant(f"{x}_s", scale),
            self.constant(f"{x}_z", zero, kind),
        ]
        self.node("QuantizeLinear", x, *parameters, to=f"{x}_q")
        return self.node("DequantizeLinear", f"{x}_q", *parameters, to=f"{x}_d")

    def weight(
        self,
        name: str,
        value: Any,
        scale: Any = 0.25,
        zero: Any = 0,
        kind: Any = np.int8,
        axis: int = 0,
    ) -> str:
        reads = [
            self.constant(name, value, kind),
            self.constant(f"{name}_s", scale),
            self.constant(f"{name}_z", zero, kind),
        ]
        return self.node("DequantizeLinear", *reads, to=f"{name}_d", axis=axis)

    def save(self, folder: Path, *outputs: str) -> Path:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info(n, self.kind, s) for n, s in self.inputs.items()],
            [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in outputs],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("com.microsoft", 1)]
        path = folder / "net.onnx"
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
        return path


def _evaluate(model: QuantisedModel, **arrays: Array) -> list[Any]:
    values = run(model.network, model.feeds(arrays))
    return [array.tolist() for array in model.results(values).values()]


class TestHandMade:
    def test_flatten_permutes_the_weights(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 2, 1, 2])
        flat = q.node("Flatten", q.quantise("x"), to="f")
        # Each output picks one element, in the order of the NCHW image.
        weight = q.weight("w", np.eye(4), 0.5)
        q.node("MatMul", flat, weight, to="m")
        q.quantise("m", 0.25)
        model = import_quantised(q.save(tmp_path, "m_d"))
        (dense,) = model.network.operators
        assert isinstance(dense, Dense)
        # NHWC order: channel 0 and 1 of the first pixel, then of the second.
        assert dense.weight.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
        x = np.array([[[[1, 2]], [[3, 4]]]], np.float32)
        assert _evaluate(model, x=x) == [[[0.5, 1.0, 1.5, 2.0]]]

    @pytest.mark.parametrize("transposed", [False, True])
    def test_bias_and_layout_of_gemm(self, tmp_path: Path, transposed: bool) -> None:
        q = Qdq(x=[1, 2])
        x = q.quantise("x", 0.5, -4)
        matrix = np.array([[1, 2, 3], [4, 5, 6]])
        weight = q.weight(
            "w",
            matrix.T if transposed else matrix,
            [0.25, 0.5, 1],
            [0] * 3,
            axis=0 if transposed else 1,
        )
        bias = q.weight("b", [8, 4, 2], [0.125, 0.25, 0.5], [0] * 3, np.int32)
        q.node("Gemm", x, weight, bias, to="g", transB=int(transposed))
        q.quantise("g", 0.5)
        model = import_quantised(q.save(tmp_path, "g_d"))
        # x = (2, -1): x @ w = (-2, -1, 0) times the scales, and 1 from the bias.
        assert _evaluate(model, x=np.array([[2, -1]], np.float32)) == [[[0.5, 0.5, 1.0]]]
        (dense,) = model.network.operators
        assert isinstance(dense, Dense)
        assert dense.bias.tolist() == [8 + 4 * 5, 4 + 4 * 7, 2 + 4 * 9]

    def test_a_real_bias_is_rounded_to_the_accumulator(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 1, 1])
        bias = q.constant("b", [0.3])
        q.node("Conv", q.quantise("x"), q.weight("w", [[[[1]]]]), bias, to="c")
        q.quantise("c", 0.125)
        (conv,) = import_quantised(q.save(tmp_path, "c_d")).network.operators
        assert isinstance(conv, Conv)
        assert conv.bias.tolist() == [2]  # 0.3 / (0.5 * 0.25) = 2.4

    def test_unsigned_becomes_signed(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 1, 2])
        weight = q.weight("w", [[[[130]]]], 1, 128, np.uint8)
        q.node("Conv", q.quantise("x", 1, 100, np.uint8), weight, to="c")
        q.node("Relu", "c", to="r")
        q.quantise("r", 1, 50, np.uint8)
        model = import_quantised(q.save(tmp_path, "r_d", "r_q"))
        assert model.network.tensor("x_q").zero_point == 100 - 128
        (conv,) = model.network.operators
        assert isinstance(conv, Conv)
        assert (conv.weight.tolist(), conv.post.low) == ([[[[2]]]], 50 - 128)
        real, stored = _evaluate(model, x=np.array([[[[3, -7]]]], np.float32))
        assert (real, stored) == ([[[[6, 0]]]], [[[[56, 50]]]])

    def test_clip_is_a_range(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 1, 3])
        q.node("Conv", q.quantise("x"), q.weight("w", [[[[4]]]]), to="c")
        q.node("Clip", "c", q.constant("low", -1), q.constant("high", 2.5), to="k")
        q.quantise("k", 0.5, 10)
        model = import_quantised(q.save(tmp_path, "k_d"))
        (conv,) = model.network.operators
        assert isinstance(conv, Conv)
        assert (conv.post.low, conv.post.high) == (8, 15)
        assert _evaluate(model, x=np.array([[[[-9, 1, 9]]]], np.float32)) == [[[[[-1, 1, 2.5]]]]]

    def test_a_relu_of_its_own_is_a_requantisation(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 1, 2])
        q.node("Relu", q.quantise("x"), to="r")
        q.quantise("r", 1, -128)
        model = import_quantised(q.save(tmp_path, "r_d"))
        (concat,) = model.network.operators
        assert isinstance(concat, Concat)
        # 1.5 is a tie between 1 and 2.
        assert _evaluate(model, x=np.array([[[[-5, 1.5]]]], np.float32)) == [[[[[0, 2]]]]]

    def test_weights_that_are_quantised_in_the_graph(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 1, 1])
        weight = q.quantise(q.constant("w", [[[[0.7]]]]), 0.25)
        q.node("Conv", q.quantise("x"), weight, to="c")
        q.quantise("c")
        (conv,) = import_quantised(q.save(tmp_path, "c_d")).network.operators
        assert isinstance(conv, Conv)
        assert conv.weight.tolist() == [[[[3]]]]

    def test_an_integer_input(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 1, 1])
        q.kind = TensorProto.UINT8
        scale, zero = q.constant("s", 0.5), q.constant("z", 120, np.uint8)
        x = q.node("DequantizeLinear", "x", scale, zero, to="d")
        q.node("Add", x, x, to="a")
        q.quantise("a", 1)
        model = import_quantised(q.save(tmp_path, "a_d"))
        (add,) = model.network.operators
        assert isinstance(add, Add)
        assert _evaluate(model, x=np.array([[[[130]]]], np.uint8)) == [[[[[10]]]]]

    def test_pooling_integers_keeps_their_scale(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 1, 3, 3])
        q.quantise("x", 0.5, 3)
        q.node("MaxPool", "x_q", to="p", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
        q.node("DequantizeLinear", "p", "x_s", "x_z", to="y")
        model = import_quantised(q.save(tmp_path, "y"))
        x = -np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
        assert _evaluate(model, x=x) == [[[[[0, -2], [-6, -8]]]]]

    def test_what_follows_the_network_may_stay_on_the_host(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 2])
        q.node("Gemm", q.quantise("x"), q.weight("w", np.eye(2)), to="g")
        q.node("Softmax", q.quantise("g"), to="s")
        q.node("Log", "s", to="l")
        model = import_quantised(q.save(tmp_path, "l"), host=True)
        assert model.host == ("n_s", "n_l")
        assert (model.network.outputs, model.outputs) == (("g_q",), ())

    def test_dynamic_shapes_are_given(self, tmp_path: Path) -> None:
        q = Qdq(x=["n", 2])  # type: ignore[list-item]
        q.node("Gemm", q.quantise("x"), q.weight("w", np.eye(2)), to="g")
        path = q.save(tmp_path, q.quantise("g"))
        model = import_quantised(path, input_shapes={"x": [3, 2]})
        assert model.network.tensor("x_q").shape == (3, 1, 1, 2)

    def test_feeds_refuse(self, tmp_path: Path) -> None:
        q = Qdq(x=[1, 2])
        q.node("Gemm", q.quantise("x"), q.weight("w", np.eye(2)), to="g")
        model = import_quantised(q.save(tmp_path, q.quantise("g")))
        for arrays, message in (
            ({}, "Inputs must be 'x', not none: name them as the model does."),
            (
                {"x": np.zeros((2, 2))},
                "Input 'x' must have shape [1, 2], not [2, 2]: give images as the model takes them.",
            ),
            (
                {"x": np.array([[np.nan, 0]])},
                "Input 'x' must be finite numbers, not float64 with others: correct the data.",
            ),
        ):
            with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
                model.feeds(arrays)


# --- refusals ----------------------------------------------------------------------------------


def _float_left(q: Qdq) -> str:
    q.node("Sigmoid", q.quantise("x"), to="y")
    return q.quantise("y")


def _unquantised(q: Qdq) -> str:
    q.node("Conv", "x", q.weight("w", [[[[1]]]]), to="y")
    return q.quantise("y")


def _no_output_scale(q: Qdq) -> str:
    return q.node("Conv", q.quantise("x"), q.weight("w", [[[[1]]]]), to="y")


def _dynamic(q: Qdq) -> str:
    q.node("ReduceMax", "x", to="s", keepdims=0)
    q.node("QuantizeLinear", "x", "s", to="q")
    return q.node("DequantizeLinear", "q", "s", to="y")


def _per_channel(q: Qdq) -> str:
    q.quantise("x", [0.5], [0])
    q.nodes.clear()
    s, z = q.constant("s", [0.5, 1]), q.constant("z", [0, 1], np.int8)
    q.node("Concat", "x", "x", to="t", axis=1)
    q.node("QuantizeLinear", "x", s, z, to="q", axis=2)
    return q.node("DequantizeLinear", "q", s, z, to="y", axis=2)


def _asymmetric(q: Qdq) -> str:
    q.node("Conv", q.quantise("x"), q.weight("w", [[[[1]]]], zero=3), to="y")
    return q.quantise("y")


def _float_weights(q: Qdq) -> str:
    q.node("Conv", q.quantise("x"), q.constant("w", [[[[1]]]]), to="y")
    return q.quantise("y")


def _wide(q: Qdq) -> str:
    q.opset = 21
    return q.quantise("x", kind=np.int16)


def _two_activations(q: Qdq) -> str:
    x = q.quantise("x")
    q.node("MatMul", q.node("Flatten", x, to="a"), q.node("Flatten", x, to="b", axis=4), to="y")
    return q.quantise("y")


def _add_constant(q: Qdq) -> str:
    q.node("Add", q.quantise("x"), q.weight("w", [[[[1]]]]), to="y")
    return q.quantise("y")


def _broadcast(q: Qdq) -> str:
    x = q.quantise("x")
    q.node("GlobalAveragePool", x, to="g")
    q.node("Add", x, q.quantise("g"), to="y")
    return q.quantise("y")


def _other_axis(q: Qdq) -> str:
    x = q.quantise("x")
    q.node("Concat", x, x, to="y", axis=2)
    return q.quantise("y")


def _other_order(q: Qdq) -> str:
    x = q.node("Transpose", q.quantise("x"), to="t", perm=[0, 1, 3, 2])
    q.node("Relu", q.node("Concat", x, x, to="c", axis=1), to="y")
    return q.quantise("y")


def _other_scale(q: Qdq) -> str:
    q.quantise("x")
    return q.node("DequantizeLinear", "x_q", q.constant("s", 2), "x_z", to="y")


def _overflow(q: Qdq) -> str:
    bias = q.weight("b", [2**31 - 1], 0.125, 0, np.int32)
    q.node("Conv", q.quantise("x"), q.weight("w", [[[[1]]]]), bias, to="y")
    return q.quantise("y")


def _ceil_average(q: Qdq) -> str:
    x = q.quantise("x")
    q.node("AveragePool", x, to="y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    return q.quantise("y")


def _weight_axis(q: Qdq) -> str:
    x = q.node("Flatten", q.quantise("x"), to="f")
    q.node("MatMul", x, q.weight("w", np.zeros((4, 4)), [1] * 4, [0] * 4, axis=0), to="y")
    return q.quantise("y")


def _alpha(q: Qdq) -> str:
    x = q.node("Flatten", q.quantise("x"), to="f")
    q.node("Gemm", x, q.weight("w", np.zeros((4, 4))), to="y", alpha=0.5)
    return q.quantise("y")


def _no_scale(q: Qdq) -> str:
    return q.quantise("x", np.nan)


def _missing_scale(q: Qdq) -> str:
    q.node("QuantizeLinear", "x", to="y")
    return "y"


def _lost_elements(q: Qdq) -> str:
    return q.node("Reshape", q.quantise("x"), q.constant("to", [1, 3], np.int64), to="y")


def _wrong_channels(q: Qdq) -> str:
    q.node("Conv", q.quantise("x"), q.weight("w", [[[[1]], [[1]]]]), to="y")
    return q.quantise("y")


def _microsoft(q: Qdq) -> str:
    q.node("QLinearSigmoid", "x", to="y", domain="com.microsoft")
    return "y"


def _nothing(q: Qdq) -> str:
    return q.quantise("x")


NODE = "net.onnx: node "


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            _float_left,
            NODE + "'n_y' (Sigmoid) must be an operator that runs in integers, not Sigmoid: "
            "remove it, replace it, or leave it to the host.",
        ),
        (
            _microsoft,
            NODE + "'n_y' (QLinearSigmoid) must be an operator that runs in integers, not "
            "QLinearSigmoid of com.microsoft: remove it, replace it, or leave it to the host.",
        ),
        (
            _unquantised,
            NODE + "'n_y' (Conv) must read quantised values, not the real numbers 'x': "
            "put QuantizeLinear and DequantizeLinear before it.",
        ),
        (
            _no_output_scale,
            (
                "net.onnx: network output 'y' must be a quantised activation, not real numbers: "
                "put QuantizeLinear and DequantizeLinear before it."
            ),
        ),
        (
            _dynamic,
            NODE + "'n_q' (QuantizeLinear) must have a constant scale, not the computed 's': "
            "use static quantisation.",
        ),
        (
            _per_channel,
            NODE + "'n_q' (QuantizeLinear) must have one scale for the whole activation, "
            "not one per channel: quantise activations per tensor.",
        ),
        (
            _asymmetric,
            NODE + "'n_y' (Conv) must have symmetric weights (zero point 0), not zero point 3: "
            "quantise them with WeightSymmetric.",
        ),
        (
            _float_weights,
            NODE + "'n_y' (Conv) must have weights quantised to int8, not float32 ones: "
            "quantise the model.",
        ),
        (
            _wide,
            NODE + "'n_x_q' (QuantizeLinear) must have activations of int8 or uint8, not int16: "
            "quantise to 8 bits.",
        ),
        (
            _two_activations,
            NODE + "'n_y' (MatMul) must have constant weights, not the activation 'b': "
            "it cannot run in integers.",
        ),
        (
            _add_constant,
            NODE + "'n_y' (Add) must read an activation, not the constant 'w_d': "
            "fold it into a neighbour.",
        ),
        (
            _broadcast,
            NODE + "'n_y' (Add) must add activations of one shape, not [1, 1, 2, 2] and "
            "[1, 1, 1, 1]: expand the smaller one.",
        ),
        (
            _other_axis,
            NODE + "'n_y' (Concat) must join channels (axis 1), not axis 2: "
            "transpose or split the model.",
        ),
        (
            _other_order,
            NODE + "'n_c' (Concat) must read 'x_q' in its own order or with channels shuffled, "
            "not after other Reshape and Transpose nodes: remove them.",
        ),
        (
            _other_scale,
            NODE + "'n_y' (DequantizeLinear) must have the scale and zero point that 'x_q' was "
            "quantised with, not others: quantise it anew in between.",
        ),
        (
            _overflow,
            NODE + "'n_y' (Conv) must run in integers, but accumulator of 'n_y' must "
            "fit int32 for every input, not reach 2147483519 to 2147483774.",
        ),
        (
            _ceil_average,
            NODE + "'n_y' (AveragePool) must have windows that end inside the padded image, "
            "not ceil_mode: set it to 0.",
        ),
        (
            _weight_axis,
            NODE + "'n_y' (MatMul) must have weight scales along its output channels (axis 1), "
            "not axis 0: quantise per output channel or per tensor.",
        ),
        (
            _alpha,
            NODE + "'n_y' (Gemm) must have alpha = 1, not 0.5: fold it into the weights.",
        ),
        (
            _missing_scale,
            NODE + "'n_y' (QuantizeLinear) must have a scale, not leave it out: "
            "export the model again.",
        ),
        (
            _lost_elements,
            NODE + "'n_y' (Reshape) must keep the elements of [1, 1, 2, 2], not give [1, 3]: "
            "correct its shape.",
        ),
        (
            _wrong_channels,
            NODE + "'n_y' (Conv) must run in integers, but input of 'n_y' must have 2 channels, "
            "not 1.",
        ),
        (
            _no_scale,
            NODE + "'n_x_q' (QuantizeLinear) must have positive scales, "
            "not zero, negative or infinite ones.",
        ),
        (
            _nothing,
            "net.onnx: model must have a quantised operator to run, not none: quantise it first.",
        ),
    ],
)
def test_refuses(tmp_path: Path, build: Callable[[Qdq], str], message: str) -> None:
    q = Qdq(x=[1, 1, 4, 4] if build is _ceil_average else [1, 1, 2, 2])
    output = build(q)
    path = q.save(tmp_path, output)
    with pytest.raises(InputError) as caught:
        import_quantised(path)
    assert str(caught.value).replace(str(path), "net.onnx") == message


def test_integers_may_not_follow_the_host(tmp_path: Path) -> None:
    q = Qdq(x=[1, 1, 2, 2])
    path = q.save(tmp_path, _float_left(q))
    message = (
        "net.onnx: node 'n_y_q' (QuantizeLinear) must not read 'y', which node 'n_y' computes on "
        "the host: quantise that node or replace it."
    )
    with pytest.raises(InputError) as caught:
        import_quantised(path, host=True)
    assert str(caught.value).replace(str(path), "net.onnx") == message
