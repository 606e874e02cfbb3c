"""Verilog and a C++ harness as a shared library in this process."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from sim.runner.model_cache import cached_model
from sim.runner.process import run_group
from sim.runner.toolchain import simulation_environment

__all__ = ["VERILATOR_ARGUMENTS", "SimulationError", "native_library"]

VERILATOR_ARGUMENTS = (
    # Merging conditions takes most of the translation time and does not pay.
    "-fno-merge-cond",
    "-Wno-fatal",
    "-Wno-lint",
    "-Wno-style",
    "-O3",
    "--x-assign",
    "fast",
)

# Intermediate values, which nobody looks for, are most of the signals.
_UNNAMED = re.compile(r"^ *(wire|reg) (\[\d+:\d+\] )?\\\$\S+ .*;$", re.MULTILINE)

# A part that harnesses share: in one text, all of it decides whether a cached model is the same.
_INCLUDE = re.compile(r'^#include "(streams\.h)"$', re.MULTILINE)


class SimulationError(RuntimeError):
    """The simulated hardware did not do what a run needs: a defect of ours."""


def native_library(verilog: str, module: str, harness: str, *, waves: bool = False) -> ctypes.CDLL:
    """Compiles (or finds in the cache) a model with its harness, and loads it.

    Parameters
    ----------
    verilog, module : str
        Text, and the name of its top module, which becomes the class ``Vtop``.
    harness : str
        A file beside this one.
    waves : bool
        A model that can write its signals as VCD; it runs slower.

    Raises
    ------
    InputError
        A program that simulation needs is missing.
    SimulationError
        Verilator or the compiler refused the sources.
    """
    beside = resources.files("sim.runner")
    source = _INCLUDE.sub(
        lambda include: beside.joinpath(include[1]).read_text(encoding="utf-8"),
        beside.joinpath(harness).read_text(encoding="utf-8"),
    )
    options = list(VERILATOR_ARGUMENTS)
    if waves:
        options.append("--trace-vcd")
        verilog = _UNNAMED.sub(r"/*verilator tracing_off*/\g<0>/*verilator tracing_on*/", verilog)
    parts = [verilog, module, source, *options]
    folder = cached_model(parts, lambda scratch: _build(scratch, verilog, module, source, options))
    return ctypes.CDLL(str(folder / "model.so"))


def _build(folder: Path, verilog: str, module: str, harness: str, options: Sequence[str]) -> None:
    """Compiles the model and its harness into ``model.so``; the sources stay beside it."""
    (folder / "top.v").write_text(verilog)
    (folder / "harness.cpp").write_text(harness)
    command = [
        "verilator",
        *("--cc", "--exe", "--build", "--build-jobs", str(os.cpu_count() or 1)),
        *("--top-module", module, "--prefix", "Vtop"),
        # What writes waves is most of its model, and is not worth the time that -O2 takes.
        *("-CFLAGS", f"-fPIC -O{1 if '--trace-vcd' in options else 2}"),
        *("-LDFLAGS", "-shared", "-o", "model.so", "-Mdir", "obj"),
        *options,
        *("top.v", "harness.cpp"),
    ]
    done = run_group(command, cwd=folder, env=simulation_environment())
    if done.returncode:
        tail = "\n".join(done.stdout.splitlines()[-20:])
        raise SimulationError(f"Verilator must build the model, not fail with:\n{tail}")
    (folder / "obj" / "model.so").rename(folder / "model.so")
    for item in (folder / "obj").iterdir():
        item.unlink()
    (folder / "obj").rmdir()
