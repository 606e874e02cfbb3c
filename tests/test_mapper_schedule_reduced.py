"""Operators made one: the least traffic and the least peak stay what they were."""

from __future__ import annotations

from random import Random

from mapper import brute_force
from mapper.budget import largest_operator
from mapper.graph import Graph
from mapper.schedule.downsets import downsets_of
from mapper.schedule.greedy import belady
from mapper.schedule.levels import least
from mapper.schedule.orders import file_order, peak_of, random_orders
from mapper.schedule.part import part_of
from mapper.schedule.problem import Problem, Schedule, cost_of
from mapper.schedule.reduced import reduced
from mapper.schedule.solver import Limits
from tests.mapper_graphs import graph_from, random_graph, with_after

LIMITS = Limits(effort=5)


def chained_graph(seed: int, operators: int, largest: int) -> Graph:
    """A random graph with many chains, sizes that often stay, and branches that are alike."""
    random = Random(seed)
    names, sizes = ["in0"], {"in0": random.randint(1, largest)}
    wiring, read = [], set()
    for o in range(operators):
        if o and random.random() < 0.6:
            reads = [names[-1]]
        else:
            near = names[-4:]
            reads = sorted(random.sample(near, min(len(near), random.choice([1, 2, 2]))))
        made = f"t{o}"
        sizes[made] = sizes[reads[0]] if random.random() < 0.5 else random.randint(1, largest)
        wiring.append((f"op{o}", reads, [made]))
        read.update(reads)
        names.append(made)
    outputs = [n for n in names[1:] if n not in read or random.random() < 0.1]
    return graph_from(wiring, sizes, outputs)


def _loads(problem: Problem, schedule: Schedule) -> list[int]:
    return [
        sum(
            size
            for size, own in zip(problem.sizes, schedule.residency, strict=True)
            if any(i.first <= t < i.last for i in own)
        )
        for t in range(len(schedule.order))
    ]


class TestAgainstBruteForce:
    def test_least_traffic_is_the_same(self) -> None:
        smaller = positive = 0
        for seed in range(600):
            graph = chained_graph(seed, 4 + seed % 5, (2, 4, 9)[seed % 3])
            if seed % 4 == 0:
                graph = with_after(graph, seed)
            problem, capacity = Problem.of(graph), largest_operator(graph)[1] + seed % 2
            small = reduced(problem).problem
            want = brute_force.least_traffic(graph, capacity)
            downsets = downsets_of(part_of(small, capacity, resident=()), 10**5)
            assert downsets is not None
            downsets.fill(LIMITS)
            found = least(downsets, LIMITS, upper=1 << 30, budget=1 << 40)
            assert found.bound == want, seed
            smaller += len(small.inputs) < len(problem.inputs)
            positive += want > 0
        assert smaller > 300
        assert positive > 60

    def test_least_peak_is_the_same(self) -> None:
        for seed in range(60):
            graph = chained_graph(5_000 + seed, 4 + seed % 4, 9)
            small = reduced(Problem.of(graph)).problem
            downsets = downsets_of(part_of(small, 0), 10**5)
            assert downsets is not None
            assert downsets.least_peak()[0] == brute_force.least_peak(graph), seed


def test_schedules_expand_to_what_they_cost_and_fit() -> None:
    for seed in range(60):
        graph = (chained_graph if seed % 2 else random_graph)(7_000 + seed, 20, largest=9)
        problem, capacity = Problem.of(graph), largest_operator(graph)[1]
        smaller = reduced(problem)
        for order in random_orders(smaller.problem, 6, seed):
            schedule = belady(smaller.problem, order, capacity, write_aware=True)
            whole = smaller.expanded(schedule)
            assert sorted(whole.order) == list(problem.operators)
            assert cost_of(problem, whole) == cost_of(smaller.problem, schedule)
            assert max(_loads(problem, whole)) <= capacity
            assert smaller.grouped(whole.order) == order


def test_chains_become_one_where_their_first_tensor_dies_and_not_where_it_stays() -> None:
    # a reads x, which d reads, too: after a, b may have to wait until x has left.
    wiring = [
        ("make", ["in"], ["x"]),
        ("a", ["x"], ["p"]),
        ("b", ["p"], ["q"]),
        ("c", ["q"], ["r"]),
        ("d", ["r", "x"], ["out"]),
    ]
    sizes = {"in": 1, "x": 4, "p": 4, "q": 4, "r": 4, "out": 1}
    problem = Problem.of(graph_from(wiring, sizes, ["out"]))
    assert reduced(problem).members == ((0,), (1,), (2, 3), (4,))
    # Without d, all of it is a chain; a small input may wait, and what grows runs late.
    problem = Problem.of(
        graph_from(wiring[:4], {n: s for n, s in sizes.items() if n != "out"}, ["r"])
    )
    assert reduced(problem).members == ((0, 1, 2, 3),)


def test_branches_that_are_alike_run_in_one_order() -> None:
    problem = Problem.of(
        graph_from(
            [
                ("a", ["in"], ["x"]),
                ("b", ["in"], ["y"]),
                ("c", ["in"], ["z"]),
                ("d", ["x", "y", "z"], ["out"]),
            ],
            {"in": 1, "x": 2, "y": 2, "z": 3, "out": 1},
            ["out"],
        )
    )
    small = reduced(problem).problem
    assert [small.predecessors[o] for o in range(3)] == [0, 1, 0]
    order = file_order(small)
    assert peak_of(small, order) == peak_of(problem, reduced(problem).order(order))
