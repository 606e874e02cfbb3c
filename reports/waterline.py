"""Pictures of where the cycles go: all of them, per layer, and how busy each layer keeps its unit."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from hw.spec import Spec
from reports.bars import Row, bar_figure, draw_rows, longest
from reports.layers import Layer, Part, Unit, Waterline
from reports.style import COLOURS, new_figure, shortened

__all__ = ["cycles_per_layer", "utilisation", "waterline_figure"]

_MOST_LAYERS = 100
_COLOURS = {
    Part.MACS: COLOURS["green"],
    Part.DEPTHWISE: COLOURS["blue"],
    Part.VECTOR: "#cc79a7",
    Part.AGAIN: COLOURS["red"],
    Part.PADDING: COLOURS["orange"],
    Part.TAILS: COLOURS["yellow"],
    Part.DIGITS: "#a6761d",
    Part.SETUP: COLOURS["grey"],
    Part.WEIGHTS: "#0072b2",
    Part.ACTIVATIONS: "#003f5c",
    Part.STORES: "#7a5195",
    Part.DISPATCH: COLOURS["ink"],
}
_UNITS: dict[Unit, tuple[str, Part]] = {
    "array": ("Array", Part.MACS),
    "depthwise": ("Depthwise, on the vector lanes", Part.DEPTHWISE),
    "vector": ("Other layers on the vector lanes", Part.VECTOR),
}


def waterline_figure(found: Waterline, title: str) -> Figure:
    """A bar per part, each from where the one above ends: together they are all cycles."""
    figure = new_figure(12.0, 4.6)
    axes = figure.add_subplot()
    total, start = found.cycles, 0
    rows = [(part.value, count, _COLOURS[part]) for part, count in found.parts.items()]
    for place, (_, count, colour) in enumerate(rows):
        axes.barh(place, count, left=start, height=0.76, color=colour)
        axes.plot([start + count] * 2, [place, place + 1], color="#999999", linewidth=0.6)
        start += count
    axes.barh(len(rows), total, height=0.76, color="#e6eaee", edgecolor="#999999")
    rows.append(("all cycles", total, ""))
    for place, (_, count, _) in enumerate(rows):
        note = f"{count:>13,}  {100 * count / total:5.1f} %"
        axes.text(
            1.01, place, note, transform=axes.get_yaxis_transform(), va="center", fontsize=8,
            family="DejaVu Sans Mono",
        )  # fmt: skip
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    _cycle_axis(axes, total)
    axes.set_title(f"{shortened(title, 70)}: where {total:,} cycles go", parse_math=False)
    return figure


def cycles_per_layer(found: Waterline, title: str) -> Figure:
    """A bar per layer, in the order in which they run, of the same parts."""
    numbered = list(enumerate(found.layers, 1))
    shown = longest([layer.cycles for layer in found.layers], _MOST_LAYERS)
    rows = [
        Row(
            f"{layer.name}  {number}",
            {_COLOURS[part]: layer.parts[part] for part in Part if part in layer.parts},
            f"{layer.cycles:,}",
        )
        for number, layer in (numbered[n] for n in shown)
    ]
    figure, (axes,) = bar_figure([len(rows)])
    draw_rows(axes, rows)
    _cycle_axis(axes, max(sum(row.values.values()) for row in rows))
    axes.set_title(
        f"{shortened(title, 70)}: cycles per layer{_left_out(found, shown)}", parse_math=False
    )
    used = [part for part, count in found.parts.items() if count]
    figure.legend(
        handles=[Patch(color=_COLOURS[part], label=part.value) for part in used],
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=8,
    )
    return figure


def utilisation(found: Waterline, spec: Spec, title: str) -> Figure:
    """Share of what its unit could have done, per layer; depthwise and vector layers apart."""
    numbered = [(n, layer) for n, layer in enumerate(found.layers, 1) if layer.operations]
    chosen = longest([layer.cycles for _, layer in numbered], _MOST_LAYERS)
    kept = [numbered[n] for n in chosen]
    units = [unit for unit in _UNITS if any(layer.unit == unit for _, layer in kept)]
    groups = [[(n, layer) for n, layer in kept if layer.unit == unit] for unit in units]
    figure, panels = bar_figure([len(group) for group in groups] or [1])
    for axes, unit, group in zip(panels, units, groups, strict=False):
        name, part = _UNITS[unit]
        colour = _COLOURS[part]
        draw_rows(axes, [_utilised(n, layer, colour) for n, layer in group])
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:g} %"))
        axes.set_title(_headline(found, unit, spec), fontsize=9)
    size = f"{spec.engine.rows} x {spec.engine.cols}"
    figure.suptitle(
        f"{shortened(title, 70)}: utilisation per layer on the {size} engine{_left_out(found, chosen)}",
        x=0.01,
        ha="left",
        fontsize=10,
        parse_math=False,
    )
    while_computing = Line2D([], [], color="#333333", linewidth=1.4)
    figure.legend(
        handles=[Patch(color=COLOURS["grey"]), while_computing],
        labels=["of all cycles of the layer", "of those in which it does not wait"],
        loc="outside lower center",
        ncols=2,
        frameon=False,
    )
    return figure


def _utilised(number: int, layer: Layer, colour: str) -> Row:
    share = layer.utilisation or 0.0
    note = f"{100 * share:.1f} % of {layer.cycles:,} cycles"
    return Row(f"{layer.name}  {number}", {colour: share}, note, layer.busy_utilisation)


def _headline(found: Waterline, unit: Unit, spec: Spec) -> str:
    """What the layers of a unit reach together; on the lanes also of all PEs, most of which rest."""
    own = [layer for layer in found.layers if layer.unit == unit and layer.operations]
    operations, cycles = (sum(getattr(x, what) for x in own) for what in ("operations", "cycles"))
    could = sum(layer.cycles * layer.per_cycle for layer in own)
    most = spec.macs_per_cycle
    text = f"{_UNITS[unit][0]}: {100 * operations / could:.1f} % of "
    if unit == "array":
        return text + f"{most:,} MACs per cycle, all its layers together"
    return (
        text + f"{spec.engine.cols:,} taps per cycle, all its layers together "
        f"({100 * operations / (cycles * most):.1f} % of the {most:,} MACs that the array could do)"
    )


def _left_out(found: Waterline, shown: Sequence[int]) -> str:
    """Says so where not all layers are drawn."""
    if len(shown) < _MOST_LAYERS or len(found.layers) <= _MOST_LAYERS:
        return ""
    return f" (the {len(shown)} longest of {len(found.layers)})"


def _cycle_axis(axes: Axes, largest: float) -> None:
    scale, unit = (10**6, "million cycles") if largest >= 2 * 10**6 else (1, "cycles")
    if 20000 <= largest < 2 * 10**6:
        scale, unit = 1000, "thousand cycles"
    axes.set_xlim(0, max(1, largest) * 1.002)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set_xlabel(unit)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
