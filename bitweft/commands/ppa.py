"""``bitweft ppa``: area, delay and throughput per area with free tools."""

from __future__ import annotations

import json
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hw.errors import InputError
from hw.files import require_writable, staged_directory, write_text
from reports.ppa.designs import design_names
from reports.ppa.earlier import Earlier
from reports.ppa.explore import RECIPES_USED
from reports.ppa.fpga import ECP5, ecp5, ecp5_stem, write_ecp5
from reports.ppa.run import Request, run
from reports.ppa.target import NANGATE45, find_target
from reports.ppa.write import write_report


class PpaLevel(StrEnum):
    """What is synthesised."""

    PE = "pe"
    ENGINE = "engine"
    ALL = "all"


def ppa_command(
    level: Annotated[
        PpaLevel, typer.Option(help="PEs by themselves, whole 16 x 16 engines, or both.")
    ] = PpaLevel.PE,
    designs: Annotated[
        str, typer.Option(metavar="A,B,...", help="Designs beside the MAC; all if not given.")
    ] = "",
    library: Annotated[
        str,
        typer.Option(
            metavar="NAME|FILE.lib",
            help="nangate45, a Liberty file, or ecp5 to place and route on an FPGA.",
        ),
    ] = NANGATE45,
    delay: Annotated[
        str, typer.Option(metavar="PS,PS,...", help="Delay targets for ABC in ps.")
    ] = "300,500,1000,2000",
    recipes: Annotated[
        str, typer.Option(metavar="A,B,...", help="Ways of synthesis that each design runs under.")
    ] = ",".join(RECIPES_USED),
    widths: Annotated[
        str, typer.Option(metavar="BITS,...", help="Sweep of accumulator widths, at PE level.")
    ] = "",
    distribution: Annotated[
        str,
        typer.Option(
            metavar="uniform|normal:S[:clip]|FILE.npy", help="Operands of data-dependent PEs."
        ),
    ] = "normal:20",
    clock_gating: Annotated[
        bool, typer.Option(help="Clock gates for the registers of an engine.")
    ] = True,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Runs side by side.")] = 1,
    update: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Take over what an earlier result of the same options, tools and library has of "
            "designs whose Verilog is the same.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for ppa-LIBRARY.json, .md, .html.")
    ] = Path("build/ppa"),
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the result for machines here too.")
    ] = None,
) -> None:
    """Synthesise PEs or engines onto a cell library and compare them with a Booth MAC.

    Needs the extra 'ppa': pip install 'bitweft[ppa]'. The first run of Yosys takes a minute to
    compile; runs are cached, so a report that is made again takes seconds.

    Example: bitweft ppa --designs opt1,ffip --delay 300 --widths 16,32,48 -o build/ppa
    """
    levels = {"pe": ("pe",), "engine": ("engine",), "all": ("pe", "engine")}[level.value]
    names = tuple(filter(None, designs.split(",")))
    known = {name for chosen in levels for name in design_names(chosen)}  # type: ignore[arg-type]
    for name in names:
        if name not in known:
            raise InputError(f"--designs must be among {', '.join(sorted(known))}, not {name!r}.")
    chosen_recipes = tuple(recipes.split(","))
    for name in chosen_recipes:
        if name not in RECIPES_USED:
            raise InputError(f"--recipes must be among {', '.join(RECIPES_USED)}, not {name!r}.")
    request = Request(
        levels=levels,  # type: ignore[arg-type]
        designs=names,
        delays=_numbers("--delay", delay, 1, 1_000_000),
        recipes=chosen_recipes,
        widths=_numbers("--widths", widths, 8, 64) if widths else (),
        distribution=distribution,
        jobs=jobs,
        gate_clock=clock_gating,
        earlier=Earlier() if update is None else Earlier.read(update),
        command=" ".join(
            f"--{option} {value}"
            for option, value in (
                ("level", level.value),
                ("designs", designs),
                ("library", library if library == NANGATE45 else Path(library).name),
                ("delay", delay),
                ("recipes", recipes),
                ("widths", widths),
                ("distribution", distribution),
            )
            if value
        ),
    )
    if json_file is not None:
        require_writable(json_file)
    if library == ECP5:
        if update is not None:
            raise InputError(f"--update must be absent with --library ecp5, not {update}.")
        if widths:
            raise InputError(f"--widths must be empty with --library ecp5, not {widths!r}.")
        stem, header, cells = ecp5_stem(levels), _FPGA_HEADER, _fpga_cells
        measure, write = partial(ecp5, levels, names, distribution), write_ecp5  # type: ignore[arg-type]
    else:
        target = find_target(library)
        stem, header, cells = f"ppa-{target.stem}", _HEADER, _cells
        measure, write = partial(run, request, target), write_report
    console = Console()
    with staged_directory(output) as folder:
        with console.status("Yosys") as status:
            result = measure(lambda what: status.update(escape(what)))
        text = json.dumps(result, indent=1) + "\n"
        (folder / f"{stem}.json").write_text(text, encoding="utf-8")
        write(result, folder)
    if json_file is not None:
        write_text(json_file, text)
    for chosen in levels:
        table = Table(*header, title=chosen)
        for row in result[chosen]["designs"]:
            table.add_row(*cells(row))
        console.print(table)
    console.print(f"Report: {escape(str(output))}/{stem}.md")


_HEADER: tuple[str, ...] = ("Design", "um2", "period ns", "MACs/cycle", "perf/area", "over")
_FPGA_HEADER: tuple[str, ...] = ("Design", "LUTs", "DSP", "fmax MHz", "MMAC/s")


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['best']['area']:,.0f}",
        f"{row['best']['period']:.3f}",
        f"{row['macs_per_cycle']:.4g}",
        f"{row['relative']['best']:.2f}",
        row["baseline"],
    )


def _fpga_cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        f"{row['luts']:,}",
        str(row["cells"]["MULT18X18D"]),
        f"{row['fmax_mhz']['median']:.1f}",
        f"{row['mmacs']:,.0f}",
    )


def _numbers(option: str, text: str, low: int, high: int) -> tuple[int, ...]:
    try:
        numbers = tuple(int(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(low <= n <= high for n in numbers):
        raise InputError(
            f"{option} must be integers from {low} to {high} with commas between, not {text!r}."
        )
    return numbers
