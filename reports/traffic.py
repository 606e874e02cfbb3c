"""What a plan moves over the bus, tensor by tensor: what every plan moves, and what this one adds."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import product

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from hw.isa import INSTRUCTION_BYTES
from mapper.lowered import Lowered
from mapper.plan import Plan, PlannedOperator
from reports.bars import Row, bar_figure, draw_rows
from reports.style import COLOURS, byte_unit, rounded_bytes, shortened

__all__ = ["Class", "TensorTraffic", "tensor_figure", "total_traffic", "traffic_per_tensor"]

_MOST_TENSORS = 40


class Class(Enum):
    """Why bytes cross the bus; the value says it in a few words.

    INPUTS, OUTPUTS, WEIGHTS: once each; every plan moves them. SPILLS: stores of what is no output.
    FETCHES: loads of what was spilled, and of an input that had left. ROWS: rows, or channels, that
    several patches of a stage load, from the second time on. WEIGHTS_AGAIN: for later patches.
    INSTRUCTIONS: the program; plans do not count it.
    """

    INPUTS = "inputs once"
    OUTPUTS = "outputs once"
    WEIGHTS = "weights once"
    WEIGHTS_AGAIN = "weights read again"
    SPILLS = "spills"
    FETCHES = "fetches"
    ROWS = "rows read again"
    INSTRUCTIONS = "instructions"

    @property
    def compulsory(self) -> bool | None:
        """Whether every plan moves it; None for instructions, which are no part of a plan."""
        if self is Class.INSTRUCTIONS:
            return None
        return self in (Class.INPUTS, Class.OUTPUTS, Class.WEIGHTS)


_COLOURS = {
    Class.INPUTS: COLOURS["green"],
    Class.OUTPUTS: COLOURS["orange"],
    Class.WEIGHTS: COLOURS["grey"],
    Class.WEIGHTS_AGAIN: "#7a5195",
    Class.SPILLS: COLOURS["red"],
    Class.FETCHES: COLOURS["blue"],
    Class.ROWS: "#cc79a7",
    Class.INSTRUCTIONS: COLOURS["ink"],
}


@dataclass(frozen=True)
class TensorTraffic:
    """Bytes of one tensor, or of the weights of an operator, by class; zeros are left out."""

    name: str
    bytes: Mapping[Class, int]

    @property
    def total(self) -> int:
        return sum(self.bytes.values())

    def part(self, compulsory: bool) -> int:
        """Bytes that every plan moves, or the others; instructions are neither."""
        return sum(n for kind, n in self.bytes.items() if kind.compulsory is compulsory)


def traffic_per_tensor(plan: Plan, lowered: Lowered | None = None) -> list[TensorTraffic]:
    """Everything that crosses the bus, the most first; of equal ones in the order of names.

    Parameters
    ----------
    plan : Plan
    lowered : Lowered, optional
        Its program, whose instructions are then counted.
    """
    found: defaultdict[str, Counter[Class]] = defaultdict(Counter)
    repeated = _repeated_parts(plan)
    loaded: Counter[str] = Counter()
    for t in plan.transfers:
        if t.kind in ("load", "fetch"):
            loaded[t.tensor] += t.bytes
        else:
            found[t.tensor][Class.OUTPUTS if t.kind == "store" else Class.SPILLS] += t.bytes
    for tensor in plan.tensors:
        count = loaded[tensor.name]
        # As in a plan's compulsory bytes, also where some rows are never loaded.
        once = min(tensor.bytes, count) if tensor.network_input else 0
        again = min(repeated[tensor.name], count - once)
        found[tensor.name] += Counter(
            {Class.INPUTS: once, Class.ROWS: again, Class.FETCHES: count - once - again}
        )
    for operator in plan.operators:
        for name, weights, more in _weights(operator):
            found[f"weights of {name}"] += Counter(
                {Class.WEIGHTS: weights, Class.WEIGHTS_AGAIN: more}
            )
    if lowered is not None:
        size = len(lowered.program) * INSTRUCTION_BYTES
        found["the program"] = Counter({Class.INSTRUCTIONS: size})
    result = [
        TensorTraffic(name, +counts) for name, counts in found.items() if any(counts.values())
    ]
    return sorted(result, key=lambda t: (-t.total, t.name))


def total_traffic(tensors: list[TensorTraffic]) -> dict[Class, int]:
    """Bytes of each class, all tensors together."""
    total: Counter[Class] = Counter()
    for tensor in tensors:
        total.update(tensor.bytes)
    return {kind: total[kind] for kind in Class}


def tensor_figure(tensors: list[TensorTraffic], title: str) -> Figure:
    """The tensors with the most traffic: what every plan moves, and apart what this one adds."""
    total = total_traffic(tensors)
    more = [t for t in tensors if t.part(compulsory=False)]
    more.sort(key=lambda t: (-t.part(compulsory=False), t.name))
    first = [t for t in tensors if t.total > t.part(compulsory=False)]
    first.sort(key=lambda t: (t.part(compulsory=False) - t.total, t.name))
    groups = [
        ("Compulsory, and instructions", first, False),
        ("Non-compulsory", more, True),
    ]
    groups = [group for group in groups if group[1]]
    shown = [group[:_MOST_TENSORS] for _, group, _ in groups]
    figure, panels = bar_figure([len(rows) for rows in shown] or [1])
    for axes, (name, group, added), rows in zip(panels, groups, shown, strict=False):
        kinds = [kind for kind in Class if (kind.compulsory is False) == added]
        _draw_tensors(axes, rows, kinds)
        everything = sum(total[kind] for kind in kinds)
        left = f", the {len(rows)} most of {len(group)} tensors" if len(rows) < len(group) else ""
        axes.set_title(f"{name}: {rounded_bytes(everything)} in all{left}", fontsize=9)
    figure.suptitle(
        f"{shortened(title, 70)}: traffic per tensor",
        x=0.01,
        ha="left",
        fontsize=10,
        parse_math=False,
    )
    figure.legend(
        handles=[
            Patch(color=_COLOURS[kind], label=f"{kind.value}, {rounded_bytes(count)}")
            for kind, count in total.items()
            if count
        ],
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
    )
    return figure


def _draw_tensors(axes: Axes, tensors: list[TensorTraffic], kinds: list[Class]) -> None:
    rows = []
    for tensor in tensors:
        values = {_COLOURS[kind]: tensor.bytes[kind] for kind in kinds if kind in tensor.bytes}
        rows.append(Row(tensor.name, values, f"{sum(values.values()):,} B"))
    draw_rows(axes, rows)
    largest = max(sum(row.values.values()) for row in rows)
    scale, unit = byte_unit(int(largest))
    axes.set_xlim(0, largest * 1.02)
    # Ticks at round numbers of the unit, not of bytes.
    ticks = MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10], integer=scale == 1)
    axes.set_xticks(
        [t * scale for t in ticks.tick_values(0, largest / scale) if t * scale <= largest * 1.02]
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set_xlabel(unit)


def _repeated_parts(plan: Plan) -> Counter[str]:
    """Bytes of each tensor that a stage loads although a patch of it has loaded them before."""
    again: Counter[str] = Counter()
    stages = {o.name: o.stage for o in plan.operators}
    seen: defaultdict[tuple[int, str], set[tuple[int, int]]] = defaultdict(set)
    for t in plan.transfers:
        stage = stages[plan.order[t.step]]
        if stage is None or t.kind not in ("load", "fetch"):
            continue
        columns = range(t.left, max(t.right, t.left + 1))
        known = seen[t.step, t.tensor]
        parts = list(product(range(t.first, t.last), columns))
        again[t.tensor] += sum(n in known for n in parts) * (t.bytes // max(1, len(parts)))
        known.update(parts)
    return again


def _weights(operator: PlannedOperator) -> list[tuple[str, int, int]]:
    """Name, weight bytes, and those that are read again, of an operator or the members of a stage."""
    stage = operator.stage
    if stage is None:
        return [(operator.name, operator.weight_bytes, 0)]
    # A stage keeps all of its weights from patch to patch, or none.
    kept = not stage.reread_weight_bytes
    return [
        (m.name, m.weight_bytes, 0 if kept else m.loaded_weight_bytes - m.weight_bytes)
        for m in stage.members
    ]
