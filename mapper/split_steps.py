"""What a split consists of: operators as they are, and stages of one or more in patches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mapper.graph import Graph, Operator, Tensor
from mapper.segments import segment_of
from mapper.stage import Axis

__all__ = ["Step", "graph_of_steps"]


@dataclass(frozen=True)
class Step:
    """Operators ``first, ..., last - 1`` in patches; one whole operator if `patches` is 0.

    Of tiles, so many bands of so many strips.
    """

    axis: Axis
    first: int
    last: int
    patches: int
    resident: frozenset[str]
    room: int
    strips: int = 1


def graph_of_steps(graph: Graph, steps: Sequence[Step], weight_memory: int | None) -> Graph:
    """The graph whose operators are the steps."""
    makers: dict[str, str] = {}
    taken = {t.name for t in graph.tensors}
    operators: list[Operator] = []
    workspaces: list[Tensor] = []
    resident: set[str] = set()
    streamed: set[str] = set()
    for step in steps:
        chosen = graph.operators[step.first : step.last]
        resident |= step.resident
        if not step.patches:
            operators.append(chosen[0])
            makers |= dict.fromkeys(chosen[0].outputs, chosen[0].name)
            continue
        segment = segment_of(graph, chosen, step.axis, step.strips)
        name = chosen[0].name
        if len(chosen) > 1:
            name = f"{chosen[0].name} to {chosen[-1].name}"
        space = _unused(f"workspace of {name}", taken)
        patches = step.patches
        stage, size = segment.stage(patches, step.resident, space, weight_memory)
        while size > step.room and patches < segment.most_patches:
            # Outputs of different heights may have their widest patches elsewhere than sampled.
            patches += 1
            stage, size = segment.stage(patches, step.resident, space, weight_memory)
        if size:
            workspaces.append(Tensor(name=space, shape=(size,), bytes=size))
        off = [t for t in segment.inputs if t not in step.resident]
        streamed.update(off)
        operators.append(
            Operator(
                name=name,
                kind=chosen[0].kind if len(chosen) == 1 else "Stage",
                nodes=tuple(n for o in chosen for n in o.nodes),
                inputs=tuple(t for t in segment.inputs if t in step.resident),
                outputs=(
                    *(t for t in segment.outputs if t in step.resident),
                    *((space,) if size else ()),
                ),
                weight_bytes=segment.weight_bytes,
                block_bytes=max(o.block_bytes for o in chosen),
                macs=segment.macs,
                after=tuple(dict.fromkeys(makers[t] for t in off if t in makers)),
                stage=stage,
            )
        )
        makers |= dict.fromkeys((t for o in chosen for t in o.outputs), name)
    whole = [t for t in graph.tensors if t.name in resident]
    return Graph(
        name=graph.name,
        operators=tuple(operators),
        tensors=(
            *(
                replace(t, network_output=True, streamed=True)
                if t.name in streamed and not t.network_input and not t.network_output
                else t
                for t in whole
            ),
            *workspaces,
        ),
        parts=tuple(t for t in graph.tensors if t.name not in resident),
    )


def _unused(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name
