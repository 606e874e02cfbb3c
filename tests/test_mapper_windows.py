"""mapper.windows: what a row or a channel needs, against what changes when an input does."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mapper.graph import Operator
from mapper.onnx_import import import_onnx
from mapper.stage import Window

# Without type information of its own.
InferenceSession: Any = importlib.import_module("onnxruntime").InferenceSession

_AXES = {3: 1, 4: 2, 5: 3}


def _conv(rng: np.random.Generator) -> dict[str, Any]:
    return {
        "kernel_shape": [int(rng.integers(1, 4)), 3],
        "strides": [int(rng.integers(1, 3)), 1],
        "dilations": [int(rng.integers(1, 3)), 1],
        "pads": [int(rng.integers(0, 2)), 1, int(rng.integers(0, 2)), 1],
    }


def _model(kind: str, seed: int) -> onnx.ModelProto:
    rng = np.random.default_rng(seed)
    shapes: dict[str, tuple[int, ...]] = {"x": (1, 4, 11, 5)}
    weights = {}
    values: dict[str, Any] = {}
    inputs = ["x"]
    if kind in ("Conv", "depthwise"):
        values = _conv(rng)
        groups = 4 if kind == "depthwise" else 1
        shape = (4, 4 // groups, *values["kernel_shape"])
        weights["w"] = rng.normal(size=shape)
        inputs, kind, values["group"] = ["x", "w"], "Conv", groups
    elif kind in ("MaxPool", "AveragePool"):
        values = _conv(rng)
        values["pads"] = [min(values["kernel_shape"][0] - 1, 1), 1, 0, 1]
        values.pop("dilations")
        if seed % 3 == 0:
            values["auto_pad"] = "SAME_UPPER" if seed % 2 else "SAME_LOWER"
            values.pop("pads")
    elif kind in ("Add", "scale"):
        shapes["y"] = shapes["x"] if kind == "Add" else (1, 4, 1, 1)
        inputs, kind = ["x", "y"], "Mul" if kind == "scale" else "Add"
    elif kind == "Concat":
        values = {"axis": 1 + seed % 3}
        shapes["y"] = shapes["x"]
        inputs = ["x", "y"]
    elif kind in ("Softmax", "LayerNormalization"):
        shapes["x"] = (1, 7, 6) if seed % 2 else (1, 2, 7, 6)
        values = {"axis": -1 if seed % 3 else 1}
        if kind == "LayerNormalization":
            values["axis"] = -1
            weights["w"] = rng.normal(size=6)
            inputs = ["x", "w"]
    elif kind == "tokens":
        shapes["x"] = (1, 7, 6)
        weights["w"] = rng.normal(size=(6, 3))
        inputs, kind = ["x", "w"], "MatMul"
    elif kind == "attention":
        shapes |= {"x": (1, 2, 7, 6), "y": (1, 2, 6, 7)}
        inputs, kind = ["x", "y"], "MatMul"
    elif kind == "ConvTranspose":
        values = _conv(rng) | {"strides": [int(rng.integers(1, 4)), 2]}
        weights["w"] = rng.normal(size=(4, 3, *values["kernel_shape"]))
        inputs = ["x", "w"]
    elif kind == "Resize":
        coordinate = ("half_pixel", "asymmetric", "align_corners")[seed % 3]
        values = {
            "mode": "linear" if seed < 3 else "nearest",
            "coordinate_transformation_mode": coordinate,
        }
        weights["roi"] = np.zeros(0)
        # Of sizes that are no multiples; and scales whose results are rounded down.
        weights["s"] = np.array([1, 1, *rng.uniform(0.6, 3, 2)])
        inputs = ["x", "roi", "s"]
    elif kind == "Transpose":
        values = {"perm": [0, 1, 2, 3]}
    elif kind == "Slice":
        weights |= {"b": np.array([2, -4]), "e": np.array([9, 4]), "a": np.array([2, -1])}
        weights["t"] = np.array([1 + seed % 3, 1])
        inputs = ["x", "b", "e", "a", "t"]
    elif kind == "LRN":
        values = {"size": 3}
    node = helper.make_node(kind, inputs, ["z"], name="node", **values)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [
            onnx.numpy_helper.from_array(
                w.astype(np.int64 if kind == "Slice" else np.float32), name=n
            )
            for n, w in weights.items()
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


KINDS = (
    "Conv depthwise MaxPool AveragePool Add scale Concat Softmax LayerNormalization tokens "
    "attention LRN Relu GlobalAveragePool ConvTranspose Resize Transpose Slice"
).split()


def _read(model: onnx.ModelProto, folder: Path) -> Operator:
    path = folder / "m.onnx"
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    (operator,) = import_onnx(path).operators
    return operator


@pytest.mark.parametrize("kind", KINDS)
def test_no_part_depends_on_what_its_window_leaves_out(kind: str, tmp_path: Path) -> None:
    for seed in range(6):
        model = _model(kind, seed)
        operator = _read(model, tmp_path)
        session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        rng = np.random.default_rng(seed)
        feeds = {
            v.name: rng.normal(size=[d.dim_value for d in v.type.tensor_type.shape.dim]).astype(
                np.float32
            )
            for v in model.graph.input
        }
        plain = session.run(None, feeds)[0]
        cuts = [(operator.windows, _AXES[plain.ndim])]
        if plain.ndim == 4:
            cuts += [(operator.channel_windows, 1), (operator.column_windows, 3)]
        for windows, axis in cuts:
            for name, window in zip(operator.inputs, windows, strict=False):
                if window is None:
                    continue
                count = feeds[name].shape[axis]
                for part in range(count):
                    changed = {n: a.copy() for n, a in feeds.items()}
                    np.moveaxis(changed[name], axis, 0)[part] += 100
                    result = session.run(None, changed)[0]
                    moved = np.moveaxis(result != plain, axis, 0).reshape(plain.shape[axis], -1)
                    for row in np.flatnonzero(moved.any(axis=1)):
                        first, last = window.rows(int(row), int(row) + 1, count)
                        assert first <= part < last, (operator, name, part, row)


def test_what_can_be_cut(tmp_path: Path) -> None:
    can = {k: _read(_model(k, 1), tmp_path) for k in KINDS}
    one = (Window(),)
    assert (can["Relu"].windows, can["Relu"].channel_windows) == (one, one)
    assert (can["depthwise"].channel_windows, can["Conv"].channel_windows) == (one, (None,))
    assert can["scale"].windows == (Window(), None)
    assert can["scale"].channel_windows == (Window(), Window())
    assert can["attention"].windows == (Window(), None)
    assert can["tokens"].windows == one
    assert (can["LRN"].windows, can["LRN"].channel_windows) == (one, ())
    assert (can["GlobalAveragePool"].windows, can["GlobalAveragePool"].channel_windows) == (
        (),
        one,
    )
    assert all(can[k].windows for k in ("ConvTranspose", "Resize", "Transpose", "Slice"))
    assert all(can[k].column_windows for k in ("Conv", "depthwise", "Resize", "Slice", "Add"))
    # A softmax along the columns; tokens have none.
    assert (
        can["tokens"].column_windows == _read(_model("Softmax", 4), tmp_path).column_windows == ()
    )
    # Normalised along the rows themselves.
    assert _read(_model("Softmax", 3), tmp_path).windows == ()
    assert all(_read(_model("Conv", s), tmp_path).windows[0] is not None for s in range(6))


def test_a_window_of_an_enlarged_image_is_no_wider_than_it_has_to_be(tmp_path: Path) -> None:
    """Of 11 rows made 22, a row needs two; one more where the scale might have been larger."""
    model = _model("Resize", 0)
    model.graph.initializer[1].CopyFrom(
        onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), "s")
    )
    (window,) = _read(model, tmp_path).windows
    assert window is not None
    widths = [b - a for a, b in (window.rows(n, n + 1, 11) for n in range(22))]
    assert max(widths) == 3
    assert window.rows(0, 22, 11) == (0, 11)
    strided = _model("ConvTranspose", 0)
    (window,) = _read(strided, tmp_path).windows
    kernel, stride, dilation = (
        next(a.ints[0] for a in strided.graph.node[0].attribute if a.name == name)
        for name in ("kernel_shape", "strides", "dilations")
    )
    assert window is not None
    assert window.kernel == (kernel - 1) * dilation // stride + 1


def test_channels_that_are_shuffled_keep_their_rows(tmp_path: Path) -> None:
    """As five dimensions and back: what is read through such a view can be cut like an image."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="a"),
        helper.make_node("Reshape", ["a", "five"], ["b"]),
        helper.make_node("Transpose", ["b"], ["c"], name="shuffle", perm=[0, 2, 1, 3, 4]),
        helper.make_node("Reshape", ["c", "four"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["y"], name="pool", kernel_shape=[3, 3]),
    ]
    shapes = {"five": [1, 2, 3, 7, 5], "four": [1, 6, 7, 5]}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 6, 7, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.array(s), n) for n, s in shapes.items()],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    _, shuffle, pool = import_onnx(path).operators
    assert (shuffle.windows, shuffle.column_windows) == ((Window(),), (Window(),))
    assert (pool.windows, pool.column_windows) == ((Window(3),), (Window(3),))
    assert (shuffle.channel_windows, pool.channel_windows) == ((), (None,))
