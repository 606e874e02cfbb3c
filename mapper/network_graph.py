"""A quantised network as a graph for the mapper: bytes as laid out, weights as loaded, windows."""

from __future__ import annotations

import numpy as np

from hw.spec import Spec
from mapper.graph import Graph, Tensor
from mapper.graph import Operator as PlannedOperator
from mapper.layout import tensor_bytes
from mapper.pieces import Piece, pieces_of, require_sizes, words_per_pixel
from mapper.reduction import parts_of, reduction_of, streams_of
from mapper.stage import Window
from sim.quantised import (
    Add,
    AveragePool,
    Concat,
    Conv,
    GlobalAveragePool,
    MaxPool,
    Network,
    Operator,
    Shuffle,
)

__all__ = ["network_graph"]


def network_graph(network: Network, spec: Spec) -> Graph:
    """The network as the mapper schedules it, in the bytes of the accelerator's layout.

    Raises
    ------
    InputError
        The hardware does not run one of its operators.
    """
    word_bytes = spec.word_bytes
    tensors = [
        Tensor(
            name=t.name,
            shape=t.shape,
            bytes=tensor_bytes(t.shape, word_bytes),
            network_input=t.name in network.inputs,
            network_output=t.name in network.outputs,
            rows=t.shape[1],
            channels=words_per_pixel(t.shape[3], word_bytes),
            columns=t.shape[2],
            pixels=t.shape[1] * t.shape[2],
        )
        for t in network.tensors
    ]
    known = {t.name: t for t in tensors}
    operators = []
    for o in network.operators:
        pieces = pieces_of(network, o, word_bytes)
        whole = pieces
        reduction = reduction_of(o, pieces, network.tensor(o.output).shape[2], spec)
        if reduction is not None:
            pieces = [part for piece in pieces for part in parts_of(o, piece, spec)]
        require_sizes(network, o, pieces)
        # Parts follow one another too far apart for equal ones to be read once.
        blocks = _distinct(pieces) if reduction is None else [piece.block for piece in pieces]
        operators.append(
            PlannedOperator(
                name=o.name,
                kind=type(o).__name__,
                inputs=tuple(dict.fromkeys(o.inputs)),
                outputs=(o.output,),
                weight_bytes=sum(len(block) for block in blocks),
                macs=_macs(network, o),
                windows=_windows(o, 0),
                channel_windows=_channel_windows(network, o),
                column_windows=_windows(o, 1),
                undivided_weight_bytes=sum(len(piece.block) for piece in pieces),
                block_bytes=max(map(len, blocks), default=0),
                reduction=reduction,
                streams=streams_of(o, whole, reduction, known[o.inputs[0]]),
            )
        )
    return Graph(name=network.name, operators=tuple(operators), tensors=tuple(tensors))


def _distinct(pieces: list[Piece]) -> list[bytes]:
    """Blocks of an operator, equal ones once."""
    return list(dict.fromkeys(piece.block for piece in pieces))


def _windows(operator: Operator, axis: int) -> tuple[Window | None, ...]:
    """Which rows, or columns if `axis` is 1, of each distinct input one of the output needs."""
    match operator:
        case Conv():
            kernel = operator.weight.shape[1 + axis]
        case MaxPool() | AveragePool():
            kernel = operator.kernel[axis]
        case Add() | Concat() | Shuffle():
            return tuple(Window() for _ in dict.fromkeys(operator.inputs))
        case _:
            return (None,)
    g = operator.geometry
    return (Window(kernel, g.stride[axis], g.dilation[axis], g.padding[axis]),)


def _channel_windows(network: Network, operator: Operator) -> tuple[Window | None, ...]:
    """Which channel words of each distinct input a word of the output needs."""
    match operator:
        case Conv() if operator.depthwise and operator.weight.shape[0] == operator.geometry.groups:
            return (Window(),)
        case Add() | MaxPool() | AveragePool() | GlobalAveragePool():
            return tuple(Window() for _ in dict.fromkeys(operator.inputs))
        case _:
            return tuple(None for _ in dict.fromkeys(operator.inputs))


def _macs(network: Network, operator: Operator) -> int:
    weight = getattr(operator, "weight", None)
    if weight is None:
        return 0
    outputs = int(np.prod(network.tensor(operator.output).shape))
    return outputs * int(weight[0].size)
