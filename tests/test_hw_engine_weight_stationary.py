"""hw.engine.weight_stationary: the array in Amaranth's own simulator, without Yosys and Verilator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.engine.weight_stationary import WeightStationaryArray
from hw.operand import Operand
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2, Opt4c
from sim.reference import gemm
from sim.stationary import StationaryGemm, StationaryStalls
from sim.timing.weight_stationary import WeightStationaryTiming
from tests.support import refuses

U8, U4 = Operand(8, False), Operand(4, False)
FORMS = [
    pytest.param(pe, rows, cols, tile_rows, id=f"{n}-{pe.kind}-{rows}x{cols}-{tile_rows}")
    for n, (pe, rows, cols, tile_rows) in enumerate(
        [
            (Mac(), 1, 1, 1),
            (Mac(), 3, 2, 4),
            (Mac(activation=U8, weight=U8, accumulator_bits=16), 2, 3, 5),
            (CarrySave(), 1, 1, 2),
            (CarrySave(), 4, 3, 3),
            (CarrySave(sign_extension=True), 3, 1, 8),
            (CarrySave(activation=U8), 2, 2, 4),
            (CarrySave(weight=U8), 2, 3, 4),
            (CarrySave(activation=U4, weight=Operand(3), accumulator_bits=12), 5, 2, 6),
            (CarrySave(activation=Operand(16), weight=Operand(16), accumulator_bits=48), 2, 2, 3),
        ]
    )
]


@pytest.mark.parametrize("stalled", [False, True], ids=["free", "stalled"])
@pytest.mark.parametrize(("pe", "rows", "cols", "tile_rows"), FORMS)
def test_values_and_cycles(
    pe: ProcessingElement, rows: int, cols: int, tile_rows: int, stalled: bool
) -> None:
    rng = np.random.default_rng(rows * 10 + cols)
    m, n, k = 2 * tile_rows + 1, cols + 1, 2 * rows + 1
    work = StationaryGemm(m, n, k, rows, cols, tile_rows)
    a = rng.integers(pe.activation.min, pe.activation.max + 1, (m, k))
    b = rng.integers(pe.weight.min, pe.weight.max + 1, (k, n))
    beats_a, beats_b = work.activations(a), work.weights(b)
    flags = work.flags
    stalls = StationaryStalls.none(work)
    if stalled:
        stalls = StationaryStalls.random(work, seed=rows, idle=(0.4, 0.3), blocked=0.4)
    ready = stalls.ready
    expected = WeightStationaryTiming.of(pe, rows, cols).trace(
        work.tiles, stalls.weights, stalls.activations, ready
    )
    dut = WeightStationaryArray(pe, rows=rows, cols=cols, tile_rows=tile_rows)
    weights: list[int] = []
    activations: list[int] = []
    emitted: list[int] = []
    values: list[list[int]] = []
    lasts: list[int] = []

    async def run(ctx: Any) -> None:
        offered_a, offered_b = int(stalls.activations[0]), int(stalls.weights[0])
        for cycle in range(expected.total + 20):
            offer_b = len(weights) < len(beats_b) and cycle >= offered_b
            ctx.set(dut.weights.valid, offer_b)
            if offer_b:
                ctx.set(dut.weights.payload, {"b": beats_b[len(weights)].tolist()})
            offer_a = len(activations) < len(beats_a) and cycle >= offered_a
            ctx.set(dut.activations.valid, offer_a)
            if offer_a:
                beat = len(activations)
                block_end, tile_end = flags[beat].tolist()
                ctx.set(
                    dut.activations.payload,
                    {"a": beats_a[beat].tolist(), "block_end": block_end, "tile_end": tile_end},
                )
            willing = not ready or ready[cycle % len(ready)]
            ctx.set(dut.results.ready, willing)
            if offer_b and ctx.get(dut.weights.ready):
                weights.append(cycle)
                if len(weights) < len(beats_b):
                    offered_b = cycle + 1 + int(stalls.weights[len(weights)])
            if offer_a and ctx.get(dut.activations.ready):
                activations.append(cycle)
                if len(activations) < len(beats_a):
                    offered_a = cycle + 1 + int(stalls.activations[len(activations)])
            if willing and ctx.get(dut.results.valid):
                payload = ctx.get(dut.results.payload)
                emitted.append(cycle)
                lasts.append(payload.last)
                values.append([payload.c[j] for j in range(cols)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()
    assert weights == expected.weights.tolist()
    assert activations == expected.activations.tolist()
    assert emitted == expected.emitted.tolist()
    assert lasts == work.last.tolist()
    bits = pe.accumulator_bits
    assert np.array_equal(work.assemble(np.array(values)), gemm(a, b, bits=bits) % 2**bits)
    if not stalled:
        first = next(i for i, flag in enumerate(flags.tolist()) if flag[1])
        assert emitted[0] - activations[first] == dut.latency


@pytest.mark.parametrize("size", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_refuses_empty_arrays(size: tuple[int, int, int]) -> None:
    rows, cols, tile_rows = size
    refuses(
        lambda: WeightStationaryArray(Mac(), rows=rows, cols=cols, tile_rows=tile_rows),
        rf"^array must have at least 1 row, .*, not {rows} x {cols} and {tile_rows}$",
    )


@pytest.mark.parametrize(
    ("pe", "reason"),
    [
        (FastInner(), "its cells sum a pair of elements before they multiply"),
        (FreePipeline(), "its cells hand pre-sums of weights along the row"),
        (Opt2(), "its steps take as many cycles as an operand has nonzero digits"),
        (Opt4c(), "its steps take as many cycles as an operand has nonzero digits"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.kind,
)
def test_refuses_pes_whose_weights_cannot_stand_still(pe: ProcessingElement, reason: str) -> None:
    refuses(
        lambda: WeightStationaryArray(pe, rows=2, cols=2, tile_rows=2),
        rf"^dataflow must be output-stationary for {pe.kind}, not weight-stationary: {reason}",
    )
