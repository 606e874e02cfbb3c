"""bitweft ppa: refusals, and the committed report."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bitweft.cli import create_app
from reports.ppa.designs import design_names
from reports.ppa.published import CLAIMS
from reports.ppa.write import markdown

RESULTS = Path(str(resources.files("reports"))) / "results"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--designs", "opt9"], "--designs must be among "),
        (["--delay", "fast"], "--delay must be integers from 1 to 1000000"),
        (["--widths", "4"], "--widths must be integers from 8 to 64"),
        (["--recipes", "magic"], "--recipes must be among yosys, keep, keep-kogge-stone"),
        (["--designs", "matrix-mac"], "--designs must be among "),
        (["--library", "ecp5", "--widths", "16"], "--widths must be empty with --library ecp5"),
        (["--library", "absent.lib"], "Library must be a readable file, not 'absent.lib'"),
    ],
)
def test_refuses(arguments: list[str], message: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    run = CliRunner().invoke(create_app(["ppa"]), ["ppa", *arguments, "-o", str(output)])
    assert run.exit_code == 2
    assert message in run.stderr
    assert not output.exists()


def test_published_figures_stand_beside_designs_that_exist() -> None:
    for claim in CLAIMS:
        exists = {claim.design, claim.baseline} <= set(design_names(claim.level))
        assert exists or claim.missing
    # Only of rivals is there nothing to compare with.
    unknown = {c.design for c in CLAIMS if c.design not in design_names(c.level)}
    assert unknown == {"laconic"}


@pytest.mark.parametrize(
    "path",
    sorted(p for p in RESULTS.rglob("ppa-*.json") if not p.stem.startswith("ppa-ecp5")),
    ids=lambda p: f"{p.parent.name}-{p.stem}",
)
def test_the_committed_page_is_that_of_the_committed_result(path: Path) -> None:
    result = json.loads(path.read_text())
    assert path.with_suffix(".md").read_text(encoding="utf-8") == markdown(result)
    for level in ("pe", "engine"):
        rows = result.get(level, {"designs": []})["designs"]
        for row in rows:
            (over,) = (r for r in rows if r["name"] == row["baseline"])
            best, base = row["best"], over["best"]
            ratio = base["area"] * base["period"] / over["macs_per_cycle"]
            ratio /= best["area"] * best["period"] / row["macs_per_cycle"]
            assert row["relative"]["best"] == pytest.approx(ratio, rel=1e-3)
            assert all(
                best["area"] * best["period"] <= p["area"] * p["period"] * (1 + 1e-9)
                for p in row["points"]
                if p["recipe"] != "no-booth"
            )
