from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mapper import brute_force
from mapper.budget import largest_operator, resolve_budget
from mapper.check import check_plan
from mapper.graph import Graph
from mapper.make_plan import make_plan
from mapper.schedule import orders
from mapper.schedule.constructive import place_along
from mapper.schedule.exact import solve_capacity
from mapper.schedule.greedy import belady
from mapper.schedule.joint import solve_fixed, solve_joint
from mapper.schedule.orders import file_order, least_peak, peak_of, random_orders
from mapper.schedule.problem import Placed, Problem, Schedule, bits, cost_of, moves_of
from mapper.schedule.search import Found, search
from mapper.schedule.solver import Limits
from tests.mapper_graphs import (
    SOURCE,
    fragmented_graph,
    graph_from,
    mapped,
    random_graph,
)

# A tensor that is read by the first and last of three operators, with a large one between.
DETOUR = graph_from(
    [
        ("a", ["in"], ["x"]),
        ("b", ["x"], ["big"]),
        ("c", ["big"], ["small"]),
        ("d", ["small", "x"], ["out"]),
    ],
    {"in": 2, "x": 4, "big": 6, "small": 5, "out": 1},
    ["out"],
)


def _check(graph: Graph, placed: Placed, bound: int, capacity: int) -> None:
    """The independent checker accepts the plan made of `placed`."""
    cost = cost_of(Problem.of(graph), placed.schedule)
    plan = make_plan(graph, Found(placed, cost, bound, {}), capacity, SOURCE)
    assert check_plan(json.loads(plan.text())) is None


class TestAccounting:
    """Charges of section "compulsory and non-compulsory": each row is one rule."""

    def test_an_intermediate_tensor_is_written_and_read(self) -> None:
        # M = 11: big and small leave no room for x, which must leave and return.
        found = search(Problem.of(DETOUR), 11)
        assert (found.objective, found.bound) == (8, 8)

    def test_room_for_everything_costs_nothing(self) -> None:
        assert search(Problem.of(DETOUR), 15).objective == 0

    def test_a_network_input_is_dropped_for_free(self) -> None:
        graph = graph_from(
            [
                ("a", ["in"], ["big"]),
                ("b", ["big"], ["small"]),
                ("c", ["small", "in"], ["out"]),
            ],
            {"in": 4, "big": 6, "small": 5, "out": 1},
            ["out"],
        )
        assert search(Problem.of(graph), 11).objective == 4

    def test_a_network_output_read_again_is_charged_the_read_alone(self) -> None:
        graph = graph_from(
            [
                ("a", ["in"], ["x"]),
                ("b", ["x"], ["big"]),
                ("c", ["big"], ["small"]),
                ("d", ["small", "x"], ["out"]),
            ],
            {"in": 2, "x": 4, "big": 6, "small": 5, "out": 1},
            ["x", "out"],
        )
        found = search(Problem.of(graph), 11)
        assert (found.objective, found.bound) == (4, 4)

    def test_a_second_eviction_needs_no_second_write(self) -> None:
        graph = graph_from(
            [
                ("a", ["in"], ["x"]),
                ("b0", ["x"], ["big0"]),
                ("c0", ["big0"], ["small0"]),
                ("d0", ["small0", "x"], ["m"]),
                ("b1", ["m"], ["big1"]),
                ("c1", ["big1"], ["small1"]),
                ("d1", ["small1", "x"], ["out"]),
            ],
            {"in": 2, "x": 4, "big0": 6, "small0": 5, "m": 1, "big1": 6, "small1": 5, "out": 1},
            ["out"],
        )
        # Written once, fetched before d0 and before d1.
        assert search(Problem.of(graph), 11).objective == 4 + 2 * 4

    def test_moves_name_step_and_kind(self) -> None:
        problem = Problem.of(DETOUR)
        schedule = belady(problem, file_order(problem), 11, write_aware=False)
        names = [t.name for t in DETOUR.tensors]
        assert [(m.step, m.kind, names[m.tensor]) for m in moves_of(problem, schedule)] == [
            (0, "load", "in"),
            (1, "spill", "x"),
            (3, "fetch", "x"),
            (3, "store", "out"),
        ]


class TestAgainstBruteForce:
    @pytest.mark.parametrize("operators", [4, 5, 6, 7])
    def test_capacity_model_is_optimal(self, operators: int) -> None:
        positive = 0
        for seed in range(45):
            graph = random_graph(1000 * operators + seed, operators)
            capacity = largest_operator(graph)[1] + seed % 3
            problem = Problem.of(graph)
            hint = belady(problem, file_order(problem), capacity, write_aware=True)
            solved = solve_capacity(problem, capacity, Limits(), hint=hint)
            want = brute_force.least_traffic(graph, capacity)
            assert solved.schedule is not None
            assert solved.status == "optimal"
            assert (cost_of(problem, solved.schedule), solved.bound) == (want, want), seed
            positive += want > 0
        # The comparison means something: enough of the optima are not trivial.
        assert positive >= 3

    @pytest.mark.parametrize("operators", [4, 5, 6, 7])
    def test_least_peak_is_least(self, operators: int) -> None:
        for seed in range(30):
            graph = random_graph(2000 * operators + seed, operators)
            peak = least_peak(Problem.of(graph))
            assert peak.proven
            assert peak.bytes == brute_force.least_peak(graph), seed
            assert peak_of(Problem.of(graph), peak.order) == peak.bytes


