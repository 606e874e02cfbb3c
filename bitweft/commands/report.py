"""``bitweft report``: one page on how a network runs on an accelerator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bitweft.methods import Method
from bitweft.report import make_report, write_report
from bitweft.report_page import head, summary
from bitweft.run_plan import Infeasible
from hw.files import require_writable, staged_directory, write_text
from hw.spec import load_spec


def report_command(
    model: Annotated[Path, typer.Argument(help="The network, an ONNX file.")],
    spec: Annotated[
        str,
        typer.Option(help="Accelerator: tiny, small, base, or a TOML file.", show_default=False),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for page, figures, trace and data.")
    ],
    scratchpad: Annotated[
        str | None,
        typer.Option(
            metavar="MR|MH|MP|SIZE",
            help="Scratchpad: largest operator, mean, least peak, or bytes.",
            show_default="the spec's",
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="What makes the plan: the search, or a baseline of the literature."),
    ] = Method.BEST,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of calibration and plan.")] = 0,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="F.npz", help="Data to quantise a float model with.", show_default="random"
        ),
    ] = None,
    host: Annotated[
        bool,
        typer.Option(
            "--host",
            help="Leave operators at the end that the hardware does not run to the host.",
        ),
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary for machines.")
    ] = None,
) -> None:
    """Report where the cycles and bytes of a network go, layer by layer and tensor by tensor.

    Plans the network, lowers it to a program and times that with the exact model; no hardware is
    simulated. Writes index.html, which stands alone, with the roofline, utilisation, cycles by
    cause, traffic per tensor and the residency map, each also as PNG and SVG; trace.json for
    ui.perfetto.dev; layers.csv, tensors.csv, report.json and plan.json. The exit status is 1 when an
    operator does not fit into the scratchpad.

    Example: bitweft report model.onnx --spec base -o report/
    """
    if json_file is not None:
        require_writable(json_file)
    accelerator = load_spec(spec)
    console = Console(highlight=False)
    try:
        with (
            staged_directory(output) as folder,
            Console(stderr=True).status("") as status,
        ):
            report = make_report(
                model,
                accelerator,
                scratchpad=scratchpad,
                method=method.value,
                seed=seed,
                calibration=calibration,
                host=host,
                on_progress=status.update,
            )
            write_report(report, folder, status.update)
    except Infeasible as error:
        console.print(f"infeasible: {error}", markup=False, soft_wrap=True)
        if json_file is not None:
            content = {"status": "infeasible", "message": str(error)}
            write_text(json_file, json.dumps(content, indent=2) + "\n")
        raise typer.Exit(1) from error
    if json_file is not None:
        write_text(json_file, json.dumps(summary(report), indent=2) + "\n")
    table = Table(title=Text(f"{model.name} on {accelerator.name}"), show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right", overflow="fold")
    for what, value in head(report):
        table.add_row(Text(what), Text(value))
    table.add_section()
    for part, count in report.waterline.parts.items():
        share = 100 * count / report.waterline.cycles
        table.add_row(part.value, f"{count:,} cycles, {share:.1f} %")
    console.print(table)
    console.print(
        Text(f"Open {output / 'index.html'}; trace.json is for ui.perfetto.dev."), style="dim"
    )
