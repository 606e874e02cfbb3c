"""Energy per MAC of a PE at its best point: what `reports.ppa.energy` gives, and keeps."""

from __future__ import annotations

import hashlib
from typing import Any

from reports.ppa.digits import Distribution
from reports.ppa.energy import energy_of
from reports.ppa.explore import Row, job_of
from reports.ppa.flow import kept, netlist_of
from reports.ppa.gatesim import GateSimulator
from reports.ppa.sta import Conditions, slopes
from reports.ppa.stimulus import exercise
from reports.ppa.target import Target

__all__ = ["add_ratios", "energy_per_mac"]

_REVISION = "energy 1"


def energy_per_mac(row: Row, target: Target, distribution: Distribution) -> dict[str, Any]:
    """fJ per MAC, in parts, of the netlist of the row's best point; see `reports.ppa.energy`.

    ``total`` has the glitches in it, ``settled`` has not.

    Raises
    ------
    InputError
        The netlist has cells that cannot be simulated.
    """
    best = row.best()
    job = job_of(row.design, best.recipe, best.delay_ps)

    def make() -> dict[str, Any]:
        netlist = netlist_of(job, target)
        # What the output ports drive belongs to whoever reads them.
        conditions = Conditions(driver=target.driver, load=0.0)
        slope = slopes(netlist, target.library, conditions)
        simulator = GateSimulator(netlist, target.library, slope)
        work = exercise(row.design.pe, simulator, distribution)
        period = best.measurement.period
        energy = energy_of(simulator, slope, cycles=work.cycles, period=period)
        parts = {
            "total": energy.total,
            "settled": energy.without_glitches,
            "cells": energy.cells,
            "nets": energy.nets,
            "clock": energy.clock,
            "leakage": energy.leakage,
        }
        counted = {"macs": work.macs, "cycles": work.cycles}
        return {name: round(fj / work.macs, 2) for name, fj in parts.items()} | counted

    operands = hashlib.sha256(repr((distribution.table, distribution.values)).encode()).hexdigest()
    return kept(job, target, f"{_REVISION} {operands}", make)


def add_ratios(rows: list[dict[str, Any]]) -> None:
    """Adds to each row of a table its energy per MAC over that of the first row."""
    base = rows[0]["energy"]
    for row in rows:
        row["energy"]["relative"] = {
            name: round(row["energy"][name] / base[name], 4) for name in ("total", "settled")
        }
