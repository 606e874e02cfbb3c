"""A network as the mapper sees it: operators, the tensors between them, and nothing else.

Weights are not tensors here: they belong to the operator that reads them, as a byte count.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from mapper.stage import Direction, Reduction, Stage, Window

__all__ = ["Convolution", "Graph", "Operator", "SharedWeights", "Tensor"]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One activation tensor.

    Attributes
    ----------
    name : str
        Unique within its graph.
    shape : tuple of int
        Elements per dimension, as ONNX orders them (NCHW for images).
    bytes : int
        What it occupies in the scratchpad and moves over the bus.
    network_input, network_output : bool
        It starts off chip; it must end off chip.
    rows, channels, columns : int
        Equal parts that it can be cut into: rows of an image, channel words of its layout, columns
        of a row; `bytes` is a multiple of each, and of rows times columns.
    pixels : int
        Runs of bytes that a part of its channels consists of.
    streamed : bool
        A stage reads it from off chip, so it is written there although it is on chip as well. It
        is no result of the network, yet `network_output` is set for the scheduler.
    """

    name: str
    shape: tuple[int, ...]
    bytes: int
    network_input: bool = False
    network_output: bool = False
    rows: int = 1
    channels: int = 1
    columns: int = 1
    pixels: int = 1
    streamed: bool = False

    def __post_init__(self) -> None:
        if self.bytes <= 0:
            raise ValueError(f"Bytes of tensor {self.name!r} must be positive, not {self.bytes!r}")
        for parts in (self.rows, self.channels, self.rows * self.columns):
            if parts < 1 or self.bytes % parts:
                raise ValueError(f"Parts of tensor {self.name!r} must divide its bytes: {parts}")

    @property
    def elements(self) -> int:
        """How many numbers it holds, padding of the layout left out."""
        return math.prod(self.shape)

    def parts(self, axis: Direction) -> int:
        """Parts that it can be cut into along an axis: into tiles, of a pixel each."""
        return {
            "rows": self.rows,
            "channels": self.channels,
            "reduction": self.bytes,
            "tiles": self.rows * self.columns,
            "columns": self.columns,
        }[axis]

    def part_bytes(self, axis: Direction) -> int:
        """Bytes of one of them."""
        return self.bytes // self.parts(axis)


