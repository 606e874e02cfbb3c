"""hw.adder: a sum of every pair, stages later, one per enabled cycle."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.adder import staged_add
from tests.support import refuses


@pytest.mark.parametrize(("width", "stages"), [(1, 1), (4, 1), (4, 3), (4, 4)])
def test_every_pair_of_short_words(width: int, stages: int) -> None:
    pairs = [(x, y) for x in range(1 << width) for y in range(1 << width)]
    _check(width, stages, [(pair, True) for pair in pairs])


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_long_words_and_stalls(data: Any) -> None:
    width = data.draw(st.integers(2, 64))
    stages = data.draw(st.integers(1, min(width, 5)))
    word = st.integers(0, (1 << width) - 1)
    cycle = st.tuples(st.tuples(word, word), st.booleans())
    _check(width, stages, data.draw(st.lists(cycle, min_size=1, max_size=12)))


def _check(width: int, stages: int, cycles: list[tuple[tuple[int, int], bool]]) -> None:
    m = Module()
    x, y, enable, total = Signal(width), Signal(width), Signal(), Signal(width)
    m.d.comb += total.eq(staged_add(m, x, y, enable=enable, stages=stages))
    assert len(total) == width
    expected: list[int] = []

    async def check(ctx: Any) -> None:
        for (a, b), runs in [*cycles, *[((0, 0), True)] * stages]:
            ctx.set(x, a)
            ctx.set(y, b)
            ctx.set(enable, runs)
            await ctx.tick()
            if runs:
                expected.append((a + b) % (1 << width))
            if len(expected) >= stages:
                assert ctx.get(total) == expected[-stages]

    simulator = Simulator(m)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()


def test_refuses_words_of_two_widths_and_stages_out_of_range() -> None:
    message = (
        r"^a staged adder must have words of one width and 1 to 8 stages, not 8, 7 bits and 2$"
    )
    refuses(lambda: staged_add(Module(), Signal(8), Signal(7), enable=1, stages=2), message)
    message = r"^a staged adder .* not 8, 8 bits and 9$"
    refuses(lambda: staged_add(Module(), Signal(8), Signal(8), enable=1, stages=9), message)
