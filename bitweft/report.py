"""A report of one network on one accelerator: planned, lowered, timed, drawn. No RTL runs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bitweft.report_content import Report
from bitweft.report_page import COLUMNS, figures, layer_row, report_page, summary
from bitweft.run_plan import import_network, plan_network
from bitweft.run_program import RunProgram, drawn_input
from hw.errors import InputError
from hw.limits import accelerator_conflict
from hw.spec import Spec
from hw.units import format_bytes
from mapper.lower import lower
from mapper.schedule.solver import Limits
from reports.layers import waterline
from reports.residency import write_plots
from reports.style import fixed_style, save
from reports.trace import trace_text
from reports.traffic import Class, TensorTraffic, traffic_per_tensor

__all__ = ["Report", "make_report", "write_report"]


def make_report(
    model: Path,
    spec: Spec,
    *,
    scratchpad: str | None = None,
    method: str = "best",
    seed: int = 0,
    calibration: Path | None = None,
    host: bool = False,
    on_progress: Callable[[str], None],
) -> Report:
    """Plans a network as `bitweft run` does, and times its program.

    Raises
    ------
    InputError
        The model, the spec or an option cannot be used.
    Infeasible
        An operator does not fit into the scratchpad.
    """
    if conflict := accelerator_conflict(spec):
        raise InputError(f"Spec {spec.name!r}: {conflict}.")
    on_progress("reading the model")
    quantised, words = import_network(model, calibration, seed, host)
    on_progress("planning")
    network = quantised.network
    limits = Limits(seed=seed)
    plan, spec = plan_network(model, network, spec, scratchpad, limits, method)
    on_progress("lowering")
    lowered = lower(network, plan, spec)
    on_progress(f"timing {len(lowered.program):,} instructions")
    program = RunProgram.whole(network, lowered, spec)
    timing = program.fed(drawn_input(network, seed)).timing
    return Report(
        plan=plan,
        spec=spec,
        lowered=lowered,
        timing=timing,
        waterline=waterline(network, plan, lowered, spec, timing),
        tensors=tuple(traffic_per_tensor(plan, lowered)),
        calibration=words,
        host=tuple(quantised.host),
    )


def write_report(report: Report, folder: Path, on_progress: Callable[[str], None]) -> None:
    """Writes the page, the figures and the data; equal reports give equal bytes."""
    plan = report.plan
    size = format_bytes(plan.scratchpad_bytes)
    title = f"{plan.source.file} on {report.spec.name}, scratchpad {size}"

    def write(name: str, text: str) -> None:
        (folder / name).write_text(text, encoding="utf-8", newline="\n")

    write("plan.json", plan.text())
    write("report.json", json.dumps(summary(report), indent=1) + "\n")
    write("layers.csv", _csv(COLUMNS, map(layer_row, report.waterline.layers)))
    write("tensors.csv", _csv(("tensor", *(c.value for c in Class)), map(_bytes, report.tensors)))
    write("trace.json", trace_text(report.lowered, report.spec, report.timing, title))
    on_progress("drawing")
    with fixed_style():
        write_plots(plan, folder)
        for name, figure in figures(report, title):
            on_progress(f"drawing {name}")
            save(figure, folder, name)
    write("index.html", report_page(report, title, folder))


def _bytes(tensor: TensorTraffic) -> Sequence[Any]:
    return (tensor.name, *(tensor.bytes.get(kind, 0) for kind in Class))


def _csv(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
