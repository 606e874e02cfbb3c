"""The page on silicon, from the committed results: ``python -m reports.silicon``.

One page that says what was synthesised and how, what is left out, and how each published figure
compares with ours. All numbers come from the JSON files under ``reports/results``; a figure that none
of them has is said to be missing, with the reason.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hw.files import write_text
from reports.ppa.published import CLAIMS, figure

__all__ = ["RESULTS", "main", "silicon_page"]

RESULTS = Path(__file__).parent / "results"

# The first that has a figure gives it: the full table, then runs of some designs that it lacks.
_SOURCES = ("ppa-nangate45.json", "selected/ppa-nangate45.json", "engines/ppa-nangate45.json")

Result = dict[str, Any]


def silicon_page(folder: Path = RESULTS) -> str:
    """The page as Markdown, from the results in `folder`."""
    results = [
        (name, json.loads((folder / name).read_text(encoding="utf-8")))
        for name in _SOURCES
        if (folder / name).is_file()
    ]
    parts = [
        _INTRODUCTION,
        _method(results),
        _LEFT_OUT,
        _pes(results),
        _engines(results),
        _fpga(folder),
        _published(results),
        _READING,
        _proofs(folder),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


_INTRODUCTION = """# Silicon: what was synthesised, and how it compares

Area, delay and energy of the PEs and engines of this package with free tools, beside the figures that
others have published. Every number of ours is from a file under `results/`, which a command makes
again; every number of theirs is quoted. Ratios are to a **Booth** multiply-accumulate from the same
run, the same library and the same recipes: Yosys' default multiplier is no Booth multiplier and would
flatter everything else by more than half."""

_LEFT_OUT = """## What is left out

* **Wires**, placement, the clock tree, clock skew and uncertainty, hold fixing, power grid, process and
  temperature corners. A column with the library's own wire load model is in the full tables; it moves
  the ratios by a few per cent, which is not what a layout does to a 16 x 16 array.
* At PE level: the one carry-propagate addition per finished sum of carry-save PEs, the corrections of
  fast inner products, the shift-and-add units and operand buffers of digit PEs. At engine level all of
  these are in.
* **Retiming**: none. Registers are where the source puts them.
* **Memories**: a library of standard cells has none. Digit arrays are mapped without theirs, and what
  they hold is counted in bits, with an SRAM estimate and a flip-flop bound beside it; dense arrays get
  equivalent operand buffers beside them.
* **Energy** is an indication: toggles of the mapped netlist, simulated with gate delays but without
  wires, times the library's tables. No clock tree, no wires, no buffers.
* Nothing here was measured on silicon or signed off by a commercial tool."""

_READING = """## How to read the differences

* Theirs are 28 nm layouts and 32 nm synthesis with a commercial tool that retimes and merges; ours are
  45 nm netlists. Agreement in direction and rough size is what can be expected.
* Our `opt1` drops sign extension by a deferred bias, which theirs does not; `opt1-extended` is their
  structure, and is what stands beside their figures. `opt1`, `fip` and `ffip` go further than the paper.
* A merged MAC (`mac-merged`), in which multiplier and accumulator share one tree, is what a commercial
  tool is likely to make of the baseline. It is not the baseline here, because Yosys does not make it by itself: to
  compare with it, divide the PE ratios by its own.
* Of a digit array the memories are a large part: each row keeps its own copy of the weights, since it
  runs at its own pace. How the paper's engines hold theirs is not known to us; its body was not
  available.
* Data-dependent rows are for the named operands; uniform ones have more nonzero digits (EN-T: 2.92
  per operand instead of 2.11 of N(0, 20)), and cost as much more time."""


def _first(results: Sequence[tuple[str, Result]], level: str) -> list[tuple[str, dict[str, Any]]]:
    """Rows of a level by name with the file that they are from; the first file wins."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for name, result in results:
        for row in result.get(level, {}).get("designs", ()):
            found.setdefault(row["name"], (name, row))
    return list(found.values())


def _method(results: Sequence[tuple[str, Result]]) -> str:
    lines = ["## What was synthesised, and how", ""]
    for name, result in results:
        library = result["library"]
        tools = ", ".join(result["made_with"].values())
        page = name.removesuffix(".json")
        lines.append(
            f"* [`{name}`](results/{page}.md): {library['name']} ({library['corner']}), by "
            f"`bitweft ppa {result['command']}` with {tools}."
        )
    how = (
        "Amaranth writes the Verilog, Yosys synthesises it (`synth -booth`, flattened; modules that "
        "occur more than once are mapped once), ABC maps it under a driving cell and a load, and our "
        "own static timing analysis reads the mapped netlist with the library's NLDM tables; it gives "
        "the figures of OpenSTA. Every design runs under every recipe and delay target of a file and "
        "is represented by its best point. int8 operands, 32-bit results, seeds in the files. Each "
        "netlist of the energy column was simulated and computed the right products."
    )
    return "\n".join([*lines, "", how])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1) -> str:
    marks = ["---"] * text + ["---:"] * (len(header) - text)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, marks, *rows))


