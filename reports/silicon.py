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

from hw.files import write_text
from reports.silicon_tables import (
    Result,
    engines,
    fpga,
    from_pe_to_array,
    goals,
    other_libraries,
    pes,
    proofs,
    published,
)

__all__ = ["RESULTS", "main", "silicon_page"]

RESULTS = Path(__file__).parent / "results"

_MAIN = "ppa-nangate45.json"
_SOURCES = (_MAIN, "ppa-osu018_stdcells.json")


def silicon_page(folder: Path = RESULTS) -> str:
    """The page as Markdown, from the results in `folder`."""
    results = [
        (name, json.loads((folder / name).read_text(encoding="utf-8")))
        for name in _SOURCES
        if (folder / name).is_file()
    ]
    main_result = dict(results).get(_MAIN, {})
    parts = [
        _INTRODUCTION,
        goals(main_result),
        _method(results),
        _LEFT_OUT,
        pes(main_result),
        engines(main_result),
        from_pe_to_array(main_result),
        other_libraries(results),
        fpga(folder),
        published(main_result),
        _READING,
        proofs(folder),
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
  they hold is counted in bits and set beside the logic at three prices; dense arrays get equivalent
  operand buffers beside them, and the sums of weight-stationary arrays are counted apart.
* **Energy** is an indication: toggles of the mapped netlist, simulated with gate delays but without
  wires, times the library's tables. No clock tree, no wires, no buffers.
* Nothing here was measured on silicon or signed off by a commercial tool."""

_READING = """## How to read the differences

* Theirs are 28 nm layouts and 32 nm synthesis with a commercial tool that retimes and merges; ours are
  45 nm netlists. Agreement in direction and rough size is what can be expected.
* Our `opt1` drops sign extension by a deferred bias, which theirs does not; `opt1-extended` is their
  structure, and is what stands beside their figures. `opt1`, `fip` and `ffip` go further than the paper.
* A merged MAC (`mac-merged`), in which multiplier and accumulator share one tree, is what a commercial
  tool is likely to make of the baseline. It is not the baseline here, because Yosys does not make it by
  itself; the table of PEs has the ratios over it in a column of their own. Most of the energy that
  carry-save accumulation saves over the baseline, the merged MAC saves too.
* Of a digit array the memories are a large part: each row keeps its own copy of the weights, since it
  runs at its own pace. How the paper's engines hold theirs is not known to us; its body was not
  available.
* Data-dependent rows (`opt3`, `opt4c`, `opt4e`) are for the named operands, cycles counted with groups
  of zeros, lanes and rows that wait for one another; a column has them for uniform operands, which have
  more nonzero digits (EN-T: 2.92 per operand instead of 2.11 of N(0, 20))."""


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
        "the figures of OpenSTA. Every PE runs under every recipe and delay target of a file, every "
        "engine under one, and each is represented by its best point. int8 operands, 32-bit results, seeds in the files. Each "
        "netlist of the energy column was simulated and computed the right products."
    )
    return "\n".join([*lines, "", how])


def main() -> int:
    """Writes ``reports/silicon.md``."""
    path = RESULTS.parent / "silicon.md"
    write_text(path, silicon_page())
    sys.stdout.write(f"{path.name} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
