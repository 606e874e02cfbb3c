"""How `bitweft report` shows a network on an accelerator: tables, figures, one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from bitweft.report_content import Report
from hw.units import format_bytes
from reports.layers import Layer, Part, Unit
from reports.page import Picture, Section, Table, embedded, page
from reports.roofline import network_point, roof_of, roofline
from reports.traffic import Class, tensor_figure, total_traffic
from reports.waterline import cycles_per_layer, utilisation, waterline_figure

__all__ = ["COLUMNS", "figures", "head", "layer_row", "report_page", "summary"]

COLUMNS = (
    "layer",
    "kind",
    "unit",
    "macs",
    "computed_macs",
    "operations",
    "operations_per_cycle",
    "cycles",
    "utilisation",
    "utilisation_while_computing",
    "weight_bytes",
    "activation_bytes",
    "stored_bytes",
    "instruction_bytes",
    *(part.name.lower() for part in Part),
)
"""Of ``layers.csv``; the last ones are the parts of its cycles."""

_MOST_TENSORS = 20

_MEANING = {
    Part.MACS: "least whole cycles per layer for its MACs, each once, at the rate of whole beats",
    Part.DEPTHWISE: "depthwise convolutions: one tap per lane and cycle, each once",
    Part.VECTOR: "layers without MACs: one tap or element per lane and cycle, each once",
    Part.AGAIN: "what rows that several patches compute add to the three above",
    Part.PADDING: "zeros that enter because channels fill whole words, or belong to other groups",
    Part.TAILS: "rows of the array beyond the last pixel of a computation",
    Part.DIGITS: "digits of operands that take longer than a beat, with fill and drain",
    Part.SETUP: "fill and drain of each computation, its parameters, and gathering of words",
    Part.WEIGHTS: "nothing computes: a load of weights must end first",
    Part.ACTIVATIONS: "nothing computes: a load of activations must end first",
    Part.STORES: "nothing computes: a store must end first, or the end waits for it",
    Part.DISPATCH: "nothing computes: the next instruction is being fetched or handed out",
}

_TRACE = (
    "trace.json opens in ui.perfetto.dev and chrome://tracing: one event per instruction in the lanes "
    "load weights, load activations, execute and store, one microsecond per cycle. layers.csv and "
    "tensors.csv hold the tables, report.json all of this page, plan.json the plan."
)


def figures(report: Report, title: str) -> Iterator[tuple[str, Figure]]:
    """File names without suffix, and figures; those of the plan are not among them."""
    found, spec = report.waterline, report.spec
    yield "waterline", waterline_figure(found, title)
    yield "layers", cycles_per_layer(found, title)
    yield "utilisation", utilisation(found, spec, title)
    yield "roofline", roofline(found, spec, title)
    yield "tensors", tensor_figure(list(report.tensors), title)


def layer_row(layer: Layer) -> tuple[Any, ...]:
    """A row of ``layers.csv``; shares have six digits."""
    return (
        layer.name,
        layer.kind,
        layer.unit,
        layer.macs,
        layer.computed_macs,
        layer.operations,
        layer.per_cycle,
        layer.cycles,
        _six(layer.utilisation),
        _six(layer.busy_utilisation),
        layer.bytes.weights,
        layer.bytes.activations,
        layer.bytes.stored,
        layer.bytes.instructions,
        *(layer.parts.get(part, 0) for part in Part),
    )


def summary(report: Report) -> dict[str, Any]:
    """The report for machines."""
    found, roof = report.waterline, roof_of(report.spec)
    point = network_point(found)
    return {
        "status": report.plan.status,
        "spec": report.spec.resolved(),
        "calibration": report.calibration,
        "host": list(report.host),
        "plan": report.plan.head(),
        "instructions": len(report.lowered.program),
        "cycles": found.cycles,
        "cycles_by_part": {part.name.lower(): count for part, count in found.parts.items()},
        "cycles_after_last_computation": {p.name.lower(): n for p, n in found.end.items()},
        "macs": sum(layer.macs for layer in found.layers),
        "utilisation": {unit: _six(_unit_share(report, unit)) for unit in _UNITS},
        "bytes_by_class": {
            c.name.lower(): n for c, n in total_traffic(list(report.tensors)).items()
        },
        "roof": {
            "array_macs_per_cycle": roof.array,
            "lane_taps_per_cycle": roof.lanes,
            "bus_bytes_per_cycle": roof.bus,
            "network_macs_per_byte": None if point is None else _six(point.intensity),
            "network_macs_per_cycle": None if point is None else _six(point.rate),
        },
        "layers": [dict(zip(COLUMNS, layer_row(x), strict=True)) for x in found.layers],
        "tensors": [
            {"name": t.name, **{c.name.lower(): t.bytes[c] for c in Class if c in t.bytes}}
            for t in report.tensors
        ],
    }


_UNITS: tuple[Unit, ...] = ("array", "depthwise", "vector")


def _unit_share(report: Report, unit: Unit) -> float | None:
    """What the layers of a unit do, of what it could have done in their cycles."""
    own = [x for x in report.waterline.layers if x.unit == unit and x.operations]
    could = sum(x.cycles * x.per_cycle for x in own)
    return sum(x.operations for x in own) / could if could else None


def head(report: Report) -> list[tuple[str, str]]:
    """The most important figures, in words."""
    plan, spec, found = report.plan, report.spec, report.waterline
    macs = sum(layer.macs for layer in found.layers)
    most = spec.macs_per_cycle
    moved = total_traffic(list(report.tensors))
    rows = [
        ("engine", f"{spec.engine.rows} x {spec.engine.cols} PEs ({spec.pe.kind})"),
        ("scratchpad", f"{format_bytes(plan.scratchpad_bytes)} ({plan.source.budget})"),
        ("plan", plan.status if not plan.gap else f"{plan.status}, gap {100 * plan.gap:.1f} %"),
        ("instructions", f"{len(report.lowered.program):,}"),
        ("MACs", f"{macs:,}"),
        ("MACs computed again in patches", f"{plan.recomputed_macs:,}"),
        ("cycles (exact, memory without stalls)", f"{found.cycles:,}"),
        ("utilisation: MACs of all PEs", _percent(macs / (found.cycles * most))),
    ]
    for unit, name in zip(_UNITS, ("array", "depthwise", "other vector"), strict=True):
        rows.append((f"utilisation: {name} layers", _percent(_unit_share(report, unit))))
    compulsory = sum(n for c, n in moved.items() if c.compulsory)
    rows += [
        ("compulsory traffic", f"{compulsory:,} B"),
        ("non-compulsory traffic", f"{plan.objective_bytes:,} B"),
        ("instructions on the bus", f"{moved[Class.INSTRUCTIONS]:,} B"),
    ]
    if report.calibration:
        rows.append(("quantised with", report.calibration))
    if report.host:
        rows.append(("left to the host", ", ".join(report.host)))
    return rows


def report_page(report: Report, title: str, folder: Path) -> str:
    """The page, with the figures that are in `folder` inside."""
    found = report.waterline
    picture = _Pictures(folder)
    sections = [
        Section("Summary", _TRACE, Table(("", "value"), head(report))),
        Section(
            "Where the cycles go",
            "Every cycle is in one part: what is computed is divided layer by layer, and a cycle in "
            "which nothing is computed belongs to what the next computation, or the end, hangs on. "
            "The parts sum to all cycles exactly.",
            Table(("part", "cycles", "share", "meaning"), _parts(report), words=[3]),
            [picture("waterline", "Parts of all cycles, each from where the one above ends.")],
        ),
        Section(
            "Layers",
            "A layer has the cycles from the end of the computation before it: what it waits for is "
            "in them. Utilisation is the share of its MACs (on the lanes: taps) in what its unit could "
            "do in these cycles, rows that are computed again not counted. Depthwise convolutions "
            "run on the vector lanes, one per column of the array.",
            _layer_table(found.layers),
            [
                picture("layers", "Cycles of each layer by part, in the order of the run."),
                picture("utilisation", "Utilisation of the array and, apart, of the lanes."),
            ],
        ),
        Section(
            "Roofline",
            "A layer's operations per cycle over its operations per byte that it moves, instructions "
            "included, in the direction of the bus that is busier. Loads may come while the layer "
            "before computes, so a layer may lie above the slope; the whole network cannot.",
            None,
            [picture("roofline", "Area of a mark: cycles of the layer.")],
        ),
        Section(
            "Traffic per tensor",
            "Compulsory bytes cross the bus with every plan: inputs and outputs once, each operator's "
            "weights once. The others are this plan's, and what it minimises. Instructions are no "
            "part of a plan and stand apart.",
            _class_table(report),
            [picture("tensors", "The tensors with the most traffic.")],
        ),
        Section(
            f"The {min(_MOST_TENSORS, len(report.tensors))} tensors with the most traffic",
            "In bytes; all of them are in tensors.csv.",
            _tensor_table(report),
        ),
        Section(
            "The plan",
            "What lies where in the scratchpad, and what crosses the bus, step by step.",
            None,
            [
                picture("residency", "Scratchpad addresses over steps."),
                picture("traffic", "Bytes on the bus at each step."),
            ],
        ),
    ]
    versions = ", ".join(
        f"{p} {metadata.version(p)}" for p in ("bitweft", "ortools", "onnx", "numpy")
    )
    model = report.plan.source
    footer = f"{model.file}, SHA-256 {model.sha256}, seed {report.plan.seed}; {versions}."
    words = (
        f"{found.cycles:,} cycles and {sum(t.total for t in report.tensors):,} bytes, planned and "
        "timed by the exact model; nothing was simulated."
    )
    return page(title, words, sections, footer)


class _Pictures:
    """Figures of a folder, put into the page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str, caption: str) -> Picture:
        return Picture(embedded(self._folder / f"{name}.svg"), caption)


