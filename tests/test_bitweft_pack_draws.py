"""bitweft.pack_draws and bitweft.pack_instances: what is drawn is what it says, from the seed alone."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from bitweft.pack_draws import UNIT, allocations, cut_memory, resampled, warped
from bitweft.pack_instances import Instance, draw, folder_of, like
from mapper.pack import Buffer, pack, peak_load
from tests.packing_instances import packable

PUBLISHED = Path(__file__).parent / "data" / "minimalloc"


@pytest.mark.parametrize("seed", range(10))
def test_a_cut_memory_is_full_at_every_time(seed: int) -> None:
    buffers = cut_memory(Random(seed), 60, 128)
    assert len(buffers) == 60
    for time in range(60):
        assert sum(b.size for b in buffers if b.lower <= time < b.upper) == 128
    assert peak_load(cut_memory(Random(seed), 60, 128, 0.1))[0] <= 128


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("room", [64 * UNIT, 32 * UNIT, 40])
def test_what_is_warped_still_packs(seed: int, room: int) -> None:
    before = cut_memory(Random(seed), 16, 64)
    packing = pack(before, 64)
    assert packing.status == "packed"
    buffers = warped(Random(seed), before, packing.offsets, 64, room)
    # Perfect before, perfect after: every time is full to the last unit.
    assert all(b.size > 0 for b in buffers)
    for time in range(16):
        assert sum(b.size for b in buffers if b.lower <= time < b.upper) == room
    unit = UNIT if room >= UNIT else 1
    assert packable([b._replace(size=b.size // unit) for b in buffers], room // unit)


def test_what_is_resampled_has_lives_and_sizes_of_before_and_fits_at_each_time() -> None:
    (a, *_) = folder_of(PUBLISHED)
    buffers = resampled(Random(1), a.buffers, a.capacity)
    assert len(buffers) == len(a.buffers)
    assert {b[:2] for b in buffers} <= {b[:2] for b in a.buffers}
    assert {b.size for b in buffers} <= {b.size for b in a.buffers}
    assert a.capacity * 0.9 < peak_load(buffers)[0] <= a.capacity


@pytest.mark.parametrize("seed", range(5))
def test_allocations_fill_the_memory_and_never_more(seed: int) -> None:
    buffers = allocations(Random(seed), 80, 256 * UNIT)
    assert len(buffers) >= 80
    last = max(b.lower for b in buffers)
    loads = [sum(b.size for b in buffers if b.lower <= t < b.upper) for t in range(last)]
    assert max(loads) <= 256 * UNIT
    assert sum(loads) > 0.8 * 256 * UNIT * last


def test_instances_are_all_different_and_the_same_each_time() -> None:
    files = folder_of(PUBLISHED)[:2]
    first = [i for number in range(2) for i in (*draw(number), *like(files, number))]
    again = [*draw(0), *like(files, 0)]
    assert first[: len(again)] == again
    assert len({tuple(i.buffers) for i in first}) == len({i.name for i in first}) == 34
    assert all(peak_load(i.buffers)[0] <= i.capacity for i in first)


def test_tiny_instances_have_no_likeness() -> None:
    assert like([Instance("tiny", [Buffer(0, 1, 4)], 12)], 0) == []
