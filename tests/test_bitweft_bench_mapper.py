"""bitweft bench mapper: its page and its means; the runs themselves take minutes."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bitweft.bench_mapper import CASES, Case, markdown, reductions, run_case
from mapper.networks.registry import NETWORKS
from mapper.schedule.baselines import METHODS

RESULTS = Path(str(resources.files("reports"))) / "results"


def _row(
    objective: int, baseline: int, *, budget: str = "MR", degenerate: bool = False
) -> dict[str, Any]:
    return {
        "budget": budget,
        "degenerate": degenerate,
        "objective_bytes": objective,
        "baselines": dict.fromkeys(METHODS, baseline),
    }


def test_every_network_is_a_case() -> None:
    assert {case.network for case in CASES} == set(NETWORKS)
    assert len({case.name for case in CASES}) == len(CASES)


def test_means_leave_out_degenerate_networks_other_budgets_and_baselines_of_zero() -> None:
    rows = [
        _row(25, 100),
        _row(50, 200),
        _row(0, 0),
        _row(0, 100, degenerate=True),
        _row(0, 100, budget="MP"),
    ]
    assert reductions(rows) == dict.fromkeys(METHODS, 0.75)


def test_a_case_is_mapped_at_each_budget_and_checked() -> None:
    results = run_case(Case("light_shufflenet"), 5.0, 0)
    assert [r["budget"] for r in results] == ["MR", "MH", "MP"]
    assert all(r["checked"] for r in results)
    assert [r["objective_bytes"] for r in results] == [37632, 37632, 0]


def test_the_committed_page_is_that_of_the_committed_results() -> None:
    content = json.loads((RESULTS / "mapper.json").read_text(encoding="utf-8"))
    page = (RESULTS / "mapper.md").read_text(encoding="utf-8")
    assert markdown(content["results"], content["made_with"]) == page
    assert all(r["checked"] for r in content["results"])
    assert [r["case"] for r in content["results"] if r["budget"] == "MR"] == [c.name for c in CASES]


@pytest.mark.parametrize("budget", ["MR", "MH", "MP"])
def test_committed_plans_are_no_worse_than_any_baseline(budget: str) -> None:
    for r in json.loads((RESULTS / "mapper.json").read_text(encoding="utf-8"))["results"]:
        if r["budget"] == budget:
            assert r["bound_bytes"] <= r["objective_bytes"]
            assert r["objective_bytes"] <= min(r["baselines"][name] for name in METHODS), r["case"]
