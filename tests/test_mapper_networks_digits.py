"""mapper.networks.digits: the trained classifier, its quantised form and its test set."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from mapper.networks.digits import digits
from mapper.onnx_import import import_onnx
from mapper.onnx_runtime import exact_session

DIGITS = digits()


def initializers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def run_one(evaluator: ReferenceEvaluator, image: NDArray[np.float32]) -> NDArray[np.float32]:
    # The annotation of `run` allows a mapping, which it gives only when asked for one.
    (scores,) = cast("list[NDArray[np.float32]]", evaluator.run(None, {"image": image}))
    return scores


def test_the_test_set_is_the_stated_one() -> None:
    pixels, labels = DIGITS.load_test_set()
    assert pixels.shape == (360, 8, 8)
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 16)
    # The split is stratified: each class has a fifth of its 174 to 183 images.
    assert np.bincount(labels).tolist() == [36, 36, 35, 37, 36, 37, 36, 36, 35, 36]


@pytest.mark.parametrize("path", [DIGITS.float32, DIGITS.int8], ids=lambda path: path.stem)
def test_the_files_are_small_valid_and_of_fixed_shape(path: Path) -> None:
    assert path.stat().st_size < 100_000
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    graph = import_onnx(path)
    (image,) = [t for t in graph.tensors if t.network_input]
    (scores,) = [t for t in graph.tensors if t.network_output]
    assert (image.name, image.shape, scores.shape) == ("image", (1, 1, 8, 8), (1, 10))
    # 17 k of the 30 k parameters that it may have; computed by hand from the layers' sizes.
    layers = [(144, 16), (2304, 16), (2304, 16), (4608, 32), (2048, 64), (576, 64), (2048, 32)]
    layers += [(288, 32), (2048, 64), (640, 10)]
    assert sum(weight + bias for weight, bias in layers) == 17354 <= 30_000
    sizes = [np.prod(t.dims) for t in model.graph.initializer if len(t.dims) in (2, 4)]
    assert sorted(sizes) == sorted(weight for weight, _ in layers)


def test_the_network_has_every_kind_of_layer() -> None:
    nodes = onnx.load(DIGITS.float32).graph.node
    convolutions = [
        tuple(
            next(list(a.ints) or a.i for a in n.attribute if a.name == name)
            for name in ("kernel_shape", "strides", "group")
        )
        for n in nodes
        if n.op_type == "Conv"
    ]
    assert ([3, 3], [2, 2], 1) in convolutions
    assert ([3, 3], [1, 1], 64) in convolutions
    assert ([3, 3], [2, 2], 32) in convolutions
    assert ([1, 1], [1, 1], 1) in convolutions
    kinds = {n.op_type for n in nodes}
    assert {"Add", "Relu", "GlobalAveragePool", "Gemm"} <= kinds
    assert "BatchNormalization" not in kinds


def test_quantisation_is_symmetric_int8_with_weights_per_channel() -> None:
    model = onnx.load(DIGITS.int8)
    stored = initializers(model)
    weights = [t for t in stored.values() if len(t.dims) in (2, 4)]
    assert [t.data_type for t in weights] == [onnx.TensorProto.INT8] * 10
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = (numpy_helper.to_array(stored[name]) for name in node.input[1:3])
        assert not zero.any()
        assert (scale > 0).all()
        operand = stored.get(node.input[0])
        if operand is None:
            assert scale.shape == ()
            assert zero.dtype == np.int8
        elif len(operand.dims) == 4:
            assert scale.shape == (operand.dims[0],)
    # Each operator of the float network reads and writes quantised tensors.
    between = {n.op_type for n in model.graph.node} - {"QuantizeLinear", "DequantizeLinear"}
    assert between == {n.op_type for n in onnx.load(DIGITS.float32).graph.node}


def test_the_reference_evaluator_classifies_some_images() -> None:
    # ONNX's own slow evaluator, independent of ONNX Runtime, on every twelfth image.
    pixels, labels = DIGITS.load_test_set()
    chosen = slice(None, None, 12)
    for path, least in ((DIGITS.float32, 29), (DIGITS.int8, 29)):
        evaluator = ReferenceEvaluator(onnx.load(path))
        images = DIGITS.as_input(pixels[chosen])
        guesses = [run_one(evaluator, i[None]).argmax() for i in images]
        assert np.count_nonzero(guesses == labels[chosen]) >= least


@pytest.mark.parametrize("path", [DIGITS.float32, DIGITS.int8], ids=lambda path: path.stem)
def test_accuracy_under_onnx_runtime(path: Path) -> None:
    session = exact_session(path)
    pixels, labels = DIGITS.load_test_set()
    guesses = [
        session.run(None, {"image": image[None]})[0].argmax() for image in DIGITS.as_input(pixels)
    ]
    # 359 where it was measured; kernels of other processors may round a unit differently.
    assert np.count_nonzero(guesses == labels) >= 357


def test_images_are_scaled_to_one() -> None:
    image = np.array([[[0, 4, 16]]], dtype=np.uint8)
    assert DIGITS.as_input(image).tolist() == [[[[0.0, 0.25, 1.0]]]]
    assert DIGITS.as_input(image).dtype == np.float32
