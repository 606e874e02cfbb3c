"""hw.memory.scratchpad: two readers and two writers against a list, conflicts and ranges."""

from __future__ import annotations

import random
from collections import deque
from itertools import product
from typing import Any

import pytest
from amaranth.sim import Simulator

from hw.memory.scratchpad import READ_LATENCY, ScratchpadMemory
from tests.support import refuses

_READS, _WRITES = ("execute_read", "store_read"), ("execute_write", "load_write")
_PORTS = (*_READS, *_WRITES)


def _simulate(dut: ScratchpadMemory, testbench: Any) -> None:
    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(
    ("depth", "banks", "lanes"), [(8, 1, 2), (8, 4, 1), (5, 3, 2), (1, 2, 1), (1, 1, 1)]
)
def test_words_against_a_list(depth: int, banks: int, lanes: int) -> None:
    dut, rng = ScratchpadMemory(depth=depth, banks=banks, lanes=lanes), random.Random(depth)
    size = depth * banks
    words = [[0] * lanes for _ in range(size)]
    together = 0

    async def check(ctx: Any) -> None:
        nonlocal together
        coming = {name: deque[int | None]([None] * READ_LATENCY) for name in _READS}
        for _ in range(600):
            assert not ctx.get(dut.conflict)
            assert not ctx.get(dut.out_of_range)
            for name in _READS:
                expected = coming[name].popleft()
                assert expected is None or ctx.get(getattr(dut, name).data) == expected
            used = {name: rng.randrange(size) for name in _PORTS if rng.random() < 0.6}
            for first, second in (_READS, _WRITES):
                if {first, second} <= set(used) and used[first] // depth == used[second] // depth:
                    del used[rng.choice([first, second])]
            together += len(used) == len(_PORTS)
            written = {used[name] for name in _WRITES if name in used}
            for name in _READS:
                port, address = getattr(dut, name), used.get(name, 0)
                ctx.set(port.enable, name in used)
                ctx.set(port.address, address)
                # Of a word that is being written nothing is promised.
                known = name in used and address not in written
                value = sum(byte << 8 * n for n, byte in enumerate(words[address]))
                coming[name].append(value if known else None)
            for name in _WRITES:
                port, address = getattr(dut, name), used.get(name, 0)
                mask = rng.randrange(1, 2**lanes) if name in used else 0
                data = [rng.randrange(256) for _ in range(lanes)]
                ctx.set(port.enable, mask)
                ctx.set(port.address, address)
                ctx.set(port.data, sum(byte << 8 * n for n, byte in enumerate(data)))
                for n in range(lanes):
                    if mask >> n & 1:
                        words[address][n] = data[n]
            await ctx.tick()

    _simulate(dut, check)
    assert (together > 10) == (banks > 1)


@pytest.mark.parametrize(("depth", "banks"), [(2, 2), (3, 2), (4, 1)])
def test_every_combination_of_conflicts_and_ranges(depth: int, banks: int) -> None:
    dut = ScratchpadMemory(depth=depth, banks=banks, lanes=2)
    size = depth * banks
    choices = [None, 0, depth - 1, size - 1, size, (1 << 24) - 1]

    async def check(ctx: Any) -> None:
        for addresses in product(choices, repeat=len(_PORTS)):
            for name, address in zip(_PORTS, addresses, strict=True):
                enable = 2 if name in _WRITES else 1
                ctx.set(getattr(dut, name).enable, 0 if address is None else enable)
                ctx.set(getattr(dut, name).address, address or 0)
            await ctx.tick()
            inside = [None if a is None or a >= size else a // depth for a in addresses]
            read, write = inside[:2], inside[2:]
            conflict = any(pair[0] is not None and pair[0] == pair[1] for pair in (read, write))
            beyond = any(a is not None and a >= size for a in addresses)
            assert ctx.get(dut.conflict) == conflict, addresses
            assert ctx.get(dut.out_of_range) == beyond, addresses

    _simulate(dut, check)


def test_refuses_no_banks() -> None:
    refuses(
        lambda: ScratchpadMemory(depth=1, banks=0, lanes=1),
        r"^scratchpad must have at least 1 bank, not 0$",
    )
