"""The table of what is on chip: a bound for any prices, and exact together with a search."""

from __future__ import annotations

import numpy as np
import pytest

from mapper import brute_force
from mapper.budget import largest_operator
from mapper.graph import Graph
from mapper.schedule.chip import NO_CHIP
from mapper.schedule.downsets import Downsets, downsets_of
from mapper.schedule.greedy import belady
from mapper.schedule.levels import Way, least, search
from mapper.schedule.neighbourhood import window_at
from mapper.schedule.orders import file_order
from mapper.schedule.part import Part, contracted, part_of
from mapper.schedule.priced import entries_of, priced
from mapper.schedule.prices import Prices, ascend, least_priced, leavings_of
from mapper.schedule.problem import Problem
from mapper.schedule.reduced import reduced
from mapper.schedule.solver import Limits
from tests.mapper_graphs import graph_from, random_graph, ring_graph, with_after

LIMITS = Limits(effort=5)
MUCH = 1 << 40


def _case(seed: int) -> tuple[Graph, Problem, int]:
    """A random graph of 4 to 7 operators, a third of them with extra precedence, and a capacity."""
    graph = random_graph(170_000 + seed, 4 + seed % 4, largest=(1, 4, 9, 30)[seed // 4 % 4])
    if seed % 3 == 0:
        graph = with_after(graph, seed)
    return graph, Problem.of(graph), largest_operator(graph)[1] + seed % 3


def _filled(part: Part) -> Downsets:
    downsets = downsets_of(part, 10**5)
    assert downsets is not None
    downsets.fill(LIMITS)
    return downsets


def _random_prices(downsets: Downsets, seed: int) -> Prices:
    """Any shares that add up to one."""
    prices, random = Prices(downsets), np.random.RandomState(seed)
    prices.share *= random.random_sample(prices.share.shape) * (random.random_sample() < 0.8)
    prices.share /= np.maximum(prices.share.sum(axis=1, keepdims=True), 1e-9)
    return prices


class TestAgainstBruteForce:
    def test_no_prices_claim_too_much_and_the_search_with_them_is_exact(self) -> None:
        positive = tight = 0
        for seed in range(200):
            graph, problem, capacity = _case(seed)
            want = brute_force.least_traffic(graph, capacity)
            positive += want > 0
            downsets = _filled(part_of(problem, capacity, resident=()))
            beam = search(downsets, LIMITS, threshold=MUCH, width=30, budget=MUCH)
            assert beam.way is not None
            uniform, guided = Prices(downsets), Prices(downsets)
            guided.follow(leavings_of(downsets, beam.way))
            for turn, prices in enumerate((uniform, guided, _random_prices(downsets, seed))):
                for most in (10**6, 40):
                    found = priced(downsets, prices.share, upper=want + 5, limits=LIMITS, most=most)
                    if found is None:
                        assert most == 40
                        continue
                    assert found.bound <= want, (seed, turn)
                    tight += found.bound == want > 0
                    downsets.chip = found.table
                    result = least(downsets, LIMITS, upper=1 << 30, budget=MUCH, widest=0)
                    assert result.way is not None
                    assert (result.bound, result.way.cost) == (want, want), (seed, turn)
                    downsets.chip = NO_CHIP
                    prices.climb(found.leavings, max(1, want - found.bound))
        assert positive > 40
        assert tight > 150

    def test_climbing_raises_the_bound_and_never_claims_too_much(self) -> None:
        raised = reached = 0
        for seed in range(200):
            graph, problem, capacity = _case(seed)
            want = brute_force.least_traffic(graph, capacity)
            downsets = _filled(part_of(problem, capacity, resident=()))
            bounds: list[int] = []
            best, entries = ascend(
                downsets,
                Prices(downsets),
                upper=want + 5,
                limits=LIMITS,
                entries=10**7,
                on_better=bounds.append,
            )
            assert best is not None
            assert bounds == sorted(set(bounds))
            assert best.bound == bounds[-1] <= want, seed
            assert entries >= len(bounds) * best.entries
            raised += len(bounds) > 1
            reached += want > 0 and best.bound == want
        assert raised > 3
        assert reached > 45

    def test_no_optimal_way_leads_through_what_is_left_out(self) -> None:
        left_out = 0
        for seed in range(200):
            graph, problem, capacity = _case(seed)
            want = brute_force.least_traffic(graph, capacity)
            downsets = _filled(part_of(problem, capacity, resident=()))
            way = least(downsets, LIMITS, upper=1 << 30, budget=MUCH).way
            assert way is not None
            least_through = downsets.least_through()
            number = {
                tuple(row): i for i, row in enumerate(downsets.sets[: downsets.count].tolist())
            }
            done = 0
            for o in way.order:
                done |= 1 << o
                assert least_through[number[done, 0]] <= want + 1e-6, seed
            left_out += int((least_through > want + 1e-6).sum())
        assert left_out > 50


class TestParts:
    def test_windows_with_borders_cost_what_they_cost_without_the_table(self) -> None:
        positive = 0
        for seed in range(40):
            graph = random_graph(180_000 + seed, 10, largest=(1, 4, 9, 30)[seed % 4])
            problem, capacity = Problem.of(graph), largest_operator(graph)[1]
            schedule = belady(problem, file_order(problem), capacity, write_aware=True)
            for first, last in ((0, 6), (2, 8), (3, 10)):
                downsets = _filled(window_at(problem, capacity, schedule, first, last).part)
                plain = least(downsets, LIMITS, upper=1 << 30, budget=MUCH)
                assert plain.way is not None
                cost = plain.way.cost
                positive += cost > 0
                for prices in (Prices(downsets), _random_prices(downsets, seed)):
                    found = priced(
                        downsets, prices.share, upper=cost + 3, limits=LIMITS, most=10**6
                    )
                    assert found is not None
                    assert found.bound <= cost, seed
                    downsets.chip = found.table
                    again = least(downsets, LIMITS, upper=1 << 30, budget=MUCH, widest=0)
                    assert again.way is not None
                    assert (again.way.cost, again.bound) == (cost, cost), seed
                    downsets.chip = NO_CHIP
        assert positive > 30


def _dense(nodes: int, capacity: int) -> Downsets:
    """Every operator reads three of the four results before it; too much for a search alone."""
    wiring = [("op0", ["in"], ["t0"])]
    for o in range(1, nodes):
        reads = sorted({f"t{max(0, o - d)}" for d in (1, 3, 4 + o % 5)})
        wiring.append((f"op{o}", reads, [f"t{o}"]))
    sizes = {"in": 1} | {f"t{o}": 1 for o in range(nodes)}
    problem = Problem.of(graph_from(wiring, sizes, [f"t{nodes - 1}"]))
    return _filled(part_of(problem, capacity, resident=()))


@pytest.mark.parametrize("workers", [1, 2])
def test_two_workers_fill_the_same_table(workers: int) -> None:
    downsets = _dense(26, 5)
    limits = Limits(effort=5, workers=workers)
    found = priced(downsets, Prices(downsets).share, upper=100, limits=limits, most=10**7)
    alone = priced(downsets, Prices(downsets).share, upper=100, limits=LIMITS, most=10**7)
    assert found is not None
    assert alone is not None
    assert found.entries < entries_of(downsets, 100) <= 10**7
    assert np.array_equal(found.table.chip, alone.table.chip)
    assert (found.bound, found.leavings) == (alone.bound, alone.leavings)


def test_a_randomly_wired_ring_of_32_nodes_is_proven() -> None:
    # A search with the coarse table alone has a bound of 19 of 26 tensors after as much work.
    graph = ring_graph(32, seed=1)
    problem, capacity = reduced(Problem.of(graph)).problem, largest_operator(graph)[1]
    downsets = _filled(part_of(problem, capacity, resident=()))
    plain = least(downsets, LIMITS, upper=1 << 30, budget=1_500_000)
    both = least_priced(downsets, LIMITS, upper=1 << 30, budget=5_000_000)
    assert not plain.complete
    assert both.complete
    assert both.way is not None
    assert plain.bound < both.bound == both.way.cost == 26 * 64
    assert both.states < 5_000_000


def test_leavings_are_counted_in_readers_to_come() -> None:
    # x is made, leaves before it is read, is read, leaves again and is read.
    wiring = [
        ("a", ["in"], ["x", "y"]),
        ("b", ["y"], ["big"]),
        ("c", ["big", "x"], ["z"]),
        ("d", ["z"], ["big2"]),
        ("e", ["big2", "x"], ["out"]),
    ]
    sizes = {"in": 1, "x": 2, "y": 4, "big": 5, "z": 4, "big2": 5, "out": 1}
    problem = Problem.of(graph_from(wiring, sizes, ["out"]))
    downsets = _filled(part_of(problem, 11, resident=()))
    x = downsets.part.tensors.index(1)
    none = 0
    on = 1 << x
    y, big, z, big2 = (1 << downsets.part.tensors.index(i) for i in (2, 3, 4, 5))
    way = Way(0, (0, 1, 2, 3, 4), (y, big, z, big2, none))
    assert leavings_of(downsets, way) == [(x, 2), (x, 1)]
    kept = Way(0, (0, 1, 2, 3, 4), (y | on, big | on, z | on, big2 | on, none))
    assert leavings_of(downsets, kept) == []


def test_a_table_takes_more_operators_than_a_search_does() -> None:
    # In each block x is written once and fetched twice: it does not fit beside y and big, or z and
    # wide. One block after the other pays the same again.
    blocks, wiring, sizes = 30, [], {"t0": 1}
    for i in range(blocks):
        x, y, big, z, wide, out = (f"{name}{i}" for name in ("x", "y", "big", "z", "wide", "out"))
        begin = f"out{i - 1}" if i else "t0"
        wiring += [
            (f"a{i}", [begin], [x, y]),
            (f"b{i}", [y], [big]),
            (f"c{i}", [big, x], [z]),
            (f"d{i}", [z], [wide]),
            (f"e{i}", [wide, x], [out]),
        ]
        sizes |= {x: 2, y: 6, big: 5, z: 4, wide: 7, out: 1}
    problem = Problem.of(graph_from(wiring, sizes, [f"out{blocks - 1}"]))
    part = part_of(problem, 11, resident=())
    assert downsets_of(part, 10**4) is None
    downsets = downsets_of(part, 10**4, searchable=False)
    assert downsets is not None
    assert downsets.count == 5 * blocks + 1
    found, _ = ascend(downsets, Prices(downsets), upper=300, limits=LIMITS, entries=10**6)
    assert found is not None
    assert found.bound == 6 * blocks
    assert len(found.leavings) == 2 * blocks


def test_prices_begin_where_those_of_a_coarser_part_ended() -> None:
    graph = ring_graph(12, seed=3)
    problem, capacity = Problem.of(graph), largest_operator(graph)[1]
    part = part_of(problem, capacity, resident=())
    smaller = _filled(contracted(part, capacity).part)
    coarse = _random_prices(smaller, 5)
    fine, plain = Prices(_filled(part), coarse), Prices(_filled(part))
    assert len(smaller.part.tensors) < len(part.tensors)
    for row, a in enumerate(part.tensors):
        known = a in smaller.part.tensors
        want = coarse.share[smaller.part.tensors.index(a)] if known else plain.share[row]
        assert fine.share[row].tolist() == want.tolist()
