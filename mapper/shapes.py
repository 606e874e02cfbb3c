"""Shapes of a model, node by node: static or refused."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
from onnx import shape_inference

from hw.errors import InputError

__all__ = [
    "computable",
    "infer_outputs",
    "input_shape",
    "set_shape",
    "sorted_nodes",
    "static_shape",
]

_MOST_ELEMENTS = 1 << 26


def sorted_nodes(path: Path, graph: onnx.GraphProto, known: set[str]) -> list[onnx.NodeProto]:
    """The nodes in a topological order, which is the file's where that is one.

    Parameters
    ----------
    path : Path
        Names the file in errors.
    graph : GraphProto
        The nodes to sort.
    known : set of str
        Tensors that exist before any node runs: inputs and initializers.

    Raises
    ------
    InputError
        Two nodes produce one tensor, an input is produced by none, or the nodes form a cycle.
    """
    nodes = list(graph.node)
    producer: dict[str, int] = {}
    for i, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in producer or name in known:
                raise InputError(
                    f"{path}: tensor {name!r} must have one producer, not a second in node "
                    f"{label(node)}: rename one of them."
                )
            producer[name] = i
    waiting = [0] * len(nodes)
    readers: list[list[int]] = [[] for _ in nodes]
    for i, node in enumerate(nodes):
        for name in {n for n in node.input if n and n not in known}:
            if name not in producer:
                raise InputError(
                    f"{path}: input {name!r} of node {label(node)} must be a network input, an "
                    "initializer or the output of a node, not undefined."
                )
            waiting[i] += 1
            readers[producer[name]].append(i)
    ready = [i for i, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        i = heapq.heappop(ready)
        order.append(i)
        for j in readers[i]:
            waiting[j] -= 1
            if waiting[j] == 0:
                heapq.heappush(ready, j)
    if len(order) < len(nodes):
        stuck = next(i for i, count in enumerate(waiting) if count)
        raise InputError(
            f"{path}: nodes must not form a cycle, but {label(nodes[stuck])} waits for itself."
        )
    return [nodes[i] for i in order]


def label(node: onnx.NodeProto) -> str:
    """A node as errors call it."""
    return f"{node.name!r}" if node.name else f"{node.op_type} -> {list(node.output)!r}"


def set_shape(type_: onnx.TypeProto, shape: Sequence[int]) -> None:
    """Makes the shape of a tensor type static."""
    del type_.tensor_type.shape.dim[:]
    for size in shape:
        type_.tensor_type.shape.dim.add().dim_value = size


def static_shape(type_: onnx.TypeProto | None) -> tuple[int, ...] | None:
    """The shape of a tensor type; None where a dimension is not a positive number."""
    if type_ is None or not type_.tensor_type.HasField("shape"):
        return None
    dims = type_.tensor_type.shape.dim
    if any(not d.HasField("dim_value") or d.dim_value <= 0 for d in dims):
        return None
    return tuple(d.dim_value for d in dims)


def computable(path: Path, name: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of a tensor whose values are to be computed, if an array can hold it.

    Raises
    ------
    InputError
        It has more than 2^26 elements: positions of so many take half a gibibyte.
    """
    if math.prod(shape) > _MOST_ELEMENTS:
        raise InputError(
            f"{path}: tensor {name!r} must have at most {_MOST_ELEMENTS:,} elements to be computed, "
            f"not {math.prod(shape):,}: export the model for a smaller input."
        )
    return shape


def input_shape(
    path: Path, value: onnx.ValueInfoProto, override: Sequence[int] | None
) -> tuple[int, ...]:
    """The static shape of a network input, dynamic dimensions taken from `override`.

    Raises
    ------
    InputError
        A dimension stays dynamic, the override contradicts a static one, or the input is no
        tensor.
    """
    if not value.type.HasField("tensor_type"):
        raise InputError(
            f"{path}: input {value.name!r} must be a tensor, "
            f"not a {value.type.WhichOneof('value') or 'value without type'}."
        )
    tensor = value.type.tensor_type
    dims = list(tensor.shape.dim) if tensor.HasField("shape") else None
    if override is not None:
        given = ",".join(map(str, override))
        if dims is not None and len(dims) != len(override):
            raise InputError(
                f"{path}: shape of input {value.name!r} must have {len(dims)} dimensions, "
                f"not the {len(override)} of {given!r}: correct --shape."
            )
        for axis, dim in enumerate(dims or ()):
            fixed = dim.dim_value if dim.HasField("dim_value") else 0
            if fixed > 0 and fixed != override[axis]:
                raise InputError(
                    f"{path}: dimension {axis} of input {value.name!r} must be {fixed} as in the "
                    f"model, not {override[axis]}: correct --shape or export the model anew."
                )
        return tuple(override)
    if dims is None:
        raise InputError(
            f"{path}: input {value.name!r} must have a static shape, not none at all: "
            f"give --shape {_plain(value.name)}=1,3,224,224 with its dimensions."
        )
    for axis, dim in enumerate(dims):
        if not dim.HasField("dim_value") or dim.dim_value <= 0:
            what = repr(dim.dim_param) if dim.dim_param else "unknown"
            if dim.HasField("dim_value"):
                what = str(dim.dim_value)
            example = ",".join(
                str(d.dim_value if d.dim_value > 0 else 1 if i == 0 else 224)
                for i, d in enumerate(dims)
            )
            raise InputError(
                f"{path}: dimension {axis} of input {value.name!r} must be a positive number, "
                f"not {what}: give its shape, for example --shape {_plain(value.name)}={example}."
            )
    return tuple(d.dim_value for d in dims)


def infer_outputs(
    path: Path,
    model: onnx.ModelProto,
    opset: int,
    node: onnx.NodeProto,
    types: Mapping[str, onnx.TypeProto],
    data: dict[str, onnx.TensorProto],
) -> dict[str, onnx.TypeProto]:
    """Types of the outputs of one node, from those of its inputs and the constants among them.

    Raises
    ------
    InputError
        The operator set has no such operator, or the inputs do not fit it.
    """
    try:
        schema = onnx.defs.get_schema(node.op_type, opset, "")
    except onnx.defs.SchemaError as error:
        raise InputError(
            f"{path}: operator {node.op_type} of node {label(node)} must be in ONNX operator set "
            f"{opset}, which the model declares, but is not: declare the set it belongs to."
        ) from error
    mine = {name: types[name] for name in node.input if name}
    try:
        return shape_inference.infer_node_outputs(
            schema,
            node,
            mine,
            data,
            opset_imports=list(model.opset_import),
            ir_version=model.ir_version,
        )
    except Exception as error:
        # Errors of the C++ inference arrive as several classes; the model is at fault in each.
        text = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: shapes at node {label(node)} must fit {node.op_type}, but do not ({text})."
        ) from error


def _plain(name: str) -> str:
    """A name as it can be typed."""
    return name if name.isprintable() else "NAME"
