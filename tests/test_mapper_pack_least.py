"""mapper.pack.least: the least capacity and its bound."""

from __future__ import annotations

from random import Random

import pytest

from hw.errors import InputError
from mapper.limits import Limits
from mapper.pack import Buffer, Least, least_capacity, peak_load
from tests.packing_instances import cut_memory, exchanges, packable, valid


@pytest.mark.parametrize("seed", range(60))
def test_least_and_proven(seed: int) -> None:
    random = Random(seed)
    alignment = random.choice((1, 1, 2, 3))
    factor = random.choice((1, 1, 4))
    buffers = [b._replace(size=factor * b.size) for b in exchanges(random, 12, 12)]
    least = least_capacity(buffers, alignment=alignment)
    assert (least.status, least.capacity) == ("optimal", least.bound)
    assert valid(buffers, least.offsets, least.capacity, alignment)
    assert not packable(buffers, least.capacity - 1, alignment)


def test_above_the_load() -> None:
    """Five is the load and six the least; nothing but a search tells."""
    rows = [(0, 1, 2), (0, 2, 4), (1, 4, 1), (1, 3, 1), (2, 4, 2), (2, 4, 1), (2, 3, 1)]
    buffers = [Buffer(*row) for row in [*rows, (3, 5, 2), (4, 5, 4)]]
    assert peak_load(buffers)[0] == 6
    least = least_capacity(buffers)
    assert (least.status, least.capacity, least.bound, least.peak_load) == ("optimal", 7, 7, 6)


def test_a_limit_leaves_a_range() -> None:
    buffers = cut_memory(Random(77), 200, 1024, 0.02)
    least = least_capacity(buffers, limits=Limits(effort=0.05))
    assert least.status == "feasible"
    assert peak_load(buffers)[0] <= least.bound < least.capacity
    assert valid(buffers, least.offsets, least.capacity)
    assert least == least_capacity(buffers, limits=Limits(effort=0.05, seconds=1000.0))


def test_no_buffers_and_bad_ones() -> None:
    assert least_capacity([]) == Least("optimal", 0, 0, (), 0, 0)
    with pytest.raises(InputError, match="must have lower < upper"):
        least_capacity([Buffer(2, 2, 1)])
