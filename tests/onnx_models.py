"""Small float ONNX models for the tests of the importer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mapper.graph import Graph
from mapper.onnx_import import import_onnx

Shape = Sequence[int | str]


def value_info(name: str, shape: Shape | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def zeros(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.zeros(shape, np.float32), name)


def integers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def float_model(
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
        [value_info(name, shape) for name, shape in inputs.items()],
        [value_info(name, None) for name in outputs],
        list(constants),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8, **fields)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def imported(model: onnx.ModelProto, folder: Path, **options: Any) -> Graph:
    return import_onnx(saved(model, folder), **options)


IMAGE: dict[str, Shape | None] = {"x": [1, 3, 8, 8]}
