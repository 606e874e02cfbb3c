from __future__ import annotations

from collections import Counter
from itertools import combinations
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.errors import InputError
from mapper.limits import Limits
from mapper.pack import Buffer, Packing, live_sets, pack, peak_load, solve
from mapper.pack_file import read_buffers, written_offsets
from tests.mapper_graphs import FRAGMENTED_ROWS
from tests.packing_instances import cut_memory, exchanges, packable, valid

# Published with google/minimalloc: fits into 12 exactly.
FIVE = [Buffer(0, 3, 4), Buffer(3, 9, 4), Buffer(0, 9, 4), Buffer(9, 21, 4), Buffer(0, 21, 4)]

# Every time is full to the capacity, and yet no offsets exist; found by drawing at random.
FRAGMENTED = [
    (capacity, [Buffer(*b) for b in buffers])
    for capacity, buffers in [
        (5, FRAGMENTED_ROWS),
        (
            6,
            [
                (0, 1, 2),
                (0, 2, 4),
                (1, 4, 1),
                (1, 3, 1),
                (2, 4, 2),
                (2, 4, 1),
                (2, 3, 1),
                (3, 5, 2),
                (4, 5, 4),
            ],
        ),
    ]
]

BUFFERS = st.lists(
    st.builds(
        lambda lower, life, size: Buffer(lower, lower + life, size),
        st.integers(-3, 12),
        st.integers(1, 8),
        st.integers(1, 9),
    ),
    max_size=12,
)


