"""``bitweft demo``: the three jobs on real input, without arguments."""

from __future__ import annotations

import json
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from bitweft.demo import Kernel, densenet, describe, map_budgets, pick_kernels, run_kernels
from bitweft.digits import DigitsRun, classify_digits
from hw.files import require_writable, staged_directory, write_text
from hw.generate import generate, module_name
from hw.spec import load_spec
from hw.units import format_bytes
from mapper.check import check_plan, read_json
from mapper.mapping import Mapped
from reports import page

_SPEC = "base"
_SMALL_SPEC = "tiny"  # its whole accelerator compiles in seconds

_MAPPING_TEXT = (
    "DenseNet-121 as the onnx package bundles it, int8 activations, onto three scratchpads: MR (what "
    "the largest operator needs), MP (the smallest possible peak) and MH (their mean). Non-compulsory "
    "bytes are those written out and read back because the scratchpad is too small; reading the "
    "input, writing the output and reading the weights once are compulsory and not in these numbers. "
    "The bound is proven; baselines replace by Belady's rule and ignore addresses."
)
_KERNEL_TEXT = (
    "Convolutions of that network with activations and weights drawn from a seed (the bundled weights "
    "are constant), tile by tile on the Verilog above, compiled by Verilator. Every result element is "
    "compared with NumPy, every transfer on both streams with the timing model. Operands come straight "
    "from the testbench: memory and bus are not part of these cycles."
)
_DIGITS_TEXT = (
    "A small classifier of handwritten digits (residual and depthwise layers, trained, quantised to "
    "int8), as a program on the whole accelerator: memory port, registers, load, execute and store "
    "units. The test set is classified image by image in RTL simulation. Elements are compared with "
    "the integer reference, bytes on the bus with the plan and the program, cycles with the timing "
    "model; the accuracy stands beside ONNX Runtime's on the same int8 network."
)


def demo_command(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for Verilog, plans, plots and page.")
    ] = Path("bitweft-demo"),
    seed: Annotated[int, typer.Option(min=0, help="Seed of operands and stalls.")] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary for machines.")
    ] = None,
) -> None:
    """Generate a 16x16 engine, map DenseNet-121, run convolutions of it, and classify digits on RTL.

    Ends with exit status 1 if a value, a cycle or a plan were wrong.

    Example: bitweft demo -o demo/
    """
    console = Console()
    if json_file is not None:
        require_writable(json_file)
    started = time.monotonic()
    spec = load_spec(_SPEC)
    with staged_directory(output) as folder:
        with console.status("") as status:

            def progress(what: str) -> None:
                status.update(what)

            progress(f"generating {module_name(spec)}")
            # The convolutions below run on the engine alone, tile by tile.
            files = generate(spec, "engine")
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8", newline="\n")
            progress("mapping DenseNet-121 at MR, MH and MP")
            mapped = map_budgets(folder)
            operators = pick_kernels(mapped[0].graph.operators)
            verilog = files[f"{module_name(spec)}.v"]
            kernels = run_kernels(spec, verilog, operators, seed, progress)
            classified = classify_digits(load_spec(_SMALL_SPEC), progress)
        plans = [folder / m.budget.name / "plan.json" for m in mapped]
        broken = [rule for plan in plans if (rule := check_plan(read_json(plan)))]
        sections = [_engine(files), _mapping(mapped), _kernels(kernels), _digits(classified)]
        agrees = all(kernel.run.agrees for kernel in kernels) and classified.agrees and not broken
        verdict = (
            "Hardware, plan and model agree: no value, no cycle and no transfer differs, and the "
            "independent checker accepts every plan."
            if agrees
            else "Hardware, plan and model do NOT agree; see the tables."
        )
        (folder / "index.html").write_text(
            page.page("bitweft: one spec, three jobs", verdict, sections, _footer(seed)),
            encoding="utf-8",
        )
    for section in sections:
        console.print(_rich(section))
    console.print(verdict, style="bold green" if agrees else "bold red")
    for rule in broken:
        console.print(f"broken rule {rule.rule}: {rule.detail}", markup=False)
    console.print(f"{time.monotonic() - started:.0f} s; open {output / 'index.html'}")
    if json_file is not None:
        write_text(
            json_file, json.dumps(_summary(mapped, kernels, classified, agrees), indent=2) + "\n"
        )
    if not agrees:
        raise typer.Exit(1)


def _engine(files: dict[str, str]) -> page.Section:
    rows = [(name, f"{len(text.encode()):,}") for name, text in files.items()]
    return page.Section(
        "1. Generate",
        f"bitweft generate {_SPEC}: a 16 x 16 output-stationary systolic array of carry-save PEs, "
        "256 MACs per cycle, int8 by int8 to int32.",
        page.Table(["file", "bytes"], rows),
    )


