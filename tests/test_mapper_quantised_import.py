"""mapper.quantised_import: against ONNX Runtime's int8 kernels."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from hw.errors import InputError
from mapper.onnx_runtime import exact_session
from mapper.quantised_build import add_factors
from mapper.quantised_import import import_quantised
from mapper.quantised_model import QuantisedModel
from sim.quantised import Add, AveragePool, Concat, Conv, Dense, MaxPool, Shuffle
from sim.quantised_run import run
from tests.qdq_model import Qdq
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
