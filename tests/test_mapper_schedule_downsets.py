"""The search over down-sets and what is built on it, against brute force."""

from __future__ import annotations

import pytest

from mapper import brute_force
from mapper.budget import largest_operator
from mapper.graph import Graph
from mapper.schedule.bounds import Effort, Stretches
from mapper.schedule.cuts import cuts_of
from mapper.schedule.downsets import downsets_of
from mapper.schedule.greedy import belady
from mapper.schedule.improve import least_traffic
from mapper.schedule.levels import least
from mapper.schedule.neighbourhood import improve, spliced, window_at
from mapper.schedule.orders import Peak, file_order, peak_of, random_orders
from mapper.schedule.part import contracted, part_of
from mapper.schedule.peaks import peak_by_downsets
from mapper.schedule.problem import Problem, Schedule, cost_of
from mapper.schedule.solver import Limits
from tests.mapper_graphs import graph_from, random_graph, with_after

LIMITS = Limits(effort=5)
MUCH = 1 << 40
SIZES = (1, 4, 9, 30)  # from all equal to all different


def _case(seed: int) -> tuple[Graph, Problem, int]:
    """A random graph of 4 to 7 operators, a third of them with extra precedence, and a capacity."""
    graph = random_graph(70_000 + seed, 4 + seed % 4, largest=SIZES[seed // 4 % 4])
    if seed % 3 == 0:
        graph = with_after(graph, seed)
    return graph, Problem.of(graph), largest_operator(graph)[1] + seed % 3


def _valid(problem: Problem, schedule: Schedule, capacity: int) -> bool:
    """Whether the order is topological and every step fits."""
    done = 0
    for t, o in enumerate(schedule.order):
        if problem.predecessors[o] & ~done:
            return False
        done |= 1 << o
        load = sum(
            problem.sizes[a]
            for a in problem.tensors
            if any(i.first <= t < i.last for i in schedule.residency[a])
        )
        if load > capacity:
            return False
    return True


class TestAgainstBruteForce:
    def test_threshold_search_table_and_relaxations(self) -> None:
        positive = 0
        for seed in range(240):
            graph, problem, capacity = _case(seed)
            want = brute_force.least_traffic(graph, capacity)
            positive += want > 0
            downsets = downsets_of(part_of(problem, capacity, resident=()), 10**5)
            assert downsets is not None
            # A fine table, then one of hardly any entries: both are bounds, and lose nothing.
            for entries in (10**6, 200):
                assert downsets.fill(LIMITS, entries=entries) <= want, seed
                found = least(downsets, LIMITS, upper=1 << 30, budget=MUCH, widest=0)
                assert found.way is not None
                assert (found.bound, found.way.cost) == (want, want), seed
            for share in (1, 4):
                part = part_of(problem, capacity, resident=())
                smaller = downsets_of(contracted(part, capacity // share).part, 10**5)
                assert smaller is not None
                smaller.fill(LIMITS)
                assert least(smaller, LIMITS, upper=1 << 30, budget=MUCH).bound <= want, seed
        assert positive > 50

    def test_stretches_never_claim_too_much(self) -> None:
        tight = 0
        for seed in range(120):
            graph, problem, capacity = _case(seed)
            want = brute_force.least_traffic(graph, capacity)
            stretches = Stretches(problem, capacity, range(len(problem.inputs)))
            for order in (file_order(problem), *random_orders(problem, 2, seed)):
                schedule = belady(problem, order, capacity, write_aware=True)
                # Whole problems, stretches of three operators, and searches that are cut short.
                for effort in (
                    Effort(1, 10**4, (0, 4, 1), 10**6),
                    Effort(3, 4, (0,), 10**6),
                    Effort(2, 10**4, (0,), 3),
                ):
                    bound = stretches.bound(schedule, effort, LIMITS, budget=MUCH)
                    assert bound <= want, seed
                    tight += 0 < bound == want
        assert tight > 100

    def test_what_a_stretch_suggests_is_an_order_that_costs_less(self) -> None:
        found = 0
        for seed in range(120):
            _, problem, capacity = _case(seed)
            schedule = belady(problem, file_order(problem), capacity, write_aware=False)
            stretches = Stretches(problem, capacity, range(len(problem.inputs)))
            stretches.bound(schedule, Effort(8, 10**4, (0,), 10**6), LIMITS, budget=MUCH)
            for guide in stretches.guides:
                order = tuple(guide.steps)
                assert sorted(order) == list(problem.operators), "the whole is one stretch"
                assert all(
                    problem.predecessors[o] & ~sum(1 << p for p in order[:t]) == 0
                    for t, o in enumerate(order)
                )
                best = least_traffic(problem, capacity, [schedule], LIMITS)
                assert cost_of(problem, schedule) - guide.gain == best.cost
                found += 1
        assert found > 10

    def test_whole_pipeline_is_optimal_and_says_so(self) -> None:
        for seed in range(120):
            graph, problem, capacity = _case(seed)
            want = brute_force.least_traffic(graph, capacity)
            start = belady(problem, file_order(problem), capacity, write_aware=False)
            best = least_traffic(problem, capacity, [start], LIMITS)
            assert (best.cost, best.bound) == (want, want), seed
            assert _valid(problem, best.schedule, capacity), seed


class TestWindows:
    @pytest.mark.parametrize("length", [2, 4, 6])
    def test_a_window_costs_what_its_way_says(self, length: int) -> None:
        for seed in range(60):
            graph = random_graph(80_000 + seed, 9, largest=SIZES[seed % 4])
            problem, capacity = Problem.of(graph), largest_operator(graph)[1]
            schedule = belady(problem, file_order(problem), capacity, write_aware=True)
            for first in range(0, 9 - length + 1, 2):
                window = window_at(problem, capacity, schedule, first, first + length)
                downsets = downsets_of(window.part, 10**5)
                assert downsets is not None
                downsets.fill(LIMITS)
                found = least(downsets, LIMITS, upper=window.cost, budget=MUCH)
                assert found.way is not None, "the schedule itself is a way"
                new = spliced(problem, schedule, window, found.way)
                assert _valid(problem, new, capacity)
                # A copy written earlier than before may save more than the window sees.
                gain = window.cost - found.way.cost
                assert cost_of(problem, schedule) - cost_of(problem, new) >= gain

    def test_improve_never_gets_worse_and_stays_valid(self) -> None:
        better = 0
        for seed in range(25):
            graph = random_graph(90_000 + seed, 24, largest=9)
            problem, capacity = Problem.of(graph), largest_operator(graph)[1]
            start = belady(problem, file_order(problem), capacity, write_aware=True)
            schedule, _ = improve(problem, capacity, start, LIMITS, bound=0, budget=200_000)
            assert _valid(problem, schedule, capacity)
            assert cost_of(problem, schedule) <= cost_of(problem, start)
            better += cost_of(problem, schedule) < cost_of(problem, start)
        assert better > 10


class TestPeak:
    def test_least_peak_by_parts_is_least(self) -> None:
        for seed in range(60):
            graph = random_graph(60_000 + seed, 4 + seed % 4, largest=9)
            if seed % 2:
                graph = with_after(graph, seed)
            problem = Problem.of(graph)
            order = file_order(problem)
            known = Peak(peak_of(problem, order), order, False)
            peak = peak_by_downsets(problem, known, LIMITS)
            assert peak.proven
            assert peak.bytes == brute_force.least_peak(graph), seed
            assert peak_of(problem, peak.order) == peak.bytes


class TestCuts:
    def test_a_chain_is_cut_everywhere_and_a_skip_connection_is_not(self) -> None:
        graph = graph_from(
            [
                ("a", ["in"], ["x"]),
                ("b", ["x"], ["y"]),
                ("c", ["y"], ["z"]),
                ("d", ["z", "y"], ["out"]),
            ],
            {"in": 1, "x": 1, "y": 1, "z": 1, "out": 1},
            ["out"],
        )
        assert cuts_of(Problem.of(graph)) == [0, 1, 2, 4]

    def test_an_operator_that_must_wait_is_respected(self) -> None:
        free = graph_from(
            [("a", ["in"], ["x"]), ("b", ["in"], ["y"]), ("c", ["x", "y"], ["out"])],
            {"in": 1, "x": 1, "y": 1, "out": 1},
            ["out"],
        )
        assert cuts_of(Problem.of(free)) == [0, 3]
        chained = with_after(free, 0, share=9.0)
        assert [o.after for o in chained.operators] == [(), ("a",), ("a", "b")]
        # All orders are one; what is live after a and b is more than their own results.
        assert cuts_of(Problem.of(chained)) == [0, 3]


def test_workspace_is_there_in_its_step_alone() -> None:
    # s is workspace of b: in 9 bytes x must leave for it, although nobody reads s.
    graph = graph_from(
        [
            ("a", ["in"], ["x", "y"]),
            ("b", ["y"], ["z", "s"]),
            ("c", ["x", "z"], ["out"]),
        ],
        {"in": 1, "x": 4, "y": 2, "z": 2, "s": 3, "out": 1},
        ["out"],
    )
    problem = Problem.of(graph)
    start = belady(problem, file_order(problem), 9, write_aware=False)
    best = least_traffic(problem, 9, [start], LIMITS)
    assert (best.cost, best.bound) == (8, 8)
    assert least_traffic(problem, 11, [start], LIMITS).bound == 0
    (interval,) = best.schedule.residency[graph.index["s"]]
    assert interval.last - interval.first == 1
