"""mapper.pack.greedy and the counts that decide what can be afforded."""

from __future__ import annotations

from itertools import combinations
from random import Random

import pytest

from mapper.pack import Buffer, least_capacity, peak_load
from mapper.pack.arrays import Window
from mapper.pack.buffers import meetings, neighbours_of
from mapper.pack.greedy import first_fit, sweep_fit
from tests.packing_instances import cut_memory, exchanges, valid


def _random_buffers(random: Random, count: int) -> list[Buffer]:
    begins = [random.randint(0, 30) for _ in range(count)]
    return [Buffer(a, a + random.randint(1, 12), random.randint(1, 9)) for a in begins]


@pytest.mark.parametrize("seed", range(30))
def test_a_sweep_never_overlaps(seed: int) -> None:
    buffers = _random_buffers(Random(seed), 80)
    windows = [Window(*b, 0, 1 << 20) for b in buffers]
    assert valid(buffers, sweep_fit(windows), sum(b.size for b in buffers))


def test_a_sweep_uses_holes_and_joins_them() -> None:
    rows = [(0, 1, 2), (0, 9, 1), (0, 2, 3), (0, 1, 4), (0, 9, 1), (2, 5, 7), (3, 5, 2)]
    assert sweep_fit([Window(*row, 0, 99) for row in rows]) == [0, 2, 3, 6, 10, 3, 0]


def test_a_sweep_is_the_least_where_all_begin_together() -> None:
    buffers = [Buffer(0, 1 + i, 1 + i % 7) for i in range(5000)]
    assert meetings(buffers) > 10_000_000
    least = least_capacity(buffers)
    assert (least.status, least.capacity) == ("optimal", peak_load(buffers)[0])


@pytest.mark.parametrize("seed", range(20))
def test_meetings_are_counted(seed: int) -> None:
    random = Random(seed)
    buffers = exchanges(random, 12, 9) if seed % 2 else _random_buffers(random, 40)
    expected = sum(b.lower < c.upper and c.lower < b.upper for b, c in combinations(buffers, 2))
    assert meetings(buffers) == expected


def test_first_fit_can_be_stopped() -> None:
    windows = [Window(*b, 0, 1024) for b in cut_memory(Random(1), 600, 1024)]
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    order = range(len(windows))
    assert first_fit(windows, order, neighbours_of(windows), stop) is None
    assert len(asked) == 3
    assert first_fit(windows, order, neighbours_of(windows)) is not None
