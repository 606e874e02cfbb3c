"""mapper.pack.mixed: an alignment per buffer, against every choice of offsets."""

from __future__ import annotations

from itertools import combinations, product
from pathlib import Path
from random import Random

import pytest

from hw.errors import InputError
from mapper.limits import Limits
from mapper.pack import Buffer, least_capacity, pack
from mapper.pack_file import read_buffers
from tests.packing_instances import valid

PUBLISHED = Path(__file__).parent / "data" / "minimalloc"


def _drawn(seed: int) -> tuple[list[Buffer], list[int]]:
    random = Random(seed)
    buffers = []
    for _ in range(random.randint(2, 5)):
        lower = random.randint(0, 3)
        buffers.append(Buffer(lower, lower + random.randint(1, 3), random.randint(1, 4)))
    return buffers, [random.choice([1, 2, 3, 4]) for _ in buffers]


def _least(buffers: list[Buffer], alignments: list[int], most: int) -> int:
    """The least height of all choices of aligned offsets, or one more than `most`."""
    meeting = [
        (i, j)
        for (i, b), (j, c) in combinations(enumerate(buffers), 2)
        if b.lower < c.upper and c.lower < b.upper
    ]
    choices = [
        range(0, most - b.size + 1, step) for b, step in zip(buffers, alignments, strict=True)
    ]
    heights = [
        max(o + b.size for o, b in zip(offsets, buffers, strict=True))
        for offsets in product(*choices)
        if all(
            offsets[i] + buffers[i].size <= offsets[j] or offsets[j] + buffers[j].size <= offsets[i]
            for i, j in meeting
        )
    ]
    return min(heights, default=most + 1)


def test_every_choice_of_offsets_agrees() -> None:
    statuses = set()
    for seed in range(120):
        buffers, alignments = _drawn(seed)
        least = _least(buffers, alignments, 14)
        if least > 14:
            continue
        found = least_capacity(buffers, alignment=alignments)
        assert (found.status, found.capacity, found.bound) == ("optimal", least, least)
        assert valid(buffers, found.offsets, least)
        assert not any(o % a for o, a in zip(found.offsets, alignments, strict=True))
        for capacity in (least - 1, least):
            packing = pack(buffers, capacity, alignment=alignments)
            statuses.add((packing.status, capacity - least, packing.peak_load > capacity))
            if packing.status == "packed":
                assert valid(buffers, packing.offsets, capacity)
                assert not any(o % a for o, a in zip(packing.offsets, alignments, strict=True))
    # Below the least there is a proof, by the load or by search; at the least there are offsets.
    assert statuses == {("packed", 0, False), ("infeasible", -1, True), ("infeasible", -1, False)}


def test_one_alignment_for_all_is_the_same_question() -> None:
    buffers = [Buffer(0, 2, 8), Buffer(0, 2, 5), Buffer(1, 3, 3)]
    assert pack(buffers, 24, alignment=[8, 8, 8]) == pack(buffers, 24, alignment=8)
    assert least_capacity(buffers, alignment=[8, 8, 8]) == least_capacity(buffers, alignment=8)
    assert pack([], 1, alignment=[]).status == "packed"


def test_fixed_offsets_stay() -> None:
    buffers = [Buffer(0, 2, 3), Buffer(0, 2, 4), Buffer(1, 3, 2)]
    packing = pack(buffers, 10, alignment=[1, 4, 2], fixed={0: 1})
    assert packing.status == "packed"
    assert packing.offsets[0] == 1
    assert valid(buffers, packing.offsets, 10)
    assert pack(buffers, 9, alignment=[1, 4, 2], fixed={0: 3}).status == "infeasible"


def test_a_hard_instance_with_some_buffers_aligned() -> None:
    buffers = read_buffers(PUBLISHED / "D.1048576.csv").buffers
    alignments = [4096 if i % 3 else 1024 for i in range(len(buffers))]
    packing = pack(buffers, 3 << 20, alignment=alignments)
    assert packing.status == "packed"
    assert valid(buffers, packing.offsets, 3 << 20)
    assert not any(o % a for o, a in zip(packing.offsets, alignments, strict=True))


def test_no_time_is_no_answer() -> None:
    buffers = [Buffer(0, 2, 3), Buffer(0, 2, 3), Buffer(0, 2, 3)]
    packing = pack(buffers, 10, alignment=[2, 2, 4], limits=Limits(seconds=0))
    assert (packing.status, packing.offsets) == ("unknown", ())


@pytest.mark.parametrize(
    ("alignments", "message"),
    [
        ([1, 2, 4], "an alignment for each of 2 buffers, not 3"),
        ([1, 0], "Alignment of buffer 1 must be positive"),
    ],
)
def test_refusals(alignments: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack([Buffer(0, 1, 2), Buffer(0, 1, 2)], 4, alignment=alignments)
