"""Plans with addresses are optimal: against brute force that places every byte."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import pytest

from mapper.brute_force_addresses import least_traffic_with_addresses
from mapper.budget import largest_operator
from mapper.check import check_plan
from mapper.graph import Graph
from mapper.make_plan import make_plan
from mapper.schedule.constructive import place_along
from mapper.schedule.copies import solve_copies
from mapper.schedule.orders import file_order
from mapper.schedule.problem import Problem, cost_of
from mapper.schedule.search import Found
from mapper.schedule.solver import Limits
from tests.mapper_graphs import SOURCE, graph_from, mapped, random_graph

# Of `_full_graph`: every step fits, and yet something has to leave for want of an address.
FRAGMENTED = (443, 677, 1353, 4561, 5817, 7165)


def _full_graph(seed: int) -> tuple[Graph, int] | None:
    """A graph whose tensors fill the scratchpad at every step of its file's order.

    Every second has no other order. None where an operator would have no result.
    """
    random = Random(seed)
    steps, room = random.randint(5, 7), random.randint(5, 8)
    alive: list[tuple[int, int, int]] = []
    rows: list[tuple[int, int, int]] = []
    for t in range(steps):
        alive = [row for row in alive if row[1] > t]
        free = room - sum(size for _, _, size in alive)
        while free > 0:
            size = random.randint(1, min(free, 3))
            ends = any(row[1] == t + 1 for row in alive)
            upper = random.randint(t + 1, min(steps, t + 4)) if ends else t + 1
            if sum(row[0] == t for row in rows) >= 4:
                size = free
            rows.append((t, upper, size))
            alive.append(rows[-1])
            free -= size
    reads: list[list[str]] = [[] for _ in range(steps)]
    writes: list[list[str]] = [[] for _ in range(steps)]
    sizes: dict[str, int] = {}
    for i, (lower, upper, size) in enumerate(rows):
        name = f"b{i}"
        sizes[name] = size
        if lower == 0 and random.random() < 0.3 and upper > 1 and writes[0]:
            reads[0].append(name)
        else:
            writes[lower].append(name)
        if upper - 1 > lower:
            reads[upper - 1].append(name)
    if not all(writes):
        return None
    outputs = [name for name in sizes if not any(name in row for row in reads)]
    graph = graph_from([(f"op{t}", reads[t], writes[t]) for t in range(steps)], sizes, outputs)
    if seed % 2:
        chained = [
            replace(o, after=(graph.operators[t - 1].name,) if t else ())
            for t, o in enumerate(graph.operators)
        ]
        graph = replace(graph, operators=tuple(chained))
    return graph, room


def _agrees(graph: Graph, capacity: int) -> tuple[int, int]:
    """The product's plan is proven optimal, checked, and costs what brute force says."""
    least, want = least_traffic_with_addresses(graph, capacity)
    plan = mapped(graph, capacity, Limits(effort=20)).plan
    assert plan is not None
    assert check_plan(json.loads(plan.text())) is None
    assert (plan.status, plan.objective_bytes, plan.bound_bytes) == ("optimal", want, want)
    return least, want


class TestAgainstBruteForce:
    @pytest.mark.parametrize("seed", FRAGMENTED)
    def test_where_fragmentation_matters(self, seed: int) -> None:
        drawn = _full_graph(seed)
        assert drawn is not None
        least, want = _agrees(*drawn)
        assert least < want

    def test_full_scratchpads(self) -> None:
        drawn = [case for seed in range(110) if (case := _full_graph(seed)) is not None]
        assert len(drawn) > 25
        for graph, capacity in drawn:
            _agrees(graph, capacity)

    @pytest.mark.parametrize("operators", [3, 4, 5])
    def test_random_graphs(self, operators: int) -> None:
        positive = 0
        for seed in range(40):
            graph = random_graph(190_000 + 100 * operators + seed, operators, largest=3)
            _, want = _agrees(graph, largest_operator(graph)[1] + seed % 2)
            positive += want > 0
        assert positive > 0

    def test_the_model_alone_with_nothing_known(self) -> None:
        found = 0
        for seed in range(60):
            graph = random_graph(195_000 + seed, 5, largest=3)
            capacity = largest_operator(graph)[1]
            problem = Problem.of(graph)
            _, want = least_traffic_with_addresses(graph, capacity)
            known = place_along(problem, file_order(problem), capacity)
            cost = cost_of(problem, known.schedule)
            result = solve_copies(
                problem, capacity, Limits(), bound=0, known=known, cost=cost + 1, effort=20
            )
            assert result.placed is not None
            assert (result.bound, cost_of(problem, result.placed.schedule)) == (want, want), seed
            plan = make_plan(graph, Found(result.placed, want, want, {}), capacity, SOURCE)
            assert check_plan(json.loads(plan.text())) is None
            if want:
                none = solve_copies(
                    problem, capacity, Limits(), bound=0, known=known, cost=want, effort=20
                )
                assert (none.placed, none.bound) == (None, want)
                found += 1
        assert found > 3


def test_brute_force_counts_a_move_within_the_scratchpad() -> None:
    # p, gap and q fill five bytes; wide needs three side by side, so p or q has to move.
    graph = graph_from(
        [
            ("a", ["in"], ["p", "gap", "q"]),
            ("b", ["gap", "p"], ["r"]),
            ("c", ["r", "q", "p"], ["out"]),
        ],
        {"in": 1, "p": 1, "gap": 2, "q": 1, "r": 1, "out": 1},
        ["out"],
    )
    assert least_traffic_with_addresses(graph, 5) == (0, 0)


def test_a_graph_that_is_too_large_is_left_alone() -> None:
    problem = Problem.of(random_graph(1, 150))
    known = place_along(problem, file_order(problem), 100)
    result = solve_copies(problem, 100, Limits(), bound=3, known=known, cost=50, effort=1)
    assert (result.placed, result.bound) == (None, 3)
