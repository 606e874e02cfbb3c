"""hw.engine.matrix: matrices, trees and cubes in Amaranth's own simulator.

The testbenches and native runs check the Verilog at length; these runs are the second opinion on
the same designs from another simulator.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hw.engine.catalogue import EngineKind, create_array
from hw.engine.digit_array import DigitArray
from hw.engine.matrix import MatrixArray
from hw.operand import Operand
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2
from sim.reference import gemm
from sim.streams import Stalls
from sim.timing.engine import array_timing
from sim.timing.systolic import SystolicTiming
from tests.engine_runs import run_engine
from tests.support import refuses

U8, U4, S4, S3 = Operand(8, False), Operand(4, False), Operand(4), Operand(3)

FORMS: list[tuple[EngineKind, int | None, ProcessingElement, int, int]] = [
    ("matrix", None, Mac(), 1, 1),
    ("matrix", None, Mac(), 3, 2),
    ("matrix", None, CarrySave(), 2, 3),
    ("matrix", None, CarrySave(sign_extension=True, weight=S4), 4, 1),
    ("matrix", None, FastInner(), 3, 2),
    ("matrix", None, FastInner(carry_save=False, activation=U8), 1, 3),
    ("tree", 1, Mac(), 2, 1),
    ("tree", 1, CarrySave(), 1, 2),
    ("tree", 3, Mac(activation=U8), 2, 3),
    ("tree", 6, Mac(accumulator_bits=20), 3, 1),
    ("tree", 4, CarrySave(), 3, 2),
    ("tree", 5, CarrySave(sign_extension=True), 1, 1),
    ("tree", 8, CarrySave(activation=U4, weight=S3, accumulator_bits=9), 2, 2),
    ("tree", 3, CarrySave(weight=S4), 2, 2),
    ("tree", 4, Opt2(products=4), 3, 2),
    ("tree", 16, Opt2(recoding="booth"), 1, 2),
    ("tree", 8, Opt2(products=8, activation=U8, weight=U4), 2, 1),
    ("cube", 1, Mac(), 2, 2),
    ("cube", 1, CarrySave(), 1, 2),
    ("cube", 4, Mac(), 2, 3),
    ("cube", 3, Mac(activation=U8, weight=U4), 1, 1),
    ("cube", 4, CarrySave(), 3, 2),
    ("cube", 2, CarrySave(sign_extension=True, activation=U8), 2, 1),
    ("cube", 5, CarrySave(weight=S4, accumulator_bits=12), 2, 2),
]


@pytest.mark.parametrize(
    ("kind", "depth", "pe", "rows", "cols", "stalled"),
    [
        pytest.param(*form, bool(n % 2), id=f"{n}-{form[0]}-{form[1]}-{form[2].kind}")
        for n, form in enumerate(FORMS)
    ],
)
def test_values_and_cycles(
    kind: EngineKind,
    depth: int | None,
    pe: ProcessingElement,
    rows: int,
    cols: int,
    stalled: bool,
) -> None:
    step = 2 if pe.kind == "fip" else depth or 1
    lengths = [5 * step - 1, 1, step, 1, 2 * step, 1, 3, 4 * step]
    rng = np.random.default_rng(rows * 10 + cols)
    a = rng.integers(pe.activation.min, pe.activation.max + 1, (sum(lengths), rows))
    b = rng.integers(pe.weight.min, pe.weight.max + 1, (sum(lengths), cols))
    # The first tile at the corner where sums are largest, without and with a carry in each digit.
    a[: lengths[0]] = (
        pe.activation.min if stalled else -2 if pe.activation.signed else 2 * pe.activation.max // 3
    )
    b[: lengths[0]] = pe.weight.min
    timing = array_timing(pe, rows=rows, cols=cols, kind=kind, depth=depth)
    assert isinstance(timing, SystolicTiming)
    assert timing.k_granularity == step
    beats = sum(map(timing.beats, lengths))
    stalls = Stalls.random(beats, seed=rows) if stalled else Stalls.none(beats)
    expected = timing.trace(lengths, stalls.gaps, stalls.ready)
    products = [
        gemm(a[s:e].T, b[s:e], bits=pe.accumulator_bits)
        for s, e in pairwise(np.cumsum([0, *lengths]).tolist())
    ]
    dut = create_array(pe, rows=rows, cols=cols, kind=kind, depth=depth)
    assert not isinstance(dut, DigitArray)
    assert (dut.elements, dut.latency) == (step, timing.latency)
    done = run_engine(dut, a, b, lengths, stalls, cycles=expected.total + 20)
    assert np.array_equal(done.rows, np.concatenate(products) % 2**pe.accumulator_bits)
    assert done.accepted == expected.accepted.tolist()
    assert done.emitted == expected.emitted.tolist()


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-2, 3)])
def test_refuses_empty_arrays(size: tuple[int, int]) -> None:
    message = rf"^array must have at least 1 row and 1 column, not {size[0]} x {size[1]}$"
    refuses(lambda: MatrixArray(Mac(), rows=size[0], cols=size[1]), message)


def test_refuses_operands_from_neighbours() -> None:
    message = "^PE must take broadcast operands, which ffip does not$"
    refuses(lambda: MatrixArray(FreePipeline(), rows=2, cols=2), message)
