"""Quantised ONNX models, in QDQ or QOperator form, as networks of integers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx

from hw.errors import InputError
from mapper.onnx_file import ModelFile, read_model
from mapper.quantised_border import border, finish
from mapper.quantised_constants import AllConstants
from mapper.quantised_form import qdq_nodes
from mapper.quantised_model import Port, QuantisedModel
from mapper.quantised_nodes import OPERATORS
from mapper.quantised_state import State
from mapper.quantised_values import Constant, Host, Pending, Source, View
from mapper.shapes import (
    computable,
    infer_outputs,
    input_shape,
    set_shape,
    sorted_nodes,
    static_shape,
)
from sim.quantised import Network

__all__ = ["import_quantised"]

_RESHAPES = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})


def import_quantised(
    path: Path | str,
    *,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    host: bool = False,
) -> QuantisedModel:
    """Reads a quantised ONNX model as an integer network.

    Both forms that quantisers write are understood: QDQ (float operators between QuantizeLinear
    and DequantizeLinear) and QOperator (QLinearConv and its like). Unsigned activations become
    int8 by moving value and zero point by 128; Flatten and Reshape before a matrix product become
    a permutation of its weights; ReLU and Clip become the range of the operator before them.

    Parameters
    ----------
    path : path
        The model.
    input_shapes : mapping of str to sequence of int, optional
        Shapes for network inputs whose dimensions are dynamic.
    host : bool
        Leaves operators that cannot run in integers to the host, where only they and the user
        read their results; the model lists them. Otherwise they are refused.

    Raises
    ------
    InputError
        The file cannot be read as a model, or an operator cannot run in integers: the error names
        the node, the operator and the reason.
    """
    file = read_model(path)
    importer = _Importer(file=file, input_shapes=dict(input_shapes or {}), host_allowed=host)
    return importer.run()


@dataclass(kw_only=True)
class _Importer:
    """Walks the nodes in order and gives each result a meaning."""

    file: ModelFile
    input_shapes: dict[str, Sequence[int]]
    host_allowed: bool
    state: State = field(init=False)
    host: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)  # tensors that the host reads

    def __post_init__(self) -> None:
        constants = AllConstants(self.file.path.parent, self.file.opset)
        self.state = State(path=self.file.path, constants=constants)

    def run(self) -> QuantisedModel:
        path, graph = self.file.path, self.file.graph
        for tensor in graph.initializer:
            self._store(tensor)
        for value in graph.input:
            if value.name not in self.state.constants:
                self._input(value)
        for name in self.input_shapes:
            if name not in self.state.values:
                raise InputError(f"{path}: --shape must name a network input, not {name!r}.")
        known = {*self.state.values, *self.state.constants.elements}
        nodes = qdq_nodes(path, sorted_nodes(path, graph, known))
        live = _live(nodes, {value.name for value in graph.output})
        self._refuse_dynamic(live)
        for node in live:
            self._node(node)
        outputs = [port for value in graph.output for port in self._output(value.name)]
        if not self.state.operators:
            raise InputError(
                f"{path}: model must have a quantised operator to run, not none: quantise it first."
            )
        given = {port.name for port in self.state.inputs}
        for value in graph.input:
            if value.name in self.state.shapes and value.name not in given:
                raise InputError(
                    f"{path}: input {value.name!r} must be quantised and read, not left unused: "
                    "remove it from the model."
                )
        network = Network(
            name=graph.name or path.stem,
            tensors=tuple(self.state.tensors.values()),
            operators=tuple(self.state.operators),
            inputs=tuple(port.tensor for port in self.state.inputs),
            outputs=tuple(dict.fromkeys([*(port.tensor for port in outputs), *self.taken])),
        )
        return QuantisedModel(
            network=network,
            inputs=tuple(self.state.inputs),
            outputs=tuple(outputs),
            host=tuple(self.host),
        )

    def _refuse_dynamic(self, nodes: Sequence[onnx.NodeProto]) -> None:
        """Names a scale that depends on data before the operators that compute it are met."""
        fixed = set(self.state.constants.elements)
        for node in nodes:
            if all(name in fixed for name in node.input if name):
                fixed.update(node.output)
            elif node.op_type == "DynamicQuantizeLinear":
                raise self.state.refuse(
                    node, "must have a constant scale, not one per run: use static quantisation"
                )
            elif node.op_type in ("QuantizeLinear", "DequantizeLinear"):
                for what, name in zip(("scale", "zero point"), node.input[1:], strict=False):
                    if name and name not in fixed:
                        raise self.state.refuse(
                            node,
                            f"must have a constant {what}, not the computed {name!r}: "
                            "use static quantisation",
                        )

    def _store(self, tensor: onnx.TensorProto) -> None:
        try:
            self.state.constants.store(tensor)
        except Exception as error:
            # Whatever the decoder raises, the stored bytes are at fault.
            raise InputError(
                f"{self.file.path}: initializer {tensor.name!r} must have data that fits its "
                f"{list(tensor.dims)!r} elements, but has not: export the model again."
            ) from error
        self.state.types[tensor.name] = onnx.helper.make_tensor_type_proto(
            tensor.data_type, list(tensor.dims)
        )

    def _input(self, value: onnx.ValueInfoProto) -> None:
        shape = input_shape(self.file.path, value, self.input_shapes.get(value.name))
        type_ = onnx.TypeProto()
        type_.CopyFrom(value.type)
        set_shape(type_, shape)
        integer = type_.tensor_type.elem_type in (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
        self.state.types[value.name] = type_
        self.state.shapes[value.name] = computable(self.file.path, value.name, shape)
        self.state.values[value.name] = Source(name=value.name, shape=shape, integer=integer)

    def _node(self, node: onnx.NodeProto) -> None:
        state = self.state
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            border(state, node)
            return
        if any(isinstance(state.values.get(name), Host) for name in node.input):
            self._to_host(node)
            return
        if node.domain not in ("", "ai.onnx"):
            self._to_host(node)
            return
        data = state.constants.tensors(node) if node.op_type not in OPERATORS else {}
        types = dict(state.types)
        if node.op_type in ("Conv", "Gemm") and len(node.input) > 2 and node.input[2]:
            # The int32 bias of a QOperator node, where the float operator has a float one.
            float_type = onnx.TypeProto()
            float_type.CopyFrom(types[node.input[2]])
            float_type.tensor_type.elem_type = onnx.TensorProto.FLOAT
            types[node.input[2]] = float_type
        file = self.file
        state.types.update(infer_outputs(file.path, file.model, file.opset, node, types, data))
        for name in filter(None, node.output):
            shape = static_shape(state.types.get(name))
            if shape is not None:
                state.shapes[name] = computable(file.path, name, shape)
        values = [state.values.get(name) for name in node.input if name]
        if all(name in state.constants for name in node.input if name):
            state.constants.fold(node, state.types)
        elif node.op_type in ("Shape", "Size"):
            self._measure(node)
        elif node.op_type == "Transpose" and isinstance(values[0], Constant):
            state.values[node.output[0]] = values[0].transposed(_axes(node, values[0].values.ndim))
        elif node.op_type in _RESHAPES or node.op_type == "Transpose":
            self._view(node)
        elif node.op_type == "MaxPool" and isinstance(values[0], View) and not values[0].real:
            self._integer_max_pool(node, values[0])
        elif node.op_type in OPERATORS and node.output[0] in state.shapes:
            state.values[node.output[0]] = OPERATORS[node.op_type](state, node)
        else:
            self._to_host(node)

    def _to_host(self, node: onnx.NodeProto) -> None:
        """Leaves a node to the host, or says why it cannot run."""
        state = self.state
        if not self.host_allowed:
            domain = f" of {node.domain}" if node.domain else ""
            raise state.refuse(
                node,
                f"must be an operator that runs in integers, not {node.op_type}{domain}: "
                "remove it, replace it, or leave it to the host",
            )
        for name in node.input:
            value = state.values.get(name)
            if isinstance(value, Pending | Source):
                state.view(node, name)  # raises: it was never quantised
            if isinstance(value, View):
                self.taken.append(value.tensor)
        self.host.append(node.name or node.op_type)
        for name in filter(None, node.output):
            state.values[name] = Host(node=self.host[-1])

    def _measure(self, node: onnx.NodeProto) -> None:
        """Shape and Size of an activation are constants, because its shape is static."""
        shape = self.state.shapes[node.input[0]]
        bounds = {a.name: a.i for a in node.attribute}
        if node.op_type == "Size":
            value = np.asarray(math.prod(shape), dtype=np.int64)
        else:
            value = np.asarray(shape[bounds.get("start") : bounds.get("end")], dtype=np.int64)
        self.state.constants.put(node.output[0], value)

    def _view(self, node: onnx.NodeProto) -> None:
        state = self.state
        view = state.view(node, node.input[0])
        shape = state.shapes.get(node.output[0])
        if shape is None:
            raise state.refuse(node, "must have a static shape, not one that depends on data")
        if math.prod(shape) != math.prod(view.shape):
            raise state.refuse(
                node,
                f"must keep the elements of {list(view.shape)}, not give {list(shape)}: "
                "correct its shape",
            )
        if node.op_type == "Transpose":
            result = view.transposed(_axes(node, len(view.shape)))
        else:
            result = view.reshaped(shape)
        state.values[node.output[0]] = result

    def _integer_max_pool(self, node: onnx.NodeProto, view: View) -> None:
        """MaxPool of integers: no scale changes, so no QuantizeLinear follows."""
        state, tensor = self.state, self.state.tensors[view.tensor]
        real = f"{node.input[0]}/real"
        state.values[real] = View(tensor=view.tensor, shape=view.shape, index=view.index, real=True)
        state.shapes[real] = view.shape
        twin = onnx.NodeProto()
        twin.CopyFrom(node)
        twin.input[0] = real
        pending = OPERATORS["MaxPool"](state, twin)
        finish(state, node, pending, tensor, state.offsets[view.tensor])

    def _output(self, name: str) -> list[Port]:
        """The border of a network output; none where the host computes it."""
        state, value = self.state, self.state.values.get(name)
        if isinstance(value, Host):
            return []
        if not isinstance(value, View):
            what = "real numbers" if isinstance(value, Pending) else "no activation"
            raise InputError(
                f"{self.file.path}: network output {name!r} must be a quantised activation, "
                f"not {what}: put QuantizeLinear and DequantizeLinear before it."
            )
        index = value.positions()
        offset = 0 if value.real else state.offsets[value.tensor]
        return [
            Port(
                name=name,
                tensor=value.tensor,
                shape=value.shape,
                index=index,
                real=value.real,
                offset=offset,
            )
        ]


def _live(nodes: Sequence[onnx.NodeProto], results: set[str]) -> list[onnx.NodeProto]:
    """The nodes that the results depend on, in order."""
    needed, kept = set(results), []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            kept.append(node)
    return kept[::-1]


def _axes(node: onnx.NodeProto, rank: int) -> tuple[int, ...]:
    for attribute in node.attribute:
        if attribute.name == "perm":
            return tuple(attribute.ints)
    return tuple(reversed(range(rank)))
