"""``bitweft map``: an ONNX network onto a scratchpad."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import (
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from bitweft.methods import Method
from hw.errors import InputError
from hw.files import require_writable, staged_directory, write_text
from hw.spec import load_spec
from hw.units import format_bytes
from mapper.budget import Budget
from mapper.clock import compiling
from mapper.mapping import Mapped, map_model
from mapper.onnx_import import Layout
from mapper.plan import Plan
from mapper.schedule.baselines import METHODS
from mapper.schedule.solver import Limits
from mapper.schedule.solver import Progress as Report
from reports.residency import write_plots

_DEFAULT_EFFORT = 60.0
# Seconds of a core to draw the plots and to write everything, in all and per operator.
_WRITING = (2.4, 0.001)


def map_command(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="The network, an ONNX file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for plan and plots.")],
    spec: Annotated[
        str | None,
        typer.Option(help="Accelerator (tiny, small, base or a TOML file): its layout and sizes."),
    ] = None,
    scratchpad: Annotated[
        str | None,
        typer.Option(
            metavar="MR|MH|MP|SIZE",
            help="Largest operator, mean, least peak, or bytes such as 256KiB.",
            show_default="the spec's, or MR",
        ),
    ] = None,
    activation_bits: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="Width of elements.", show_default="the spec's, or 8"),
    ] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Wall-clock seconds from start to end, without what the first run on a computer "
            "takes to compile. With a limit the plan depends on the computer.",
            show_default="none: a deterministic limit of about a minute per step",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Solver threads.")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of every random choice.")] = 0,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=DIMS", help="Shape of a dynamic input, such as x=1,3,224,224; repeatable."
        ),
    ] = None,
    may_split: Annotated[
        bool,
        typer.Option(
            "--split/--no-split", help="Run operators that do not fit in patches, or refuse them."
        ),
    ] = True,
    method: Annotated[
        Method,
        typer.Option(help="What makes the plan: the search, or a baseline of the literature."),
    ] = Method.BEST,
    batch: Annotated[
        int,
        typer.Option(
            min=1,
            max=4096,
            help="Images that run in one program and share the weights that stay on chip; "
            "with --spec.",
        ),
    ] = 1,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary for machines.")
    ] = None,
) -> None:
    """Schedule a network and place its tensors with the least off-chip traffic.

    Writes plan.json, a residency map and the traffic per step. Operators that do not fit into the
    scratchpad run in patches of rows, alone or several together; the exit status is 1 when even
    that does not help.

    Example: bitweft map model.onnx --scratchpad 256KiB -o plan/
    """
    layout, budget, weight_memory = _target(spec, scratchpad, activation_bits)
    if batch > 1 and (spec is None or method is not Method.BEST):
        raise InputError(
            f"--batch {batch} must come with --spec, whose weight buffer keeps the weights, and "
            "without --method: a baseline has one image."
        )
    shapes = dict(_parse_shape(text) for text in shape or ())
    if json_file is not None:
        require_writable(json_file)
    limits = Limits(effort=_DEFAULT_EFFORT, seconds=time_limit, workers=workers, seed=seed)
    if time_limit is not None:
        if not math.isfinite(time_limit):
            raise InputError(f"--time-limit must be a number of seconds, not {time_limit}.")
        # The clock decides alone, however fast the computer is.
        limits.effort = max(_DEFAULT_EFFORT, 100 * time_limit)
        if context.obj is not None:
            limits.started, limits.worked = context.obj, 0.0
    console = Console()
    with staged_directory(output) as folder:
        with _progress() as report:
            mapped = map_model(
                model,
                scratchpad=budget,
                layout=layout,
                input_shapes=shapes,
                weight_memory=weight_memory,
                may_split=may_split,
                method=method.value,
                images=batch,
                limits=limits,
                afterwards=_WRITING,
                on_progress=report,
            )
        if mapped.plan is None:
            _refuse(console, mapped, json_file)
            raise typer.Exit(1)
        (folder / "plan.json").write_text(mapped.plan.text(), encoding="utf-8", newline="\n")
        write_plots(mapped.plan, folder)
    if json_file is not None:
        write_text(json_file, json.dumps(mapped.summary, indent=2) + "\n")
    console.print(_table(mapped, mapped.plan))
    console.print(
        f"Written to {output}: plan.json, residency and traffic (.png, .svg)", style="dim"
    )


def _target(
    spec: str | None, scratchpad: str | None, activation_bits: int | None
) -> tuple[Layout, str | Budget, int | None]:
    """Layout, budget and weight memory: the accelerator's where there is one, else dense elements at MR."""
    if spec is None:
        return Layout(activation_bits=activation_bits or 8), scratchpad or "MR", None
    accelerator = load_spec(spec)
    bits = accelerator.pe.activation.bits
    if activation_bits not in (None, bits):
        raise InputError(
            f"--activation-bits must be {bits} as in {spec}, not {activation_bits}: "
            "leave it out or change pe.activation."
        )
    layout = Layout(
        activation_bits=bits,
        weight_bits=accelerator.pe.weight.bits,
        channel_multiple=accelerator.engine.cols,
    )
    budget = scratchpad or Budget("spec", accelerator.scratchpad.bytes)
    return layout, budget, accelerator.weight_buffer.bytes


