"""Inputs of ONNX operators that may come in parts: of dense layers, and of global averages.

The same as for the operators of a quantised network (`mapper.reduction`), as far as a graph without
blocks of weights tells.
"""

from __future__ import annotations

import math
from dataclasses import replace

from mapper.catalogue import MATMUL_WEIGHTS
from mapper.graph import Graph, Operator
from mapper.smallest import smallest_piece
from mapper.stage import Reduction

__all__ = ["with_streams"]


def with_streams(graph: Graph, capacity: int, weight_memory: int | None, word: int) -> Graph:
    """The graph in which what fits into so many bytes in no other way may stream its input.

    Parameters
    ----------
    graph : Graph
    capacity : int
        Bytes of the scratchpad.
    weight_memory : int or None
        Bytes of the memory for weights; without, nothing streams.
    word : int
        Channels that are computed at once.
    """
    if weight_memory is None:
        return graph
    operators = tuple(
        replace(o, streams=_average(graph, o) or _dense(graph, o, weight_memory, word))
        if o.streams is None and len(o.inputs) == 1 and smallest_piece(graph, o) > capacity
        else o
        for o in graph.operators
    )
    return replace(graph, operators=operators)


def _average(graph: Graph, o: Operator) -> Reduction | None:
    """Rows of the image, summed up for one word of channels after another."""
    source, result = graph.tensor(o.inputs[0]), graph.tensor(o.outputs[0])
    if o.kind != "GlobalAveragePool" or source.rows == 1:
        return None
    row = source.part_bytes("rows")
    return Reduction(
        blocks=result.channels,
        parts=(0,) * source.rows,
        tile_rows=1,
        row_tiles=1,
        ends=tuple(row * (n + 1) for n in range(source.rows)),
        shared=o.weight_bytes,
    )


def _dense(graph: Graph, o: Operator, weight_memory: int, word: int) -> Reduction | None:
    """Ranges of the features of a single sample, of a byte each, whose weights fit twice."""
    source, outputs = graph.tensor(o.inputs[0]), graph.tensor(o.outputs[0]).elements
    features = o.macs // outputs
    single = (
        o.kind in MATMUL_WEIGHTS
        and o.convolution is None
        and o.macs == features * outputs
        and features == source.bytes == math.prod(source.shape) >= 2 * word
    )
    most = weight_memory // 2 // word
    if not single or outputs % word or most < word or o.weight_bytes < features * outputs:
        return None
    count = max(2, -(-features // (most // word * word)))
    ends = [features // word * (n + 1) // count * word for n in range(count)]
    sizes = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
    return Reduction(
        blocks=outputs // word,
        parts=tuple(size * word for size in sizes),
        tile_rows=1,
        row_tiles=1,
        ends=tuple(ends),
        shared=o.weight_bytes - features * outputs,
    )
