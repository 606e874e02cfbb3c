"""Pictures of a plan: what lies where when, and what crosses the bus at each step."""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from hw.units import format_bytes
from mapper.plan import Plan, PlannedTensor, Residency
from reports.style import COLOURS, byte_axis, fixed_style, label, new_figure, rounded_bytes, save

__all__ = ["residency_map", "traffic_per_step", "write_plots"]

_WIDTH, _HEIGHT = 12.0, 5.4  # inches
_ROLES = {
    "network input": COLOURS["green"],
    "network output": COLOURS["orange"],
    "kept on chip": COLOURS["grey"],
    "leaves and returns": COLOURS["blue"],
    "workspace of patches": COLOURS["yellow"],
}
_KINDS = {
    "load": COLOURS["green"],
    "store": COLOURS["orange"],
    "fetch": COLOURS["blue"],
    "spill": COLOURS["red"],
}


def write_plots(plan: Plan, folder: Path) -> list[Path]:
    """Writes the residency map and the traffic per step, each as PNG and SVG."""
    with fixed_style():
        return [
            *save(residency_map(plan), folder, "residency"),
            *save(traffic_per_step(plan), folder, "traffic"),
        ]


def residency_map(plan: Plan) -> Figure:
    """Time against address: one rectangle per residency interval, fetches and spills marked."""
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = figure.add_subplot()
    steps = len(plan.order)
    axes.set_xlim(0, steps)
    axes.set_ylim(0, plan.scratchpad_bytes * 1.04)
    roles = _roles(plan)
    for role, colour in _ROLES.items():
        boxes = [
            _box(tensor, interval)
            for tensor in plan.tensors
            if roles[tensor.name] == role
            for interval in tensor.intervals
        ]
        axes.add_collection(
            PolyCollection(boxes, facecolors=colour, edgecolors="white", linewidths=0.4)
        )
    axes.axhline(plan.scratchpad_bytes, color=COLOURS["ink"], linestyle="--", linewidth=1.2)
    _mark(axes, plan)
    _name_boxes(axes, plan)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step (one operator or stage each)")
    byte_axis(axes, plan.scratchpad_bytes, "scratchpad address")
    axes.set_title(_headline(plan), parse_math=False)
    figure.legend(handles=_legend(plan), loc="outside lower center", ncols=7, frameon=False)
    return figure


def traffic_per_step(plan: Plan) -> Figure:
    """Bytes over the bus at each step: activations by kind, and weights beneath."""
    figure = new_figure(_WIDTH, _HEIGHT)
    steps = len(plan.order)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])
    floor = [0] * steps
    for kind, colour in _KINDS.items():
        moved = [0] * steps
        for transfer in plan.transfers:
            if transfer.kind == kind:
                moved[transfer.step] += transfer.bytes
        _bars(above, moved, floor, colour)
        floor = [low + more for low, more in zip(floor, moved, strict=True)]
    weight = {
        o.name: o.weight_bytes + (o.stage.reread_weight_bytes if o.stage else 0)
        for o in plan.operators
    }
    weights = [weight[name] for name in plan.order]
    _bars(below, weights, [0] * steps, COLOURS["grey"])
    for axes, values, what in ((above, floor, "activations"), (below, weights, "weights")):
        axes.set_ylim(0, max(*values, 1) * 1.08)
        byte_axis(axes, max(*values, 1), what)
        axes.grid(axis="y", linewidth=0.3)
        axes.set_axisbelow(True)
    below.set_xlim(0, steps)
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    below.set_xlabel("step (one operator or stage each)")
    above.set_title(_headline(plan), parse_math=False)
    totals = {kind: sum(t.bytes for t in plan.transfers if t.kind == kind) for kind in _KINDS}
    handles = [
        Patch(color=colour, label=f"{kind}, {rounded_bytes(totals[kind])} in all")
        for kind, colour in _KINDS.items()
    ]
    handles.append(
        Patch(color=COLOURS["grey"], label=f"weights, {rounded_bytes(sum(weights))} in all")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=5, frameon=False)
    return figure


