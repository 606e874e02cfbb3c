"""The smallest piece of an operator, and so the least scratchpad that a network can be cut for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from mapper.graph import Graph, Operator
from mapper.segments import segments_of
from mapper.stage import Axis

__all__ = ["least_scratchpad", "smallest_piece"]


def smallest_piece(graph: Graph, operator: Operator, axes: Iterable[Axis] = get_args(Axis)) -> int:
    """Bytes that an operator of a graph needs in as many patches as it can be cut into.

    Along whichever of some axes that is least; everything that can come and go in slices does.
    """
    needs = [graph.operand_bytes(operator)]
    for axis in axes:
        for segment in segments_of(graph, (operator,), axis):
            if (patches := segment.most_patches) > 1:
                needs.append(segment.place(segment.widest(patches), segment.lives)[1])
    return min(needs)


def least_scratchpad(graph: Graph) -> tuple[Operator, int]:
    """The operator whose smallest piece is the largest, the first of equals, and its bytes.

    The network can be cut for so many bytes and for no fewer.
    """
    found = [(smallest_piece(graph, o), o) for o in graph.operators]
    need, operator = max(found, key=lambda x: x[0])
    return operator, need
