"""The plan: which operator runs when, which tensor lies where, and what crosses the bus.

``plan.json`` is described field by field in ``plan.schema.json``. Steps count from 0, one operator
each; intervals are half-open; a load or fetch at step `t` happens just before its operator runs, a
store or spill just after it. A stage is one step in patches and moves slices of tensors while it
runs. Nothing in the file depends on the clock, so the same input, seed and
options give the same bytes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from typing import Any, NamedTuple

from mapper.graph import Graph, Operator, SharedWeights
from mapper.schedule.problem import Move, Problem, cost_of, moves_of
from mapper.schedule.search import Found
from mapper.stage import Buffer, Member, Part, Patch, Slice, Stage, Window

__all__ = [
    "FORMAT",
    "VERSION",
    "Compulsory",
    "Plan",
    "PlannedOperator",
    "PlannedTensor",
    "Residency",
    "Source",
    "Transfer",
    "make_plan",
    "plan_schema",
]

FORMAT = "bitweft-plan"
VERSION = 3


class Source(NamedTuple):
    """Where a plan comes from: the model, how its tensors were counted, and the budget's name."""

    file: str
    sha256: str
    activation_bits: int
    weight_bits: int
    channel_multiple: int
    budget: str


class Residency(NamedTuple):
    """In the scratchpad at `address` during steps ``first_step, ..., last_step - 1``."""

    first_step: int
    last_step: int
    address: int


class Transfer(NamedTuple):
    """An activation tensor, or a slice of it, over the bus: load, fetch, store or spill.

    A slice has the parts ``first, ..., last - 1`` along the axis of the stage that moves it; a whole
    tensor all of its rows.
    """

    step: int
    kind: str
    tensor: str
    bytes: int
    first: int
    last: int


