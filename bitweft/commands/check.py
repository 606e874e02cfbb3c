"""``bitweft check``: an independent judge of a plan."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hw.files import require_writable, write_text
from hw.spec import load_spec
from mapper.check import RULES, check_plan, read_json
from mapper.compare import compare_model


def check_command(
    plan: Annotated[Path, typer.Argument(help="The plan.json to judge.")],
    model: Annotated[
        Path | None, typer.Option(help="Also compare operators and tensors with this ONNX file.")
    ] = None,
    spec: Annotated[
        str | None,
        typer.Option(
            help="Accelerator of a plan that bitweft report has written, for --model: a plan of a "
            "program has other tensors."
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the verdict for machines.")
    ] = None,
) -> None:
    """Judge a plan without trusting whatever made it.

    Ends with exit status 1 and names the first broken rule, with step, tensor and values.

    Example: bitweft check plan/plan.json --model model.onnx
    """
    if json_file is not None:
        require_writable(json_file)
    content = read_json(plan)
    broken = check_plan(content)
    if broken is None and model is not None:
        accelerator = None if spec is None else load_spec(spec)
        broken = compare_model(content, model, accelerator)
    verdict: dict[str, Any] = {
        "plan": str(plan),
        "accepted": broken is None,
        "rule": broken.rule if broken else None,
        "detail": broken.detail if broken else None,
    }
    if json_file is not None:
        write_text(json_file, json.dumps(verdict, indent=2) + "\n")
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if broken is not None:
        console.print(f"{plan}: broken rule {broken.rule}: {broken.detail}")
        raise typer.Exit(1)
    console.print(
        f"{plan}: accepted: {len(RULES) + (model is not None)} rules, "
        f"{len(content['order'])} steps, {len(content['transfers'])} transfers, "
        f"{content['objective_bytes']} B of non-compulsory traffic ({content['status']})"
    )
