"""Verilated models that cocotb can drive, and one run of a test module on them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from cocotb_tools import config
from cocotb_tools.runner import get_runner

from sim.runner.library import VERILATOR_ARGUMENTS, SimulationError
from sim.runner.model_cache import cached_model

__all__ = ["build_model", "run_tests"]

_TOP = re.compile(r"^module top\((.*?)\);$", re.M | re.S)


def build_model(verilog: str, *, waves: bool = False) -> Path:
    """Compiles module ``top`` for cocotb; returns the folder of the (cached) model.

    Must run with the environment of `simulation_environment`.
    """
    match = _TOP.search(verilog)
    if match is None:
        raise ValueError("Verilog must define module 'top'")
    # Only the ports are public: a model whose every signal is public runs at half the speed.
    ports = [port.strip() for port in match[1].split(",")]
    control = "\n".join(
        ["`verilator_config", *(f'public_flat_rw -module "top" -var "{p}"' for p in ports)]
    )
    arguments = [*VERILATOR_ARGUMENTS, "--no-public-flat-rw", "-CFLAGS", "-O1"]

    def build(folder: Path) -> None:
        (folder / "top.v").write_text(verilog)
        (folder / "ports.vlt").write_text(control + "\n")
        runner = get_runner("verilator")
        runner.log.setLevel(logging.WARNING)
        try:
            runner.build(
                sources=[folder / "top.v", folder / "ports.vlt"],
                hdl_toplevel="top",
                build_dir=folder,
                build_args=arguments,
                timescale=("1ns", "1ps"),
                waves=waves,
                log_file=folder / "build.log",
            )
        except (RuntimeError, SystemExit) as error:
            log = folder / "build.log"
            tail = log.read_text().splitlines()[-20:] if log.is_file() else [str(error)]
            raise SimulationError(
                "Verilator must build the model, not fail with:\n" + "\n".join(tail)
            ) from error
        for item in folder.iterdir():
            if item.name != "top":
                item.unlink()

    return cached_model([verilog, control, *arguments, f"cocotb, waves {waves}"], build)


def run_tests(
    model: Path,
    module: str,
    *,
    folder: Path,
    seed: int,
    environment: Mapping[str, str],
    test_filter: str | None = None,
    waves: bool = False,
    plusargs: Sequence[str] = (),
) -> Path:
    """Runs a cocotb test module on a model; returns the JUnit file that it wrote into `folder`.

    ``dump.vcd`` appears in `folder` with `waves`, and the simulator's output in ``run.log``.
    """
    runner = get_runner("verilator")
    runner.log.setLevel(logging.WARNING)
    results = folder / "results.xml"
    try:
        runner.test(
            test_module=module,
            hdl_toplevel="top",
            hdl_toplevel_lang="verilog",
            build_dir=model,
            test_dir=folder,
            results_xml=str(results),
            seed=seed,
            extra_env={**environment, "LD_LIBRARY_PATH": _libraries()},
            test_filter=test_filter,
            waves=waves,
            plusargs=list(plusargs),
            log_file=folder / "run.log",
        )
    except (RuntimeError, SystemExit) as error:
        # A failed test is in the results; only a run without results is an error of its own.
        if not results.is_file():
            log = folder / "run.log"
            tail = log.read_text().splitlines()[-20:] if log.is_file() else [str(error)]
            raise SimulationError(
                f"cocotb must run {module}, not fail with:\n" + "\n".join(tail)
            ) from error
    return results


def _libraries() -> str:
    """Where a model looks for cocotb's libraries: here, before where they were when it was built.

    A model from the cache may have been built by another virtual environment, gone since.
    """
    others = os.environ.get("LD_LIBRARY_PATH")
    return os.pathsep.join([str(config.libs_dir), *([others] if others else [])])
