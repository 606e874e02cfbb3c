"""Proves or refutes a property with the SAT solver of the packaged Yosys."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from amaranth import Module, Signal
from amaranth.back import rtlil

from tb.formal.yosys import flattened, run_yosys

__all__ = ["Method", "Property", "Verdict", "connected", "prove", "prove_all", "to_rtlil"]

Method = Literal["step", "induction", "bounded"]
"""How a property is proved.

``step``
    From any state whatsoever: the property holds after `depth` cycles.
``induction``
    From reset for `depth` cycles, and after any `depth` cycles in which it held.
``bounded``
    From reset for `depth` cycles.
"""


_MARK, _PEEK = "next design", "stands for:"


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
    peeks : dict of str to Signal
        Registers inside the block that the statement reads: by their path below the block ``dut``,
        the signal that stands for each.
    shown : Value, optional
        What others see of the block where it means something. Two blocks that show the same are
        the same to them, whatever their registers hold.
    """

    module: Module
    ok: Signal
    inputs: tuple[Any, ...]
    given: Signal | None = None
    peeks: Mapping[str, Signal] = field(default_factory=dict)
    shown: Any = None


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
    late : bool
        The time was up first: neither proved nor refuted.
    """

    proved: bool
    seconds: float
    text: str
    late: bool = False


def to_rtlil(statement: Property) -> str:
    """RTLIL of a property, its ports `ok` and `given` and the free inputs."""
    m = Module()
    m.submodules.body = statement.module
    ok, given = Signal(name="ok"), Signal(name="given", init=1)
    m.d.comb += ok.eq(statement.ok)
    m.d.comb += given.eq(1 if statement.given is None else statement.given)
    ports = [*statement.inputs, *statement.peeks.values(), ok, given]
    if statement.shown is not None:
        shown = Signal(len(statement.shown), name="shown")
        m.d.comb += shown.eq(statement.shown)
        ports.append(shown)
    text: str = rtlil.convert(m, name="top", ports=ports, emit_src=False)
    # A comment that the proof reads: each of these inputs equals the register that it stands for.
    peeks = [
        f"# {_PEEK} {s.name} body.dut.{_register(text, path)}\n"
        for path, s in statement.peeks.items()
    ]
    return "".join(peeks) + text


def _register(text: str, path: str) -> str:
    """Where a register is: others of its name, such as a port of a block inside, have a number."""
    *blocks, name = path.split(".")
    module = re.escape(".".join(["top.body.dut", *blocks]))
    (body,) = re.findall(rf"^module \\{module}\n(.*?)^end$", text, re.M | re.S)
    found = re.findall(rf"connect \\Q \\({re.escape(name)}(?:\$\d+)?)$", body, re.M)
    if len(found) != 1:
        raise ValueError(f"block must have one register {path}, not {len(found)}")
    return ".".join([*blocks, found[0]])


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
    (verdict,) = prove_all([design], method, depth=depth, limit=limit, reset=reset)
    return verdict


def prove_all(
    designs: Sequence[str],
    method: Method,
    *,
    depth: int = 1,
    limit: float = 600,
    reset: bool = False,
) -> list[Verdict]:
    """As `prove`, of some designs one after another in one run of the solver.

    When the time is up, none of them counts as proved.
    """
    commands = [_attempt(design, method, depth, reset) for design in designs]
    started = time.monotonic()
    try:
        done = run_yosys(f"\nlog {_MARK}\ndesign -reset\n".join(commands), limit)
    except subprocess.TimeoutExpired:
        text = f"no verdict within {limit} seconds"
        return [Verdict(False, time.monotonic() - started, text, late=True)] * len(designs)
    seconds = (time.monotonic() - started) / len(designs)
    if done.returncode:
        raise RuntimeError(f"Yosys failed: {done.stderr.strip()[-2000:]}")
    parts = done.stdout.split(f"\n{_MARK}\n")
    return [_verdict(part, seconds) for part in parts]


def _peeks(design: str) -> list[tuple[str, str]]:
    return re.findall(rf"^# {_PEEK} (\S+) (\S+)$", design, re.M)


def connected(design: str) -> list[str]:
    """Commands that drive the signals that stand for registers by these, once `design` is flat."""
    peeks = [
        command
        for name, register in _peeks(design)
        for command in (f"delete -input w:{name}", f"connect -set {name} {register}")
    ]
    return ["cd top", *peeks, "cd"] if peeks else []


def _attempt(design: str, method: Method, depth: int, reset: bool) -> str:
    common = "-prove ok 1 -set given 1" + ("" if reset else " -set rst 0")
    for name, register in _peeks(design):
        common += f" -set {name} {register}"
    script = {
        # Without initial values every state is a first state.
        "step": f"setattr -unset init w:*; sat -seq {depth + 1} -prove-skip {depth} {common} "
        "-show-inputs top",
        "bounded": f"sat -seq {depth} {common} -show-inputs top",
        "induction": f"sat -tempinduct -seq {depth} -maxsteps {depth} {common} -show-inputs top",
    }[method]
    if "\\rst\n" not in design:
        script = script.replace(" -set rst 0", "")
    return "\n".join(
        [
            *flattened(design),
            "dffunmap",
            "opt -full",
            script,
        ]
    )


def _verdict(output: str, seconds: float) -> Verdict:
    if re.search(r"no model found: SUCCESS|Induction step proven: SUCCESS", output):
        return Verdict(True, seconds, "")
    if re.search(r"- model found(?: for base case)?: FAIL|Reached maximum number", output):
        return Verdict(False, seconds, output[-4000:])
    raise RuntimeError(f"Yosys came to no verdict: {output[-2000:]}")