@dataclass(frozen=True)
class PlannedOperator:
    """An operator of the graph, as `mapper.graph.Operator`."""

    name: str
    kind: str
    nodes: tuple[str, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int
    weight_bytes: int
    after: tuple[str, ...] = ()
    stage: Stage | None = None


@dataclass(frozen=True)
class PlannedTensor:
    """A tensor of the graph and when it lies where; without intervals, it never does as a whole."""

    name: str
    shape: tuple[int, ...]
    bytes: int
    rows: int
    channels: int
    network_input: bool
    network_output: bool
    intervals: tuple[Residency, ...]


class Compulsory(NamedTuple):
    """Bytes that every plan moves: inputs once, outputs once, each operator's weights once."""

    activations_loaded: int
    activations_stored: int
    weights: int


@dataclass(frozen=True)
class Plan:
    """A whole plan; operators are listed in file order, `order` names them in run order."""

    source: Source
    status: str
    objective_bytes: int
    bound_bytes: int
    compulsory: Compulsory
    scratchpad_bytes: int
    seed: int
    method: str
    order: tuple[str, ...]
    operators: tuple[PlannedOperator, ...]
    tensors: tuple[PlannedTensor, ...]
    transfers: tuple[Transfer, ...]
    baselines: Mapping[str, int]
    shared_weights: tuple[SharedWeights, ...] = ()
    weight_memory_bytes: int | None = None

    @property
    def gap(self) -> float:
        """``(objective - bound) / objective``; 0 when the objective is."""
        if not self.objective_bytes:
            return 0.0
        return (self.objective_bytes - self.bound_bytes) / self.objective_bytes

    @property
    def recomputed_macs(self) -> int:
        """Multiply-accumulates of rows that more than one patch computes."""
        return sum(o.stage.recomputed_macs for o in self.operators if o.stage)

    @property
    def reread_weight_bytes(self) -> int:
        """Weights that patches and images load again; part of the objective."""
        return reread_weights(self.operators, self.shared_weights)

    @property
    def traffic(self) -> dict[str, dict[str, int]]:
        """Compulsory and non-compulsory bytes of each class of tensors.

        Instructions are those of a program, which a plan does not have.
        """
        weights = self.reread_weight_bytes
        activations = self.compulsory.activations_loaded + self.compulsory.activations_stored
        return {
            "activations": {
                "compulsory": activations,
                "non_compulsory": self.objective_bytes - weights,
            },
            "weights": {"compulsory": self.compulsory.weights, "non_compulsory": weights},
        }

    def head(self) -> dict[str, Any]:
        """The part of ``plan.json`` that fits on a page."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": {"file": self.source.file, "sha256": self.source.sha256},
            "activation_bits": self.source.activation_bits,
            "weight_bits": self.source.weight_bits,
            "channel_multiple": self.source.channel_multiple,
            "seed": self.seed,
            "method": self.method,
            "status": self.status,
            "objective_bytes": self.objective_bytes,
            "bound_bytes": self.bound_bytes,
            "gap": self.gap,
            "recomputed_macs": self.recomputed_macs,
            "reread_weight_bytes": self.reread_weight_bytes,
            "compulsory_bytes": {**self.compulsory._asdict(), "total": sum(self.compulsory)},
            "traffic_bytes": self.traffic,
            "budget": self.source.budget,
            "scratchpad_bytes": self.scratchpad_bytes,
            "weight_memory_bytes": self.weight_memory_bytes,
            "baselines": dict(self.baselines),
        }

    def to_json(self) -> dict[str, Any]:
        """The content of ``plan.json``."""
        return {
            **self.head(),
            "order": list(self.order),
            "operators": [_operator_json(o) for o in self.operators],
            "tensors": [
                {
                    "name": t.name,
                    "shape": list(t.shape),
                    "bytes": t.bytes,
                    "rows": t.rows,
                    "channels": t.channels,
                    "network_input": t.network_input,
                    "network_output": t.network_output,
                    "intervals": [i._asdict() for i in t.intervals],
                }
                for t in self.tensors
            ],
            "transfers": [t._asdict() for t in self.transfers],
            "shared_weights": [
                {**s._asdict(), "operators": list(s.operators)} for s in self.shared_weights
            ],
        }

    def text(self) -> str:
        """``plan.json`` as it is written: ASCII, one value per line."""
        return json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Plan:
        """The plan in a ``plan.json`` that `mapper.check` has accepted."""
        compulsory = content["compulsory_bytes"]
        return cls(
            source=Source(
                content["model"]["file"],
                content["model"]["sha256"],
                content["activation_bits"],
                content["weight_bits"],
                content["channel_multiple"],
                content["budget"],
            ),
            status=content["status"],
            objective_bytes=content["objective_bytes"],
            bound_bytes=content["bound_bytes"],
            compulsory=Compulsory(*(compulsory[name] for name in Compulsory._fields)),
            scratchpad_bytes=content["scratchpad_bytes"],
            seed=content["seed"],
            method=content["method"],
            order=tuple(content["order"]),
            operators=tuple(
                PlannedOperator(
                    o["name"],
                    o["kind"],
                    tuple(o["nodes"]),
                    tuple(o["inputs"]),
                    tuple(o["outputs"]),
                    o["macs"],
                    o["weight_bytes"],
                    tuple(o["after"]),
                    None if o["stage"] is None else _stage_of(o["stage"]),
                )
                for o in content["operators"]
            ),
            tensors=tuple(
                PlannedTensor(
                    t["name"],
                    tuple(t["shape"]),
                    t["bytes"],
                    t["rows"],
                    t["channels"],
                    t["network_input"],
                    t["network_output"],
                    tuple(Residency(**i) for i in t["intervals"]),
                )
                for t in content["tensors"]
            ),
            transfers=tuple(Transfer(**t) for t in content["transfers"]),
            baselines=dict(content["baselines"]),
            shared_weights=tuple(
                SharedWeights(tuple(s["operators"]), s["bytes"], s["address"])
                for s in content["shared_weights"]
            ),
            weight_memory_bytes=content["weight_memory_bytes"],
        )


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


def reread_weights(
    operators: Sequence[Operator] | Sequence[PlannedOperator], shared: Sequence[SharedWeights]
) -> int:
    """Bytes that patches of stages load again, and operators whose shared weights do not stay."""
    patches = sum(o.stage.reread_weight_bytes for o in operators if o.stage)
    return patches + sum(s.bytes * (len(s.operators) - 1) for s in shared if s.address is None)


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
                for name, first, last in slices:
                    t = known[name]
                    if is_load:
                        kind = "load" if t.network_input else "fetch"
                    else:
                        kind = "store" if t.network_output else "spill"
                    count = (last - first) * t.part_bytes(stage.axis)
                    result.append(Transfer(step, kind, name, count, first, last))
        result += behind.get(step, [])
    return tuple(result)


def _operator_json(operator: PlannedOperator) -> dict[str, Any]:
    content = asdict(operator)
    if operator.stage is not None:
        # Named tuples would become bare lists.
        for member, known in zip(content["stage"]["members"], operator.stage.members, strict=True):
            member["windows"] = [None if w is None else w._asdict() for w in known.windows]
        content["stage"]["patches"] = [
            {
                "buffers": [b._asdict() for b in patch.buffers],
                "loads": [x._asdict() for x in patch.loads],
                "parts": [p._asdict() for p in patch.parts],
                "stores": [x._asdict() for x in patch.stores],
            }
            for patch in operator.stage.patches
        ]
    return content


def _stage_of(content: Mapping[str, Any]) -> Stage:
    return Stage(
        axis=content["axis"],
        members=tuple(
            Member(
                m["name"],
                m["kind"],
                tuple(m["inputs"]),
                tuple(m["outputs"]),
                tuple(None if w is None else Window(**w) for w in m["windows"]),
                m["macs"],
                m["weight_bytes"],
                m["loaded_weight_bytes"],
            )
            for m in content["members"]
        ),
        workspace=content["workspace"],
        patches=tuple(
            Patch(
                buffers=tuple(Buffer(**b) for b in p["buffers"]),
                loads=tuple(Slice(**x) for x in p["loads"]),
                parts=tuple(Part(**x) for x in p["parts"]),
                stores=tuple(Slice(**x) for x in p["stores"]),
            )
            for p in content["patches"]
        ),
        recomputed_macs=content["recomputed_macs"],
        reread_weight_bytes=content["reread_weight_bytes"],
    )


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of ``plan.json``, which documents each field."""
    text = (resources.files("mapper") / "plan.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