class TestPack:
    def test_published_example(self) -> None:
        packing = pack(FIVE, 12)
        assert packing.status == "packed"
        assert valid(FIVE, packing.offsets, 12)
        assert (packing.peak_load, packing.peak_at) == (12, 0)

    def test_load_above_the_capacity_is_infeasible_and_located(self) -> None:
        assert pack(FIVE, 11) == Packing("infeasible", (), 12, 0, conflict=(0, 2, 4))

    @pytest.mark.parametrize("instance", FRAGMENTED)
    def test_fragmentation_is_proven_infeasible(self, instance: tuple[int, list[Buffer]]) -> None:
        capacity, buffers = instance
        assert peak_load(buffers)[0] == capacity
        assert not _fits(buffers, capacity)
        assert pack(buffers, capacity).status == "infeasible"
        assert pack(buffers, capacity + 1).status == "packed"

    @settings(max_examples=150, deadline=None)
    @given(buffers=BUFFERS, spare=st.integers(-1, 2), alignment=st.sampled_from([1, 1, 2, 3, 8]))
    def test_packings_are_valid_and_refusals_are_right(
        self, buffers: list[Buffer], spare: int, alignment: int
    ) -> None:
        capacity = max(1, peak_load(buffers, alignment)[0] + spare)
        packing = pack(buffers, capacity, alignment=alignment)
        expected = packable(buffers, capacity, alignment)
        assert packing.status == ("packed" if expected else "infeasible")
        assert not expected or valid(buffers, packing.offsets, capacity, alignment)

    @pytest.mark.parametrize("seed", range(40))
    def test_agrees_with_trying_everything(self, seed: int) -> None:
        random = Random(seed)
        buffers = []
        for _ in range(7):
            lower = random.randint(0, 5)
            buffers.append(Buffer(lower, lower + random.randint(1, 5), random.randint(1, 4)))
        capacity = peak_load(buffers)[0]
        expected = _fits(buffers, capacity)
        assert (pack(buffers, capacity).status == "packed") == expected

    def test_the_topmost_buffer_need_not_fill_its_last_unit(self) -> None:
        assert pack([Buffer(0, 1, 8), Buffer(0, 1, 5)], 13, alignment=8).status == "packed"
        assert pack([Buffer(0, 1, 8), Buffer(0, 1, 5)], 12, alignment=8).status == "infeasible"

    def test_fixed_offsets_are_kept_or_refused(self) -> None:
        outcomes = Counter[str]()
        for seed in range(200):
            random = Random(seed)
            alignment = random.choice((1, 1, 2))
            buffers = exchanges(random, 12, 8)
            capacity = 12 + random.choice((0, 1, 4)) + alignment - 1
            fixed = {
                i: random.randrange(0, capacity - buffers[i].size + 1, alignment)
                for i in random.sample(range(len(buffers)), 2)
            }
            packing = pack(buffers, capacity, alignment=alignment, fixed=fixed)
            assert (packing.status == "packed") == packable(buffers, capacity, alignment, fixed)
            outcomes[packing.status] += 1
            if packing.status == "packed":
                assert valid(buffers, packing.offsets, capacity, alignment)
                assert all(packing.offsets[i] == offset for i, offset in fixed.items())
            else:
                part = list(packing.conflict)
                kept = {part.index(i): offset for i, offset in fixed.items() if i in part}
                chosen = [buffers[i] for i in part]
                assert not packable(chosen, capacity, alignment, kept)
        assert outcomes.keys() == {"packed", "infeasible"}
        assert min(outcomes.values()) > 40

    def test_a_limit_leaves_the_answer_open(self) -> None:
        buffers = cut_memory(Random(77), 200, 1024, 0.02)
        packing = pack(buffers, 1024, limits=Limits(effort=0.01))
        assert (packing.status, packing.offsets, packing.conflict) == ("unknown", (), ())
        assert packing.nodes > 0

    def test_a_limit_in_seconds_that_has_passed(self) -> None:
        buffers = cut_memory(Random(77), 200, 1024, 0.02)
        assert pack(buffers, 1024, limits=Limits(seconds=0.0)).status == "unknown"

    def test_where_too_many_buffers_meet_a_sweep_answers(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(solve, "MOST_MEETINGS", 10)
        outcomes = Counter[str]()
        for seed in range(40):
            buffers = exchanges(Random(seed), 12, 8)
            capacity = Random(seed).randint(11, 18)
            packing = pack(buffers, capacity)
            outcomes[packing.status] += 1
            assert packing.nodes == 0
            assert packing.status != "packed" or valid(buffers, packing.offsets, capacity)
            assert (packing.status == "infeasible") == (capacity < 12)
        assert min(outcomes[status] for status in ("packed", "unknown", "infeasible")) > 2, outcomes

    def test_no_buffers(self) -> None:
        assert pack([], 1) == Packing("packed", (), 0, 0)

    @pytest.mark.parametrize(
        ("buffer", "capacity"),
        [(Buffer(1, 1, 1), 4), (Buffer(0, 1, 0), 4), (Buffer(0, 1, 1), 0)],
    )
    def test_refusals(self, buffer: Buffer, capacity: int) -> None:
        with pytest.raises(InputError, match=r"must (have lower < upper|be positive)"):
            pack([buffer], capacity)

    @pytest.mark.parametrize("fixed", [{1: 0}, {-1: 0}, {0: -4}, {0: 2}])
    def test_refused_fixed_offsets(self, fixed: dict[int, int]) -> None:
        with pytest.raises(
            InputError, match=r"^Fixed offset of buffer -?\d must be a multiple of 4"
        ):
            pack([Buffer(0, 1, 4)], 8, alignment=4, fixed=fixed)

    def test_huge_numbers(self) -> None:
        buffers = [Buffer(-(1 << 50), 1 << 50, 1 << 50), Buffer(0, 1, 3 << 48)]
        assert pack(buffers, 1 << 90).status == "packed"
        with pytest.raises(InputError, match="must take less than 2"):
            pack([*buffers, Buffer(0, 1, (1 << 70) + 1)], 1 << 90)

    def test_same_seed_same_offsets(self) -> None:
        buffers = cut_memory(Random(3), 100, 1024)
        for seed in (5, 6):
            first = pack(buffers, 1024, limits=Limits(seed=seed))
            assert first.nodes > 0
            assert valid(buffers, first.offsets, 1024)
            # The clock is looked at, but decides nothing.
            assert pack(buffers, 1024, limits=Limits(seed=seed, seconds=1000.0)) == first


def _fits(buffers: list[Buffer], capacity: int) -> bool:
    """Depth first over all integer offsets."""

    def place(done: list[tuple[Buffer, int]]) -> bool:
        if len(done) == len(buffers):
            return True
        b = buffers[len(done)]
        clashing = [(o, o + c.size) for c, o in done if c.lower < b.upper and b.lower < c.upper]
        return any(
            all(o + b.size <= low or high <= o for low, high in clashing) and place([*done, (b, o)])
            for o in range(capacity - b.size + 1)
        )

    return place([])


@given(buffers=BUFFERS)
def test_live_sets_cover_every_pair_that_meets(buffers: list[Buffer]) -> None:
    together = {pair for s in live_sets(buffers) for pair in combinations(s, 2)}
    meeting = {
        (i, j)
        for (i, b), (j, c) in combinations(enumerate(buffers), 2)
        if b.lower < c.upper and c.lower < b.upper
    }
    assert together == meeting


class TestFile:
    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "b.csv"
        path.write_text("\ufeffid, upper,lower,size\na,3,0,4\r\n\nb,9,3,4\n", encoding="utf-8")
        ids, buffers, alignments = read_buffers(path)
        assert (ids, buffers) == (["a", "b"], [Buffer(0, 3, 4), Buffer(3, 9, 4)])
        assert alignments == [1, 1]
        assert written_offsets(ids, buffers, [0, 8]) == (
            "id,lower,upper,size,offset\na,0,3,4,0\nb,3,9,4,8\n"
        )

    def test_alignments_come_back(self, tmp_path: Path) -> None:
        path = tmp_path / "b.csv"
        path.write_text("id,lower,upper,size,alignment,hint\na,0,3,4,1,-1\nb,3,9,4,16,4\n")
        question = read_buffers(path)
        assert question.alignments == [1, 16]
        path.write_text(written_offsets(question.ids, question.buffers, [0, 16], [1, 16]))
        assert path.read_text().splitlines()[2] == "b,3,9,4,16,16"
        assert read_buffers(path) == question

    def test_the_last_step_in_place_of_the_end(self, tmp_path: Path) -> None:
        path = tmp_path / "b.csv"
        path.write_text("buffer_id,start,end,size\na,0,0,4\nb,0,2,4\n")
        assert read_buffers(path).buffers == [Buffer(0, 1, 4), Buffer(0, 3, 4)]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (
                "",
                r"first line must be id,lower,upper,size, and alignment where it is needed, not ''",
            ),
            ("a,b,c\n", r"first line must be id,lower,upper,size, .* not 'a,b,c'"),
            (
                "id,lower,upper,size\na,0,1\n",
                r"line 2 must have a whole number as size, not None",
            ),
            ("id,lower,upper,size\na,0,1,2,3\n", r"line 2 must have no more fields than the first"),
            ("id,lower,upper,begin,size\n", r"first line must have every column once"),
            ("id,lower,upper,size,alignment\na,0,1,2,0\n", r"a positive alignment, not 0"),
            ("id,lower,upper,size,alignment\na,0,1,2,\n", r"whole number as alignment, not ''"),
            ("id,lower,upper,size,gaps\na,0,9,2,3-4\n", r"line 2 must have no gaps, not '3-4'"),
            ("id,lower,upper,size\na,0,1.5,2\n", r"a whole number as upper, not '1\.5'"),
            (
                "id,lower,upper,size\na,0,1,99999999999999999999\n",
                r"line 2 must have a size of at most 2\^50",
            ),
            ("id,lower,upper,size\na,1,1,2\n", r"line 2 must have lower < upper and a positive"),
            ("id,lower,upper,size\na,0,1,0\n", r"positive size, not 0, 1 and 0"),
            (
                "id,lower,upper,size\na,0,1,2\nb,0,1,2\na,0,1,2\n",
                r"line 4 must have an id of its own, not 'a', already on line 2\.",
            ),
            ("id,lower,upper,size\n ,0,1,2\n", r"line 2 must have an id of its own, not ''\."),
            ('id,lower,upper,size\n"a,0,1,2\n', r"must be CSV, not something else"),
        ],
    )
    def test_refusals(self, tmp_path: Path, text: str, message: str) -> None:
        path = tmp_path / "b.csv"
        path.write_text(text)
        with pytest.raises(InputError, match=message) as caught:
            read_buffers(path)
        assert "\n" not in str(caught.value)

    def test_unreadable(self, tmp_path: Path) -> None:
        (tmp_path / "b.csv").write_bytes(b"\xff\xfe")
        for path in (tmp_path / "b.csv", tmp_path / "none.csv", tmp_path):
            with pytest.raises(InputError, match="^Buffers must be a readable CSV file, not "):
                read_buffers(path)
