"""The literature's baselines: replacement rules, arena allocation, and plans no worse than they."""

from __future__ import annotations

import json

import pytest

from mapper.budget import largest_operator
from mapper.check import check_plan
from mapper.make_plan import make_plan
from mapper.schedule.baselines import METHODS, arena
from mapper.schedule.greedy import belady, cheapest_set
from mapper.schedule.orders import file_order
from mapper.schedule.problem import Problem, cost_of
from mapper.schedule.search import search
from mapper.schedule.solver import Limits
from tests.mapper_graphs import SOURCE, graph_from, random_graph, with_after

# While c runs, x (needed last) and z (needed next) wait.
WAITING = graph_from(
    [
        ("a", ["in"], ["x"]),
        ("b", ["x"], ["y", "z"]),
        ("c", ["y"], ["w"]),
        ("d", ["w", "z"], ["v"]),
        ("e", ["v", "x"], ["out"]),
    ],
    {"in": 1, "x": 8, "y": 3, "z": 3, "w": 4, "v": 1, "out": 1},
    ["out"],
)


def test_belady_drops_the_furthest_and_the_knapsack_the_cheapest() -> None:
    problem = Problem.of(WAITING)
    # c needs 18 bytes with both; of 16, x is dropped for being needed last, z for being small.
    plain = belady(problem, file_order(problem), 16, write_aware=False)
    cheap = cheapest_set(problem, file_order(problem), 16)
    assert (cost_of(problem, plain), cost_of(problem, cheap)) == (2 * 8, 2 * 3)


def test_arena_places_the_largest_first_at_the_lowest_address() -> None:
    # TensorFlow Lite's chain: sizes 16, 8, 64, 32, 8; each lives from its producer to its reader.
    graph = graph_from(
        [
            ("a", ["t0"], ["t1"]),
            ("b", ["t1"], ["t2"]),
            ("c", ["t2"], ["t3"]),
            ("d", ["t3"], ["t4"]),
        ],
        {"t0": 16, "t1": 8, "t2": 64, "t3": 32, "t4": 8},
        ["t4"],
    )
    problem = Problem.of(graph)
    schedule = belady(problem, file_order(problem), 96, write_aware=False)
    placed = arena(problem, schedule, 96)
    assert placed.schedule == schedule
    assert placed.addresses == ((0,), (64,), (0,), (64,), (0,))


@pytest.mark.parametrize("method", METHODS)
def test_a_baseline_can_be_selected_and_is_a_plan(method: str) -> None:
    for seed in range(12):
        graph = random_graph(40_000 + seed, 14, largest=9)
        if seed % 3 == 0:
            graph = with_after(graph, seed)
        capacity = largest_operator(graph)[1] + seed % 3
        found = search(Problem.of(graph), capacity, Limits(effort=1), method=method)
        assert found.baselines[method] == found.objective
        plan = make_plan(graph, found, capacity, SOURCE)
        assert check_plan(json.loads(plan.text())) is None


def test_a_plan_is_never_worse_than_a_baseline_with_addresses() -> None:
    for seed in range(25):
        graph = random_graph(41_000 + seed, 16, largest=40)
        capacity = largest_operator(graph)[1]
        found = search(Problem.of(graph), capacity, Limits(effort=0.2))
        assert found.objective <= min(found.baselines[name] for name in METHODS), seed


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^method must be best or one of tflite_belady_file_order"
    ):
        search(Problem.of(WAITING), 20, method="magic")
