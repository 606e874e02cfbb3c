"""The report: tables and pictures of a result, as Markdown and as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reports.page import Picture, Section, Table, page
from reports.ppa.goals import STEADY
from reports.ppa.plots import plot_area_delay, plot_ratios, plot_widths
from reports.ppa.write_levels import breakdown, points, ratios, stem
from reports.ppa.write_parts import buffers_sections, energy_sections, published_section

__all__ = ["markdown", "sections", "write_report"]

Result = dict[str, Any]

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
            parts += [ratios(result, level), points(result, level)]
            if level == "engine":
                parts += [*buffers_sections(result), breakdown(result)]
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
        change = row["spread"] - 1
        verdict = ("yes" if change < STEADY else "no") if row["carry_save"] else "not carry-save"
        rows.append((*cells, f"{100 * change:.1f} %", verdict))
    return Section(
        "Accumulator width",
        "Every width at its best point. The last column is how much the slowest width's period "
        "exceeds the fastest's: a carry-save accumulator has no carry chain to grow, and should stay "
        f"below {100 * STEADY:.0f} %. The pairs of digit PEs have widths of their own, which the "
        "length of their segments sets.",
        Table((*header, "period varies by", f"below {100 * STEADY:.0f} %"), rows),
        [Picture(f"{stem(result)}-widths.svg", "Period against accumulator width")],
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
    for level, noun, over in (
        ("pe", "PEs by themselves", "a Booth MAC"),
        ("engine", "engines", "an array of Booth MACs of its kind"),
    ):
        rows = [r for r in result.get(level, {}).get("designs", ()) if r["name"] != r["baseline"]]
        if rows:
            best = max(rows, key=lambda r: float(r["relative"]["best"]))
            said.append(
                f"Of the {noun}, {best['name']} gains most: {best['relative']['best']:.2f} times "
                f"the performance per area of {over} from the same run."
            )
    return " ".join(said)


def write_report(result: Result, folder: Path) -> None:
    """Writes ``ppa-LIBRARY.md``, ``.html`` and the pictures."""
    name = stem(result)
    (folder / f"{name}.md").write_text(markdown(result), encoding="utf-8")
    html = page(_title(result), _summary(result), sections(result), "Made by bitweft ppa.")
    (folder / f"{name}.html").write_text(html, encoding="utf-8")
    for level in ("pe", "engine"):
        if level in result:
            rows = result[level]["designs"]
            plot_ratios(rows, folder, f"{name}-{level}-ratios")
            plot_area_delay(rows, folder, f"{name}-{level}-points")
    if "widths" in result:
        plot_widths(result["widths"], folder, f"{name}-widths")
