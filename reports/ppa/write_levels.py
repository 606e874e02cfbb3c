"""Parts of the report on a level, PEs or engines: ratios, all points, and where the area is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.page import Picture, Section, Table
from reports.ppa.designs import BASELINE
from reports.ppa.explore import FLATTERED

__all__ = ["breakdown", "points", "ratios", "stem"]

Result = dict[str, Any]

_LEVELS = {
    "pe": "Processing elements",
    "engine": "Engines",
}


def stem(result: Result) -> str:
    """Beginning of the names of the report's files."""
    return f"ppa-{result['library']['stem']}"


def ratios(result: Result, level: str) -> Section:
    """Area, period and performance per area of every design at its best point."""
    rows = []
    content = result[level]
    same = any(row["relative"]["same_recipe"] is not None for row in content["designs"])
    for row in content["designs"]:
        best, relative = row["best"], row["relative"]
        rows.append(
            (
                row["name"],
                row["about"],
                *((row["shape"], row["baseline"]) if level == "engine" else (str(row["pes"]),)),
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
                *((_ratio(relative["same_recipe"]),) if same else ()),
                f"{relative['wires']:.2f}",
                f"{relative['uniform']:.2f}",
            )
        )
    text = _pe_text(content) if level == "pe" else _engine_text(result)
    return Section(
        _LEVELS[level],
        text,
        Table(
            (
                "Design",
                "",
                *(("shape", "over") if level == "engine" else ("PEs",)),
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
                *(("same recipe",) if same else ()),
                "wire load",
                "uniform",
            ),  # fmt: skip
            rows,
        ),
        [
            Picture(f"{stem(result)}-{level}-ratios.svg", "Performance per area over the MAC's"),
            Picture(
                f"{stem(result)}-{level}-points.svg",
                "Area and period of every point; the lines are equal performance per area of a MAC",
            ),
        ],
    )


def _about_ratios(content: dict[str, Any], baseline: str) -> str:
    return (
        f"Results of {content['bits']} bits, int8 operands; where the cycles depend on them, they "
        f"are {content['operands']}. The last columns are performance per area over that of "
        f"{baseline}: each design at its best recipe and target; where there are runs of them, both "
        "with Yosys' own scripts (same recipe); the best points with the library's wire load model; "
        "and on operands drawn uniformly from all 256 values. "
    )


def _pe_text(content: dict[str, Any]) -> str:
    flattered = content["no_booth"]
    return (
        _about_ratios(content, "the first row")
        + "The pairs of digit PEs (opt2 to opt4e) hold one bit weight of 256 products and are "
        "narrower; the adders that shift and add them up, one for four PEs, and operand buffers "
        "are outside, as are the one addition per sum of carry-save PEs and the corrections of "
        "fip and ffip. A PE that is listed with others shares its encoders with them, and its "
        "share is in its area; area is that of one PE. With Yosys' default multiplier, which is no "
        f"Booth multiplier, the baseline would be {flattered['area']:,.0f} um2 at "
        f"{flattered['period']:.3f} ns, which is {flattered['relative']:.2f} times the performance "
        "per area of the baseline used here; ratios to it would flatter every other row."
    )


def _engine_text(result: Result) -> str:
    content = result["engine"]
    recipes = sorted({p["recipe"] for row in content["designs"] for p in row["points"]})
    return (
        _about_ratios(content, "the engine named under *over*, of as many multipliers")
        + "An engine is the whole array with input skew, drain, resolve adders, alignment and "
        f"result queue, at the shortest delay target, with {', '.join(recipes)}"
        f"{_loss(result, recipes)}. "
        "Modules that occur more than once are mapped once; the netlist is "
        "flattened for timing, and nets that are too heavy for their driver get buffer trees, "
        f"which are in the area. Clock gating: {'on' if content['gate_clock'] else 'off'}. The "
        "digit arrays (opt2, opt4c, opt4e) keep operands in memories, weight-stationary arrays "
        "partial sums, and the library has no memories: this table has the logic only, and the next "
        "one the memories."
    )


def _loss(result: Result, recipes: Sequence[str]) -> str:
    """What it costs the PEs of the same result to have no other recipe."""

    def least(points: Sequence[dict[str, Any]]) -> float:
        return min((p["area"] * p["period"] for p in points), default=float("inf"))

    losses = {
        row["name"]: least([p for p in row["points"] if p["recipe"] in recipes])
        / least([p for p in row["points"] if p["recipe"] != FLATTERED])
        for row in result.get("pe", {}).get("designs", ())
    }
    if not losses or max(losses.values()) == float("inf"):
        return ""
    worst = max(losses, key=lambda name: losses[name])
    return (
        f", which costs the baseline {100 * (losses[BASELINE] - 1):.1f} % and no PE above more than "
        f"{100 * (losses[worst] - 1):.1f} % ({worst}) against its best recipe"
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def points(result: Result, level: str) -> Section:
    """Every point of every design."""
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


def breakdown(result: Result) -> Section:
    """Engines: which modules the area is in."""
    return Section(
        "Engines: where the area is",
        "um2 of the best point, by the modules that occur more than once. The top is all that occurs "
        "once: skew and alignment registers, queue, control.",
        Table(
            ("Design", "top", "modules that occur more than once", "buffers added"),
            [
                (
                    row["name"],
                    f"{row['best']['parts'].get('top', 0):,.0f}",
                    ", ".join(
                        f"{name} {area:,.0f}"
                        for name, area in row["best"]["parts"].items()
                        if name != "top"
                    ),
                    str(row["best"]["buffers"]),
                )
                for row in result["engine"]["designs"]
            ],
        ),
    )
