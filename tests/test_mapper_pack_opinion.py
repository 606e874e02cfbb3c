"""mapper.pack.opinion: CP-SAT beside the search."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from mapper.limits import Limits
from mapper.pack import Buffer, pack
from mapper.pack.arrays import Window
from mapper.pack.buffers import live_sets
from mapper.pack.opinion import FIRST, Opinion
from tests.packing_instances import cut_memory, exchanges, packable, valid

PLENTY = 10**12


def _opinion(buffers: list[Buffer], capacity: int) -> Opinion:
    return Opinion([Window(*b, 0, capacity) for b in buffers], live_sets(buffers), 0)


def test_agrees_with_rectangles() -> None:
    outcomes = Counter[bool]()
    for seed in range(60):
        random = Random(seed)
        capacity = random.randint(5, 8)
        buffers = exchanges(random, capacity, 6)
        opinion = _opinion(buffers, capacity)
        expected = packable(buffers, capacity)
        outcomes[expected] += 1
        status, charged = opinion.ask(Limits(), PLENTY)
        assert status == ("packed" if expected else "infeasible"), seed
        assert charged > 0
        assert not expected or valid(buffers, opinion.offsets(), capacity)
    assert min(outcomes.values()) > 5, outcomes


def test_windows_are_kept() -> None:
    windows = [Window(0, 2, 3, 4, 8), Window(0, 2, 4, 0, 8), Window(0, 2, 1, 0, 8)]
    opinion = Opinion(windows, [[0, 1, 2]], 0)
    assert opinion.ask(Limits(), PLENTY)[0] == "packed"
    assert all(
        w.bottom <= o <= w.top - w.size for w, o in zip(windows, opinion.offsets(), strict=True)
    )
    windows[1] = Window(0, 2, 4, 1, 8)
    windows[2] = Window(0, 2, 1, 7, 8)
    assert Opinion(windows, [[0, 1, 2]], 0).ask(Limits(), PLENTY)[0] == "infeasible"


def test_its_turn_comes_after_the_search_and_later_each_time() -> None:
    opinion = _opinion(cut_memory(Random(77), 60, 1024, 0.02), 1024)
    assert not opinion.due(FIRST - 1)
    assert opinion.due(1)
    waits = []
    for _ in range(3):
        opinion.ask(Limits(), PLENTY)
        steps = 1
        while not opinion.due(10_000_000):
            steps += 1
        waits.append(steps)
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]


def test_no_work_is_no_answer() -> None:
    assert _opinion(cut_memory(Random(77), 200, 1024, 0.02), 1024).ask(Limits(), 0)[0] == "unknown"


@pytest.mark.parametrize("height", [1 << 40, (1 << 40) + 1])
def test_sums_that_would_overflow_are_not_asked_about(height: int) -> None:
    opinion = Opinion([Window(0, 1, 1, 0, height)], [[0]], 0)
    assert opinion.due(FIRST) == (height == 1 << 40)


def test_what_the_search_alone_leaves_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A perfect packing of 300 buffers: every section is full."""
    buffers = cut_memory(Random(300_000), 300, 1024)
    packing = pack(buffers, 1024, limits=Limits(effort=2.0))
    assert packing.status == "packed"
    assert valid(buffers, packing.offsets, 1024)
    assert pack(buffers, 1024, limits=Limits(effort=2.0)) == packing
    monkeypatch.setattr(Opinion, "due", lambda *_: False)
    assert pack(buffers, 1024, limits=Limits(effort=0.6)).status == "unknown"


def test_time_that_has_passed_is_not_spent_on_a_search() -> None:
    buffers = cut_memory(Random(300_000), 300, 1024)
    assert pack(buffers, 1024, limits=Limits(seconds=0.0)).nodes == 0