class TestPlans:
    @pytest.mark.parametrize("operators", [5, 9, 13])
    def test_every_plan_of_a_random_graph_is_accepted(self, operators: int) -> None:
        for seed in range(25):
            graph = random_graph(3000 * operators + seed, operators, largest=9)
            capacity = largest_operator(graph)[1] + seed % 4
            plan = mapped(graph, capacity, Limits(effort=2)).plan
            assert plan is not None
            assert check_plan(json.loads(plan.text())) is None

    def test_more_scratchpad_is_never_worse(self) -> None:
        for seed in range(12):
            graph = random_graph(4000 + seed, 9, largest=9)
            least = largest_operator(graph)[1]
            costs = []
            for capacity in range(least, least + 12, 2):
                plan = mapped(graph, capacity, Limits(effort=2)).plan
                assert plan is not None
                if plan.status == "optimal":
                    costs.append(plan.objective_bytes)
            assert costs == sorted(costs, reverse=True)

    def test_at_the_least_peak_nothing_is_spilled_unless_fragmented(self) -> None:
        for seed in range(12):
            graph = random_graph(5000 + seed, 10)
            plan = mapped(graph, resolve_budget(graph, "MP").bytes, Limits(effort=2)).plan
            assert plan is not None
            assert plan.bound_bytes == 0

    @pytest.mark.parametrize("workers", [1, 3])
    def test_same_input_and_seed_give_the_same_bytes(self, workers: int) -> None:
        for seed in range(4):
            graph = random_graph(6000 + seed, 12, largest=9)
            capacity = largest_operator(graph)[1]
            texts = set()
            for _ in range(2):
                plan = mapped(graph, capacity, Limits(effort=2, workers=workers, seed=seed)).plan
                assert plan is not None
                texts.add(plan.text())
            assert len(texts) == 1

    def test_what_does_not_fit_names_operator_and_bytes(self) -> None:
        result = mapped(DETOUR, 10)
        assert (result.status, result.plan) == ("infeasible", None)
        assert (result.summary["operator"], result.summary["needed_bytes"]) == ("c", 11)
        assert result.message == (
            "random.onnx: scratchpad must have at least 11 bytes for the smallest piece of "
            "operator 'c' (Test), not 10: give --scratchpad 11 or more."
        )

    def test_one_byte_tensors_and_a_single_operator(self) -> None:
        graph = graph_from([("a", ["in"], ["out"])], {"in": 1, "out": 1}, ["out"])
        plan = mapped(graph, 2).plan
        assert plan is not None
        assert (plan.status, plan.objective_bytes, plan.compulsory) == ("optimal", 0, (1, 1, 0))


class TestAddresses:
    """Each way to addresses alone, since packing the cheapest schedule mostly succeeds."""

    @pytest.mark.parametrize("seed", range(12))
    def test_walk_always_gives_a_plan(self, seed: int) -> None:
        graph = random_graph(7000 + seed, 12, largest=9)
        problem, capacity = Problem.of(graph), largest_operator(graph)[1]
        for order in [file_order(problem), *random_orders(problem, 4, seed)]:
            _check(graph, place_along(problem, order, capacity), 0, capacity)

    def test_walk_starts_afresh_in_a_fragmented_memory(self) -> None:
        # After b, the 2 bytes of p and q lie between free holes too small for c's operands.
        graph = graph_from(
            [
                ("a", ["in"], ["p", "gap", "q"]),
                ("b", ["gap"], ["r"]),
                ("c", ["p", "q"], ["wide"]),
                ("d", ["wide", "r"], ["out"]),
            ],
            {"in": 1, "p": 2, "gap": 3, "q": 2, "r": 1, "wide": 4, "out": 1},
            ["out"],
        )
        problem = Problem.of(graph)
        _check(graph, place_along(problem, file_order(problem), 8), 0, 8)

    @pytest.mark.parametrize("seed", range(10))
    def test_joint_model_meets_or_exceeds_the_bound(self, seed: int) -> None:
        graph = random_graph(8000 + seed, 8, largest=7)
        problem, capacity = Problem.of(graph), largest_operator(graph)[1]
        limits = Limits()
        solved = solve_capacity(problem, capacity, limits)
        assert solved.schedule is not None
        plan = solve_joint(
            problem, capacity, limits, bound=solved.bound, hint=solved.schedule, effort=5
        )
        if plan is not None:
            assert cost_of(problem, plan.schedule) >= solved.bound
            _check(graph, plan, solved.bound, capacity)

    @pytest.mark.parametrize("seed", range(10))
    def test_fixed_order_model_is_never_worse_than_the_walk(self, seed: int) -> None:
        graph = random_graph(9000 + seed, 9, largest=7)
        problem, capacity = Problem.of(graph), largest_operator(graph)[1]
        order = file_order(problem)
        plan = solve_fixed(problem, order, capacity, Limits(), bound=0, effort=5)
        assert plan is not None
        _check(graph, plan, 0, capacity)
        walk = place_along(problem, order, capacity)
        assert cost_of(problem, plan.schedule) <= cost_of(problem, walk.schedule)

    def test_what_fragmentation_costs_is_proven(self) -> None:
        graph = fragmented_graph()
        assert resolve_budget(graph, "MR").bytes == resolve_budget(graph, "MP").bytes == 52
        result = mapped(graph, 52)
        assert result.plan is not None
        assert check_plan(json.loads(result.plan.text())) is None
        # One unit leaves and returns, although every step fits: nothing less does.
        assert (result.status, result.plan.objective_bytes) == ("optimal", 20)
        assert (result.plan.bound_bytes, result.plan.gap) == (20, 0.0)

    def test_room_to_spare_ends_fragmentation(self) -> None:
        result = mapped(fragmented_graph(), 62)
        assert result.plan is not None
        assert (result.status, result.plan.objective_bytes) == ("optimal", 0)


