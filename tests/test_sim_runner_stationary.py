"""sim.runner.stationary: 200 random GEMMs per PE against NumPy and the timing model."""

from __future__ import annotations

import numpy as np
import pytest

from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac
from sim.reference import gemm
from sim.runner.library import SimulationError
from sim.runner.stationary import NativeStationaryEngine
from sim.stationary import StationaryGemm, StationaryStalls
from sim.timing.weight_stationary import WeightStationaryTiming

CASES = 200
ROWS, COLS, TILE_ROWS = 4, 5, 7


@pytest.mark.parametrize("pe", [Mac(), CarrySave()], ids=repr)
def test_random_gemms_and_stalls(pe: ProcessingElement) -> None:
    engine = NativeStationaryEngine(pe, rows=ROWS, cols=COLS, tile_rows=TILE_ROWS)
    timing = WeightStationaryTiming.of(pe, ROWS, COLS)
    rng = np.random.default_rng(20)
    for case in range(CASES):
        m, n, k = (int(rng.integers(1, limit)) for limit in (24, 14, 26))
        a, b = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
        work = StationaryGemm(m, n, k, ROWS, COLS, TILE_ROWS)
        stalls = StationaryStalls.none(work)
        if case % 5:
            by_weights, by_activations, blocked = (float(x) for x in rng.uniform(0, 0.9, 3))
            stalls = StationaryStalls.random(
                work, seed=case, idle=(by_weights, by_activations), blocked=blocked
            )
        expected = timing.trace(work.tiles, stalls.weights, stalls.activations, stalls.ready)
        run = engine.run(work, a, b, stalls, limit=expected.total + 9)
        where = (case, m, n, k)
        assert np.array_equal(work.assemble(run.values), gemm(a, b)), where
        assert run.last.tolist() == work.last.astype(bool).tolist(), where
        assert run.trace.weights.tolist() == expected.weights.tolist(), where
        assert run.trace.activations.tolist() == expected.activations.tolist(), where
        assert run.trace.emitted.tolist() == expected.emitted.tolist(), where


def test_a_run_that_does_not_end_is_reported() -> None:
    engine = NativeStationaryEngine(Mac(), rows=ROWS, cols=COLS, tile_rows=TILE_ROWS)
    work = StationaryGemm(2, 5, 4, ROWS, COLS, TILE_ROWS)
    with pytest.raises(
        SimulationError, match=r"must deliver 2 result beats within 5 cycles, not 0"
    ):
        engine.run(work, np.zeros((2, 4), int), np.zeros((4, 5), int), limit=5)


def test_work_is_cut_for_the_engine() -> None:
    engine = NativeStationaryEngine(Mac(), rows=ROWS, cols=COLS, tile_rows=TILE_ROWS)
    work = StationaryGemm(2, 5, 4, ROWS, COLS, TILE_ROWS + 1)
    with pytest.raises(ValueError, match=r"^work must be cut for an engine of \(4, 5, 7\), not "):
        engine.run(work, np.zeros((2, 4), int), np.zeros((4, 5), int), limit=5)
