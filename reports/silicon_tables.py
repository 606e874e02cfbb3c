"""Tables of the page on silicon, each from committed results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from reports.ppa.goals import outcomes
from reports.ppa.published import CLAIMS, figure

__all__ = [
    "Result",
    "engines",
    "fpga",
    "from_pe_to_array",
    "goals",
    "other_libraries",
    "pes",
    "proofs",
    "published",
]

Result = Mapping[str, Any]


def _table(
    header: Sequence[str], rows: Sequence[Sequence[str]], text: int = 1, *, remarks: bool = False
) -> str:
    """A table in Markdown: `text` columns of words, then numbers, and words at the end if `remarks`."""
    marks = ["---"] * text + ["---:"] * (len(header) - text)
    if remarks:
        marks[-1] = "---"
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, marks, *rows))


def goals(result: Result) -> str:
    """What was aimed at, and whether it is met."""
    verdicts = {True: "yes", False: "**no**", None: "not measured"}
    rows = [(o.what, o.asked, o.measured, verdicts[o.met]) for o in outcomes(result)]
    header = ("Design", "aim", "measured", "met")
    operands = result.get("pe", {}).get("operands")
    return (
        "## What was aimed at\n\nEach over its Booth baseline of the same run, 32-bit accumulators"
        + (f"; data-dependent rows on {operands}, cycles counted" if operands else "")
        + ".\n\n"
        + _table(header, rows, text=2)
    )


def pes(result: Result) -> str:
    """PEs: area, period, rate and energy."""
    designs = result.get("pe", {}).get("designs", ())
    if not designs:
        return ""
    base = designs[0]["energy"]
    merged = {row["name"]: row["relative"]["best"] for row in designs}.get("mac-merged")
    rows = []
    for row in designs:
        best, energy = row["best"], row["energy"]
        rows.append(
            (
                row["name"],
                row["about"],
                f"{best['area'] / row['pes']:,.0f}",
                f"{best['period']:.3f}",
                f"{row['macs_per_cycle'] / row['pes']:.3f}",
                f"{row['relative']['best']:.2f}",
                f"{row['relative']['uniform']:.2f}",
                f"{row['relative']['best'] / merged:.2f}" if merged else "",
                f"{energy['total'] / 1000:.2f}",
                f"{base['total'] / energy['total']:.2f}",
                f"{base['settled'] / energy['settled']:.2f}",
            )
        )
    header = (
        "PE", "what it is", "um2 per PE", "period ns", "MACs per cycle and PE",
        "performance per area", "on uniform operands", "over mac-merged instead", "pJ per MAC (indication)", "MACs per energy",
        "the same without glitches",
    )  # fmt: skip
    return (
        "## Processing elements\n\nOver the Booth MAC's. Shared encoders are in the area. Energy is "
        "that of the netlist in the row, every one of them simulated. Without glitches every net "
        "toggles once a cycle at most: "
        "much of what carry-save and digit PEs save is glitches of the multiplier and its adder, and "
        "their registers and clock pins cost some of it again.\n\n" + _table(header, rows, text=2)
    )


def engines(result: Result) -> str:
    """Engines: logic, and what memories make of the ratios."""
    content = result.get("engine", {})
    if not content:
        return ""
    memories = {row["name"]: row for row in content["buffers"]["designs"]}
    cost = content["buffers"]["um2_per_bit"]
    rows = []
    for row in content["designs"]:
        best, own = row["best"], memories[row["name"]]
        where = "inside" if own["inside"] else "beside"
        sums = f" + {own['sum_bits']:,} of sums" if own["sum_bits"] else ""
        limit = own["break_even"]
        rows.append(
            (
                row["name"],
                row["shape"],
                row["baseline"],
                f"{best['area']:,.0f}",
                f"{best['period']:.3f}",
                f"{row['macs_per_cycle']:.1f}",
                f"{own['operand_bits']:,} {where}{sums}",
                f"{row['relative']['best']:.2f}",
                f"{row['relative']['uniform']:.2f}",
                *(f"{own['relative'][name]:.2f}" for name in cost if name != "logic"),
                "" if limit is None else f"{limit:.2f}",
            )
        )
    header = (
        "Engine", "shape", "over", "um2 of logic", "period ns", "MACs per cycle",
        "bits of memories", "performance per area: logic only", "on uniform operands",
        *(
            f"memories at {cost[name]:.2f} um2 per bit"
            for name in cost
            if name != "logic"
        ),
        "ahead up to um2 per bit",
    )  # fmt: skip
    return (
        "## Engines\n\nWhole arrays with skew, drain, resolving adders, corrections and "
        "result queue, over the array of Booth MACs of the same kind; every engine has 256 "
        "multipliers or PEs. What a bit of a small memory costs in 45 nm nobody can tell without a "
        "memory compiler, so there are three prices: a CACTI model, a layout by an open compiler, "
        "and flip-flops (sources in the full table); the last column is the price at which an engine "
        "with more memory than its baseline loses its lead.\n\n" + _table(header, rows, text=3)
    )


def from_pe_to_array(result: Result) -> str:
    """What becomes of each PE in the array of it: area, period and rate per PE."""
    alone = {row["name"]: row for row in result.get("pe", {}).get("designs", ())}
    rows = []
    for row in result.get("engine", {}).get("designs", ()):
        own = alone.get(row["name"])
        if own is None:
            continue
        per_pe = [
            (
                r["best"]["area"] / count,
                r["best"]["period"],
                r["macs_per_cycle"] / count,
            )
            for r, count in ((own, own["pes"]), (row, row["cells"]))
        ]
        forms = ("{:,.0f}", "{:.3f}", "{:.3f}")
        cells = [
            form.format(value)
            for form, pair in zip(forms, zip(*per_pe, strict=True), strict=True)
            for value in pair
        ]
        ratios = (f"{r['relative']['best']:.2f}" for r in (own, row))
        rows.append((row["name"], *cells, *ratios))
    if not rows:
        return ""
    header = (
        "PE", "um2, alone", "in the array", "period ns, alone", "in the array",
        "MACs per cycle and PE, alone", "in the array", "performance per area, alone",
        "in the array",
    )  # fmt: skip
    return (
        "## From a PE to an array\n\nWhere the ratios of arrays come from: everything around the PEs "
        "shared out among them. Digit arrays lose most: their cells are small beside their lanes, "
        "operand ports and shift-and-add units, rows wait for one another, and the array is written "
        "one element of K per cycle, which is less than opt2 and opt4e could take.\n\n"
        + _table(header, rows)
    )


def other_libraries(results: Sequence[tuple[str, Result]]) -> str:
    """Ratios of PEs on further libraries, beside each other."""
    by_library = {
        result["library"]["name"]: {row["name"]: row for row in result["pe"]["designs"]}
        for _, result in results
        if "pe" in result
    }
    if len(by_library) < 2:
        return ""

    def cells(rows: Mapping[str, Any], name: str) -> tuple[str, str]:
        if name not in rows:
            return "", ""
        row = rows[name]
        return (
            f"{row['relative']['best']:.2f}",
            f"{1 / row['energy']['relative']['total']:.2f}",
        )

    names = next(iter(by_library.values()))
    gains = [
        [of[name]["relative"]["best"] for of in by_library.values() if name in of] for name in names
    ]
    apart = max(max(gain) / min(gain) for gain in gains)
    rows = [(name, *(c for of in by_library.values() for c in cells(of, name))) for name in names]
    header = [
        f"{what}, {library}"
        for library in by_library
        for what in ("performance per area", "MACs per energy (indication)")
    ]
    return (
        "## Another library\n\nPEs over the Booth MAC, each library in a run of its own; the second is "
        "the 180 nm library of Oklahoma State University, as Debian's package qflow-tech-osu018 has "
        "it. "
        f"Ratios of performance per area differ by {100 * (apart - 1):.0f} % at most.\n\n"
        + _table(("PE", *header), rows)
    )


def fpga(folder: Path) -> str:
    """PEs and small engines on an FPGA."""
    paths = sorted(folder.glob("ppa-ecp5*.json"), reverse=True)
    if not paths:
        return ""
    results = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    rows = [
        (
            row["name"],
            level,
            row["shape"] if level == "engine" else str(row["pes"]),
            f"{row['luts']:,}",
            f"{row['cells']['TRELLIS_FF']:,}",
            str(row["cells"]["MULT18X18D"]),
            f"{row['fmax_mhz']['median']:.0f}",
            f"{row['macs_per_cycle']:.4g}",
            f"{row['mmacs']:,.0f}",
            f"{row['mmacs_per_lut']:.2f}",
        )
        for level in ("pe", "engine")
        for result in results
        for row in result.get(level, {}).get("designs", ())
    ]
    pages = ", ".join(f"[{path.stem}](results/{path.stem}.md)" for path in paths)
    header = (
        "Design", "level", "shape or PEs", "LUTs in all", "flip-flops", "DSP", "fmax MHz (median)",
        "MACs per cycle", "MMAC/s", "MMAC/s per LUT",
    )  # fmt: skip
    return (
        f"## Lattice ECP5\n\nPlaced and routed: {pages}. On an FPGA with "
        "DSP blocks a plain MAC is the one to use. `mac-luts` does without them; it is Yosys' own "
        "multiplier, not a Booth multiplier, and `mac-merged`, whose Booth rows are in the source, is "
        "the stricter measure for PEs out of LUTs.\n\n" + _table(header, rows, text=3)
    )


def published(result: Result) -> str:
    """Every published figure with ours beside it, or the reason why there is none."""
    rows = []
    for claim in CLAIMS:
        ours = figure(claim, result)
        beside = f"{claim.design} over {claim.baseline}, {claim.level}"
        rows.append(
            (
                claim.what,
                claim.source,
                claim.quantity,
                "" if ours is None else beside,
                f"{claim.theirs:.2f}",
                f"no figure: {claim.missing or 'not measured'}" if ours is None else f"{ours:.2f}",
                claim.note,
            )
        )
    header = ("Their design", "source", "quantity", "our row", "theirs", "ours", "what differs")
    return (
        "## Row by row beside the published figures\n\nTheirs: Wu et al., HPCA 2025 (arXiv "
        "2503.06342). *Abstract* is the abstract; *paper* is its body as a third party quotes it, "
        "unchecked; *RTL reports* are the synthesis reports in the authors' repository, whose ratios "
        "at the best points that met timing are our arithmetic. Below 1 is better for a clock period "
        "and an area, above 1 for the others.\n\n" + _table(header, rows, text=4, remarks=True)
    )


def proofs(folder: Path) -> str:
    """What is proved of the hardware that was synthesised."""
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