class TestOrders:
    def test_orders_look_at_some_of_thousands_of_ready_operators(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = Problem.of(random_graph(3, 40))
        monkeypatch.setattr(orders, "_LOOKS", 80)
        looks = []
        step = orders._Live.step

        def counted(live: Any, done: int, now: int, o: int) -> tuple[int, int]:
            looks.append(o)
            return step(live, done, now, o)

        monkeypatch.setattr(orders._Live, "step", counted)
        found = list(random_orders(problem, 6, seed=3))
        for order in found:
            place = {o: n for n, o in enumerate(order)}
            assert sorted(order) == list(problem.operators)
            for o in problem.operators:
                assert all(place[b] < place[o] for b in bits(problem.predecessors[o]))
        # Two for each step of the greedy ones, which are every third.
        assert len(looks) <= 2 * 2 * 40

    def test_random_orders_are_topological_and_seeded(self) -> None:
        graph = random_graph(1, 12)
        problem = Problem.of(graph)
        orders = list(random_orders(problem, 20, seed=3))
        assert orders == list(random_orders(problem, 20, seed=3))
        assert len(set(orders)) > 1
        for order in orders:
            done = 0
            for o in order:
                assert not problem.predecessors[o] & ~done
                done |= 1 << o
            assert done == (1 << 12) - 1

    def test_a_state_limit_leaves_the_peak_unproven(self) -> None:
        peak = least_peak(Problem.of(random_graph(3, 14)), state_limit=1)
        assert not peak.proven
        assert peak.bytes >= least_peak(Problem.of(random_graph(3, 14))).bytes


_INTERRUPTED = """
import signal, threading
from mapper.budget import largest_operator
from mapper.schedule.exact import solve_capacity
from mapper.schedule.problem import Problem
from mapper.schedule.solver import Limits
from tests.mapper_graphs import random_graph

# Far from solved when its first solution comes.
graph = random_graph(0, 60, largest=64)
main, sent = threading.main_thread(), []

def interrupt(phase, best, bound):
    # The first solution of the solver, reported from its thread: the search is running.
    if threading.current_thread() is not main and not sent:
        sent.append(phase)
        signal.pthread_kill(main.ident, signal.SIGINT)

try:
    solve_capacity(Problem.of(graph), largest_operator(graph)[1], Limits(), on_progress=interrupt)
except KeyboardInterrupt:
    # The solver's thread is at most on its way out.
    for thread in threading.enumerate():
        if thread.name == "cp-sat":
            thread.join(60)
            assert not thread.is_alive()
    assert sent
    print("interrupted")
"""


class TestInterruption:
    def test_ctrl_c_ends_a_solve(self) -> None:
        # In a process of its own: a signal that comes late must not end the test runner.
        done = subprocess.run(
            [sys.executable, "-c", _INTERRUPTED],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            cwd=Path(__file__).parents[1],
        )
        assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr

    def test_no_time_at_all_still_gives_a_plan(self) -> None:
        graph = random_graph(0, 30, largest=64)
        result = mapped(graph, largest_operator(graph)[1], Limits(seconds=0.0))
        assert result.plan is not None
        assert check_plan(json.loads(result.plan.text())) is None


def test_belady_prefers_tensors_with_a_copy_when_write_aware() -> None:
    # Both wait until the last operator; dropping the input is free, dropping x is not.
    graph = graph_from(
        [
            ("a", ["in"], ["x"]),
            ("b", ["x"], ["y"]),
            ("c", ["y"], ["z"]),
            ("d", ["z", "in"], ["v"]),
            ("e", ["v", "x"], ["out"]),
        ],
        {"in": 2, "x": 2, "y": 3, "z": 3, "v": 1, "out": 1},
        ["out"],
    )
    problem = Problem.of(graph)

    def cost(write_aware: bool) -> int:
        schedule: Schedule = belady(problem, file_order(problem), 8, write_aware=write_aware)
        return cost_of(problem, schedule)

    assert (cost(False), cost(True)) == (4, 2)
