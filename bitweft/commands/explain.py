"""``bitweft explain``: how a processing element follows from the traditional loop nest."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from hw.errors import InputError
from hw.files import require_writable, write_text
from hw.notation.compare import compare, element_of
from hw.notation.count import compressor_notes, count
from hw.notation.cycles import cycle_law
from hw.notation.derive import ABOUT, Sizes, derive
from hw.notation.retime import latencies
from hw.notation.rewrite import Step
from hw.notation.show import show
from hw.operand import Operand


def explain_command(
    name: Annotated[str | None, typer.Argument(help="The PE; without it, all are listed.")] = None,
    rows: Annotated[int, typer.Option(help="Cells per column: MP.")] = 4,
    cols: Annotated[int, typer.Option(help="Cells per row: NP.")] = 4,
    m: Annotated[int | None, typer.Option(help="Rows of A.", show_default="rows")] = None,
    n: Annotated[int | None, typer.Option(help="Columns of B.", show_default="cols")] = None,
    k: Annotated[int, typer.Option(help="Length of the sums.")] = 64,
    group: Annotated[
        int, typer.Option(help="Operands at once: in space (opt2) or to an encoder (opt3, opt4).")
    ] = 4,
    lanes: Annotated[int, typer.Option(help="Streams into one pair (opt4e).")] = 4,
    activation: Annotated[str, typer.Option(help="Format of A.")] = "int8",
    weight: Annotated[str, typer.Option(help="Format of B.")] = "int8",
    recoding: Annotated[str, typer.Option(help="Digits of A: mbe, ent or radix2.")] = "mbe",
    accumulator_bits: Annotated[int, typer.Option(help="Width of a result.")] = 32,
    hardware: Annotated[
        bool, typer.Option("--hardware", help="Count the elaborated cell too, and compare.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the steps for machines.")
    ] = None,
) -> None:
    """Derive a processing element from the traditional loop nest, rewrite by rewrite.

    Each step shows the rule, why it is legal here, the nest after it, and what it changes in the
    hardware. Ends with exit status 1 when `--hardware` finds a figure that differs.

    Example: bitweft explain opt4c --k 128
    """
    if json_file is not None:
        require_writable(json_file)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty())
    if name is None:
        if json_file is not None or hardware:
            raise InputError("A PE must be named for --json and --hardware: see 'bitweft explain'.")
        width = max(len(known) for known in ABOUT)
        for known, about in ABOUT.items():
            console.print(Text.assemble((f"{known:<{width}}", "bold"), f"  {about}"))
        return
    try:
        a, b = Operand.parse(activation), Operand.parse(weight)
    except ValueError as error:
        raise InputError(f"--activation and --weight {error}.") from error
    sizes = Sizes(
        m=rows if m is None else m,
        n=cols if n is None else n,
        k=k,
        rows=rows,
        cols=cols,
        group=group,
        lanes=lanes,
        a=a,
        b=b,
        recoding=recoding,
        accumulator_bits=accumulator_bits,
    )
    steps = derive(name, sizes)
    compared: list[dict[str, Any]] = []
    if hardware:
        compared = _compare(name, sizes)
    for number, step in enumerate(steps):
        title = f"{step.rule}: {step.title}" if step.rule else step.title
        parts = _parts(step, steps[number - 1] if number else None)
        if console.is_terminal:
            console.print(Panel(Group(*parts), title=f"{number}. {title}", title_align="left"))
        else:
            console.print(f"{number}. {title}", *parts, "", sep="\n", markup=False)
    if hardware:
        console.print(_comparison(compared))
    if json_file is not None:
        summary = {
            "pe": name,
            "about": ABOUT[name],
            "steps": [_summary(step) for step in steps],
            "hardware": compared,
        }
        write_text(json_file, json.dumps(summary, indent=2) + "\n")
    if not all(row["agrees"] for row in compared):
        raise typer.Exit(1)


def _parts(step: Step, before: Step | None) -> list[RenderableType]:
    """The rule's legality, the nest, and what changes."""
    legal = Text.assemble(("Legal: " if step.rule else "", "bold"), step.why)
    nest = Text(show(step.nest, compressor_notes(step.nest)).rstrip(), style="cyan")
    return [legal, Text(), nest, Text(), *_figures(step, before)]


def _figures(step: Step, before: Step | None) -> list[RenderableType]:
    """What the step counts, and what the step before it counted where that differs."""
    now = _counts(step)
    then = _counts(before) if before is not None else {}
    width = max(len(what) for what in now)
    lines: list[RenderableType] = []
    for what, value in now.items():
        if before is None and value:
            lines.append(Text(f"{what:<{width}}  {value}"))
        elif before is not None and value != then[what]:
            lines.append(Text(f"{what:<{width}}  {then[what]} -> {value}", style="bold"))
    return lines or [Text("The same hardware.")]


def _counts(step: Step) -> dict[str, int | str]:
    return {
        **count(step.nest).summary(),
        "latency": latencies(step.nest).get("C", 0),
        "cycles": str(cycle_law(step.nest)),
    }


def _summary(step: Step) -> dict[str, Any]:
    return {
        "rule": step.rule or None,
        "title": step.title,
        "why": step.why,
        "nest": show(step.nest),
        "counts": _counts(step),
    }


def _compare(name: str, sizes: Sizes) -> list[dict[str, Any]]:
    try:
        pe = element_of(name, sizes)
    except ValidationError as error:
        detail = error.errors()[0]
        raise InputError(f"--hardware cannot build {name}: {detail['msg'].lower()}.") from error
    return [
        {
            "what": row.what,
            "nest": [row.least, row.most],
            "hardware": row.hardware,
            "agrees": row.agrees,
        }
        for row in compare(pe)
    ]


def _comparison(compared: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("one cell, or column of three")
    for title in ("nest", "hardware"):
        table.add_column(title, justify="right")
    table.add_column("")
    for row in compared:
        least, most = row["nest"]
        verdict = "agrees" if row["agrees"] else Text("DIFFERS", style="red")
        counted = str(least) if least == most else f"{least} to {most}"
        table.add_row(row["what"], counted, str(row["hardware"]), verdict)
    return table
