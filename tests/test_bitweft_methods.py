from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bitweft.cli import create_app
from bitweft.methods import Method
from mapper.check import check_plan
from mapper.plan import plan_schema
from mapper.schedule.baselines import METHODS
from tests.mapper_graphs import light_model


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(create_app([str(words[0])]), [str(word) for word in words])


def test_options_schema_and_search_know_the_same_methods() -> None:
    assert [m.value for m in Method] == ["best", *METHODS]
    assert plan_schema()["properties"]["method"]["enum"] == ["best", *METHODS]


# In file order Belady moves four times the least; along the order of least peak it moves the least.
@pytest.mark.parametrize(
    ("method", "objective", "status"),
    [
        ("best", 37632, "optimal"),
        ("tflite_belady_file_order", 150528, "feasible"),
        ("tflite_greedy_ilp_file_order", 150528, "feasible"),
        ("tflite_belady_least_peak_order", 37632, "optimal"),
        ("tflite_greedy_ilp_least_peak_order", 37632, "optimal"),
    ],
)
def test_the_plan_is_that_of_the_method_and_its_bound_is_proven(
    tmp_path: Path, method: str, objective: int, status: str
) -> None:
    result = _run(
        "map", light_model("shufflenet"), "--method", method,
        "-o", tmp_path / "o", "--json", tmp_path / "s.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert ("made by baseline" in result.stdout) == (method != "best")
    plan = json.loads((tmp_path / "o" / "plan.json").read_text())
    assert check_plan(plan) is None
    assert json.loads((tmp_path / "s.json").read_text())["method"] == method
    assert (plan["method"], plan["objective_bytes"], plan["status"]) == (method, objective, status)
    assert plan["bound_bytes"] == 37632
    if method != "best":
        assert plan["baselines"][method] == objective


def test_another_method_is_refused_with_the_choice(tmp_path: Path) -> None:
    result = _run("map", light_model("shufflenet"), "--method", "luck", "-o", tmp_path / "o")
    assert result.exit_code == 2
    assert "'luck' is not one of 'best'" in result.stderr
    assert list(tmp_path.iterdir()) == []
