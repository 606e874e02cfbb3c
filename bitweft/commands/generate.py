"""``bitweft generate``: Verilog from a spec."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from hw.errors import InputError
from hw.files import staged_directory, write_text
from hw.generate import TOPS, Top, generate, module_name
from hw.limits import accelerator_conflict
from hw.spec import load_spec
from sim.timing.digit_array import DigitTiming
from sim.timing.engine import spec_timing


def generate_command(
    spec: Annotated[str, typer.Argument(help="A shipped spec (tiny, small, base) or a TOML file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the files.")],
    top: Annotated[
        str,
        typer.Option(help="What to generate: engine, or accelerator (with memories, AXI ports)."),
    ] = "engine",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary for machines.")
    ] = None,
) -> None:
    """Generate Verilog, a FuseSoC core, the resolved spec and an instantiation example.

    Of an accelerator also its constraints, register map and C header.

    Example: bitweft generate base --top accelerator -o build/
    """
    chosen = _top(top)
    parameters = load_spec(spec)
    if chosen == "accelerator" and (conflict := accelerator_conflict(parameters)):
        raise InputError(f"{spec}: {conflict}, or generate the engine alone, without --top.")
    console = Console()
    with console.status(f"Generating {module_name(parameters)}"):
        files = generate(parameters, chosen)
    with staged_directory(output) as folder:
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    engine = parameters.engine
    timing = spec_timing(parameters)
    # Digit engines take as many cycles as their operands have nonzero digits.
    latency = None if isinstance(timing, DigitTiming) else timing.latency
    macs = parameters.macs_per_cycle if latency else None
    summary = {
        "module": module_name(parameters),
        "top": chosen,
        "spec": parameters.resolved(),
        "latency_cycles": latency,
        "macs_per_cycle": macs,
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    if json_file is not None:
        write_text(json_file, json.dumps(summary, indent=2) + "\n")
    pace = (
        f"{macs} MACs per cycle"
        if macs
        else f"{engine.rows} x {engine.cols} {parameters.pe.kind} PEs"
    )
    table = Table(title=f"{module_name(parameters)}: {pace}")
    table.add_column("file")
    table.add_column("bytes", justify="right")
    for name, text in files.items():
        table.add_row(str(output / name), f"{len(text.encode()):,}")
    console.print(table)


def _top(name: str) -> Top:
    for top in TOPS:
        if name == top:
            return top
    raise InputError(f"--top must be one of {', '.join(TOPS)}, not {name!r}.")