def _parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, dims = text.rpartition("=")
    try:
        shape = tuple(int(d) for d in dims.split(","))
    except ValueError:
        shape = ()
    if not name or not shape or min(shape) < 1 or max(shape) >= 1 << 31:
        raise InputError(
            f"--shape must be NAME=DIMS with positive dimensions such as x=1,3,224,224, not {text!r}."
        )
    return name, shape


@contextmanager
def _progress() -> Iterator[Report]:
    """A line on standard error with phase, best, bound and time; silent in a pipe."""
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        _Compiling(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        task = bar.add_task("reading the model", total=None)

        def report(phase: str, best: int | None, bound: int | None) -> None:
            found = "" if best is None else f": {format_bytes(best)}"
            proven = "" if bound is None else f", at least {format_bytes(bound)}"
            bar.update(task, description=phase + found + proven)

        yield report


class _Compiling(ProgressColumn):
    """Says why nothing moves, the first time on a computer."""

    def render(self, task: Task) -> Text:
        return Text("compiling, once on this computer" if compiling() else "")


def _refuse(console: Console, mapped: Mapped, json_file: Path | None) -> None:
    console.print(f"infeasible: {mapped.message}", markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        write_text(json_file, json.dumps(mapped.summary, indent=2) + "\n")


def _table(mapped: Mapped, plan: Plan) -> Table:
    table = Table(title=Text(f"{plan.source.file}: {plan.status}"), show_header=False)
    table.add_column("what")
    table.add_column("value", justify="right")

    def row(what: str, value: str) -> None:
        table.add_row(Text(what), Text(value))

    row("operators, tensors", f"{len(plan.operators)}, {len(plan.tensors)}")
    if plan.method != "best":
        row("made by baseline", plan.method)
    name = plan.source.budget
    found = "" if mapped.budget.proven else ", best found"
    suffix = "" if name == "bytes" else f" ({name}{found})"
    row("scratchpad", _bytes(plan.scratchpad_bytes) + suffix)
    if stages := [o.stage for o in plan.operators if o.stage]:
        patches = sum(len(stage.patches) for stage in stages)
        row("in patches", f"{len(stages)} operators, {patches} patches")
        again = 100 * plan.recomputed_macs / max(1, sum(o.macs for o in plan.operators))
        row("computed again", f"{plan.recomputed_macs:,} MACs = {again:.1f} %")
        row("weights read again", _bytes(plan.reread_weight_bytes))
    row("non-compulsory traffic", _bytes(plan.objective_bytes))
    row("proven bound", _bytes(plan.bound_bytes))
    row("gap", f"{100 * plan.gap:.1f} %")
    table.add_section()
    compulsory = plan.compulsory
    row("compulsory: inputs loaded", _bytes(compulsory.activations_loaded))
    row("compulsory: outputs stored", _bytes(compulsory.activations_stored))
    row("compulsory: weights", _bytes(compulsory.weights))
    for kind, part in plan.traffic.items():
        row(f"non-compulsory: {kind}", _bytes(part["non_compulsory"]))
    table.add_section()
    row("baselines", "bytes (how much less the plan moves)")
    for baseline, count in plan.baselines.items():
        row(
            f"  {baseline}",
            f"{_bytes(count)} ({_reduction(plan.objective_bytes, count, baseline)})",
        )
    table.add_section()
    row("seconds importing", f"{mapped.summary['import_seconds']:.2f}")
    row("seconds solving", f"{mapped.summary['solve_seconds']:.2f}")
    return table


def _bytes(count: int) -> str:
    exact = f"{count:,} B"
    return f"{format_bytes(count)} = {exact}" if count >= 1024 and count % 1024 == 0 else exact


def _reduction(ours: int, baseline: int, name: str) -> str:
    if baseline == 0:
        return "nothing to save" if ours == 0 else "none"
    change = 100 * (baseline - ours) / baseline
    if change >= 0:
        return f"{change:.1f} % less"
    return f"{-change:.1f} % more" + (", but without addresses" if name not in METHODS else "")
