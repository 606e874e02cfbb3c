"""hw.digits: Booth recoding, against its definition and as hardware."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.sim import Simulator

from hw.digits import (
    Recoding,
    booth_digit_count,
    booth_digits,
    digits,
    ent_digits,
    select_digits,
)
from hw.operand import Operand

FORMATS = [Operand(2), Operand(3), Operand(4, False), Operand(5), Operand(8), Operand(8, False)]


RECODINGS: list[Recoding] = ["booth", "ent"]


@pytest.mark.parametrize("recoding", RECODINGS)
@pytest.mark.parametrize("operand", FORMATS, ids=str)
def test_digits_represent_every_value(operand: Operand, recoding: Recoding) -> None:
    for value in range(operand.min, operand.max + 1):
        found = digits(value, operand, recoding)
        assert len(found) == booth_digit_count(operand)
        assert set(found) <= {-2, -1, 0, 1, 2}
        assert sum(digit * 4**i for i, digit in enumerate(found)) == value


def test_ent_recodes_the_magnitude() -> None:
    # 3 becomes -1 with a carry, a 2 that receives a carry too; the sign turns every digit round.
    assert ent_digits(0b00_00_10_11, Operand(8)) == [-1, -1, 1, 0]
    assert ent_digits(-0b00_00_10_11, Operand(8)) == [1, 1, -1, 0]
    assert ent_digits(-128, Operand(8)) == [0, 0, 0, -2]
    counts = [sum(d != 0 for d in ent_digits(v, Operand(8))) for v in range(-128, 128)]
    assert [counts.count(n) for n in range(5)] == [1, 15, 60, 108, 72]
    tops = [ent_digits(v, Operand(8))[3] for v in range(-128, 128)]
    assert {d: tops.count(d) for d in (0, 1, -1, 2, -2)} == {0: 85, 1: 64, -1: 64, 2: 21, -2: 22}


def test_int8_has_four_digits_and_three_nonzero_ones_on_average() -> None:
    assert booth_digit_count(Operand(8)) == 4
    assert booth_digit_count(Operand(8, False)) == 5
    counts = [sum(d != 0 for d in booth_digits(v, Operand(8))) for v in range(-128, 128)]
    # Modified Booth over uniform int8: exactly 3 of 4 digits are nonzero in the mean.
    assert [counts.count(n) for n in range(5)] == [1, 12, 54, 108, 81]


@pytest.mark.parametrize("recoding", RECODINGS)
@pytest.mark.parametrize("operand", FORMATS, ids=str)
def test_hardware_selects_the_same_digits(operand: Operand, recoding: Recoding) -> None:
    m, value = Module(), Signal(operand.shape)
    lines = []
    for select in select_digits(value, operand, recoding):
        copies = [Signal(name=n) for n in ("one", "two", "neg")]
        m.d.comb += [c.eq(s) for c, s in zip(copies, vars(select).values(), strict=True)]
        lines.append(copies)

    async def check(ctx: Any) -> None:
        for number in range(operand.min, operand.max + 1):
            ctx.set(value, number)
            found = []
            for one, two, neg in lines:
                magnitude = ctx.get(one) + 2 * ctx.get(two)
                found.append(-magnitude if ctx.get(neg) else magnitude)
            assert found == digits(number, operand, recoding)

    simulator = Simulator(m)
    simulator.add_testbench(check)
    simulator.run()


def test_refuses_values_outside_the_format() -> None:
    with pytest.raises(ValueError, match=r"^value must be of format int8, not 128$"):
        booth_digits(128, Operand(8))
    with pytest.raises(ValueError, match=r"^value must be of format uint4, not 16$"):
        ent_digits(16, Operand(4, False))
