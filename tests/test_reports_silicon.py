"""reports.silicon: the committed page is that of the committed results, and says what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from reports.ppa.fpga import ecp5_markdown
from reports.ppa.published import CLAIMS, Claim, figure
from reports.silicon import RESULTS, silicon_page


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    assert (RESULTS.parent / "silicon.md").read_text(encoding="utf-8") == silicon_page()


def test_the_committed_fpga_page_is_that_of_its_result() -> None:
    path = RESULTS / "ppa-ecp5.json"
    result = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_suffix(".md").read_text(encoding="utf-8") == ecp5_markdown(result)
    for row in result["pe"]["designs"]:
        runs = row["fmax_mhz"]["runs"]
        assert len(runs) == len(result["seeds"])
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
    rows = [line for line in page.splitlines() if line.endswith(" |") and "no figure: " in line]
    assert len(rows) == len(CLAIMS)
    for claim, row in zip(CLAIMS, rows, strict=True):
        assert f"| {claim.what} | {claim.source} | {claim.quantity} |" in row
        assert f"| {claim.theirs:.2f} |" in row
