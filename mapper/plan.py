"""The plan: which operator runs when, which tensor lies where, and what crosses the bus.

``plan.json`` is described field by field in ``plan.schema.json``. Steps count from 0, one operator
each; intervals are half-open; a load or fetch at step `t` happens just before its operator runs, a
store or spill just after it. A stage is one step in patches and moves slices of tensors while it
runs. Nothing in the file depends on the clock, so the same input, seed and
options give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, NamedTuple

from mapper.graph import Operator, SharedWeights
from mapper.plan_stage import extent_json, stage_json, stage_of
from mapper.stage import Stage

__all__ = [
    "FORMAT",
    "VERSION",
    "VERSION_WITH_REDUCTIONS",
    "VERSION_WITH_TILES",
    "Compulsory",
    "Plan",
    "PlannedOperator",
    "PlannedTensor",
    "Residency",
    "Source",
    "Transfer",
    "plan_schema",
    "reread_weights",
]

FORMAT = "bitweft-plan"
VERSION = 3
VERSION_WITH_REDUCTIONS = 4
"""Of plans in which the reduction of some operator is in parts; others have the form of `VERSION`."""
VERSION_WITH_TILES = 5
"""Of plans with a stage in tiles, or a window of fractional stride or negative padding: slices have columns."""


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

    A slice has the parts ``first, ..., last - 1`` along the axis of the stage that moves it, a tile
    of their columns ``left, ..., right - 1``; a whole tensor all of its rows.
    """

    step: int
    kind: str
    tensor: str
    bytes: int
    first: int
    last: int
    left: int = 0
    right: int = 0


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
    columns: int = 1


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
    def has_reductions(self) -> bool:
        """Whether the reduction of some operator is in parts."""
        return any(m.reduction for o in self.operators if o.stage for m in o.stage.members)

    @property
    def version(self) -> int:
        """The oldest that has what the plan has."""
        stages = [o.stage for o in self.operators if o.stage]
        members = [m for stage in stages for m in stage.members]
        fractional = any(
            w is not None and (w.up > 1 or w.padding < 0) for m in members for w in m.windows
        )
        if fractional or any(stage.axis == "tiles" for stage in stages):
            return VERSION_WITH_TILES
        return VERSION_WITH_REDUCTIONS if self.has_reductions else VERSION

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
            "version": self.version,
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
        version = self.version
        tiles = version >= VERSION_WITH_TILES
        return {
            **self.head(),
            "order": list(self.order),
            "operators": [_operator_json(o, version) for o in self.operators],
            "tensors": [
                {
                    "name": t.name,
                    "shape": list(t.shape),
                    "bytes": t.bytes,
                    "rows": t.rows,
                    "channels": t.channels,
                    **({"columns": t.columns} if tiles else {}),
                    "network_input": t.network_input,
                    "network_output": t.network_output,
                    "intervals": [i._asdict() for i in t.intervals],
                }
                for t in self.tensors
            ],
            "transfers": [extent_json(t, tiles=tiles) for t in self.transfers],
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
                    None if o["stage"] is None else stage_of(o["stage"]),
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
                    t.get("columns", 1),
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


def reread_weights(
    operators: Sequence[Operator] | Sequence[PlannedOperator], shared: Sequence[SharedWeights]
) -> int:
    """Bytes that patches of stages load again, and operators whose shared weights do not stay."""
    patches = sum(o.stage.reread_weight_bytes for o in operators if o.stage)
    return patches + sum(s.bytes * (len(s.operators) - 1) for s in shared if s.address is None)


def _operator_json(operator: PlannedOperator, version: int) -> dict[str, Any]:
    stage = operator.stage
    content = {name: value for name, value in vars(operator).items() if name != "stage"}
    if stage is None:
        return {**content, "stage": None}
    reductions, tiles = version >= VERSION_WITH_REDUCTIONS, version >= VERSION_WITH_TILES
    return {**content, "stage": stage_json(stage, reductions=reductions, tiles=tiles)}


def plan_schema() -> dict[str, Any]:
    """The JSON Schema of ``plan.json``, which documents each field."""
    text = (resources.files("mapper") / "plan.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
