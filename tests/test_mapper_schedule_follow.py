"""Repairs of schedules that have no addresses: valid plans, and cheaper ones from wider beams."""

from __future__ import annotations

import json
from random import Random

from mapper.budget import largest_operator
from mapper.check import check_plan
from mapper.graph import Graph
from mapper.make_plan import make_plan
from mapper.schedule.baselines import arena
from mapper.schedule.follow import follow
from mapper.schedule.greedy import belady
from mapper.schedule.orders import file_order, random_orders
from mapper.schedule.problem import Placed, Problem, cost_of
from mapper.schedule.search import Found
from mapper.schedule.solver import Limits
from tests.mapper_graphs import SOURCE, fragmented_graph, graph_from, random_graph, with_after


def _layered(operators: int, seed: int) -> Graph:
    """Layers of five to ten operators that read one to three results of the two layers before."""
    random = Random(seed)
    sizes, layers = {"in": 64}, [["in"]]
    wiring: list[tuple[str, list[str], list[str]]] = []
    read: set[str] = set()
    while len(wiring) < operators:
        layer = []
        for _ in range(random.randint(5, 10)):
            near = [name for own in layers[-2:] for name in own]
            reads = sorted(random.sample(near, min(len(near), random.choice([1, 2, 2, 3]))))
            made = f"t{len(wiring)}"
            sizes[made] = random.randint(1, 64)
            wiring.append((f"op{len(wiring)}", reads, [made]))
            layer.append(made)
            read.update(reads)
        layers.append(layer)
    return graph_from(wiring, sizes, [n for n in sizes if n not in read and n != "in"])


def _valid(graph: Graph, placed: Placed | None, capacity: int) -> int:
    """What the plan costs; the independent checker accepts it."""
    assert placed is not None
    cost = cost_of(Problem.of(graph), placed.schedule)
    plan = make_plan(graph, Found(placed, cost, 0, {}), capacity, SOURCE)
    assert check_plan(json.loads(plan.text())) is None
    return cost


def test_every_plan_is_accepted_and_has_the_order_of_its_schedule() -> None:
    repaired = 0
    for seed in range(60):
        graph = random_graph(210_000 + seed, 6 + seed % 12, largest=(3, 9, 30)[seed % 3])
        if seed % 4 == 0:
            graph = with_after(graph, seed)
        problem, capacity = Problem.of(graph), largest_operator(graph)[1] + seed % 3
        for order in (file_order(problem), *random_orders(problem, 2, seed)):
            schedule = belady(problem, order, capacity, write_aware=True)
            for width in (1, 5):
                placed = follow(problem, schedule, capacity, Limits(), width=width)
                cost = _valid(graph, placed, capacity)
                assert placed is not None
                assert placed.schedule.order == order
            repaired += cost > cost_of(problem, schedule)
    assert repaired > 5


def test_wide_beams_lose_little_where_greedy_allocation_loses_much() -> None:
    graph = _layered(150, 1)
    problem, capacity = Problem.of(graph), largest_operator(graph)[1]
    schedule = belady(problem, file_order(problem), capacity, write_aware=True)
    least = cost_of(problem, schedule)
    greedy = _valid(graph, arena(problem, schedule, capacity), capacity)
    narrow, wide = (
        _valid(graph, follow(problem, schedule, capacity, Limits(), width=width), capacity)
        for width in (1, 24)
    )
    assert least <= wide < narrow < greedy
    assert wide - least < (greedy - least) / 2


def test_a_forced_order_that_is_fragmented_is_repaired_at_the_least_cost() -> None:
    graph = fragmented_graph()
    problem = Problem.of(graph)
    schedule = belady(problem, file_order(problem), 52, write_aware=True)
    assert cost_of(problem, schedule) == 0
    assert _valid(graph, follow(problem, schedule, 52, Limits(), width=8), 52) == 20


def test_it_ends_with_the_clock() -> None:
    problem = Problem.of(random_graph(3, 20))
    schedule = belady(problem, file_order(problem), 100, write_aware=True)
    assert follow(problem, schedule, 100, Limits(seconds=0.0), width=4) is None
