"""Where the cycles of a program go, layer by layer: parts that sum to its cycles exactly.

Every cycle belongs to one layer and one part. While the execute unit computes, it is a cycle of the
layer that it computes; before that, it is a wait of the layer that comes next. Cycles in which
something is computed are divided by what had to be done: the least whole cycles for the layer's MACs
at full rate, then those that MACs of repeated rows add, then those that zeros in padded words add,
and so on up to the cycles that it takes. Each part is a difference of two such counts, so that
nothing is lost or counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np

from hw.isa import INSTRUCTION_BYTES, Compute, Load, Path, Store, Target
from hw.spec import Spec
from mapper.lowered import Computed, Lowered
from mapper.plan import Plan
from sim.quantised import Network
from sim.timing.execute import follows_operands, operand_cycles
from sim.timing.program import ProgramTiming
from sim.timing.waits import Cause, execute_waits

__all__ = ["Layer", "LayerBytes", "Part", "Unit", "Waterline", "waterline"]

Unit = Literal["array", "depthwise", "vector"]
"""What a layer runs on: the array, or the vector lanes, one per column. Depthwise convolutions and
everything without MACs (addition, pooling, moved channels) run on the lanes; only some moves of
channels use the array, and count as `vector` all the same."""


class Part(Enum):
    """What a cycle is spent on; the value says it in a few words.

    MACS: ``ceil(MACs / spec.macs_per_cycle)`` of a layer on the array, each MAC once.
    DEPTHWISE: taps of depthwise convolutions, one per lane and cycle, each once.
    VECTOR: taps of additions and pooling in the same way, and operands of moved channels.
    AGAIN: what MACs, or taps, of rows that several patches compute add.
    PADDING: operands that are zero because channels are padded to whole words, or belong to other
    groups. TAILS: rows of the array beyond the last pixel of a computation.
    DIGITS: where digits of operands set the pace, what they take beyond a cycle per beat, filling
    and draining included. SETUP: filling and draining, gathering of words where it limits the array, and parameters that
    are not read while the computation before runs. WEIGHTS, ACTIVATIONS, STORES, DISPATCH: nothing
    is computed; see `sim.timing.waits.Cause`.
    """

    MACS = "MACs at full rate"
    DEPTHWISE = "depthwise taps on the lanes"
    VECTOR = "additions, pooling, moves"
    AGAIN = "rows computed again"
    PADDING = "padded channels"
    TAILS = "rows of the array unused"
    DIGITS = "waiting for digits"
    SETUP = "start, fill and drain"
    WEIGHTS = "waiting for weights"
    ACTIVATIONS = "waiting for activations"
    STORES = "waiting for stores"
    DISPATCH = "fetch and dispatch"


_WAITS = {
    Cause.WEIGHTS: Part.WEIGHTS,
    Cause.ACTIVATIONS: Part.ACTIVATIONS,
    Cause.STORES: Part.STORES,
    Cause.DISPATCH: Part.DISPATCH,
    Cause.START: Part.SETUP,
}


_WAITING = (Part.WEIGHTS, Part.ACTIVATIONS, Part.STORES, Part.DISPATCH)


@dataclass(frozen=True)
class LayerBytes:
    """What the instructions of a layer move over the bus, themselves included."""

    weights: int = 0
    activations: int = 0
    stored: int = 0
    instructions: int = 0

    @property
    def read(self) -> int:
        return self.weights + self.activations + self.instructions


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One operator of the network.

    Attributes
    ----------
    name, kind : str
    unit : Unit
    macs : int
        Of the whole layer.
    computed_macs : int
        With those of rows that several patches compute, without those of rows that nobody reads.
    operations : int
        MACs on the array, on the lanes taps of elements, of rows that are computed, each once.
        0 where the array only moves channels.
    per_cycle : int
        Operations that its unit could do in a cycle.
    parts : dict of Part to int
        Cycles; parts without cycles are left out.
    bytes : LayerBytes
        Loads count for the layer that needs them, although they may come during the one before.
    """

    name: str
    kind: str
    unit: Unit
    macs: int
    computed_macs: int
    operations: int
    per_cycle: int
    parts: Mapping[Part, int]
    bytes: LayerBytes

    @property
    def cycles(self) -> int:
        """All of its cycles."""
        return sum(self.parts.values())

    @property
    def waiting(self) -> int:
        """Those in which its next computation has to wait."""
        return sum(self.parts.get(part, 0) for part in _WAITING)

    @property
    def utilisation(self) -> float | None:
        """Share of what its unit could have done in its cycles; None where it only moves channels."""
        return self._share(self.cycles)

    @property
    def busy_utilisation(self) -> float | None:
        """The same share of the cycles in which it does not wait."""
        return self._share(self.cycles - self.waiting)

    def _share(self, cycles: int) -> float | None:
        if not self.operations:
            return None
        return self.operations / (cycles * self.per_cycle)


@dataclass(frozen=True)
class Waterline:
    """All cycles of a program.

    Attributes
    ----------
    layers : tuple of Layer
        In the order in which they are finished.
    end : dict of Part to int
        Cycles after the last computation.
    end_bytes : LayerBytes
        Instructions that belong to no layer.
    """

    layers: tuple[Layer, ...]
    end: Mapping[Part, int]
    end_bytes: LayerBytes

    @property
    def parts(self) -> dict[Part, int]:
        """Cycles of each part, all layers and the end together."""
        total = Counter(self.end)
        for layer in self.layers:
            total.update(layer.parts)
        return {part: total[part] for part in Part}

    @property
    def cycles(self) -> int:
        return sum(self.parts.values())


