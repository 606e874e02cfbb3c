"""Proves properties for ever without a given invariant: the solver finds one itself.

ABC, which is part of Yosys, does it by property-directed reachability (Een, Mishchenko and Brayton,
FMCAD 2011). It suits control and narrow plain sums; where words are carry-save pairs it would have
to find out what addition is, and does not end.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tb.formal.solver import Verdict, connected
from tb.formal.yosys import flattened, run_yosys

__all__ = ["asserted_for_ever", "prove_for_ever"]

# Designs per run of Yosys: after some thirty, ABC breaks off within one process.
_BATCH = 8


def prove_for_ever(designs: Sequence[str], *, limit: float = 300) -> list[Verdict]:
    """Proves ``given -> ok`` of designs in RTLIL in every state that they reach from reset.

    Parameters
    ----------
    limit : float
        Seconds for each, after which the attempt counts as failed.

    Raises
    ------
    RuntimeError
        The solver came to no verdict.
    """
    return asserted_for_ever([_stated(design) for design in designs], limit=limit)


def asserted_for_ever(blocks: Sequence[Sequence[str]], *, limit: float = 300) -> list[Verdict]:
    """As `prove_for_ever`, of assertions and assumptions in a flat module without reset.

    Parameters
    ----------
    blocks : sequence of sequence of str
        Commands of Yosys after which the module is there and the only one.
    """
    verdicts = _run(blocks, limit, swept=True)
    # Where the sweep alone decides, no register is left, and then ABC does not say so.
    rest = [n for n, verdict in enumerate(verdicts) if verdict.text == _undecided("0")]
    if rest:
        for n, verdict in zip(rest, _run([blocks[n] for n in rest], limit, False), strict=True):
            verdicts[n] = verdict
    return verdicts


def _stated(design: str) -> list[str]:
    return [
        *flattened(design),
        *connected(design),
        "delete -input w:rst",
        "setundef -undriven -zero",
        "cd top",
        "add -assert ok",
        "add -assume given",
        "delete -output o:*",
        "cd",
    ]


def _run(blocks: Sequence[Sequence[str]], limit: float, swept: bool) -> list[Verdict]:
    batches = (blocks[n : n + _BATCH] for n in range(0, len(blocks), _BATCH))
    return [verdict for batch in batches for verdict in _run_batch(batch, limit, swept)]


def _run_batch(blocks: Sequence[Sequence[str]], limit: float, swept: bool) -> list[Verdict]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bitweft-") as scratch:
        # The solver sees only the working directory.
        folder = Path(scratch)
        commands = [_attempt(block, n, limit, swept) for n, block in enumerate(blocks)]
        try:
            done = run_yosys("\n".join(commands), limit * len(blocks) + 60, folder)
        except subprocess.TimeoutExpired:
            text = f"no verdict within {limit} seconds each"
            return [Verdict(False, limit, text, late=True)] * len(blocks)
        seconds = (time.monotonic() - started) / len(blocks)
        if done.returncode:
            raise RuntimeError(f"Yosys failed: {done.stderr.strip()[-2000:]}")
        return [_verdict(folder / f"{n}.status", seconds) for n in range(len(blocks))]


def _attempt(block: Sequence[str], n: int, limit: float, swept: bool) -> str:
    # ABC works on what Yosys hands it, and must give something back: it reads the property from a
    # file of its own meanwhile. What it prints is lost, so the verdict is in a file too.
    script = [
        "write_blif handed.blif",
        f"read_aiger {n}.aig",
        "fold",
        *(["scorr"] if swept else []),
        f"pdr -T {limit:.0f}",
        f"write_status {n}.status",
        "read_blif handed.blif",
        "strash",
        "map",
    ]
    return "\n".join(
        [
            *block,
            "chformal -lower",
            "opt -full",
            "techmap",
            "opt -fast",
            "dffunmap",
            "aigmap",
            "opt_clean",
            f"write_aiger -zinit {n}.aig",
            "design -reset",
            "read_rtlil <<rtlil",
            "module \\gate",
            "  wire input 1 \\a",
            "  wire input 2 \\b",
            "  wire output 3 \\y",
            "  cell $_AND_ \\and",
            *(f"    connect \\{pin.upper()} \\{pin}" for pin in "aby"),
            "  end",
            "end",
            "rtlil",
            f"abc -g AND -script +{';'.join(line.replace(' ', ',') for line in script)}",
            "design -reset",
        ]
    )


def _verdict(status: Path, seconds: float) -> Verdict:
    # Such as ``snl_UNSAT 9``: an invariant of so many frames.
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    found = re.match(r"snl_(UNSAT|SAT|UNK)\s+(-?\d+)", text)
    if not found:
        raise RuntimeError(f"ABC must write a verdict, not {text[:200]!r}")
    if found[1] == "UNK":
        return Verdict(False, seconds, _undecided(found[2]), late=True)
    if found[1] == "SAT":
        return Verdict(False, seconds, "refuted")
    return Verdict(True, seconds, "")


def _undecided(frames: str) -> str:
    return f"no invariant after {frames} frames"
