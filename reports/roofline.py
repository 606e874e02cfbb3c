"""The roofline of a spec, and where the layers of a network lie under it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, degrees

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import Bbox

from hw.spec import Spec
from reports.layers import Layer, LayerBytes, Unit, Waterline
from reports.style import COLOURS, shortened

__all__ = ["Point", "Roof", "network_point", "roof_of", "roofline", "roofline_point"]

_WIDTH, _HEIGHT = 12.0, 7.0  # inches
_NAMED = 12  # layers that are named, the longest first
_MARKS: dict[Unit, tuple[str, str, str]] = {
    "array": ("o", COLOURS["green"], "layer on the array: MACs"),
    "depthwise": ("^", COLOURS["blue"], "depthwise layer on the lanes: MACs"),
    "vector": ("s", "#cc79a7", "other layer on the lanes: taps"),
}


@dataclass(frozen=True)
class Roof:
    """What a spec can do.

    Attributes
    ----------
    array, lanes : int
        MACs, or taps, per cycle.
    bus : float
        Bytes per cycle in each direction, reading and writing at once.
    """

    array: int
    lanes: int
    bus: float

    def at(self, intensity: float, unit: Unit) -> float:
        """Most operations per cycle at `intensity` operations per byte."""
        return min(self.array if unit == "array" else self.lanes, self.bus * intensity)


@dataclass(frozen=True)
class Point:
    """A layer: operations per byte of the busier direction of the bus, and per cycle.

    With loads that come while the layer before is computed, a layer may lie above the slope; the
    whole network never does.
    """

    name: str
    unit: Unit
    intensity: float
    rate: float
    cycles: int


def roof_of(spec: Spec) -> Roof:
    """Peaks of a spec; a word takes whole cycles on the bus."""
    beat = -(-spec.word_bytes // spec.memory.bytes_per_cycle)
    return Roof(array=spec.macs_per_cycle, lanes=spec.engine.cols, bus=spec.word_bytes / beat)


def roofline_point(layer: Layer, number: int) -> Point | None:
    """None where a layer has no operations, for it only moves channels."""
    if not layer.operations:
        return None
    return Point(
        name=f"{layer.name}  {number}",
        unit=layer.unit,
        intensity=layer.operations / _busier([layer.bytes]),
        rate=layer.operations / layer.cycles,
        cycles=layer.cycles,
    )


def network_point(found: Waterline) -> Point | None:
    """All MACs, bytes and cycles together; None without MACs."""
    macs = sum(layer.macs for layer in found.layers)
    if not macs:
        return None
    moved = _busier([found.end_bytes, *(layer.bytes for layer in found.layers)])
    return Point("the whole network", "array", macs / moved, macs / found.cycles, found.cycles)


def _busier(moved: Sequence[LayerBytes]) -> int:
    """Bytes of the busier direction; every layer has at least the bytes of its instructions."""
    return max(sum(m.read for m in moved), sum(m.stored for m in moved))


def roofline(found: Waterline, spec: Spec, title: str) -> Figure:
    """Both axes logarithmic; the area of a mark is proportional to the cycles of its layer."""
    roof = roof_of(spec)
    made = (roofline_point(layer, n) for n, layer in enumerate(found.layers, 1))
    points = [point for point in made if point is not None]
    whole = network_point(found)
    # Names are placed by where things are on the page, so the axes must not move afterwards.
    figure = Figure(figsize=(_WIDTH, _HEIGHT))
    axes = figure.add_axes((0.06, 0.155, 0.915, 0.79))
    axes.set_xscale("log", base=2)
    axes.set_yscale("log", base=2)
    everything = [*points, *([whole] if whole else [])]
    ridge = roof.array / roof.bus
    low = min([p.intensity for p in everything] + [roof.lanes / roof.bus]) / 2
    high = max([p.intensity for p in everything] + [ridge]) * 4
    axes.set_xlim(low, high)
    floor = min([p.rate for p in everything] + [roof.lanes / 2]) / 2
    axes.set_ylim(floor, roof.array * 2)
    _draw_roof(axes, roof, low, high)
    most = max((p.cycles for p in points), default=1)
    for unit, (marker, colour, _) in _MARKS.items():
        own = [p for p in points if p.unit == unit]
        axes.scatter(
            [p.intensity for p in own],
            [p.rate for p in own],
            s=[12 + 220 * p.cycles / most for p in own],
            marker=marker,
            c=colour,
            alpha=0.75,
            edgecolors=COLOURS["ink"],
            linewidths=0.5,
            zorder=3,
        )
    if whole is not None:
        axes.scatter(
            whole.intensity, whole.rate, s=190, marker="*", c=COLOURS["yellow"],
            edgecolors=COLOURS["ink"], linewidths=0.8, zorder=4,
        )  # fmt: skip
    _name(figure, axes, everything, roof)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("operations per byte on the busier direction of the bus")
    axes.set_ylabel("operations per cycle")
    axes.grid(which="major", linewidth=0.3)
    axes.set_axisbelow(True)
    axes.set_title(f"{shortened(title, 70)}: roofline", parse_math=False)
    _legend(figure, points, whole)
    return figure


def _draw_roof(axes: Axes, roof: Roof, low: float, high: float) -> None:
    for unit, peak, what in (
        ("array", roof.array, f"array: {roof.array:,} MACs per cycle"),
        ("depthwise", roof.lanes, f"vector lanes: {roof.lanes:,} taps per cycle"),
    ):
        colour = _MARKS["array" if unit == "array" else "depthwise"][1]
        ridge = max(peak / roof.bus, low)
        axes.plot([ridge, high], [peak, peak], color=colour, linewidth=1.6, zorder=2)
        axes.annotate(
            what, (high, peak), (-6, 4), textcoords="offset points", ha="right", fontsize=8.5
        )
    top = roof.array / roof.bus
    axes.plot(
        [low, top], [low * roof.bus, roof.array], color=COLOURS["ink"], linewidth=1.6, zorder=2
    )
    start, end = axes.transData.transform([(low, low * roof.bus), (top, roof.array)])
    # Both axes are logarithmic, so the middle of the line that is seen is found on the page.
    bottom = max(low, axes.get_ylim()[0] / roof.bus)
    middle = (bottom * top) ** 0.5
    axes.annotate(
        f"bus: {roof.bus:g} bytes per cycle", (middle, middle * roof.bus), (-4, 4),
        textcoords="offset points", ha="right", fontsize=8.5,
        rotation=_angle(start, end), rotation_mode="anchor",
    )  # fmt: skip


def _angle(start: Sequence[float], end: Sequence[float]) -> float:
    return degrees(atan2(end[1] - start[1], end[0] - start[0]))


def _roof_boxes(axes: Axes, roof: Roof) -> list[Bbox]:
    """Where names would stand on a line or on what is written along it, in pixels."""
    frame = axes.get_window_extent()
    boxes = []
    for peak in (roof.array, roof.lanes):
        left, y = axes.transData.transform((peak / roof.bus, peak))
        boxes.append(Bbox.from_extents(left, y - 2, frame.x1, y + 2))
        boxes.append(Bbox.from_extents(frame.x1 - 200, y, frame.x1, y + 18))
    left, bottom = axes.transData.transform((1 / roof.bus, 1))
    right, top = axes.transData.transform((roof.array / roof.bus, roof.array))
    for n in range(100):
        x, y = left + n * (right - left) / 100, bottom + n * (top - bottom) / 100
        boxes.append(Bbox.from_extents(x - 14, y - 3, x + 6, y + 12))
    return boxes


def _name(figure: Figure, axes: Axes, points: Sequence[Point], roof: Roof) -> None:
    """Names the longest layers where there is room beside their marks."""
    per_inch = figure.dpi
    places = (axes.transData.transform((p.intensity, p.rate)) for p in points)
    taken = [Bbox.from_extents(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    taken += _roof_boxes(axes, roof)
    frame = axes.get_window_extent()
    by_time = sorted(points, key=lambda p: (-p.cycles, p.name))[:_NAMED]
    for point in by_time:
        text = shortened(point.name, 36)
        wide, tall = 0.062 * len(text) * per_inch, 0.13 * per_inch
        x, y = axes.transData.transform((point.intensity, point.rate))
        for dx, dy in _OFFSETS:
            left = x + dx * per_inch / 72 - (wide if dx < 0 else 0)
            box = Bbox.from_bounds(left, y + dy * per_inch / 72 - tall / 2, wide, tall)
            inside = frame.x0 < box.x0 and box.x1 < frame.x1
            inside = inside and frame.y0 < box.y0 and box.y1 < frame.y1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                axes.annotate(
                    text, (point.intensity, point.rate), (dx, dy), textcoords="offset points",
                    ha="right" if dx < 0 else "left", va="center", fontsize=7, parse_math=False,
                    arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": "#777777"},
                    zorder=5,
                )  # fmt: skip
                break


# Where a name may stand, in points from its mark, the nearest first.
_OFFSETS = [
    (side * reach, lift)
    for reach, lifts in ((10, (0, 8, -8)), (16, (16, -16, 24, -24)), (28, (34, -34, 46, -46)))
    for lift in lifts
    for side in (1, -1)
]


def _legend(figure: Figure, points: Sequence[Point], whole: Point | None) -> None:
    present = {p.unit for p in points}
    shape = {"linestyle": "none", "markeredgecolor": COLOURS["ink"], "markeredgewidth": 0.5}
    handles = [
        Line2D([], [], marker=marker, color=colour, label=name, **shape)  # type: ignore[arg-type]
        for unit, (marker, colour, name) in _MARKS.items()
        if unit in present
    ]
    if whole is not None:
        handles.append(
            Line2D(
                [], [], marker="*", markersize=11, color=COLOURS["yellow"],
                label="the whole network: MACs", **shape,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False)
