"""ONNX model to graph: shapes inferred, constants folded, views aliased, followers fused."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import onnx

from hw.errors import InputError
from mapper.catalogue import CONTROL_FLOW, ELEMENTWISE, FOLLOWERS, KNOWN, VIEWS
from mapper.constants import Constants
from mapper.fuse import Node, fuse, live
from mapper.graph import Convolution, Graph, Operator, Tensor
from mapper.onnx_file import ModelFile, read_model
from mapper.shapes import infer_outputs, input_shape, label, set_shape, sorted_nodes, static_shape
from mapper.stage import Window
from mapper.windows import (
    channel_windows_of,
    channels_of,
    column_windows_of,
    columns_of,
    rows_of,
    same_rows,
    windows_of,
)
from mapper.work import convolution_of, macs_of, weight_elements

__all__ = ["Layout", "graph_of", "import_onnx"]

_DOMAINS = ("", "ai.onnx")
# Sums over all operators stay far within the 64-bit integers of the solver and of plans.
_LARGEST = 1 << 50


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How many bytes an activation tensor has.

    Attributes
    ----------
    activation_bits : int
        Width of one element; a tensor is rounded up to whole bytes.
    channel_multiple : int
        The channel dimension (1 of NCHW and NCDHW, the last one otherwise) is padded up to a
        multiple of this: 1 for dense elements, the columns of the array on an accelerator.
    weight_bits : int or None
        Width of a weight; `activation_bits` where None.
    """

    activation_bits: int = 8
    channel_multiple: int = 1
    weight_bits: int | None = None

    def __post_init__(self) -> None:
        for name in ("activation_bits", "weight_bits"):
            bits = getattr(self, name)
            if bits is not None and not 1 <= bits <= 64:
                raise InputError(f"{name} must be 1 to 64, not {bits}: 8 is usual.")
        if self.channel_multiple < 1:
            raise InputError(f"channel_multiple must be at least 1, not {self.channel_multiple}.")

    def tensor_bytes(self, shape: Sequence[int]) -> int:
        """Bytes of an activation tensor of that shape."""
        padded = list(shape) or [1]
        channel = 1 if len(padded) in (4, 5) else -1
        padded[channel] = -(-padded[channel] // self.channel_multiple) * self.channel_multiple
        return -(-math.prod(padded) * self.activation_bits // 8)

    def constant_bytes(self, elements: int) -> int:
        """Bytes of a weight of so many elements."""
        bits = self.activation_bits if self.weight_bits is None else self.weight_bits
        return -(-elements * bits // 8)


def import_onnx(
    path: Path | str,
    *,
    layout: Layout | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Graph:
    """Reads an ONNX file as a graph of fused operators.

    Constants are folded away and large ones never built. Views cost nothing: a tensor has the
    bytes that its producer writes, whatever shape is read later. An operator of one activation
    that works element by element, or along one row of channels (Softmax, LRN), joins the
    producer of that activation where it is its only reader. What no network output needs is
    dropped. Every activation counts with `layout.activation_bits`, indices and masks included.

    Parameters
    ----------
    path : path
        The model; weights in other files are not read.
    layout : Layout, optional
        Bytes of a tensor; dense int8 by default.
    input_shapes : mapping of str to sequence of int, optional
        Shapes for network inputs whose dimensions are dynamic.

    Raises
    ------
    InputError
        The file cannot be read as a model, or the model cannot be mapped: unknown operators (with
        type, domain and node), dynamic shapes, control flow, cycles, nothing to run.
    """
    return graph_of(read_model(path), layout=layout, input_shapes=input_shapes)


def graph_of(
    file: ModelFile,
    *,
    layout: Layout | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Graph:
    """As `import_onnx`, of a model that was read before."""
    walk = _Walk(file, layout or Layout(), dict(input_shapes or {}))
    walk.run()
    return walk.graph()


@dataclass
class _Walk:
    """State of one pass over the nodes in topological order."""

    file: ModelFile
    layout: Layout
    input_shapes: dict[str, Sequence[int]]
    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)  # what a view is a view of
    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.constants = Constants(self.file.path.parent, self.file.opset)

    def run(self) -> None:
        graph = self.file.graph
        for tensor in graph.initializer:
            self._store(tensor)
        for sparse in graph.sparse_initializer:
            name = sparse.values.name
            self.constants.elements[name] = math.prod(sparse.dims)
            self.types[name] = onnx.helper.make_tensor_type_proto(
                sparse.values.data_type, list(sparse.dims)
            )
        for value in graph.input:
            # Up to IR version 3 every initializer is listed among the inputs, too.
            if value.name not in self.constants:
                self._input(value)
        for name in self.input_shapes:
            if name not in self.inputs:
                raise InputError(
                    f"{self.file.path}: --shape must name a network input "
                    f"({', '.join(map(repr, self.inputs)) or 'there is none'}), not {name!r}."
                )
        known = {*self.inputs, *self.constants.elements}
        for index, node in enumerate(sorted_nodes(self.file.path, graph, known)):
            self._node(node, index)

    def _store(self, tensor: onnx.TensorProto) -> None:
        try:
            self.constants.store(tensor)
        except Exception as error:
            raise InputError(
                f"{self.file.path}: initializer {tensor.name!r} must have data that fits its "
                f"{list(tensor.dims)!r} elements, but has not: export the model again."
            ) from error
        self.types[tensor.name] = onnx.helper.make_tensor_type_proto(
            tensor.data_type, list(tensor.dims)
        )

    def _input(self, value: onnx.ValueInfoProto) -> None:
        if value.name in self.types:
            raise InputError(f"{self.file.path}: input {value.name!r} must be listed once.")
        shape = input_shape(self.file.path, value, self.input_shapes.get(value.name))
        type_ = onnx.TypeProto()
        type_.CopyFrom(value.type)
        set_shape(type_, shape)
        self.types[value.name] = type_
        self.shapes[value.name] = shape
        self.inputs.append(value.name)

    def _node(self, node: onnx.NodeProto, index: int) -> None:
        path = self.file.path
        if node.op_type in CONTROL_FLOW or node.op_type not in KNOWN or node.domain not in _DOMAINS:
            domain = node.domain or "ai.onnx"
            raise InputError(
                f"{path}: operator {node.op_type} (domain {domain}) of node {label(node)} is not "
                "known: remove it or replace it by ONNX operators before mapping."
            )
        types = infer_outputs(
            path, self.file.model, self.file.opset, node, self.types, self.constants.tensors(node)
        )
        self.types.update(types)
        if all(name in self.constants for name in node.input if name):
            self.constants.fold(node, self.types)
        elif node.op_type in ("Shape", "Size"):
            self._measure(node)
        else:
            self._activation(node, index)

    def _measure(self, node: onnx.NodeProto) -> None:
        """Shape and Size of an activation are constants, because its shape is static."""
        shape = self.shapes[node.input[0]]
        bounds = {a.name: a.i for a in node.attribute}
        if node.op_type == "Size":
            value = np.asarray(math.prod(shape), dtype=np.int64)
        else:
            value = np.asarray(shape[bounds.get("start") : bounds.get("end")], dtype=np.int64)
        self.constants.put(node.output[0], value)

    def _activation(self, node: onnx.NodeProto, index: int) -> None:
        outputs = [name for name in node.output if name]
        for name in outputs:
            shape = static_shape(self.types.get(name))
            if shape is not None:
                self.shapes[name] = shape
            elif name in self._needed:
                raise InputError(
                    f"{self.file.path}: shape of tensor {name!r} (node {label(node)}, "
                    f"{node.op_type}) must be static, not dependent on data: give --shape for the "
                    "network's inputs or simplify the model."
                )
        if node.op_type in VIEWS and node.input[0] not in self.constants:
            if any(name in self._needed for name in outputs[1:]):
                raise InputError(
                    f"{self.file.path}: node {label(node)} ({node.op_type}) must be used for "
                    "inference, but its mask is read: export the model for inference."
                )
            self.roots[outputs[0]] = self.roots.get(node.input[0], node.input[0])
            return
        active = [n for n in node.input if n and n not in self.constants]
        inputs = tuple(dict.fromkeys(self.roots.get(n, n) for n in active))
        convolution = convolution_of(node, self.shapes, self.types)
        weight_bytes = self._weight_bytes(node)
        self.nodes.append(
            Node(
                operator=Operator(
                    name=self._unique(node.name or f"{node.op_type}_{index}"),
                    kind=node.op_type,
                    inputs=inputs,
                    outputs=tuple(n for n in outputs if n in self._needed),
                    weight_bytes=weight_bytes,
                    macs=macs_of(node, convolution, self.shapes, self.types),
                    convolution=convolution,
                    windows=self._windows(
                        partial(windows_of, values=self.constants.values),
                        self._rows,
                        node,
                        convolution,
                    ),
                    channel_windows=self._windows(
                        channel_windows_of, self._channels, node, convolution
                    ),
                    column_windows=self._windows(
                        partial(column_windows_of, values=self.constants.values),
                        self._columns,
                        node,
                        convolution,
                    ),
                    undivided_weight_bytes=weight_bytes,
                ),
                follower=(
                    node.op_type in ELEMENTWISE | FOLLOWERS
                    and len(inputs) == 1
                    and math.prod(self.shapes[active[0]]) == math.prod(self.shapes[outputs[0]])
                ),
            )
        )

    def _windows(
        self,
        rule: Callable[..., tuple[Window | None, ...]],
        parts: Callable[[str], int],
        node: onnx.NodeProto,
        convolution: Convolution | None,
    ) -> tuple[Window | None, ...]:
        """Parts of each distinct input that a part of the output needs, by a rule for nodes."""
        outputs = [name for name in node.output if name in self._needed]
        if len(outputs) != 1 or outputs[0] not in self.shapes or parts(outputs[0]) == 1:
            return ()
        active = [n for n in node.input if n and n not in self.constants]
        shapes = [self.shapes[n] for n in active]
        found = rule(node, shapes, self.shapes[outputs[0]], convolution)
        if len(found) != len(active):
            return ()
        windows: dict[str, Window | None] = {}
        images = rule is not channel_windows_of
        for name, window, shape in zip(active, found, shapes, strict=True):
            root = self.roots.get(name, name)
            # Seen through a view that moves them, in one piece, or read in two ways.
            known = self.shapes[root]
            if (shape != known and not (images and same_rows(shape, known))) or parts(root) == 1:
                window = None
            windows[root] = window if windows.get(root, window) == window else None
        return tuple(windows.values())

    def _weight_bytes(self, node: onnx.NodeProto) -> int:
        elements = weight_elements(node, self.constants.elements, self.shapes)
        if any(count < 0 for count in elements):
            raise InputError(
                f"{self.file.path}: weights of node {label(node)} must have a static shape, not an "
                "unknown one: fold the model's constants before mapping."
            )
        return sum(self.layout.constant_bytes(count) for count in elements)

    def _unique(self, name: str) -> str:
        chosen, count = name, 1
        while chosen in self.names:
            count += 1
            chosen = f"{name}_{count}"
        self.names.add(chosen)
        return chosen

    def _rows(self, tensor: str) -> int:
        """Rows that stages may move; 1 where elements of several rows share a byte."""
        shape = self.shapes[tensor]
        rows = rows_of(shape)
        return rows if self.layout.tensor_bytes(shape) % rows == 0 else 1

    def _channels(self, tensor: str) -> int:
        """The same for channel words."""
        shape = self.shapes[tensor]
        channels = channels_of(shape, self.layout.channel_multiple)
        return channels if self.layout.tensor_bytes(shape) % channels == 0 else 1

    def _columns(self, tensor: str) -> int:
        """The same for the columns of rows."""
        shape = self.shapes[tensor]
        pixels = self._rows(tensor) * columns_of(shape)
        return columns_of(shape) if self.layout.tensor_bytes(shape) % pixels == 0 else 1

    @cached_property
    def _needed(self) -> set[str]:
        """Tensors that some node or the network's user reads."""
        graph = self.file.graph
        read = {name for node in graph.node for name in node.input}
        return read | {value.name for value in graph.output}

    def graph(self) -> Graph:
        """The operators that the network outputs need, fused, and the tensors between them."""
        path, outputs = self.file.path, [value.name for value in self.file.graph.output]
        for name in outputs:
            if name not in self.types:
                raise InputError(
                    f"{path}: network output {name!r} must be produced by a node, not undefined."
                )
        results = {self.roots.get(n, n) for n in outputs if n not in self.constants}
        operators = fuse(live(self.nodes, results), results)
        if not operators:
            raise InputError(
                f"{path}: network must have an operator left to run, not only constants and views."
            )
        # A tensor goes by the name that the network's user knows it by.
        rename = {
            self.roots[n]: n
            for n in reversed(outputs)
            if n in self.roots and self.roots[n] not in (*self.inputs, *outputs)
        }
        used = dict.fromkeys(n for o in operators for n in (*o.inputs, *o.outputs))
        total = sum(self.layout.tensor_bytes(self.shapes[n]) for n in used)
        total += sum(o.weight_bytes for o in operators)
        if max(total, *(o.macs >> 10 for o in operators)) > _LARGEST:
            raise InputError(
                f"{path}: network must have at most {_LARGEST >> 40} TiB of tensors and weights, "
                f"not {total} bytes: correct the shapes of its inputs or weights."
            )
        return Graph(
            name=self.file.graph.name or path.stem,
            operators=tuple(_renamed(o, rename) for o in operators),
            tensors=tuple(
                Tensor(
                    name=rename.get(n, n),
                    shape=self.shapes[n],
                    bytes=self.layout.tensor_bytes(self.shapes[n]),
                    network_input=n in self.inputs,
                    network_output=n in results,
                    rows=self._rows(n),
                    channels=self._channels(n),
                    columns=self._columns(n),
                    pixels=math.prod(self.shapes[n][2:]),
                )
                for n in used
            ),
        )


def _renamed(operator: Operator, rename: Mapping[str, str]) -> Operator:
    return replace(
        operator,
        inputs=tuple(rename.get(n, n) for n in operator.inputs),
        outputs=tuple(rename.get(n, n) for n in operator.outputs),
    )
