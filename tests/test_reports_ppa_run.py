"""reports.ppa.run: what becomes of measured points; synthesis is stood in for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from reports.ppa import run as module
from reports.ppa.designs import Design, find_designs
from reports.ppa.digits import parse_distribution
from reports.ppa.explore import Point, Row
from reports.ppa.flow import Measurement
from reports.ppa.run import Request, run
from reports.ppa.target import Target, find_target
from tests.ppa_library import LIBRARY


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "Small.lib").write_text(LIBRARY)
    return find_target(str(tmp_path / "Small.lib"))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Calls of `explore`; every design has 100 um2 per PE and a period by its width."""
    calls: list[dict[str, Any]] = []

    def explore(designs: Sequence[Design], target: Target, **rest: Any) -> list[Row]:
        calls.append({"designs": [d.name for d in designs], **rest})
        return [
            Row(
                d,
                tuple(
                    Point(recipe, delay, _measurement(100.0 * d.pes, 1 + d.bits / 100))
                    for recipe in rest["recipes"]
                    for delay in rest["delays"]
                ),
            )
            for d in designs
        ]

    energy = {"total": 2.0, "settled": 1.0}
    monkeypatch.setattr(module, "explore", explore)
    monkeypatch.setattr(module, "tool_versions", lambda: {"yosys": "Yosys 1 (git), more"})
    monkeypatch.setattr(module, "energy_per_mac", lambda *_: dict(energy))
    return calls


def _measurement(area: float, period: float) -> Measurement:
    return Measurement(
        area=area, sequential_area=0, cells=0, buffers=0, period=period, period_wires=period,
        launch=0, setup=0, gates=0, inputs=None, outputs=None, through=None,
    )  # fmt: skip


def test_every_row_over_its_baseline_for_the_operands_named_and_for_uniform_ones(
    target: Target, asked: list[dict[str, Any]]
) -> None:
    request = Request(levels=("pe",), designs=("opt1", "opt4c"), delays=(300,))
    result = run(request, target)
    assert result["library"]["stem"] == "small"
    rows = {row["name"]: row for row in result["pe"]["designs"]}
    assert list(rows) == ["mac", "opt1", "opt4c"]
    assert {row["baseline"] for row in rows.values()} == {"mac"}
    assert rows["opt1"]["relative"]["best"] == rows["opt1"]["relative"]["uniform"] == 1
    named, uniform = (
        {d.name: d.macs for d in find_designs(("opt4c",), "pe", 32, parse_distribution(text))}
        for text in ("normal:20", "uniform")
    )
    relative = rows["opt4c"]["relative"]
    assert relative["best"] == pytest.approx(named["opt4c"] / 16, rel=1e-3)
    assert relative["uniform"] == pytest.approx(uniform["opt4c"] / 16, rel=1e-3)
    assert relative["uniform"] < relative["best"]
    assert rows["opt1"]["energy"]["relative"] == {"total": 1, "settled": 1}
    # The flattered recipe is asked for beside the others.
    assert asked[0]["recipes"] == (*request.recipes, "no-booth")


def test_engines_run_under_one_recipe_and_the_shortest_delay_with_clock_gates(
    target: Target, asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "find_designs", partial(find_designs, size=4))
    monkeypatch.setattr(module, "buffers_of", lambda rows, baselines, target: sorted(baselines))
    result = run(Request(levels=("engine",), designs=("opt1-tree",), delays=(2000, 300)), target)
    (call,) = asked
    assert call["designs"] == ["mac", "mac-tree", "opt1-tree"]
    assert (call["recipes"], call["delays"], call["gate_clock"]) == (("keep",), (300,), True)
    assert result["engine"]["buffers"] == ["mac", "mac-tree", "opt1-tree"]
    shapes = {row["name"]: (row["shape"], row["baseline"]) for row in result["engine"]["designs"]}
    assert shapes["opt1-tree"] == ("2 x 2 x 4", "mac-tree")


def test_the_sweep_says_how_much_the_period_changes_and_which_rows_are_carry_save(
    target: Target, asked: list[dict[str, Any]]
) -> None:
    request = Request(levels=(), designs=("opt1", "opt4c"), delays=(300,), widths=(16, 48))
    content = run(request, target)["widths"]
    assert content["bits"] == [16, 48]
    assert [(row["name"], row["carry_save"]) for row in content["designs"]] == [
        ("mac", False),
        ("opt1", True),
    ]
    assert content["designs"][1]["spread"] == round(1.48 / 1.16, 4)
    assert [call["designs"] for call in asked] == [["mac", "opt1"]] * 2