def waterline(
    network: Network, plan: Plan, lowered: Lowered, spec: Spec, timing: ProgramTiming
) -> Waterline:
    """Divides the cycles of a lowered plan.

    Parameters
    ----------
    network, plan, lowered, spec
        As they were given to and returned by `mapper.lower.lower`.
    timing : ProgramTiming
        Of ``lowered.program``.
    """
    computes: dict[str, list[tuple[Compute, int]]] = {o.name: [] for o in network.operators}
    of: list[str] = []
    for instruction, purpose, span in zip(
        lowered.program, lowered.purposes, timing.spans, strict=True
    ):
        if isinstance(instruction, Compute):
            of.append(purpose.operator)
            computes[purpose.operator].append((instruction, span.end - span.begin))
    waits: dict[str | None, Counter[Part]] = {name: Counter() for name in (*computes, None)}
    for wait in execute_waits(lowered.program, timing):
        name = None if wait.compute is None else of[wait.compute]
        waits[name][_WAITS[wait.cause]] += wait.end - wait.first
    members = (m for o in plan.operators for m in (o.stage.members if o.stage else (o,)))
    macs = {m.name: m.macs for m in members}
    moved = _bytes(lowered, spec)
    results: dict[str, list[Computed]] = {name: [] for name in computes}
    for result in lowered.results:
        results[result.operator].append(result)
    operators = {o.name: o for o in network.operators}
    layers = []
    for name in lowered.operators:
        own = computes[name]
        _, height, width, channels = network.tensor(operators[name].output).shape
        rows = _rows(results[name], height, width)
        unit = _unit(macs[name], [c for c, _ in own])
        on_array = any(c.path == Path.ARRAY for c, _ in own)
        taps = own[0][0].kernel_y * own[0][0].kernel_x
        once, again = (macs[name] * n // rows.all for n in (rows.once, rows.computed))
        layers.append(
            Layer(
                name=name,
                kind=type(operators[name]).__name__,
                unit=unit,
                macs=macs[name],
                computed_macs=again,
                operations=once
                if on_array
                else taps * height * width * channels * rows.once // rows.all,
                per_cycle=spec.macs_per_cycle if on_array else spec.engine.cols,
                parts=+(_busy(unit, own, (once, again), rows, spec) + waits[name]),
                bytes=moved.get(name, LayerBytes()),
            )
        )
    return Waterline(tuple(layers), +waits[None], moved.get("", LayerBytes()))


class _Rows(NamedTuple):
    """Rows of an output, or its pixels: those that are computed, each once, and with repetition,
    and all that it has."""

    once: int
    computed: int
    all: int


def _rows(results: Sequence[Computed], height: int, width: int) -> _Rows:
    """Patches may compute rows or pixels again, and leave out those that nobody reads."""
    axes = {r.axis for r in results}
    if axes == {"tiles"}:
        tiles = [(slice(*r.part[1:3]), slice(*r.part[3:5])) for r in results]
        count = np.zeros((height, width), np.int64)
        for tile in tiles:
            count[tile] += 1
        return _Rows(int(np.count_nonzero(count)), int(count.sum()), height * width)
    if axes != {"rows"}:
        return _Rows(height, height, height)
    computed = [range(r.part.first, r.part.last) for r in results]
    once = len({row for part in computed for row in part})
    return _Rows(once, sum(map(len, computed)), height)


def _unit(macs: int, computes: Sequence[Compute]) -> Unit:
    if not macs:
        return "vector"
    return "depthwise" if any(c.path == Path.TAPS for c in computes) else "array"


def _busy(
    unit: Unit,
    computes: Sequence[tuple[Compute, int]],
    macs: tuple[int, int],
    rows: _Rows,
    spec: Spec,
) -> Counter[Part]:
    """Cycles in which a layer is computed; `macs` of its rows, each once, and with repetition."""
    cycles = sum(count for _, count in computes)
    operands = sum(operand_cycles(c, spec) for c, _ in computes)
    rest = Part.DIGITS if unit == "array" and follows_operands(spec) else Part.SETUP
    parts = Counter({rest: cycles - operands})
    if unit == "array":
        width, cols = spec.macs_per_cycle, spec.engine.cols
        # Products of all elements that enter, but for those of tiles that are not full.
        dense = sum(c.pixels * c.kernel_y * c.kernel_x * c.words * cols * cols for c, _ in computes)
        marks = [0, *(-(-products // width) for products in (*macs, dense)), operands]
        names = (Part.MACS, Part.AGAIN, Part.PADDING, Part.TAILS)
        for part, (low, high) in zip(names, pairwise(marks), strict=True):
            parts[part] += high - low
        return parts
    # On the lanes each row of the output takes equally many; so it does where the array moves
    # channels, up to tiles that are not full.
    once = operands * rows.once // rows.computed
    parts[Part.DEPTHWISE if unit == "depthwise" else Part.VECTOR] += once
    parts[Part.AGAIN] += operands - once
    return parts


def _bytes(lowered: Lowered, spec: Spec) -> dict[str, LayerBytes]:
    moved: dict[str, Counter[str]] = {}
    for instruction, purpose in zip(lowered.program, lowered.purposes, strict=True):
        own = moved.setdefault(purpose.operator, Counter())
        own["instructions"] += INSTRUCTION_BYTES
        if isinstance(instruction, Load):
            kind = "weights" if instruction.target == Target.WEIGHTS else "activations"
            own[kind] += instruction.words * spec.word_bytes
        elif isinstance(instruction, Store):
            own["stored"] += instruction.words * spec.word_bytes
    return {name: LayerBytes(**counts) for name, counts in moved.items()}
