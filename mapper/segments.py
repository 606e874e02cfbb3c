"""Some operators of a graph as a segment, of the kind that the axis asks for."""

from __future__ import annotations

from mapper.graph import Graph, Operator
from mapper.reduction_segment import ReductionSegment
from mapper.segment import Segment
from mapper.stage import Axis
from mapper.tile_segment import TileSegment, strips_of

__all__ = ["segment_of", "segments_of"]


def segment_of(
    graph: Graph, operators: tuple[Operator, ...], axis: Axis, strips: int = 1
) -> Segment:
    """Some of a graph's operators, in a topological order, with the tensors at their border.

    Tiles have so many `strips` side by side.
    """
    made = {t for o in operators for t in o.outputs}
    read = dict.fromkeys(t for o in operators for t in o.inputs)
    inside = {o.name for o in operators}
    tensors = {t: graph.tensor(t) for t in (*read, *made)}
    inputs = tuple(t for t in read if t not in made)
    outputs = tuple(
        t
        for o in operators
        for t in o.outputs
        if t not in read
        or graph.tensor(t).network_output
        or any(name not in inside for name in graph.readers[t])
    )
    if axis == "tiles":
        return TileSegment(axis, operators, tensors, inputs, outputs, strips)
    kind = ReductionSegment if axis == "reduction" else Segment
    return kind(axis, operators, tensors, inputs, outputs)


def segments_of(graph: Graph, operators: tuple[Operator, ...], axis: Axis) -> list[Segment]:
    """The ways to cut some of a graph's operators along an axis: of tiles, by their strips."""
    if axis != "tiles":
        return [segment_of(graph, operators, axis)]
    columns = max(graph.tensor(t).columns for t in operators[-1].outputs)
    return [segment_of(graph, operators, axis, n) for n in strips_of(columns)]
