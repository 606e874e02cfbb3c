"""``bitweft run``: a network on the generated hardware, in simulation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from bitweft.methods import Method
from bitweft.run import Infeasible, run_network
from bitweft.run import Progress as Report
from bitweft.run_page import (
    images_table,
    layers_table,
    summary,
    totals_table,
    verdict,
    waves_line,
)
from bitweft.run_waves import staged_waves
from hw.errors import InputError
from hw.files import require_writable, write_text
from hw.spec import load_spec
from mapper.onnx_file import read_model
from sim.runner.library import SimulationError


def run_command(
    model: Annotated[Path, typer.Argument(help="The network, an ONNX file.")],
    spec: Annotated[
        str,
        typer.Option(help="Accelerator: tiny, small, base, or a TOML file.", show_default=False),
    ],
    inputs: Annotated[
        Path | None,
        typer.Option(
            "--input",
            metavar="X.npy",
            help="Input as the model takes it, or several along the first axis, which run one "
            "after another; .npz with an array per name for several inputs.",
            show_default="drawn from the seed",
        ),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="Run the images in one program, which keeps weights on chip over them."
        ),
    ] = False,
    scratchpad: Annotated[
        str | None,
        typer.Option(
            metavar="MR|MH|MP|SIZE",
            help="Scratchpad of plan and hardware: largest operator, mean, least peak, or bytes.",
            show_default="the spec's",
        ),
    ] = None,
    method: Annotated[
        Method,
        typer.Option(help="What makes the plan: the search, or a baseline of the literature."),
    ] = Method.BEST,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Of input, calibration, plan and stalls.")
    ] = 0,
    calibration: Annotated[
        Path | None,
        typer.Option(
            metavar="F.npz", help="Data to quantise a float model with.", show_default="random"
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="LAYER", help="Stop after this layer and compare its result."),
    ] = None,
    waves: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Write a waveform (VCD) of the cycles in which this layer runs, for the first "
            "image. Kilobytes per cycle; takes a model of its own, built once.",
        ),
    ] = None,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for the waveform.")
    ] = Path("waves"),
    host: Annotated[
        bool,
        typer.Option(
            "--host",
            help="Leave operators at the end that the hardware does not run to the host.",
        ),
    ] = False,
    stalls: Annotated[
        float, typer.Option(min=0, max=0.99, help="Probability of a stall per memory cycle.")
    ] = 0.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary for machines.")
    ] = None,
) -> None:
    """Run a network on the generated hardware and compare every value, byte and cycle.

    Plans the network, lowers it to a program, and simulates the accelerator's Verilog with a memory
    on its bus. Ends with exit status 1 when an element, a byte or (without stalls) a cycle differs,
    or an operator does not fit into the scratchpad. A float model is quantised first.

    Example: bitweft run model.onnx --spec small --scratchpad MR
    """
    if json_file is not None:
        require_writable(json_file)
    accelerator = load_spec(spec)
    console = Console(highlight=False)
    try:
        with staged_waves(output, model, waves) as wanted, _progress() as report:
            done = run_network(
                model,
                accelerator,
                None if inputs is None else _load(inputs, model),
                scratchpad=scratchpad,
                method=method.value,
                batch=batch,
                seed=seed,
                calibration=calibration,
                until=until,
                waves=wanted,
                stalls=stalls,
                host=host,
                on_progress=report,
            )
    except Infeasible as error:
        raise _no(console, json_file, "infeasible", str(error)) from error
    except SimulationError as error:
        raise _no(console, json_file, "failed", str(error)) from error
    if done.waveform is not None:
        home = output / done.waveform.file.name
        done = replace(done, waveform=replace(done.waveform, file=home))
    if json_file is not None:
        write_text(json_file, json.dumps(summary(done), indent=2) + "\n")
    console.print(layers_table(done.layers, model.name))
    if done.images:
        console.print(images_table(done))
    console.print(totals_table(done))
    if done.waveform is not None:
        console.print(Text(waves_line(done.waveform)))
    console.print(Text(verdict(done), style="bold green" if done.agrees else "bold red"))
    if not done.agrees:
        raise typer.Exit(1)


def _load(path: Path, model: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            graph = read_model(model).graph
            stored = {tensor.name for tensor in graph.initializer}
            names = [value.name for value in graph.input if value.name not in stored]
            if len(names) != 1:
                raise InputError(
                    f"--input must be an .npz file with an array for each of "
                    f"{', '.join(map(repr, names))}, not one array: use numpy.savez."
                )
            return {names[0]: loaded}
        with loaded:
            return {name: loaded[name] for name in loaded.files}
    except InputError:
        raise
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"--input must be a readable .npy or .npz file, not {str(path)!r}: write it with "
            "numpy.save or numpy.savez."
        ) from error


@contextmanager
def _progress() -> Iterator[Report]:
    """A line on standard error with the time that is left; silent in a pipe."""
    console = Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bar:
        state = {"what": "", "task": bar.add_task("", total=None)}

        def report(what: str, done: float | None) -> None:
            if what != state["what"]:
                # A task of its own, so that the estimate of one phase is not that of another.
                bar.remove_task(state["task"])  # type: ignore[arg-type]
                task = bar.add_task(what, total=None if done is None else 1.0)
                state.update(what=what, task=task)
            if done is not None:
                bar.update(state["task"], completed=done)  # type: ignore[arg-type]

        yield report


def _no(console: Console, json_file: Path | None, status: str, message: str) -> typer.Exit:
    console.print(f"{status}: {message}", markup=False, soft_wrap=True)
    if json_file is not None:
        content = {"status": status, "message": message}
        write_text(json_file, json.dumps(content, indent=2) + "\n")
    return typer.Exit(1)
