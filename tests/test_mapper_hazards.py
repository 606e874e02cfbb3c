"""mapper.hazards: tokens against the naive definition, and programs that are long."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.isa import Begin, End, Instruction, Load, Store, Target
from hw.spec import load_spec
from hw.tokens import HORIZON, UNITS, absolute_tokens
from mapper.footprint import Extent, Footprint, Space, footprint
from mapper.hazards import hazards, with_tokens
from tests.overlapping_programs import overlapping_program

SPEC = load_spec("tiny")

extents = st.builds(
    lambda space, start, size: Extent(space, start, start + size),
    st.sampled_from([Space.SCRATCHPAD, Space.WEIGHTS, Space.READ_PORTS]),
    st.integers(0, 12),
    st.integers(0, 5),
)
footprints = st.builds(
    Footprint, st.lists(extents, max_size=3).map(tuple), st.lists(extents, max_size=2).map(tuple)
)


def _clash(a: Footprint, b: Footprint) -> bool:
    """Whether one writes what the other reads or writes."""
    pairs = [*product(a.reads, b.writes), *product(a.writes, b.reads), *product(a.writes, b.writes)]
    return any(x.space == y.space and max(x.start, y.start) < min(x.end, y.end) for x, y in pairs)


def _naive(units: list[int], touched: list[Footprint]) -> list[tuple[int, ...]]:
    """Of each other unit, the last earlier instruction that must not overlap in time."""
    waits = []
    for n, (unit, own) in enumerate(zip(units, touched, strict=True)):
        after = [0, 0, 0]
        for other in {0, 1, 2} - {unit}:
            earlier = [i for i in range(n) if units[i] == other]
            for count, i in enumerate(earlier, start=1):
                if _clash(touched[i], own):
                    after[other] = count
        waits.append(tuple(after))
    return waits


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), footprints), max_size=14))
def test_tokens_are_those_of_the_definition(program: list[tuple[int, Footprint]]) -> None:
    units, touched = [unit for unit, _ in program], [f for _, f in program]
    assert hazards(units, touched) == _naive(units, touched)


def test_a_long_random_sequence_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(1)

    def extent() -> Extent:
        start = int(rng.integers(0, 1000))
        return Extent(Space(int(rng.integers(0, 2))), start, start + int(rng.integers(1, 40)))

    units = rng.integers(0, 3, 400).tolist()
    touched = [Footprint((extent(),), (extent(),)) for _ in units]
    assert hazards(units, touched) == _naive(units, touched)


def _load(local: int, words: int, memory: int = 0, target: Target = Target.SCRATCHPAD) -> Load:
    return Load(target=target, memory=memory, local=local, words=words)


def test_by_hand() -> None:
    bank = SPEC.scratchpad.bytes // SPEC.word_bytes // SPEC.scratchpad.banks
    program: list[Instruction] = [
        Begin(),
        _load(0, 10),
        _load(100, 10),
        Store(memory=0x1000, local=5, words=10),  # reads what the first load wrote
        _load(bank, 4, memory=0x1008),  # comes back from memory, into another bank
        _load(12, 4),  # must not overwrite what the store still reads
        _load(0, 4, target=Target.WEIGHTS),
        Store(memory=0x2000, local=104, words=2),
        End(),
    ]
    after = [(i.after_load, i.after_execute, i.after_store) for i in with_tokens(program, SPEC)]
    assert after == [
        (0, 0, 0),
        (0, 0, 0),
        (0, 0, 0),
        (1, 0, 0),
        (0, 0, 1),
        (0, 0, 1),
        (0, 0, 0),
        (2, 0, 0),
        (0, 0, 0),
    ]


@pytest.mark.parametrize("seed", range(30))
def test_programs_get_what_their_footprints_need(seed: int) -> None:
    case = overlapping_program(np.random.default_rng(seed), SPEC)
    program = [i for i in case.instructions if isinstance(i, UNITS)]
    units = [next(n for n, unit in enumerate(UNITS) if isinstance(i, unit)) for i in program]
    naive = _naive(units, [footprint(i, SPEC) for i in program])
    assert [(i.after_load, i.after_execute, i.after_store) for i in program] == naive
    # The tokens that a program comes with do not matter.
    spoilt = [replace(i, after_load=3, after_store=9) for i in case.instructions[1:-1]]
    assert with_tokens(spoilt, SPEC) == program


def test_counts_beyond_sixteen_bits_wrap_and_are_never_ambiguous() -> None:
    # One load, then stores of something else, then a store of what the load wrote.
    stores = 70_000
    program = [
        _load(0, 1),
        *[Store(memory=64 * n + 64, local=1, words=1) for n in range(stores)],
        _load(1, 1, memory=1 << 30),
        Store(memory=1 << 28, local=0, words=1),
    ]
    ordered = with_tokens(program, SPEC)
    fields = [(i.after_load, i.after_execute, i.after_store) for i in ordered]
    assert max(map(max, fields)) < 1 << 16
    tokens = absolute_tokens(ordered)
    # The second load waits for all stores, which read the word that it writes.
    assert tokens[-2] == (1, 0, stores)
    assert fields[-2] == (1, 0, stores % (1 << 16))
    # Nothing else waits for anything that is closer than the horizon.
    for n, (loads, computes, done) in enumerate(tokens[: stores + 1]):
        assert (loads, computes) == (int(n >= HORIZON), 0)
        assert done == max(0, n - HORIZON)
