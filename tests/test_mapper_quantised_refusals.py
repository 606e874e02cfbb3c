"""mapper.quantised_import: what is refused, and in which words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hw.errors import InputError
from mapper.quantised_import import import_quantised
from tests.qdq_model import Qdq


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


def _too_large(q: Qdq) -> str:
    """Its padded result has 2^20 + 1 rows of as many pixels."""
    x = q.quantise("x")
    q.node("MaxPool", x, to="y", kernel_shape=[2, 2], pads=[2**19] * 4)
    return q.quantise("y")


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
            _too_large,
            (
                "net.onnx: tensor 'y' must have at most 67,108,864 elements to be computed, not "
                "1,099,513,724,929: export the model for a smaller input."
            ),
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
