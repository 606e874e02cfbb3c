"""sim.runner.native: 200 random runs per PE against NumPy and the timing model."""

from __future__ import annotations

import numpy as np
import pytest

from hw.engine.catalogue import EngineKind
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac
from sim.reference import gemm
from sim.runner.library import SimulationError
from sim.runner.native import NativeEngine
from sim.streams import Stalls
from sim.tiles import GemmTiles
from sim.timing.engine import array_timing
from sim.timing.systolic import SystolicTiming

CASES = 200


@pytest.mark.parametrize(
    ("kind", "depth", "pe"),
    [
        ("systolic", None, Mac()),
        ("systolic", None, CarrySave()),
        ("systolic", None, CarrySave(sign_extension=True)),
        ("tree", 4, Mac()),
        ("tree", 8, CarrySave()),
    ],
    ids=str,
)
def test_random_gemms_and_stalls(
    kind: EngineKind, depth: int | None, pe: ProcessingElement
) -> None:
    rows, cols = (4, 5) if depth is None else (3, 2)
    engine = NativeEngine(pe, rows=rows, cols=cols, kind=kind, depth=depth)
    timing = array_timing(pe, rows=rows, cols=cols, kind=kind, depth=depth)
    assert isinstance(timing, SystolicTiming)
    rng = np.random.default_rng(20)
    for case in range(CASES):
        m, n, k = (int(rng.integers(1, limit)) for limit in (14, 14, 70))
        a, b = rng.integers(-128, 128, (m, k)), rng.integers(-128, 128, (k, n))
        tiles = GemmTiles(m, n, k, rows, cols)
        beats_a, beats_b = tiles.operands(a, b)
        beats = tiles.count * timing.beats(k)
        idle, blocked = (float(x) for x in rng.uniform(0, 0.9, 2))
        stalls = (
            Stalls.random(beats, seed=case, idle=idle, blocked=blocked)
            if case % 5
            else Stalls.none(beats)
        )
        expected = timing.trace([k] * tiles.count, stalls.gaps, stalls.ready)
        run = engine.run(beats_a, beats_b, [k] * tiles.count, stalls, limit=expected.total + 9)
        assert np.array_equal(tiles.assemble(run.values), gemm(a, b)), (case, m, n, k)
        assert run.trace.accepted.tolist() == expected.accepted.tolist(), (case, m, n, k)
        assert run.trace.emitted.tolist() == expected.emitted.tolist(), (case, m, n, k)
        assert run.last.tolist() == ([False] * (rows - 1) + [True]) * tiles.count


def test_a_run_that_does_not_end_is_reported() -> None:
    engine = NativeEngine(Mac(), rows=4, cols=5)
    with pytest.raises(
        SimulationError, match=r"must deliver 4 result beats within 5 cycles, not 0"
    ):
        engine.run(np.zeros((3, 4), np.int64), np.zeros((3, 5), np.int64), [3], limit=5)


def test_shapes_are_checked() -> None:
    engine = NativeEngine(Mac(), rows=4, cols=5)
    with pytest.raises(ValueError, match=r"^operands must have 3 rows, not \(2, 4\) and \(3, 5\)$"):
        engine.run(np.zeros((2, 4), np.int64), np.zeros((3, 5), np.int64), [3], limit=5)
