"""Some operators of a graph as a segment, of the kind that the axis asks for."""

from __future__ import annotations

from mapper.graph import Graph, Operator
from mapper.reduction_segment import ReductionSegment
from mapper.segment import Segment
from mapper.stage import Axis

__all__ = ["segment_of"]


def segment_of(graph: Graph, operators: tuple[Operator, ...], axis: Axis) -> Segment:
    """Some of a graph's operators, in a topological order, with the tensors at their border."""
    made = {t for o in operators for t in o.outputs}
    read = dict.fromkeys(t for o in operators for t in o.inputs)
    inside = {o.name for o in operators}
    kind = ReductionSegment if axis == "reduction" else Segment
    return kind(
        axis=axis,
        operators=operators,
        tensors={t: graph.tensor(t) for t in (*read, *made)},
        inputs=tuple(t for t in read if t not in made),
        outputs=tuple(
            t
            for o in operators
            for t in o.outputs
            if t not in read
            or graph.tensor(t).network_output
            or any(name not in inside for name in graph.readers[t])
        ),
    )
