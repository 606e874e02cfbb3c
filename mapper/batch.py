"""Several images in one program: which weights stay on chip over the images, and in which order.

Every image has its own copies of operators and tensors; the copies of an operator share its weights.
The steps of one image are cut into runs: within a run one image follows another, and the runs follow
each other. One run for everything is image by image, a run per step is layer by layer. Within a run
the weights that stay are a knapsack, solved exactly: what a step streams needs room beside them.
What runs do to activations is the scheduler's: it gets every candidate, and the one that moves the
fewest bytes in all is the plan.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ortools.sat.python import cp_model

from mapper.graph import Graph, Operator, SharedWeights
from mapper.limits import Limits
from mapper.schedule.solver import solve
from mapper.stage import Stage

__all__ = ["batch_graphs", "image_name"]

Run = tuple[int, int]  # steps first, ..., last - 1 of one image


def image_name(name: str, image: int) -> str:
    """What the copy of an operator or tensor for an image, counted from 1, is called."""
    return f"{name} of image {image}"


def batch_graphs(
    graph: Graph,
    order: Sequence[str],
    images: int,
    *,
    capacity: int,
    weight_memory: int,
    limits: Limits | None = None,
) -> Iterator[Graph]:
    """Graphs of so many images, each with an order that its operators must keep.

    Parameters
    ----------
    graph : Graph
        Of one image, cut into stages where it has to be.
    order : sequence of str
        Its operators as they run in a plan for one image.
    images : int
    capacity, weight_memory : int
        Bytes of the scratchpad and of the memory for weights.
    limits : Limits, optional
        Of each knapsack.

    Yields
    ------
    Graph
        Layer by layer, image by image, and the cuts that promise least, unequal ones only.
    """
    steps = [graph.operator(name) for name in order]
    count = len(steps)
    plain: list[list[Run]] = [[(n, n + 1) for n in range(count)], [(0, count)]]
    cuts = [*plain, _least(graph, steps, images, capacity, weight_memory)]
    for runs in dict.fromkeys(map(tuple, cuts)):
        yield _copies(graph, steps, images, runs, weight_memory, limits or Limits())


def _room(operator: Operator) -> int:
    """Bytes of the weight memory that a step needs when its weights do not stay.

    Two blocks, so that one is loaded while the other is used; a stage that loads its weights once
    needs them all.
    """
    stage = operator.stage
    in_parts = stage is not None and any(m.reduction for m in stage.members)
    if stage is not None and not in_parts and not stage.reread_weight_bytes:
        return operator.weight_bytes
    return min(operator.weight_bytes, 2 * operator.block_bytes)


def _can_stay(operator: Operator) -> bool:
    return operator.stage is None and operator.weight_bytes > 0


def _stays(steps: Sequence[Operator], run: Run, memory: int, limits: Limits) -> frozenset[str]:
    """The operators of a run whose weights stay: as many bytes as there is room for."""
    chosen = steps[run[0] : run[1]]
    if run[1] - run[0] == 1 and _can_stay(chosen[0]) and chosen[0].weight_bytes <= memory:
        return frozenset({chosen[0].name})
    model = cp_model.CpModel()
    stay = {o.name: model.new_bool_var("") for o in chosen if _can_stay(o)}
    kept = sum(o.weight_bytes * stay[o.name] for o in chosen if o.name in stay)
    for o in chosen:
        streams = 1 - stay[o.name] if o.name in stay else 1
        model.add(kept + _room(o) * streams <= memory)
    model.maximize(kept)
    outcome = solve(model, limits, effort=1.0)
    if not outcome.solved:
        return frozenset()
    return frozenset(name for name, var in stay.items() if outcome.value(var))


def _least(
    graph: Graph, steps: Sequence[Operator], images: int, capacity: int, memory: int
) -> list[Run]:
    """The runs that promise least traffic, by an estimate: a shortest path over the cuts."""
    best: list[tuple[int, int]] = [(0, 0)]
    borders = [_border(graph, steps, cut, images, capacity) for cut in range(len(steps) + 1)]
    for last in range(1, len(steps) + 1):
        options = [
            (best[first][0] + borders[last] + (images - 1) * _streamed(steps[first:last], memory),
             first)
            for first in range(last)
        ]  # fmt: skip
        best.append(min(options))
    runs: list[Run] = []
    last = len(steps)
    while last:
        runs.append((best[last][1], last))
        last = best[last][1]
    return runs[::-1]


def _streamed(chosen: Sequence[Operator], memory: int) -> int:
    """Bytes that do not stay in a run, about: the largest that fit beside the widest stream do."""
    total = sum(o.weight_bytes for o in chosen)
    if len(chosen) == 1 or (total <= memory and all(map(_can_stay, chosen))):
        return total if any(not _can_stay(o) for o in chosen) or total > memory else 0
    left = memory - max(map(_room, chosen))
    for size in sorted((o.weight_bytes for o in chosen if _can_stay(o)), reverse=True):
        if size <= left:
            left -= size
            total -= size
    return total


def _border(graph: Graph, steps: Sequence[Operator], cut: int, images: int, capacity: int) -> int:
    """Bytes that leave and return, about, when all images have run up to a step and none further."""
    before = {t for o in steps[:cut] for t in (*o.inputs, *o.outputs)}
    behind = {t for o in steps[cut:] for t in o.inputs}
    crossing = images * sum(graph.tensor(t).bytes for t in before & behind)
    beside = max(graph.operand_bytes(o) for o in steps[max(0, cut - 1) : cut + 1])
    return 2 * min(crossing, max(0, crossing + beside - capacity))


@dataclass(frozen=True)
class _Copy:
    """One image's names."""

    image: int

    def name(self, name: str) -> str:
        return image_name(name, self.image)

    def names(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(self.name, names))

    def operator(self, o: Operator) -> Operator:
        return replace(
            o,
            name=self.name(o.name),
            inputs=self.names(o.inputs),
            outputs=self.names(o.outputs),
            after=self.names(o.after),
            stage=None if o.stage is None else self.stage(o.stage),
        )

    def stage(self, stage: Stage) -> Stage:
        return replace(
            stage,
            members=tuple(
                replace(
                    m,
                    name=self.name(m.name),
                    inputs=self.names(m.inputs),
                    outputs=self.names(m.outputs),
                )
                for m in stage.members
            ),
            workspace=self.name(stage.workspace) if stage.workspace else "",
            patches=tuple(
                replace(
                    patch,
                    buffers=tuple(b._replace(tensor=self.name(b.tensor)) for b in patch.buffers),
                    loads=tuple(x._replace(tensor=self.name(x.tensor)) for x in patch.loads),
                    parts=tuple(p._replace(operator=self.name(p.operator)) for p in patch.parts),
                    stores=tuple(x._replace(tensor=self.name(x.tensor)) for x in patch.stores),
                )
                for patch in stage.patches
            ),
        )


