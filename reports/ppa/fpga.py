"""PEs and a small array on an FPGA, placed and routed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw.emit import to_verilog
from hw.engine.systolic import SystolicArray
from hw.pe.base import CellElement
from hw.registry import PES
from reports.place import place_verilog

__all__ = ["ecp5"]

_KINDS = ("mac", "opt1", "ffip")
_SIZE = 4
_CELLS = ("LUT4", "CCU2C", "TRELLIS_FF", "MULT18X18D")
_DEVICE, _SEED, _MEGAHERTZ = "25k", 1, 100


def ecp5(progress: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Cells and clock of dense PEs by themselves and in a 4 x 4 array on a Lattice ECP5.

    Raises
    ------
    InputError
        Yosys or nextpnr is missing.
    """
    rows = []
    device = ""
    for kind in _KINDS:
        pe = PES[kind](kind=kind, accumulator_bits=32)
        assert isinstance(pe, CellElement)
        units: dict[str, Any] = {
            f"{kind}, one PE": pe.standalone(),
            f"{kind}, {_SIZE} x {_SIZE} array": SystolicArray(pe, rows=_SIZE, cols=_SIZE),
        }
        for name, component in units.items():
            progress(f"ECP5: {name}")
            placed = place_verilog(
                to_verilog(component, "unit"),
                "unit",
                device=_DEVICE,
                seed=_SEED,
                megahertz=_MEGAHERTZ,
            )
            device = placed["device"]
            rows.append(
                {
                    "name": name,
                    "cells": {cell: placed["cells"][cell] for cell in _CELLS},
                    "fmax_mhz": placed["fmax_mhz"],
                    "tools": placed["tools"],
                }
            )
    return {"device": device, "seed": _SEED, "cells": list(_CELLS), "designs": rows}
