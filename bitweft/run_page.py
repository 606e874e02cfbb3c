"""How `bitweft run` shows what a run has found."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from bitweft.run_figures import Layer, Traffic
from bitweft.run_result import NetworkRun, Waveform

__all__ = ["images_table", "layers_table", "summary", "totals_table", "verdict", "waves_line"]


def layers_table(layers: tuple[Layer, ...], title: str) -> Table:
    """A row per layer."""
    table = Table(title=Text(title), box=None, pad_edge=False)
    for heading in ("layer", "kind"):
        table.add_column(heading, overflow="fold", min_width=10)
    for heading in ("MACs", "predicted", "cycles", "utilisation"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("of", no_wrap=True)
    for layer in layers:
        share = layer.utilisation
        table.add_row(
            Text(layer.name),
            layer.kind,
            f"{layer.macs:,}",
            f"{layer.predicted:,}",
            f"{layer.cycles:,}",
            "moves only" if share is None else f"{100 * share:.1f} %",
            layer.unit,
        )
    return table


def images_table(done: NetworkRun) -> Table:
    """A row per image."""
    table = Table(box=None, pad_edge=False)
    for heading in ("image", "predicted", "cycles", "bytes", "elements", "mismatches"):
        table.add_column(heading, justify="right", no_wrap=True)
    for number, image in enumerate(done.images):
        figures = (image.predicted, image.cycles, sum(image.counted))
        row = (number, *figures, image.compared, image.mismatches)
        table.add_row(*(f"{value:,}" for value in row))
    return table


def waves_line(waveform: Waveform) -> str:
    """What was written, and where."""
    return (
        f"Waveform of layer {waveform.layer!r}: {waveform.file}, cycles {waveform.first:,} to "
        f"{waveform.end:,} of the run, {waveform.file.stat().st_size:,} B."
    )


def totals_table(done: NetworkRun) -> Table:
    """What was run, and its figures beside those predicted."""
    table = Table(show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right", overflow="fold")

    def row(what: str, value: str) -> None:
        table.add_row(what, Text(value))

    row("input", done.source + (f", {len(done.images)} images" if done.images else ""))
    if done.calibration:
        row("quantised with", done.calibration)
    row("scratchpad", f"{done.plan.scratchpad_bytes:,} B ({done.plan.source.budget})")
    made = "" if done.plan.method == "best" else f", by {done.plan.method}"
    for kind, part in done.plan.traffic.items():
        once, again = part["compulsory"], part["non_compulsory"]
        row(f"planned {kind}", f"{once:,} B compulsory, {again:,} B more")
    row("plan", f"{done.plan.status}, {done.plan.objective_bytes:,} B non-compulsory{made}")
    table.add_section()
    row("MACs", f"{done.macs:,}")
    if done.host:
        row("left to the host", ", ".join(done.host))
    row("cycles predicted" + (", without stalls" if done.stalls else ""), f"{done.predicted:,}")
    row("cycles counted", f"{done.cycles:,}")
    row("utilisation of the array", f"{100 * done.utilisation:.1f} %")
    table.add_section()
    for name in Traffic._fields:
        planned, counted = getattr(done.planned, name), getattr(done.counted, name)
        row(f"bytes of {name}", f"{planned:,} planned, {counted:,} counted")
    table.add_section()
    row("elements compared", f"{done.compared:,}")
    row("mismatches", f"{done.mismatches:,}")
    return table


def verdict(done: NetworkRun) -> str:
    """Whether the three views agree; else where they first differ."""
    if done.agrees:
        cycle = "no byte" if done.stalls else "no byte and no cycle"
        return f"Hardware, plan and model agree: no element, {cycle} differs."
    parts = []
    if done.first is not None:
        place = ", ".join(
            f"{axis} {n}"
            for axis, n in zip(("n", "y", "x", "channel"), done.first.coordinate, strict=True)
        )
        parts.append(
            f"{done.mismatches:,} elements differ; the first is in layer {done.first.layer!r} at "
            f"{place}: expected {done.first.expected}, got {done.first.actual}."
        )
    if done.planned != done.counted:
        parts.append("The bytes counted are not those planned.")
    elif not done.mismatches:
        parts.append("The cycles counted are not those predicted.")
    return " ".join(parts)


def summary(done: NetworkRun) -> dict[str, object]:
    """The same for machines."""
    first, waveform = done.first, done.waveform
    return {
        "status": "agrees" if done.agrees else "differs",
        "spec": done.spec.resolved(),
        "input": done.source,
        "calibration": done.calibration,
        "plan": done.plan.head(),
        "macs": done.macs,
        "stalls": done.stalls,
        "cycles_predicted": done.predicted,
        "cycles": done.cycles,
        "utilisation": done.utilisation,
        "bytes_planned": done.planned._asdict(),
        "bytes_counted": done.counted._asdict(),
        "compared": done.compared,
        "mismatches": done.mismatches,
        "first_mismatch": None if first is None else vars(first),
        "waves": waveform and {**vars(waveform), "file": str(waveform.file)},
        "images": [
            {
                "cycles_predicted": image.predicted,
                "cycles": image.cycles,
                "bytes_counted": image.counted._asdict(),
                "compared": image.compared,
                "mismatches": image.mismatches,
            }
            for image in done.images
        ],
        "layers": [{**vars(layer), "utilisation": layer.utilisation} for layer in done.layers],
    }
