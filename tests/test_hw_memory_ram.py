"""hw.memory.ram: byte writes, reads of several words, and reads that are held."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.memory.ram import Ram
from tests.support import refuses


@pytest.mark.parametrize(
    ("depth", "lanes", "wide"),
    [(1, 1, 1), (5, 3, 1), (16, 2, 1), (7, 1, 2), (16, 3, 2), (13, 2, 4), (2, 1, 4)],
)
def test_against_a_list(depth: int, lanes: int, wide: int) -> None:
    dut, rng = Ram(depth=depth, lanes=lanes, wide=wide), random.Random(depth)
    words = [[0] * lanes for _ in range(depth)]

    async def check(ctx: Any) -> None:
        shown: list[list[int]] = []
        for _ in range(300):
            found = ctx.get(dut.read_data).to_bytes(lanes * wide, "little")
            assert [list(found[lanes * n :][:lanes]) for n in range(len(shown))] == shown
            read, write = rng.randrange(depth), rng.randrange(depth)
            enable, mask = rng.random() < 0.7, rng.randrange(2**lanes)
            # What a read of the word that is being written returns is not defined.
            mask = 0 if enable and read <= write < read + wide else mask
            data = [rng.randrange(256) for _ in range(lanes)]
            ctx.set(dut.read_enable, enable)
            ctx.set(dut.read_address, read)
            ctx.set(dut.write_enable, mask)
            ctx.set(dut.write_address, write)
            ctx.set(dut.write_data, sum(byte << 8 * n for n, byte in enumerate(data)))
            if enable:
                shown = [list(word) for word in words[read : read + wide]]
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


def test_refuses_reads_of_odd_widths() -> None:
    message = r"^words of one read must be a power of two, not 3$"
    refuses(lambda: Ram(depth=4, lanes=1, wide=3), message)