def _bars(axes: Axes, heights: Sequence[int], floor: Sequence[int], colour: str) -> None:
    """One bar per step, without the gaps that would flicker at hundreds of steps."""
    shown = [t for t, height in enumerate(heights) if height]
    boxes = [
        [
            (t, floor[t]),
            (t, floor[t] + heights[t]),
            (t + 1, floor[t] + heights[t]),
            (t + 1, floor[t]),
        ]
        for t in shown
    ]
    axes.add_collection(PolyCollection(boxes, facecolors=colour, edgecolors=colour, linewidths=0.3))


def _headline(plan: Plan) -> str:
    budget = "" if plan.source.budget == "bytes" else f" ({plan.source.budget})"
    gap = "" if plan.status == "optimal" else f", bound {format_bytes(plan.bound_bytes)}"
    return (
        f"{label(plan.source.file)}: {format_bytes(plan.objective_bytes)} of non-compulsory traffic "
        f"({plan.status}{gap}), scratchpad {format_bytes(plan.scratchpad_bytes)}{budget}"
    )


def _roles(plan: Plan) -> dict[str, str]:
    """Of each tensor, by name."""
    workspaces = {o.stage.workspace for o in plan.operators if o.stage}
    return {t.name: _role(t, workspaces) for t in plan.tensors}


def _role(tensor: PlannedTensor, workspaces: Set[str]) -> str:
    if tensor.name in workspaces:
        return "workspace of patches"
    if len(tensor.intervals) > 1:
        return "leaves and returns"
    if tensor.network_input:
        return "network input"
    return "network output" if tensor.network_output else "kept on chip"


def _box(tensor: PlannedTensor, interval: Residency) -> list[tuple[float, float]]:
    left, right = interval.first_step, interval.last_step
    low, high = interval.address, interval.address + tensor.bytes
    return [(left, low), (left, high), (right, high), (right, low)]


def _mark(axes: Axes, plan: Plan) -> None:
    """A triangle where a fetch begins and a spill ends its interval."""
    fetches, spills = [], []
    spilled = {t.tensor for t in plan.transfers if t.kind == "spill"}
    for tensor in plan.tensors:
        for i, interval in enumerate(tensor.intervals):
            middle = interval.address + tensor.bytes / 2
            if i > 0:
                fetches.append((interval.first_step, middle))
            if i == 0 and tensor.name in spilled:
                spills.append((interval.last_step, middle))
    for points, marker, colour in ((fetches, ">", "ink"), (spills, ">", "red")):
        if points:
            axes.plot(
                *zip(*points, strict=True),
                linestyle="none",
                marker=marker,
                markersize=5,
                color=COLOURS[colour],
                clip_on=False,
            )


def _name_boxes(axes: Axes, plan: Plan) -> None:
    """Names a rectangle where its name fits inside at a readable size."""
    inch_per_step = 0.9 * _WIDTH / len(plan.order)
    inch_per_byte = 0.78 * _HEIGHT / (plan.scratchpad_bytes * 1.04)
    for tensor in plan.tensors:
        name = label(tensor.name, 24)
        for interval in tensor.intervals:
            span = interval.last_step - interval.first_step
            wide = span * inch_per_step > 0.075 * len(name) + 0.2
            if wide and tensor.bytes * inch_per_byte > 0.14:
                axes.text(
                    interval.first_step + span / 2,
                    interval.address + tensor.bytes / 2,
                    name,
                    fontsize=6.5,
                    ha="center",
                    va="center",
                    parse_math=False,
                )


def _legend(plan: Plan) -> list[Patch | Line2D]:
    roles = _roles(plan)
    present = {roles[tensor.name] for tensor in plan.tensors if tensor.intervals}
    handles: list[Patch | Line2D] = [
        Patch(color=colour, label=role) for role, colour in _ROLES.items() if role in present
    ]
    # Slices that stages move have no mark.
    whole = {t.name for t in plan.tensors if t.intervals}
    kinds = {t.kind for t in plan.transfers if t.tensor in whole}
    for kind, colour in (("spill", "red"), ("fetch", "ink")):
        if kind in kinds:
            handles.append(
                Line2D([], [], linestyle="none", marker=">", color=COLOURS[colour], label=kind)
            )
    handles.append(
        Line2D([], [], linestyle="--", color=COLOURS["ink"], label="end of the scratchpad")
    )
    return handles