def _copies(
    graph: Graph,
    steps: Sequence[Operator],
    images: int,
    runs: Sequence[Run],
    memory: int,
    limits: Limits,
) -> Graph:
    """The graph of all images in one order, with addresses of the weights that stay."""
    copies = [_Copy(n + 1) for n in range(images)]
    operators: list[Operator] = []
    shared: list[SharedWeights] = []
    for run in runs:
        chosen = steps[run[0] : run[1]]
        address = 0
        stays = _stays(steps, run, memory, limits)
        for o in chosen:
            if not o.weight_bytes:
                continue
            place = None
            if o.name in stays:
                place, address = address, address + o.weight_bytes
            users = tuple(copy.name(o.name) for copy in copies)
            shared.append(SharedWeights(users, o.weight_bytes, place))
        for copy in copies:
            for o in chosen:
                made = copy.operator(o)
                if operators:
                    last = operators[-1].name
                    made = replace(made, after=tuple(dict.fromkeys((*made.after, last))))
                operators.append(made)

    return Graph(
        name=graph.name,
        operators=tuple(operators),
        tensors=tuple(replace(t, name=c.name(t.name)) for c in copies for t in graph.tensors),
        parts=tuple(replace(t, name=c.name(t.name)) for c in copies for t in graph.parts),
        shared=tuple(shared),
        weight_memory=memory,
    )