def _pes(results: Sequence[tuple[str, Result]]) -> str:
    energies = {
        row["name"]: (row["energy"], result["pe"]["designs"][0]["energy"])
        for _, result in reversed(results)
        for row in result.get("pe", {}).get("designs", ())
        if "energy" in row
    }
    rows = []
    for _, row in _first(results, "pe"):
        best = row["best"]
        energy, base = energies.get(row["name"], (None, None))
        cells = ["not measured"] * 3
        if energy and base:
            cells = [
                f"{energy['total'] / 1000:.2f}",
                f"{base['total'] / energy['total']:.2f}",
                f"{base['settled'] / energy['settled']:.2f}",
            ]
        rows.append(
            (
                row["name"],
                f"{best['area'] / row['pes']:,.0f}",
                f"{best['period']:.3f}",
                f"{row['macs_per_cycle'] / row['pes']:.3f}",
                f"{row['relative']['best']:.2f}",
                *cells,
            )
        )
    header = (
        "PE", "um2 per PE", "period ns", "MACs per cycle and PE", "performance per area",
        "pJ per MAC (indication)", "MACs per energy", "the same without glitches",
    )  # fmt: skip
    return (
        "## Processing elements\n\nOver the Booth MAC's. Shared encoders are in the area. Energy is "
        "that of the best netlist of the file that measured it, which may be of another recipe than "
        "the area and period beside it. Without glitches every net toggles once a cycle at most: "
        "much of what carry-save and digit PEs save is glitches of the multiplier and its adder, and "
        "their registers and clock pins cost some of it again.\n\n" + _table(header, rows)
    )


def _engines(results: Sequence[tuple[str, Result]]) -> str:
    buffers = {
        row["name"]: row
        for _, result in reversed(results)
        for row in result.get("engine", {}).get("buffers", {}).get("designs", ())
    }
    rows = []
    for _, row in _first(results, "engine"):
        best = row["best"]
        own = buffers.get(row["name"])
        cells = ["not counted"] * 3
        if own:
            where = "inside" if own["inside"] else "beside"
            cells = [
                f"{own['bits']:,} {where}",
                *(f"{own['relative'][name]:.2f}" for name in ("sram", "flip_flops")),
            ]
        rows.append(
            (
                row["name"],
                f"{best['area']:,.0f}",
                f"{best['period']:.3f}",
                f"{row['macs_per_cycle']:.1f}",
                f"{row['relative']['best']:.2f}",
                *cells,
            )
        )
    if not rows:
        return ""
    header = (
        "Engine", "um2 of logic", "period ns", "MACs per cycle", "performance per area, logic",
        "bits of memories", "with SRAM (estimate)", "with flip-flops (bound)",
    )  # fmt: skip
    return (
        "## Engines of 16 x 16\n\nWhole arrays with skew, drain, resolving adders, corrections and "
        "result queue, over the array of Booth MACs. How the memories are counted is said in the "
        "full table.\n\n" + _table(header, rows)
    )


def _fpga(folder: Path) -> str:
    path = folder / "ppa-ecp5.json"
    if not path.is_file():
        return ""
    result = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        (
            f"{row['name']}, {level}",
            f"{row['luts']:,}",
            str(row["cells"]["TRELLIS_FF"]),
            str(row["cells"]["MULT18X18D"]),
            f"{row['fmax_mhz']['median']:.0f}",
            f"{row['mmacs']:,.0f}",
        )
        for level in ("pe", "engine")
        for row in result.get(level, {}).get("designs", ())
    ]
    header = ("Design", "LUTs in all", "flip-flops", "DSP", "fmax MHz (median)", "MMAC/s")
    return (
        "## Lattice ECP5\n\nPlaced and routed, see [the table](results/ppa-ecp5.md). On an FPGA with "
        "DSP blocks a plain MAC is the one to use.\n\n" + _table(header, rows)
    )


def _published(results: Sequence[tuple[str, Result]]) -> str:
    rows = []
    for claim in CLAIMS:
        found = [(name, figure(claim, result)) for name, result in results]
        ours = next(((name, value) for name, value in found if value is not None), None)
        beside = f"{claim.design} over {claim.baseline}, {claim.level}"
        rows.append(
            (
                claim.what,
                claim.source,
                claim.quantity,
                beside if ours else "",
                f"{claim.theirs:.2f}",
                f"{ours[1]:.2f}" if ours else f"no figure: {claim.missing or 'not measured'}",
            )
        )
    header = ("Their design", "source", "quantity", "our row", "theirs", "ours")
    return (
        "## Row by row beside the published figures\n\nTheirs: Wu et al., HPCA 2025 (arXiv "
        "2503.06342). *Abstract* is the abstract; *paper* is its body as a third party quotes it, "
        "unchecked; *RTL reports* are the synthesis reports in the authors' repository, whose ratios "
        "at the best points that met timing are our arithmetic. Below 1 is better for a clock period "
        "and an area, above 1 for the others.\n\n" + _table(header, rows, text=4)
    )


def _proofs(folder: Path) -> str:
    path = folder / "proofs.json"
    if not path.is_file():
        return ""
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    proved = sum(r["proved"] for r in results)
    faults = sum(r.get("faults", 0) for r in results)
    missed = sum(len(r.get("survivors", ())) for r in results)
    return (
        "## That it computes\n\nWhat was synthesised is what is simulated, and what is proved: "
        f"{proved} of {len(results)} statements on cells, recoders, adders and streams are proved, and "
        f"{faults - missed} of {faults} injected faults break the proof of their block: "
        "[proofs](results/proofs.md)."
    )


def main() -> int:
    """Writes ``reports/silicon.md``."""
    path = RESULTS.parent / "silicon.md"
    write_text(path, silicon_page())
    sys.stdout.write(f"{path.name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
