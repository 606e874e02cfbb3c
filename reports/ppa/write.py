"""The report: tables and pictures of a result, as Markdown and as one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.page import Picture, Section, Table, page
from reports.ppa.plots import plot_area_delay, plot_ratios, plot_widths
from reports.ppa.write_parts import buffers_sections, energy_sections, published_section

__all__ = ["markdown", "sections", "write_report"]

Result = dict[str, Any]

_LEVELS = {
    "pe": "Processing elements",
    "engine": "Engines",
}
_LEFT_OUT = (
    "Left out: wires and their delay (but see the columns with the library's wire load model), the "
    "clock tree, clock skew and uncertainty, hold fixing, power grid, filler cells, temperature and "
    "process corners, and everything that placement would change. Figures are a comparison under "
    "equal conditions, not a prediction of silicon."
)


def sections(result: Result) -> list[Section]:
    """The parts of the report that `result` has figures for."""
    parts = [_method(result)]
    for level in ("pe", "engine"):
        if level in result:
            parts += [_ratios(result, level), _points(result, level)]
            if level == "engine":
                parts += [*buffers_sections(result), _breakdown(result)]
            else:
                parts += energy_sections(result)
    if "widths" in result:
        parts.append(_widths(result))
    if "sparse" in result:
        parts.append(_sparse(result))
    published = published_section(result)
    if published is not None:
        parts.append(published)
    parts.append(_scripts(result))
    return parts


def _method(result: Result) -> Section:
    library = result["library"]
    return Section(
        "What was done",
        "Each design is written as Verilog by bitweft, mapped by Yosys and ABC onto "
        f"{library['name']} ({library['corner']}), and timed by a static timing analysis of the "
        "mapped netlist with the library's own tables (NLDM): clock-to-output delay of the "
        "launching flip-flop, every gate at its input transition and load, and setup time. The "
        f"analysis gives the same figures as OpenSTA. Inputs are driven by {library['driver']}, "
        f"outputs carry {library['load']:g} fF. Period is the slowest register-to-register path. "
        "Every design runs under every recipe and every delay target, and each is represented by "
        "its point of greatest performance per area: MACs per second, at one clock per period, and "
        "per um2 of cells. PEs include their operand registers; results are in one word or in a "
        "{sum, carry} pair, whose one addition per finished sum is part of the engines only. "
        + _LEFT_OUT,
        Table(
            ("Recipe", "What it is"),
            [(name, about) for name, about in result["recipes"].items()],
        ),
    )


def _ratios(result: Result, level: str) -> Section:
    rows = []
    content = result[level]
    for row in content["designs"]:
        best, relative = row["best"], row["relative"]
        rows.append(
            (
                row["name"],
                row["about"],
                str(row["pes"]),
                f"{best['area'] / row['pes']:,.0f}",
                f"{best['sequential_area'] / row['pes']:,.0f}",
                f"{best['period']:.3f}",
                f"{best['period_wires']:.3f}",
                str(best["gates"]),
                f"{row['macs_per_cycle']:.4g}",
                *((f"{row['energy']['total'] / 1000:.2f}",) if "energy" in row else ()),
                f"{row['gmacs_per_mm2']:,.0f}",
                f"{best['recipe']}, {best['delay_ps']} ps",
                f"{relative['best']:.2f}",
                _ratio(relative["same_recipe"]),
                f"{relative['wires']:.2f}",
            )
        )
    text = (
        f"Results of {content['bits']} bits, int8 operands; where the cycles depend on them, they "
        f"are {content['operands']}. The last three columns are performance "
        "per area over that of the first row: each design at its best recipe and target; both with "
        "Yosys' own scripts; the best points with the library's wire load model."
    )
    if level == "pe":
        text += (
            " The pairs of digit PEs (opt2 to opt4e) hold one bit weight of 256 products and are "
            "narrower; the adders that shift and add them up, one for four PEs, and operand buffers "
            "are outside, as are the one addition per sum of carry-save PEs and the corrections of "
            "fip and ffip. A PE that is listed with others shares its encoders with them, and its "
            "share is in its area."
        )
        flattered = content["no_booth"]
        text += (
            " With Yosys' default multiplier, which is no Booth multiplier, the baseline would be "
            f"{flattered['area']:,.0f} um2 at {flattered['period']:.3f} ns, which is "
            f"{flattered['relative']:.2f} times the performance per area of the baseline used here; "
            "ratios to it would flatter every other row."
        )
    else:
        text += (
            " An engine is the whole array with input skew, drain, resolve adders, alignment and "
            "result queue, at the shortest delay target. Modules that occur more than once are mapped once; the netlist is "
            "flattened for timing, and nets that are too heavy for their driver get buffer trees, "
            f"which are in the area. Clock gating: {'on' if content['gate_clock'] else 'off'}. The "
            "digit arrays (opt2, opt4c, opt4e) keep operands in memories, which the library has not: "
            "this table has their logic only, and the next one the memories."
        )
    return Section(
        _LEVELS[level],
        text,
        Table(
            (
                "Design",
                "",
                "um2",
                "of it registers",
                "period ns",
                "with wire load",
                "gates",
                "MACs/cycle",
                *(("pJ/MAC (indication)",) if "energy" in content["designs"][0] else ()),
                "GMAC/s/mm2",
                "best with",
                "perf/area",
                "same recipe",
                "wire load",
            ),  # fmt: skip
            rows,
        ),
        [
            Picture(f"{_stem(result)}-{level}-ratios.svg", "Performance per area over the MAC's"),
            Picture(
                f"{_stem(result)}-{level}-points.svg",
                "Area and period of every point; the lines are equal performance per area of a MAC",
            ),
        ],
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _points(result: Result, level: str) -> Section:
    rows = [
        (
            row["name"],
            point["recipe"],
            str(point["delay_ps"]),
            f"{point['area']:,.0f}",
            f"{point['period']:.3f}",
            f"{point['period_wires']:.3f}",
            str(point["gates"]),
            f"{point['area'] * point['period'] / row['macs_per_cycle']:,.0f}",
        )
        for row in result[level]["designs"]
        for point in _distinct(row["points"])
    ]
    return Section(
        f"{_LEVELS[level]}: all points",
        "Targets that gave the same netlist are one line.",
        Table(
            (
                "Design",
                "recipe",
                "target ps",
                "um2",
                "period ns",
                "with wire load",
                "gates",
                "um2 ns per MAC",
            ),
            rows,
        ),
    )


def _distinct(points: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for point in points:
        key = (point["recipe"], point["area"], point["period"])
        if key in found:
            found[key] = {
                **found[key],
                "delay_ps": f"{found[key]['delay_ps']}, {point['delay_ps']}",
            }
        else:
            found[key] = dict(point)
    return list(found.values())


def _breakdown(result: Result) -> Section:
    names = sorted({part for row in result["engine"]["designs"] for part in row["best"]["parts"]})
    return Section(
        "Engines: where the area is",
        "um2 of the best point. The top is everything that occurs once: skew and alignment "
        "registers, queue, control.",
        Table(
            ("Design", *names, "buffers added"),
            [
                (
                    row["name"],
                    *(f"{row['best']['parts'].get(name, 0):,.0f}" for name in names),
                    str(row["best"]["buffers"]),
                )
                for row in result["engine"]["designs"]
            ],
        ),
    )


def _widths(result: Result) -> Section:
    content = result["widths"]
    header = ["Design"]
    for bits in content["bits"]:
        header += [f"{bits} bits: um2", "ns"]
    rows = []
    for row in content["designs"]:
        cells = [row["name"]]
        for point in row["points"]:
            cells += [f"{point['area']:,.0f}", f"{point['period']:.3f}"]
        rows.append((*cells, f"{100 * (row['spread'] - 1):.0f} %"))
    return Section(
        "Accumulator width",
        "Every width at its best point. The last column is how much the slowest width's period "
        "exceeds the fastest's: a carry-save accumulator has no carry chain to grow.",
        Table((*header, "period varies by"), rows),
        [Picture(f"{_stem(result)}-widths.svg", "Period against accumulator width")],
    )


def _sparse(result: Result) -> Section:
    content = result["sparse"]
    rows = []
    for case in content["cases"]:
        lanes, columns = case["lanes"], case["columns"]
        rows.append(
            (
                f"{case['recoding']}, lanes {lanes}, columns {columns}",
                f"{case['digits_per_operand']:.3f}",
                f"{case['per_mac'] * lanes:.3f}",
                f"{case['per_mac_synchronised'] * lanes:.3f}",
            )
        )
    return Section(
        "Cycles of digit-serial PEs",
        f"Operands: {content['rule']}; {content['rows']} reductions of length {content['k']}, "
        f"seed {content['seed']}. Counted, not estimated: groups of four operands, one cycle per "
        "nonzero digit and one for a group of zeros; lanes meet at each bit weight, columns at "
        "each tile. Cycles are per MAC and lane.",
        Table(("", "nonzero digits", "cycles alone", "cycles synchronised"), rows),
    )


def _scripts(result: Result) -> Section:
    tools = ", ".join(result["made_with"].values())
    return Section(
        "To do it again",
        f"bitweft ppa {result['command']}. Tools: {tools}. Library: SHA-256 "
        f"{result['library']['sha256']}. Constraints for ABC: {result['library']['constraints']}.",
        Table(("Recipe", "script"), list(result["scripts"].items())),
    )


def _stem(result: Result) -> str:
    return f"ppa-{result['library']['stem']}"


def markdown(result: Result) -> str:
    """The report as Markdown."""
    lines = [f"# {_title(result)}", "", _summary(result)]
    for section in sections(result):
        lines += ["", f"## {section.title}", "", section.text]
        if section.table is not None:
            header = [cell or " " for cell in section.table.header]
            lines += ["", f"| {' | '.join(header)} |"]
            lines.append("|---|" + "---:|" * (len(header) - 1))
            lines += [f"| {' | '.join(row)} |" for row in section.table.rows]
        for picture in section.pictures:
            lines += ["", f"![{picture.caption}]({picture.file})"]
    return "\n".join(lines) + "\n"


def _title(result: Result) -> str:
    return f"Area, delay and throughput per area on {result['library']['name']}"


def _summary(result: Result) -> str:
    said = []
    for level, noun in (("pe", "by themselves"), ("engine", "in a 16 x 16 array")):
        rows = [r for r in result.get(level, {}).get("designs", ()) if r["name"] != "mac"]
        if rows:
            best = max(rows, key=lambda r: float(r["relative"]["best"]))
            said.append(
                f"Of the PEs {noun}, {best['name']} has the greatest performance per area: "
                f"{best['relative']['best']:.2f} times that of a Booth MAC from the same run."
            )
    return " ".join(said)


def write_report(result: Result, folder: Path) -> None:
    """Writes ``ppa-LIBRARY.md``, ``.html`` and the pictures."""
    stem = _stem(result)
    (folder / f"{stem}.md").write_text(markdown(result), encoding="utf-8")
    html = page(_title(result), _summary(result), sections(result), "Made by bitweft ppa.")
    (folder / f"{stem}.html").write_text(html, encoding="utf-8")
    for level in ("pe", "engine"):
        if level in result:
            rows = result[level]["designs"]
            plot_ratios(rows, folder, f"{stem}-{level}-ratios")
            plot_area_delay(rows, folder, f"{stem}-{level}-points")
    if "widths" in result:
        plot_widths(result["widths"], folder, f"{stem}-widths")
