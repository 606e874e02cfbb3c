"""hw.pe.merged_mac: every product of short operands, sums and restarts."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.operand import Operand
from hw.pe.merged_mac import MergedMac


@pytest.mark.parametrize("operand", [Operand(4), Operand(4, signed=False)])
@pytest.mark.parametrize("bits", [7, 12])
def test_accumulates_modulo_its_width(operand: Operand, bits: int) -> None:
    dut = MergedMac(operand, bits=bits)
    values = range(operand.min, operand.max + 1)
    steps = [(a, b, (3 * a + b) % 7 == 0) for a in values for b in values]

    async def check(ctx: Any) -> None:
        expected: list[int] = []
        for n, (a, b, first) in enumerate([(0, 0, True), *steps, (0, 0, False)]):
            ctx.set(dut.a, a)
            ctx.set(dut.b, b)
            ctx.set(dut.first, first)
            expected.append((0 if first else expected[-1]) + a * b)
            await ctx.tick()
            if n:
                assert ctx.get(dut.accumulator) == expected[n - 1] % (1 << bits)

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()
