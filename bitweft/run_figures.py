"""Figures of a network on the hardware: per layer, and per class of bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.isa import INSTRUCTION_BYTES, Compute, Instruction, Load, Path, Store, Target
from hw.spec import Spec
from mapper.lowered import Lowered
from mapper.plan import Plan
from sim.quantised import Network

__all__ = [
    "Layer",
    "Traffic",
    "layers_of",
    "planned_traffic",
    "program_traffic",
]


class Traffic(NamedTuple):
    """Bytes on the memory bus; the hardware has a counter for each class."""

    instructions: int
    weights: int
    activations: int
    stored: int


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operator of a run.

    Attributes
    ----------
    name, kind : str
    unit : str
        ``array`` or ``lanes``: what computes it. Depthwise convolution, addition and pooling run on
        the vector lanes, one per column.
    macs : int
        Multiply-accumulates; none where nothing is multiplied by weights.
    operations : int
        Of its unit: a MAC, or one tap of one element on a lane. None (0) where the array only moves
        channels.
    per_cycle : int
        Operations that the unit could do in a cycle.
    cycles : int
        From the end of what was computed before it: its transfers and waiting are in it.
    """

    name: str
    kind: str
    unit: str
    macs: int
    operations: int
    per_cycle: int
    predicted: int
    cycles: int

    @property
    def utilisation(self) -> float | None:
        """Share of what its unit could have done; None where it only moves channels."""
        if not self.operations:
            return None
        return self.operations / (self.cycles * self.per_cycle)


def planned_traffic(plan: Plan, program: Sequence[Instruction]) -> Traffic:
    """What a plan promises. It does not count instructions; they are those of the program."""
    moved = {
        kinds: sum(t.bytes for t in plan.transfers if t.kind in kinds)
        for kinds in (("load", "fetch"), ("store", "spill"))
    }
    return Traffic(
        instructions=len(program) * INSTRUCTION_BYTES,
        weights=plan.compulsory.weights + plan.reread_weight_bytes,
        activations=moved["load", "fetch"],
        stored=moved["store", "spill"],
    )


def program_traffic(program: Sequence[Instruction], spec: Spec) -> Traffic:
    """What the instructions of a program move."""
    loads = [i for i in program if isinstance(i, Load)]
    return Traffic(
        instructions=len(program) * INSTRUCTION_BYTES,
        weights=spec.word_bytes * sum(i.words for i in loads if i.target == Target.WEIGHTS),
        activations=spec.word_bytes * sum(i.words for i in loads if i.target != Target.WEIGHTS),
        stored=spec.word_bytes * sum(i.words for i in program if isinstance(i, Store)),
    )


def layers_of(
    network: Network,
    plan: Plan,
    lowered: Lowered,
    spec: Spec,
    predicted: npt.NDArray[np.int64],
    counted: npt.NDArray[np.int64],
) -> tuple[Layer, ...]:
    """The layers that ran, given the cycles after which each computation was finished.

    A layer that runs in patches has the cycles of all of them.
    """
    computes = [i for i in lowered.program if isinstance(i, Compute)]
    members = (m for o in plan.operators for m in (o.stage.members if o.stage else (o,)))
    macs = {m.name: m.macs for m in members}
    cycles = {o.name: [0, 0] for o in network.operators}
    on_array = dict.fromkeys(cycles, False)
    taps = dict.fromkeys(cycles, 0)
    first, ends = 0, (0, 0)
    for made in lowered.results:
        if made.computes > len(counted):
            break
        begins, last = ends, made.computes
        ends = (int(predicted[last - 1]), int(counted[last - 1]))
        own = computes[first:last]
        on_array[made.operator] |= any(c.path == Path.ARRAY for c in own)
        taps[made.operator] = own[0].kernel_y * own[0].kernel_x
        for side in range(2):
            cycles[made.operator][side] += ends[side] - begins[side]
        first = last
    layers = []
    operators = {o.name: o for o in network.operators}
    for name in lowered.operators:
        if lowered.span(name)[1] > len(counted):
            continue
        elements = int(np.prod(network.tensor(operators[name].output).shape))
        layers.append(
            Layer(
                name=name,
                kind=type(operators[name]).__name__,
                unit="array" if on_array[name] else "lanes",
                macs=macs[name],
                operations=macs[name] if on_array[name] else taps[name] * elements,
                per_cycle=spec.macs_per_cycle if on_array[name] else spec.engine.cols,
                predicted=cycles[name][0],
                cycles=cycles[name][1],
            )
        )
    return tuple(layers)
