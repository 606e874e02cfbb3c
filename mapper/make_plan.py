"""Puts a placed schedule into a plan: names, transfers, and every byte count anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from mapper.graph import Graph
from mapper.plan import (
    Compulsory,
    Plan,
    PlannedOperator,
    PlannedTensor,
    Residency,
    Source,
    Transfer,
    reread_weights,
)
from mapper.schedule.problem import Move, Problem, cost_of, moves_of
from mapper.schedule.search import Found

__all__ = ["make_plan"]


def make_plan(
    graph: Graph, found: Found, capacity: int, source: Source, seed: int = 0, method: str = "best"
) -> Plan:
    """Puts a placed schedule into the graph's names and recomputes every byte count.

    What stages stream is the same in every schedule of the graph: it is added to the objective,
    to the bound and to the baselines.
    """
    problem, schedule = Problem.of(graph), found.placed.schedule
    transfers = _transfers(graph, moves_of(problem, schedule), schedule.order)
    loaded: Counter[str] = Counter()
    moved: Counter[str] = Counter()
    for t in transfers:
        moved[t.kind] += t.bytes
        if t.kind == "load":
            loaded[t.tensor] += t.bytes
    everything = (*graph.tensors, *graph.parts)
    inputs = sum(min(t.bytes, loaded[t.name]) for t in everything)
    twice = sum(s.bytes * (len(s.operators) - 1) for s in graph.shared)
    weights = sum(o.weight_bytes for o in graph.operators) - twice
    reread = reread_weights(graph.operators, graph.shared)
    objective = moved["fetch"] + moved["spill"] + moved["load"] - inputs + reread
    streamed = objective - cost_of(problem, schedule)
    stages = [o.stage for o in graph.operators if o.stage and o.stage.axis == "tiles"]
    tiled = {t for s in stages for m in s.members for t in (*m.inputs, *m.outputs)}
    placed = {
        t.name: tuple(
            Residency(i.first, i.last, address)
            for i, address in zip(intervals, addresses, strict=True)
        )
        for t, intervals, addresses in zip(
            graph.tensors, schedule.residency, found.placed.addresses, strict=True
        )
    }
    return Plan(
        source=source,
        status="optimal" if objective == found.bound + streamed else "feasible",
        objective_bytes=objective,
        bound_bytes=found.bound + streamed,
        compulsory=Compulsory(inputs, moved["store"], weights),
        scratchpad_bytes=capacity,
        seed=seed,
        method=method,
        order=tuple(graph.operators[o].name for o in schedule.order),
        operators=tuple(
            PlannedOperator(
                o.name,
                o.kind,
                o.nodes,
                o.inputs,
                o.outputs,
                o.macs,
                o.weight_bytes,
                o.after,
                o.stage,
            )
            for o in graph.operators
        ),  # fmt: skip
        tensors=tuple(
            PlannedTensor(
                name=t.name,
                shape=t.shape,
                bytes=t.bytes,
                rows=t.rows,
                channels=t.channels,
                columns=t.columns if t.name in tiled else 1,
                network_input=t.network_input,
                network_output=t.network_output and not t.streamed,
                intervals=placed.get(t.name, ()),
            )
            for t in everything
        ),
        transfers=transfers,
        baselines={name: cost + streamed for name, cost in found.baselines.items()},
        shared_weights=graph.shared,
        weight_memory_bytes=graph.weight_memory,
    )


def _transfers(graph: Graph, moves: Sequence[Move], order: Sequence[int]) -> tuple[Transfer, ...]:
    """Everything that crosses the bus, step by step: whole tensors, and the slices of stages."""
    before: dict[int, list[Transfer]] = {}
    behind: dict[int, list[Transfer]] = {}
    for m in moves:
        t = graph.tensors[m.tensor]
        kind = "spill" if m.kind == "store" and t.streamed else m.kind
        side = before if kind in ("load", "fetch") else behind
        side.setdefault(m.step, []).append(Transfer(m.step, kind, t.name, t.bytes, 0, t.rows))
    known = {t.name: t for t in (*graph.tensors, *graph.parts)}
    result: list[Transfer] = []
    for step, o in enumerate(order):
        result += before.get(step, [])
        stage = graph.operators[o].stage
        if stage is None:
            result += behind.get(step, [])
            continue
        for patch in stage.patches:
            for slices, is_load in ((patch.loads, True), (patch.stores, False)):
                for x in slices:
                    t = known[x.tensor]
                    if is_load:
                        kind = "load" if t.network_input else "fetch"
                    else:
                        kind = "store" if t.network_output else "spill"
                    count = x.parts * t.part_bytes(stage.axis)
                    result.append(
                        Transfer(step, kind, t.name, count, x.first, x.last, x.left, x.right)
                    )
        result += behind.get(step, [])
    return tuple(result)
