"""hw.engine.systolic: the array in Amaranth's own simulator, without Yosys and Verilator.

The testbenches and native runs check the Verilog at length; these runs are the second opinion on
the same design from another simulator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.engine.systolic import SystolicArray
from hw.operand import Operand
from hw.pe.base import CellElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FastInnerElement, FreePipeline
from hw.pe.mac import Mac
from sim.streams import Stalls
from sim.tiles import grouped_steps
from sim.timing.systolic import SystolicTiming
from tests.support import refuses

FORMS = [
    pytest.param(pe, rows, cols, id=f"{n}-{pe.kind}-{rows}x{cols}")
    for n, (pe, rows, cols) in enumerate(
        [
            (Mac(), 1, 1),
            (Mac(), 3, 2),
            (Mac(), 1, 4),
            (CarrySave(), 2, 3),
            (CarrySave(), 4, 1),
            (CarrySave(sign_extension=True, weight=Operand(4)), 2, 2),
            (CarrySave(activation=Operand(4, False), weight=Operand(3)), 2, 2),
            (FastInner(), 2, 3),
            (FastInner(carry_save=False), 3, 2),
            (FastInner(activation=Operand(8, False), accumulator_bits=20), 1, 1),
            (FastInner(weight=Operand(4), beta="bias"), 3, 2),
            (FreePipeline(), 3, 3),
            (FreePipeline(carry_save=False), 1, 4),
            (FreePipeline(activation=Operand(4, False), weight=Operand(4, False)), 4, 1),
            (FreePipeline(activation=Operand(16), weight=Operand(16), accumulator_bits=48), 2, 2),
            (FreePipeline(carry_save=False, beta="bias"), 2, 3),
        ]
    )
]


@pytest.mark.parametrize("stalled", [False, True], ids=["free", "stalled"])
@pytest.mark.parametrize(("pe", "rows", "cols"), FORMS)
def test_values_and_cycles(pe: CellElement, rows: int, cols: int, stalled: bool) -> None:
    lengths = [5, 1, 1, 2, 7, 3]
    rng = np.random.default_rng(rows * 10 + cols)
    a = rng.integers(pe.activation.min, pe.activation.max + 1, (sum(lengths), rows))
    b = rng.integers(pe.weight.min, pe.weight.max + 1, (sum(lengths), cols))
    timing = SystolicTiming.of(pe, rows, cols)
    beats = sum(map(timing.beats, lengths))
    stalls = Stalls.random(beats, seed=rows) if stalled else Stalls.none(beats)
    expected = timing.trace(lengths, stalls.gaps, stalls.ready)
    edges = np.cumsum([0, *lengths])
    products = [a[s:e].T @ b[s:e] for s, e in zip(edges, edges[1:], strict=False)]
    if isinstance(pe, FastInnerElement) and pe.beta == "bias":
        # What the bias would take out: the sum of products of neighbouring weights.
        for product, s, e in zip(products, edges, edges[1:], strict=False):
            product += sum(b[k] * b[k + 1] for k in range(s, e - 1, 2))
    a, steps = grouped_steps(a, lengths, pe.k_granularity)
    b, _ = grouped_steps(b, lengths, pe.k_granularity)
    ends = set((np.cumsum(steps) - 1).tolist())

    def grouped(values: Any) -> list[Any]:
        step = pe.k_granularity
        return list(values.tolist() if step == 1 else values.reshape(-1, step).tolist())

    dut = SystolicArray(pe, rows=rows, cols=cols)
    assert dut.latency == expected.emitted[0] - expected.accepted[steps[0] - 1] or stalled
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
                    {"a": grouped(a[beat]), "b": grouped(b[beat]), "last": beat in ends},
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


@pytest.mark.parametrize("size", [(0, 1), (1, 0), (-2, 3)])
def test_refuses_empty_arrays(size: tuple[int, int]) -> None:
    message = rf"^array must have at least 1 row and 1 column, not {size[0]} x {size[1]}$"
    refuses(lambda: SystolicArray(Mac(), rows=size[0], cols=size[1]), message)
