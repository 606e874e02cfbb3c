"""hw.memory.ram: byte writes, and reads that are held."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.memory.ram import Ram
from tests.support import refuses


@pytest.mark.parametrize(("depth", "lanes"), [(1, 1), (5, 3), (16, 2)])
def test_against_a_list(depth: int, lanes: int) -> None:
    dut, rng = Ram(depth=depth, lanes=lanes), random.Random(depth)
    words = [[0] * lanes for _ in range(depth)]

    async def check(ctx: Any) -> None:
        shown: int | None = None
        for _ in range(300):
            if shown is not None:
                assert ctx.get(dut.read_data) == shown
            read, write = rng.randrange(depth), rng.randrange(depth)
            enable, mask = rng.random() < 0.7, rng.randrange(2**lanes)
            # What a read of the word that is being written returns is not defined.
            mask = 0 if enable and read == write else mask
            data = [rng.randrange(256) for _ in range(lanes)]
            ctx.set(dut.read_enable, enable)
            ctx.set(dut.read_address, read)
            ctx.set(dut.write_enable, mask)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, sum(byte << 8 * n for n, byte in enumerate(data)))
            if enable:
                shown = sum(byte << 8 * n for n, byte in enumerate(words[read]))
            for n in range(lanes):
                if mask >> n & 1:
                    words[write][n] = data[n]
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()


def test_refuses_empty_memories() -> None:
    refuses(lambda: Ram(depth=0, lanes=1), r"^memory must have words and bytes, not 0 words of 1$")
