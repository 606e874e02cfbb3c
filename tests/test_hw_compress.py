"""hw.compress: carry-save compression preserves the sum."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth import Const, Module, Signal
from amaranth.sim import Simulator
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.compress import Addend, compress, compress_to, shape, tree_depth
from tests.support import refuses


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_pair_has_the_sum_of_the_addends(data: Any) -> None:
    width = data.draw(st.integers(1, 12))
    widths = data.draw(st.lists(st.integers(1, 14), min_size=1, max_size=9))
    arrivals = data.draw(st.lists(st.integers(0, 3), min_size=len(widths), max_size=len(widths)))
    shifts = data.draw(st.lists(st.integers(0, 5), min_size=len(widths), max_size=len(widths)))
    rows = data.draw(
        st.lists(st.tuples(*[st.integers(0, 2**w - 1) for w in widths]), min_size=1, max_size=4)
    )
    bits = data.draw(st.integers(0, max(0, len(widths) - 2)))
    m = Module()
    words = [Signal(w, name=f"w{i}") for i, w in enumerate(widths)]
    addends = [Addend(*given) for given in zip(words, arrivals, shifts, strict=True)]
    total, carry = Signal(width), Signal(width)
    pair = compress(m, addends, width, [Const(1, 1)] * bits)
    m.d.comb += [total.eq(pair[0]), carry.eq(pair[1])]

    async def check(ctx: Any) -> None:
        for row in rows:
            for word, value in zip(words, row, strict=True):
                ctx.set(word, value)
            expected = sum(value << shift for value, shift in zip(row, shifts, strict=True)) + bits
            assert (ctx.get(total) + ctx.get(carry) - expected) % 2**width == 0

    simulator = Simulator(m)
    simulator.add_testbench(check)
    simulator.run()


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_words_that_are_wide_enough_have_the_sum_itself(data: Any) -> None:
    widths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=12))
    left = data.draw(st.integers(2, 6))
    values = [data.draw(st.integers(0, 2**w - 1)) for w in widths]
    width = sum(2**w - 1 for w in widths).bit_length()
    m = Module()
    words = compress_to(m, [Addend(Const(v, w)) for v, w in zip(values, widths, strict=True)],
                        width, words=left)  # fmt: skip
    assert [len(word) for word in words] == [width] * left
    total = Signal(width + 4)
    m.d.comb += total.eq(sum(words[1:], words[0]))

    async def check(ctx: Any) -> None:
        # Not only modulo 2**width: no carry has left the top.
        assert ctx.get(total) == sum(values)

    simulator = Simulator(m)
    simulator.add_testbench(check)
    simulator.run()


def test_refuses_to_leave_one_word() -> None:
    message = r"^a compressor must leave 2 or more words, not 1$"
    refuses(lambda: compress_to(Module(), [Addend(Const(0, 4))], 4, words=1), message)


@pytest.mark.parametrize(("inputs", "levels"), [(1, 0), (2, 0), (3, 1), (4, 2), (6, 3), (7, 4)])
def test_depth_is_that_of_a_wallace_tree(inputs: int, levels: int) -> None:
    assert tree_depth([0] * inputs) == levels


def test_a_late_word_waits_for_the_last_level() -> None:
    assert tree_depth([0, 0, 0, 0, 2]) == 3


def test_a_single_bit_costs_one_half_adder_per_column_above_it() -> None:
    pair = [Addend(Const(0, 20))] * 2
    # The top column has no carry to make, so it may keep two bits.
    assert shape([*pair, Addend(Const(0, 20))], 20) == (19, 1, 1)
    assert shape([*pair, Addend(Const(0, 1), shift=6)], 20) == (0, 14, 1)
    assert shape(pair, 20) == (0, 0, 0)


def test_the_tree_of_an_int8_product_and_a_pair() -> None:
    # Four digit rows that settle a level late, their increments, and the pair: no column holds more
    # than seven bits, and three levels after the rows are enough, although six are the most that
    # they can take where every column is full.
    rows = [Addend(Const(0, 9), 1, 2 * i) for i in range(4)]
    increments = [Addend(Const(0, 1), 0, 2 * i) for i in range(4)]
    pair = [Addend(Const(0, 32))] * 2
    assert shape([*rows, *increments, *pair], 32).depth == 4


def test_refuses_an_empty_tree() -> None:
    message = r"^a compressor must have addends and a width, not 0, 8$"
    refuses(lambda: compress(Module(), [], 8), message)


def test_refuses_more_carries_than_adders() -> None:
    words = [Addend(Const(1, 8))] * 3
    message = r"^carries must be at most 1 for 3 addends, not 2$"
    refuses(lambda: compress(Module(), words, 8, [Const(1, 1)] * 2), message)