@dataclass(frozen=True, kw_only=True)
class Convolution:
    """Geometry of a convolution: everything that its addresses and its arithmetic need.

    Attributes
    ----------
    input_shape, output_shape : tuple of int
        NCHW (or NCW, NCDHW): batch, channels, then the spatial dimensions.
    kernel, strides, dilations : tuple of int
        One number per spatial dimension.
    pads : tuple of int
        Zeros added at the begin of each spatial dimension, then at the end of each: for images
        top, left, bottom, right. Automatic padding is already resolved.
    groups : int
        Input channels are split into this many groups; equal to them for depthwise.
    transposed : bool
        A ``ConvTranspose``: input and output change roles.
    """

    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int
    transposed: bool = False

    @property
    def macs(self) -> int:
        """Multiply-accumulates, padding included, as the literature counts them."""
        wide, narrow = self.output_shape, self.input_shape
        if self.transposed:
            wide, narrow = narrow, wide
        return math.prod(wide) * (narrow[1] // self.groups) * math.prod(self.kernel)


@dataclass(frozen=True, kw_only=True)
class Operator:
    """One step of the schedule: an ONNX node and the elementwise nodes fused into it.

    Attributes
    ----------
    name, kind : str
        Name, unique within its graph, and operator type of the node that leads it.
    nodes : tuple of str
        Names of the nodes that it executes, the leading one first.
    inputs, outputs : tuple of str
        Distinct activation tensors that it reads and writes.
    weight_bytes : int
        Constants that it reads from off-chip memory when it runs.
    macs : int
        Multiply-accumulates; 0 for operators that do not multiply matrices.
    convolution : Convolution or None
        Geometry, where the leading node is a convolution.
    windows, channel_windows, column_windows : tuple of Window or None
        Which rows of each input a row of the output needs, which channel words a word needs, and
        which columns a column; None for all of them. Without any, the operator cannot be split
        along that axis.
    mixes_channels : bool
        What it has of its result must stay until the last channel is there: a Softmax follows.
    undivided_weight_bytes : int
        What it reads when every channel word reads its own weights, equal ones again.
    block_bytes : int
        The most weights that one load brings; 0 where nothing is lowered.
    reduction : Reduction or None
        The parts that its weights come in, where those of a word of output channels do not fit.
    streams : Reduction or None
        The parts that its input may come in, where that does not fit.
    after : tuple of str
        Operators that must run earlier although no tensor joins them on chip.
    stage : Stage or None
        How it runs in patches, if it does.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[str, ...] = ()
    weight_bytes: int = 0
    macs: int = 0
    convolution: Convolution | None = None
    windows: tuple[Window | None, ...] = ()
    channel_windows: tuple[Window | None, ...] = ()
    column_windows: tuple[Window | None, ...] = ()
    mixes_channels: bool = False
    undivided_weight_bytes: int = 0
    block_bytes: int = 0
    reduction: Reduction | None = None
    streams: Reduction | None = None
    after: tuple[str, ...] = ()
    stage: Stage | None = None


class SharedWeights(NamedTuple):
    """Operators that read the same weights, of so many bytes.

    With an address in the weight memory they are loaded when the first of them runs and stay until
    the last has run; without, each of them loads them.
    """

    operators: tuple[str, ...]
    bytes: int
    address: int | None


@dataclass(frozen=True, kw_only=True)
class Graph:
    """Operators in a topological order (that of the file) and the tensors between them.

    Attributes
    ----------
    name : str
    operators : tuple of Operator
    tensors : tuple of Tensor
        Those that are whole in the scratchpad when an operator uses them.
    parts : tuple of Tensor
        Those of which stages only ever have some rows there.
    shared : tuple of SharedWeights
        Of operators that are copies of one another.
    weight_memory : int or None
        Bytes of the memory in which shared weights stay.

    Raises
    ------
    ValueError
        A name occurs twice, an operand does not exist or is used before it is produced (as on a
        cycle), a tensor has two producers, or one has none and is no network input.
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    parts: tuple[Tensor, ...] = ()
    shared: tuple[SharedWeights, ...] = ()
    weight_memory: int | None = None

    def __post_init__(self) -> None:
        for kind, names in (
            ("Tensor", [t.name for t in (*self.tensors, *self.parts)]),
            ("Operator", [o.name for o in self.operators]),
        ):
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise ValueError(f"{kind} name must be unique, not {twice[0]!r} twice")
        made = {t.name for t in self.tensors if t.network_input}
        for o in self.operators:
            if not o.outputs:
                raise ValueError(f"Operator {o.name!r} must have an output, not none")
            for group, operands in (("inputs", o.inputs), ("outputs", o.outputs)):
                if len(set(operands)) != len(operands):
                    raise ValueError(f"Operator {o.name!r} must list its {group} once, not twice")
                for name in operands:
                    if name not in self.index:
                        raise ValueError(f"Operand of {o.name!r} must be a tensor, not {name!r}")
            for name in o.inputs:
                if name not in made:
                    raise ValueError(
                        f"Operand {name!r} of {o.name!r} must be produced before it is read, "
                        "not after (or on a cycle)"
                    )
            for name in o.outputs:
                if name in made:
                    raise ValueError(f"Tensor {name!r} must have one producer, not two")
            made.update(o.outputs)
        for t in self.tensors:
            if t.name not in made:
                raise ValueError(f"Tensor {t.name!r} must be produced by an operator, not by none")

    @cached_property
    def index(self) -> dict[str, int]:
        """Position in `tensors` of each tensor's name."""
        return {t.name: i for i, t in enumerate(self.tensors)}

    @cached_property
    def readers(self) -> dict[str, tuple[str, ...]]:
        """Names of the operators that read each tensor; those without are left out."""
        found: dict[str, list[str]] = {}
        for o in self.operators:
            for name in o.inputs:
                found.setdefault(name, []).append(o.name)
        return {name: tuple(operators) for name, operators in found.items()}

    def tensor(self, name: str) -> Tensor:
        """The tensor of that name.

        Raises
        ------
        KeyError
            There is none.
        """
        return self.tensors[self.index[name]]

    def operator(self, name: str) -> Operator:
        """The operator of that name.

        Raises
        ------
        KeyError
            There is none.
        """
        for o in self.operators:
            if o.name == name:
                return o
        raise KeyError(name)

    def operand_bytes(self, operator: Operator) -> int:
        """Scratchpad bytes that `operator` needs while it runs."""
        return sum(self.tensor(n).bytes for n in {*operator.inputs, *operator.outputs})
