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
    elif kind == "LRN":
        values = {"size": 3}
    node = helper.make_node(kind, inputs, ["z"], name="node", **values)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()],
        [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(w.astype(np.float32), n) for n, w in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


KINDS = (
    "Conv depthwise MaxPool AveragePool Add scale Concat Softmax LayerNormalization tokens "
    "attention LRN Relu GlobalAveragePool"
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
            cuts.append((operator.channel_windows, 1))
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
    # Normalised along the rows themselves.
    assert _read(_model("Softmax", 3), tmp_path).windows == ()
    assert all(_read(_model("Conv", s), tmp_path).windows[0] is not None for s in range(6))
