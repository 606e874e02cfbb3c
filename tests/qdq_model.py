"""Models in QDQ form, written node by node, for the tests of the importer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def constant(name: str, value: Any, kind: Any = np.float32) -> onnx.TensorProto:
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
        self.constants.append(constant(name, value, kind))
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
