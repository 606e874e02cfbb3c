"""sim.timing.systolic: the model by itself; native runs and testbenches compare it with RTL."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac
from sim.timing.systolic import MatrixTiming, SystolicTiming

TIMINGS = st.one_of(
    [
        st.builds(timing, st.integers(1, 6), st.integers(1, 6), st.integers(4, 12))
        for timing in (SystolicTiming, MatrixTiming)
    ]
)
TILES = st.lists(st.integers(1, 12), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("pe", "size", "gemm", "cycles"),
    [
        # One tile, counted by hand on a waveform: operands in cycles 0 to 3; first result in
        # cycle 3 + latency, latency = border 1 + PE 1 + multiplexer 1 + skew 1 + queue 1 = 5.
        (Mac(), (2, 2), (2, 2, 4), 3 + 5 + 2),
        # The carry-save PE adds the three cycles of its resolve stages.
        (CarrySave(), (2, 2), (2, 2, 4), 3 + 8 + 2),
        # Four tiles of K = 1 on two rows: one tile every two cycles.
        (Mac(), (2, 2), (4, 4, 1), 3 * 2 + 0 + 5 + 2),
        # DenseNet-121, conv 14 x 14, 128 to 32 channels, 3 x 3, on the 16 x 16 carry-save array.
        (CarrySave(), (16, 16), (196, 32, 1152), 25 * 1152 + 1151 + 22 + 16),
    ],
)
def test_gemm_cycles(
    pe: Mac | CarrySave, size: tuple[int, int], gemm: tuple[int, int, int], cycles: int
) -> None:
    assert SystolicTiming.of(pe, *size).gemm_cycles(*gemm) == cycles


def test_a_matrix_drains_before_the_next_tile() -> None:
    # One tile: border 1 + PE 1 + multiplexer 1 + queue 1 = 4 cycles to the first of two results.
    assert MatrixTiming.of(Mac(), 2, 2).gemm_cycles(2, 2, 4) == 3 + 4 + 2
    # Four tiles of K = 4 on two rows: one every five cycles.
    assert MatrixTiming.of(Mac(), 2, 2).gemm_cycles(4, 4, 4) == 3 * 5 + 3 + 4 + 2


@given(TIMINGS, st.integers(1, 30), st.integers(1, 30), st.integers(1, 20))
def test_closed_form_is_the_trace(timing: SystolicTiming, m: int, n: int, k: int) -> None:
    tiles = -(-m // timing.rows) * -(-n // timing.cols)
    assert timing.trace([k] * tiles).total == timing.gemm_cycles(m, n, k)
    assert timing.utilisation(m, n, k) <= 1


@settings(max_examples=200)
@given(TIMINGS, TILES, st.data())
def test_walking_agrees_with_the_closed_form_when_nothing_blocks(
    timing: SystolicTiming, lengths: list[int], data: st.DataObject
) -> None:
    beats = sum(lengths)
    gaps = data.draw(st.lists(st.integers(0, 5), min_size=beats, max_size=beats))
    closed = timing.trace(lengths, gaps)
    walked = timing._with_back_pressure(lengths, np.array(gaps), [True])
    assert closed.accepted.tolist() == walked.accepted.tolist()
    assert closed.emitted.tolist() == walked.emitted.tolist()


@settings(max_examples=200)
@given(TIMINGS, TILES, st.data())
def test_stalls_only_delay(timing: SystolicTiming, lengths: list[int], data: st.DataObject) -> None:
    beats = sum(lengths)
    gaps = data.draw(st.lists(st.integers(0, 5), min_size=beats, max_size=beats))
    ready = [*data.draw(st.lists(st.booleans(), max_size=12)), True]
    free, stalled = timing.trace(lengths), timing.trace(lengths, gaps, ready)
    for trace in (free, stalled):
        assert len(trace.accepted) == beats
        assert len(trace.emitted) == timing.rows * len(lengths)
        assert (np.diff(trace.accepted) > 0).all()
        assert (np.diff(trace.emitted) > 0).all()
    assert (stalled.accepted >= free.accepted).all()
    assert (stalled.emitted >= free.emitted).all()
    assert all(ready[cycle % len(ready)] for cycle in stalled.emitted)


def test_no_tiles_take_no_time() -> None:
    assert SystolicTiming(2, 2, 5).trace([]).total == 0


@pytest.mark.parametrize(
    ("lengths", "gaps", "ready", "message"),
    [
        ([0], None, (), r"^tiles must have 1 or more beats"),
        ([2], [0], (), r"^tiles must have 1 or more beats"),
        ([1], [-1], (), r"^tiles must have 1 or more beats"),
        ([1], [0], (False,), r"^the consumer must be ready at some time$"),
    ],
)
def test_refuses(
    lengths: list[int], gaps: list[int] | None, ready: tuple[bool, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        SystolicTiming(2, 2, 5).trace(lengths, gaps, ready)