def _parts(report: Report) -> list[tuple[str, ...]]:
    found = report.waterline
    rows = [
        (part.value, f"{count:,}", _percent(count / found.cycles), _MEANING[part])
        for part, count in found.parts.items()
    ]
    return [*rows, ("all cycles", f"{found.cycles:,}", _percent(1.0), "")]


def _layer_table(layers: Sequence[Layer]) -> Table:
    header = (
        *("layer", "no.", "kind", "runs on", "MACs", "cycles", "waiting", "utilisation"),
        *("while computing", "weights, B", "loaded, B", "stored, B"),
    )
    rows = [
        (
            layer.name,
            str(number),
            layer.kind,
            "array"
            if layer.unit == "array"
            else "lanes" + ", depthwise" * (layer.unit != "vector"),
            f"{layer.macs:,}",
            f"{layer.cycles:,}",
            f"{layer.waiting:,}",
            _percent(layer.utilisation),
            _percent(layer.busy_utilisation),
            f"{layer.bytes.weights:,}",
            f"{layer.bytes.activations:,}",
            f"{layer.bytes.stored:,}",
        )
        for number, layer in enumerate(layers, 1)
    ]
    return Table(header, rows, words=[2, 3])


def _class_table(report: Report) -> Table:
    words = {True: "compulsory", False: "non-compulsory", None: "apart"}
    rows = [
        (kind.value, words[kind.compulsory], f"{count:,}")
        for kind, count in total_traffic(list(report.tensors)).items()
    ]
    total = sum(t.total for t in report.tensors)
    return Table(("class", "", "bytes"), [*rows, ("all", "", f"{total:,}")], words=[1])


def _tensor_table(report: Report) -> Table:
    shown = report.tensors[:_MOST_TENSORS]
    used = [kind for kind in Class if any(kind in t.bytes for t in shown)]
    rows = [
        (t.name, *(f"{t.bytes[k]:,}" if k in t.bytes else "" for k in used), f"{t.total:,}")
        for t in shown
    ]
    return Table(("tensor", *(kind.value for kind in used), "all"), rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f} %"


def _six(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