def _mapping(mapped: list[Mapped]) -> page.Section:
    plans = [m.plan for m in mapped if m.plan is not None]
    rows = [
        ("status", *(plan.status for plan in plans)),
        ("scratchpad", *(format_bytes(plan.scratchpad_bytes) for plan in plans)),
        ("off-chip, non-compulsory", *(format_bytes(plan.objective_bytes) for plan in plans)),
        ("proven bound", *(format_bytes(plan.bound_bytes) for plan in plans)),
        *(
            (f"baseline {name}", *(format_bytes(plan.baselines[name]) for plan in plans))
            for name in plans[0].baselines
        ),
        ("solving, s", *(f"{m.summary['solve_seconds']:.2f}" for m in mapped)),
    ]
    pictures = []
    for plan in plans:
        name = plan.source.budget
        pictures.append(
            page.Picture(
                f"{name}/residency.svg", f"{name}: what lies where in the scratchpad, when"
            )
        )
        pictures.append(page.Picture(f"{name}/traffic.svg", f"{name}: bytes on the bus per step"))
    return page.Section(
        "2. Map",
        _MAPPING_TEXT,
        page.Table(["", *(plan.source.budget for plan in plans)], rows),
        pictures,
    )


def _kernels(kernels: list[Kernel]) -> page.Section:
    header = [""]
    for kernel in kernels:
        header.append(describe(kernel.operator) + (", stalled" if kernel.stalled else ""))
    shapes = [kernel.operator.convolution for kernel in kernels]
    runs = [kernel.run for kernel in kernels]
    rows = [
        ("input", *("x".join(map(str, s.input_shape[1:])) for s in shapes if s)),
        ("output", *("x".join(map(str, s.output_shape[1:])) for s in shapes if s)),
        ("GEMM M x N x K", *("x".join(map(str, run.gemm)) for run in runs)),
        ("tiles", *(f"{run.tiles:,}" for run in runs)),
        ("cycles predicted", *(f"{run.predicted_cycles:,}" for run in runs)),
        ("cycles counted", *(f"{run.counted_cycles:,}" for run in runs)),
        ("utilisation", *(f"{100 * kernel.utilisation:.1f} %" for kernel in kernels)),
        ("elements compared", *(f"{run.compared:,}" for run in runs)),
        ("mismatches", *(f"{run.mismatches:,}" for run in runs)),
        ("transfers in another cycle", *(f"{run.moved_beats:,}" for run in runs)),
    ]
    return page.Section("3. Co-simulate", _KERNEL_TEXT, page.Table(header, rows))


def _digits(run: DigitsRun) -> page.Section:
    share = 100 * run.correct / run.images
    runtime = "not installed"
    if run.onnx_correct is not None:
        runtime = f"{run.onnx_correct} ({100 * run.onnx_correct / run.images:.1f} %)"
    rows = [
        ("images", f"{run.images:,}"),
        ("classified rightly on the RTL", f"{run.correct} ({share:.1f} %)"),
        ("classified rightly by ONNX Runtime", runtime),
        ("elements compared with the reference", f"{run.compared:,}"),
        ("mismatches", f"{run.mismatches:,}"),
        ("elements apart from ONNX Runtime", f"{run.apart:,} of {run.compared:,}"),
        ("furthest apart, in units of int8", f"{run.worst}"),
        ("cycles per image, predicted", _span(run.predicted)),
        ("cycles per image, counted", _span(run.cycles)),
        ("images that took other cycles than predicted", f"{run.late:,}"),
        ("bytes per image, planned", f"{run.planned_bytes:,}"),
        ("bytes per image, counted", f"{run.counted_bytes:,}"),
    ]
    return page.Section("4. Run a whole network", _DIGITS_TEXT, page.Table(["", "tiny"], rows))


def _span(cycles: tuple[int, int]) -> str:
    least, most = cycles
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _footer(seed: int) -> str:
    versions = ", ".join(
        f"{package} {metadata.version(package)}"
        for package in ("bitweft", "amaranth", "verilator", "ortools", "onnx", "numpy")
    )
    return f"{densenet().name}, seed {seed}; {versions}, Python {platform.python_version()}."


def _rich(section: page.Section) -> Table:
    table = Table(title=section.title, title_justify="left")
    if section.table is not None:
        for index, name in enumerate(section.table.header):
            table.add_column(name, justify="right" if index else "left")
        for row in section.table.rows:
            table.add_row(*row)
    return table


def _summary(
    mapped: list[Mapped], kernels: list[Kernel], classified: DigitsRun, agrees: bool
) -> dict[str, object]:
    return {
        "agrees": agrees,
        "plans": [m.summary for m in mapped],
        "digits": vars(classified),
        "kernels": [
            {
                "operator": kernel.operator.name,
                "stalled": kernel.stalled,
                "utilisation": kernel.utilisation,
                **vars(kernel.run),
            }
            for kernel in kernels
        ],
    }
