from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bitweft import bench_graphs
from bitweft.bench_graphs import Tally, draw, judge, run_graphs
from bitweft.cli import create_app
from mapper.budget import Budget
from mapper.graph import Graph
from mapper.mapping import map_graph
from mapper.plan import Plan, Residency
from tests.mapper_graphs import SOURCE

SOUND = bench_graphs._plan
Fault = Callable[[Graph, int, int], Plan | None]  # graph, capacity, number of the call

# Five operators in 11 bytes: 2 bytes have to move, and along the order of the file 8 do.
CASE = draw(1, 63)


def _sound(graph: Graph, capacity: int) -> Plan:
    plan = SOUND(graph, capacity)
    assert plan is not None
    return plan


def _wasteful(graph: Graph, capacity: int) -> Plan:
    """A baseline's plan, whose bound is honest."""
    method = "tflite_belady_file_order"
    plan = map_graph(graph, Budget("bytes", capacity), SOURCE, method=method).plan
    assert plan is not None
    assert plan.objective_bytes > plan.bound_bytes
    return plan


def _overlap(graph: Graph, capacity: int, call: int) -> Plan | None:
    plan = _sound(graph, capacity)
    tensors = tuple(
        replace(t, intervals=tuple(Residency(i.first_step, i.last_step, 0) for i in t.intervals))
        for t in plan.tensors
    )
    return replace(plan, tensors=tensors)


def _too_cheap(graph: Graph, capacity: int, call: int) -> Plan | None:
    return replace(_sound(graph, capacity), objective_bytes=0, bound_bytes=0, status="optimal")


def _boastful(graph: Graph, capacity: int, call: int) -> Plan | None:
    """A wasteful plan that claims to be optimal: the checker cannot tell."""
    plan = _wasteful(graph, 11)
    bound = plan.objective_bytes
    return replace(
        plan, bound_bytes=bound, status="optimal", baselines={}, scratchpad_bytes=capacity
    )


def _worse_with_more(graph: Graph, capacity: int, call: int) -> Plan | None:
    if call < 2:
        return _sound(graph, capacity)
    return replace(_wasteful(graph, 11), scratchpad_bytes=capacity)


def _other_bytes(graph: Graph, capacity: int, call: int) -> Plan | None:
    return replace(_sound(graph, capacity), seed=call)


def _gives_up(graph: Graph, capacity: int, call: int) -> Plan | None:
    return None if call == 1 else _sound(graph, capacity)


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        (_overlap, "in 11 bytes the checker refuses overlap: "),
        (_too_cheap, "in 11 bytes the checker refuses objective: "),
        (_boastful, "the least traffic is 2 bytes, not from 8 to 8"),
        (_worse_with_more, "14 bytes of scratchpad moved 8 bytes, 11 only 2"),
        (_other_bytes, "the same input and seed gave other bytes"),
        (_gives_up, "no plan in 11 or 14 bytes, but every operator fits"),
    ],
)
def test_a_planted_fault_is_found(
    monkeypatch: pytest.MonkeyPatch, fault: Fault, sentence: str
) -> None:
    calls = iter(range(100))
    monkeypatch.setattr(
        bench_graphs, "_plan", lambda graph, capacity: fault(graph, capacity, next(calls))
    )
    wrong, _ = judge(CASE, Tally(5))
    assert wrong
    assert wrong[0].startswith(sentence), wrong


def test_without_a_fault_nothing_is_wrong() -> None:
    tally = Tally(5)
    wrong, text = judge(CASE, tally)
    assert wrong == []
    assert json.loads(text)["objective_bytes"] == 2
    assert tally == Tally(5, graphs=1, optimal=1, spilling=1, brute_forced=1, reached=1)


def test_a_graph_whose_cheapest_schedule_has_no_addresses_is_optimal_with_them() -> None:
    # Without addresses seven bytes would do.
    tally = Tally(7)
    wrong, text = judge(draw(1, 8407), tally)
    assert wrong == []
    assert json.loads(text)["bound_bytes"] == json.loads(text)["objective_bytes"] == 14
    assert tally == Tally(
        7, graphs=1, optimal=1, spilling=1, brute_forced=1, reached=1, fragmented=1
    )


def test_cases_depend_on_seed_and_number_alone() -> None:
    seen: list[int] = []
    whole = run_graphs(range(12), 7, seen.append)
    assert seen == [*range(12)]
    assert whole.violations == []
    assert sum(t.graphs for t in whole.tallies.values()) == 12
    assert draw(7, 5) == draw(7, 5)
    assert draw(7, 5) != draw(8, 5)
    rest = run_graphs(range(6, 12), 7)
    parts = [run_graphs(range(6), 7), rest]
    for size, tally in whole.tallies.items():
        of_parts = [p.tallies[size] for p in parts if size in p.tallies]
        assert tally.graphs == sum(t.graphs for t in of_parts)
        assert tally.spilling == sum(t.spilling for t in of_parts)


class TestCommand:
    WORDS = ("bench", "graphs", "--graphs", "4", "--seed", "3", "--first", "2")

    def test_writes_table_and_json_the_same_in_every_process(self, tmp_path: Path) -> None:
        for salt in ("1", "2"):
            subprocess.run(
                [sys.executable, "-m", "bitweft.cli", *self.WORDS, "-o", tmp_path / salt],
                env={**os.environ, "PYTHONHASHSEED": salt},
                check=True,
                capture_output=True,
            )
        for name in ("graphs.json", "graphs.md"):
            assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
        content = json.loads((tmp_path / "1" / "graphs.json").read_text())
        assert sum(r["graphs"] for r in content["results"]) == 4
        assert (content["violations"], content["made_with"]["graphs"]) == ([], "2 to 5")
        page = (tmp_path / "1" / "graphs.md").read_text()
        assert "## Violations\n\nNone.\n" in page
        assert content["sha256_of_plans"] in page

    def test_a_violation_is_named_and_the_status_is_1(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(bench_graphs, "_plan", lambda graph, capacity: None)
        done = CliRunner().invoke(create_app(["bench"]), [*self.WORDS, "-o", str(tmp_path / "o")])
        assert done.exit_code == 1
        assert "graph 2: no plan in " in done.stdout
        assert "* graph 2 (" in (tmp_path / "o" / "graphs.md").read_text()
