"""Two searches at once: both run, an exception ends both, and results do not depend on workers."""

from __future__ import annotations

import pytest

from mapper.budget import largest_operator
from mapper.schedule import improve as improving
from mapper.schedule.bounds import Effort
from mapper.schedule.greedy import belady
from mapper.schedule.orders import file_order
from mapper.schedule.problem import Problem
from mapper.schedule.side_by_side import side_by_side
from mapper.schedule.solver import Limits
from tests.mapper_graphs import random_graph


@pytest.mark.parametrize("workers", [1, 2])
def test_both_run_within_their_limits(workers: int) -> None:
    seen: list[tuple[str, int]] = []
    limits = Limits(effort=8, workers=workers, seed=3)
    side_by_side(
        limits,
        lambda own: seen.append(("one", own.seed)),
        lambda own: seen.append(("other", own.seed)),
    )
    assert sorted(seen) == [("one", 3), ("other", 3)]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_of_the_other_reaches_the_caller(workers: int) -> None:
    def fails(own: Limits) -> None:
        raise KeyError("other")

    with pytest.raises(KeyError, match="other"):
        side_by_side(Limits(workers=workers), lambda own: None, fails)


def test_ctrl_c_ends_the_other() -> None:
    ended: list[bool] = []

    def other(own: Limits) -> None:
        while not own.exhausted():
            own.share(0.5).exhausted()
        ended.append(own.share(0.5).exhausted())

    def interrupted(own: Limits) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(Limits(workers=2), interrupted, other)
    assert ended == [True], "shares of ended limits have ended, too"


def test_two_workers_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    # Nothing is counted as a whole, so all of it goes through windows and stretches.
    monkeypatch.setattr(improving, "_EXACT_SETS", 1)
    monkeypatch.setattr(improving, "_MODEL", 0)
    monkeypatch.setattr(
        improving,
        "_PHASES",
        (
            improving._Phase(0.5, 30, 3, Effort(4, 30, (0,), 500)),
            improving._Phase(0.9, 500, 30, Effort(4, 300, (0,), 5_000)),
        ),
    )
    bounded = 0
    for seed in range(10):
        graph = random_graph(40_000 + seed, 24, largest=9)
        problem, capacity = Problem.of(graph), largest_operator(graph)[1]
        start = belady(problem, file_order(problem), capacity, write_aware=True)
        one, two = (
            improving.least_traffic(problem, capacity, [start], Limits(effort=0.5, workers=workers))
            for workers in (1, 2)
        )
        assert one.schedule == two.schedule, seed
        assert one.bound == two.bound, seed
        assert one.bound <= one.cost
        bounded += one.bound > 0
    assert bounded > 2
