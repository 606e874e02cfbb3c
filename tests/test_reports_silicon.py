"""reports.silicon: the committed page is that of the committed results, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reports.ppa.fpga import ecp5_markdown
from reports.ppa.goals import GOALS, outcomes
from reports.ppa.published import CLAIMS, Claim, figure
from reports.silicon import RESULTS, silicon_page
from reports.silicon_tables import from_pe_to_array, goals


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    assert (RESULTS.parent / "silicon.md").read_text(encoding="utf-8") == silicon_page()


@pytest.mark.parametrize("level", ["pe", "engine"])
def test_the_committed_fpga_page_is_that_of_its_result(level: str) -> None:
    path = RESULTS / f"ppa-ecp5-{level}.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == ecp5_markdown(result)
    for row in result[level]["designs"]:
        runs = row["fmax_mhz"]["runs"]
        assert len(runs) == len(result["seeds"][level])
        assert min(runs) <= row["fmax_mhz"]["median"] <= max(runs)


def _row(name: str, area: float, period: float, macs: float, **more: Any) -> dict[str, Any]:
    best = {"area": area, "period": period}
    return {"name": name, "pes": 1, "best": best, "macs_per_cycle": macs, **more}


RESULT = {
    "pe": {
        "designs": [
            _row("mac", 100.0, 2.0, 1.0, energy={"total": 30.0}),
            _row("opt4c", 60.0, 0.5, 2.0, energy={"total": 20.0}, pes=4),
        ]
    }
}


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("area", 60 / 4 / 100),
        ("clock period", 0.25),
        ("performance per area", (100 * 2 / 1) / (60 * 0.5 / 2)),
        ("MACs per energy", 1.5),
    ],
)
def test_figures_are_relative_to_the_baseline(quantity: Any, expected: float) -> None:
    claim = Claim("theirs", "paper", "pe", "opt4c", quantity, 1.0)
    assert figure(claim, RESULT) == pytest.approx(expected)


def test_no_figure_without_the_design_its_baseline_or_the_energy() -> None:
    assert figure(Claim("", "", "engine", "opt4c", "area", 1.0), RESULT) is None
    assert figure(Claim("", "", "pe", "opt4c", "area", 1.0, baseline="mac-ws"), RESULT) is None
    assert figure(Claim("", "", "pe", "opt1", "MACs per energy", 1.0), RESULT) is None


def test_every_published_row_is_on_the_page_with_a_figure_or_a_reason(tmp_path: Path) -> None:
    page = silicon_page(tmp_path)  # no results at all
    rows = [line for line in page.splitlines() if "| no figure: " in line]
    assert len(rows) == len(CLAIMS)
    for claim, row in zip(CLAIMS, rows, strict=True):
        assert f"| {claim.what} | {claim.source} | {claim.quantity} |" in row
        assert f"| {claim.theirs:.2f} |" in row
        assert row.endswith(f" | {claim.note} |")
    assert page.count("| not measured | not measured |") == len(GOALS) + 1


def test_a_figure_that_misses_its_aim_says_so() -> None:
    result = {
        "pe": {
            "operands": "all alike",
            "designs": [
                {"name": "opt1", "relative": {"best": 1.699}},
                {"name": "opt3", "relative": {"best": 1.5}},
            ],
        },
        "widths": {
            "bits": [16, 48],
            "designs": [
                {"name": "mac", "carry_save": False, "spread": 1.5},
                {"name": "opt1", "carry_save": True, "spread": 1.1},
                {"name": "ffip", "carry_save": True, "spread": 1.0999},
            ],
        },
    }
    text = goals(result)
    met = {o.what: o.met for o in outcomes(result)}
    assert met[GOALS[0].what] is False and met[GOALS[1].what] is True
    assert all(met[goal.what] is None for goal in GOALS[2:])
    assert met["opt1, accumulators of 16 to 48 bits"] is False
    assert met["ffip, accumulators of 16 to 48 bits"] is True
    assert "| at least 1.7 times the performance per area | 1.70 | **no** |" in text
    assert "data-dependent rows on all alike" in text


def test_an_array_is_shared_out_among_its_pes() -> None:
    def row(name: str, area: float, macs: float, count: str, number: int) -> dict[str, Any]:
        return _row(name, area, 0.5, macs, relative={"best": 2.0}) | {count: number}

    result = {
        "pe": {"designs": [row("opt4c", 160.0, 8.0, "pes", 16)]},
        "engine": {
            "designs": [
                row("opt4c", 1024.0, 32.0, "cells", 256),
                row("mac-ws", 1.0, 1.0, "cells", 256),
            ]
        },
    }
    text = from_pe_to_array(result)
    assert text.splitlines()[-1] == (
        "| opt4c | 10 | 4 | 0.500 | 0.500 | 0.500 | 0.125 | 2.00 | 2.00 |"
    )
    assert "mac-ws" not in text


def test_what_was_aimed_at_is_met_by_the_committed_result() -> None:
    result = json.loads((RESULTS / "ppa-nangate45.json").read_text(encoding="utf-8"))
    assert [o for o in outcomes(result) if not o.met] == []
