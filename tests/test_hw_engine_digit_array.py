"""hw.engine.digit_array: values and every transfer, in Amaranth's own simulator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.engine.digit_array import DigitArray
from hw.operand import Operand
from hw.pe.sparse_digit import DigitElement, Opt2, Opt4c, Opt4e
from sim.streams import Stalls
from sim.timing.digit_array import DigitTiming
from tests.support import refuses

FORMS = [
    pytest.param(pe, rows, cols, id=f"{n}-{pe.kind}-{rows}x{cols}")
    for n, (pe, rows, cols) in enumerate(
        [
            (Opt4c(segment=16), 3, 5),
            (Opt4c(segment=8, cells_per_adder=8), 2, 9),
            (Opt4c(segment=8, recoding="booth", cells_per_adder=1), 2, 2),
            (Opt4c(segment=16, activation=Operand(8, False), weight=Operand(4)), 1, 3),
            (Opt4c(segment=8, group=2, activation=Operand(4), accumulator_bits=16), 4, 1),
            (Opt2(segment=16, products=4), 2, 3),
            (Opt4e(segment=32, cells_per_adder=2), 2, 4),
            (Opt4e(segment=16, group=2, weight=Operand(8, False), sign_extension=True), 2, 3),
        ]
    )
]


def tiles(pe: DigitElement, rows: int, lengths: list[int], cols: int, seed: int) -> tuple[Any, Any]:
    """Operands of which some rows of some tiles are all zero, all dense, or extreme."""
    rng = np.random.default_rng(seed)
    a, b = (
        rng.integers(operand.min, operand.max + 1, (sum(lengths), count))
        for operand, count in ((pe.activation, rows), (pe.weight, cols))
    )
    edges = np.cumsum([0, *lengths])
    a[edges[1] : edges[2], 0] = 0
    # No digit of these is zero, while the other rows' all are.
    a[edges[4] : edges[5]] = 0
    a[edges[4] : edges[5], rows - 1] = 0b01_01_01_01 & pe.activation.max
    a[edges[5] : edges[6]] = pe.activation.min
    b[edges[5] : edges[6]] = pe.weight.min
    return a, b


@pytest.mark.parametrize("stalled", [False, True], ids=["free", "stalled"])
@pytest.mark.parametrize(("pe", "rows", "cols"), FORMS)
def test_values_and_cycles(pe: DigitElement, rows: int, cols: int, stalled: bool) -> None:
    lengths = [5, 9, 1, 1, 16, 33, 2, 40, 3]
    a, b = tiles(pe, rows, lengths, cols, seed=rows * 10 + cols)
    stalls = Stalls.random(len(a), seed=rows) if stalled else Stalls.none(len(a))
    expected = DigitTiming(pe, rows, cols).trace(a, lengths, stalls.gaps, stalls.ready)
    edges = np.cumsum([0, *lengths])
    products = [a[s:e].T @ b[s:e] for s, e in zip(edges, edges[1:], strict=False)]
    ends = set((edges[1:] - 1).tolist())

    dut = DigitArray(pe, rows=rows, cols=cols)
    accepted: list[int] = []
    emitted: list[int] = []
    rows_out: list[list[int]] = []

    async def run(ctx: Any) -> None:
        offered_at = int(stalls.gaps[0])
        for cycle in range(expected.total + 20):
            beat = len(accepted)
            offer = beat < len(a) and cycle >= offered_at
            ctx.set(dut.operands.valid, offer)
            if offer:
                ctx.set(
                    dut.operands.payload,
                    {"a": a[beat].tolist(), "b": b[beat].tolist(), "last": beat in ends},
                )
            willing = not stalls.ready or stalls.ready[cycle % len(stalls.ready)]
            ctx.set(dut.results.ready, willing)
            if offer and ctx.get(dut.operands.ready):
                accepted.append(cycle)
                if beat + 1 < len(a):
                    offered_at = cycle + 1 + int(stalls.gaps[beat + 1])
            if willing and ctx.get(dut.results.valid):
                payload = ctx.get(dut.results.payload)
                assert payload.last == (len(emitted) % rows == rows - 1)
                emitted.append(cycle)
                rows_out.append([payload.c[j] for j in range(cols)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()
    assert np.array_equal(np.array(rows_out), np.concatenate(products) % 2**pe.accumulator_bits)
    assert accepted == expected.accepted.tolist()
    assert emitted == expected.emitted.tolist()


@pytest.mark.parametrize("size", [(0, 1), (1, 0)])
def test_refuses_empty_arrays(size: tuple[int, int]) -> None:
    message = rf"^array must have at least 1 row and 1 column, not {size[0]} x {size[1]}$"
    refuses(lambda: DigitArray(Opt4c(), rows=size[0], cols=size[1]), message)
