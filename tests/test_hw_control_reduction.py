"""hw.control.reduction: the rule refuses the programs that the functional simulator refuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from amaranth.sim import Simulator

from hw.control.reduction import ReductionRule
from hw.isa import COMPUTE_LAYOUT, Begin, Compute, End, Path, encode
from sim.functional import Machine, ProgramError
from tests.support import refuses

TILE = 2
_COMPUTE = Compute(
    path=Path.ARRAY, source=0, pixels=1, out_width=9, step_x=1, step_y=1, tap_x=1, tap_y=1,
    in_height=1, in_width=9, stride_y=1, stride_x=1, dilation_y=1, dilation_x=1, pad_top=0,
    pad_left=0, kernel_y=1, kernel_x=1, words=1, pad_value=0, weights=0, destination=20,
    destination_step=1, mask=1, zero_point=0, low=-128, high=127,
)  # fmt: skip
PARTS = [
    replace(_COMPUTE, path=path, pixels=pixels, keep=keep)
    for path in (Path.ARRAY, Path.MAXIMUM)
    for pixels in (1, 2, 3)
    for keep in (0, 1)
]
PROGRAMS = [computes for length in range(4) for computes in product(PARTS, repeat=length)]


def refused(computes: Sequence[Compute]) -> bool:
    machine = Machine(
        np.zeros(0, np.uint8), word_bytes=4, scratchpad_words=40, weight_words=40, tile=TILE
    )
    try:
        machine.run([Begin(), *computes, End()])
    except ProgramError:
        return True
    return False


def test_every_short_program() -> None:
    rule = ReductionRule(tile=TILE)
    found: list[bool] = []
    rng = np.random.default_rng(0)
    bits = {part: int.from_bytes(encode([part]), "little") for part in PARTS}

    async def testbench(ctx: Any) -> None:
        for computes in PROGRAMS:
            broken = False
            for compute in computes:
                ctx.set(rule.compute, COMPUTE_LAYOUT.from_bits(bits[compute]))
                ctx.set(rule.coming, 1)
                # In hand until the queue has room for it.
                for _ in range(int(rng.integers(0, 2))):
                    broken |= bool(ctx.get(rule.broken))
                    await ctx.tick()
                ctx.set(rule.taken, 1)
                broken |= bool(ctx.get(rule.broken))
                await ctx.tick()
                ctx.set(rule.coming, 0)
                ctx.set(rule.taken, 0)
                assert not ctx.get(rule.broken)
            ctx.set(rule.ends, 1)
            broken |= bool(ctx.get(rule.broken))
            ctx.set(rule.ends, 0)
            found.append(broken)
            if broken:  # the accelerator resets its units
                await ctx.tick()
                ctx.set(rule.compute, COMPUTE_LAYOUT.from_bits(bits[PARTS[0]]))
                ctx.set(rule.taken, 1)
                await ctx.tick()
                ctx.set(rule.taken, 0)

    simulator = Simulator(rule)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()
    expected = [refused(computes) for computes in PROGRAMS]
    assert found == expected
    assert 0 < sum(expected) < len(expected)


def test_a_tile_has_pixels() -> None:
    refuses(lambda: ReductionRule(tile=0), r"^tile must have at least 1 pixel, not 0$")
