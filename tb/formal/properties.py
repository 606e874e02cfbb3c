"""What is proved of recoders, cells and output adders.

Each function builds a block together with what it must do, said in arithmetic: nothing here is
taken from how the block works.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data

from hw.digits import BoothSelect, Recoding, select_digits
from hw.engine.shift_add import AdderParts, ShiftAdd, parts_of
from hw.operand import Operand
from hw.pe.base import CellElement
from hw.pe.fast_inner import FastInner, FastInnerElement
from hw.pe.sparse_digit import DigitElement
from tb.formal.solver import Property
from tb.formal.wiring import digit_value, drive

__all__ = [
    "cell_accumulates",
    "digit_cell_accumulates",
    "digits_represent",
    "output_adder_accumulates",
]


def digits_represent(operand: Operand, recoding: Recoding) -> Property:
    """The digits of every value add up to it, and no digit is one and two at once."""
    m, value = Module(), Signal(operand.shape, name="value")
    m.submodules.dut = dut = Module()
    selects = []
    for i, select in enumerate(select_digits(value, operand, recoding)):
        lines = {name: Signal(name=f"{name}_{i}") for name in ("one", "two", "neg")}
        dut.d.comb += [line.eq(getattr(select, name)) for name, line in lines.items()]
        selects.append(BoothSelect(**lines))
    total = sum(digit_value(s) << (2 * i) for i, s in enumerate(selects))
    ok = Signal()
    exclusive = ~Cat(s.one & s.two for s in selects).any()
    m.d.comb += ok.eq((total == value) & exclusive)
    return Property(m, ok, (value,))


def cell_accumulates(pe: CellElement) -> Property:
    """From any state, one enabled step adds exactly the product and the step bias, modulo 2**W.

    The words of the accumulator count by their sum alone. A first product replaces what was there;
    without valid operands, or (of a cell without operand registers) without enable, nothing changes.
    With the sum of no step as the base, this is the inductive proof for every sequence of steps.
    """
    m = Module()
    m.submodules.dut = dut = pe.create()
    inputs = drive(m, dut)
    words = [Value.cast(dut.accumulator[name]).as_unsigned() for name in pe.accumulator.members]
    total = Signal(pe.accumulator_bits)
    m.d.comb += total.eq(sum(words[1:], words[0]))
    taken, first, given = dut.enable & dut.valid, dut.first, Signal(init=1)
    m.d.comb += given.eq(1)
    left, right = dut.a, dut.b
    if isinstance(pe, FastInnerElement):
        # Its operand registers are followed while it is enabled.
        m.d.comb += given.eq(dut.enable)
        sums = [
            dut.a[n] + (dut.b[1 - n] if isinstance(pe, FastInner) else dut.b[n]) for n in range(2)
        ]
        # One register, as the cell has: so that the solver sees that both are the same.
        factors = Signal(data.ArrayLayout(pe.presum.shape, 2), reset_less=True)
        left, right = factors[0], factors[1]
        late = Signal(name="late_taken"), Signal(name="late_first")
        with m.If(dut.enable):
            m.d.sync += [left.eq(sums[0]), right.eq(sums[1])]
        m.d.sync += [late[0].eq(dut.valid), late[1].eq(first)]
        taken, first = late
    product = left * right
    expected = Signal(pe.accumulator_bits)
    m.d.sync += expected.eq(Mux(taken, Mux(first, 0, total) + product + pe.step_bias, total))
    ok = Signal()
    m.d.comb += ok.eq(total == expected)
    return Property(m, ok, inputs, given)


def digit_cell_accumulates(pe: DigitElement) -> Property:
    """From any state, one cycle adds every lane's digit times its weight and the cycle bias."""
    m = Module()
    m.submodules.dut = dut = pe.create()
    inputs = drive(m, dut)
    total = Signal(pe.pair_bits)
    m.d.comb += total.eq(dut.pair.sum + dut.pair.carry)
    b = [Signal(pe.weight.shape, name=f"late_b_{n}") for n in range(pe.lanes)]
    m.d.sync += [b[n].eq(dut.b[n]) for n in range(pe.lanes)]
    products = sum(digit_value(dut.digits[n]) * b[n] for n in range(pe.lanes))
    expected = Signal(pe.pair_bits)
    m.d.sync += expected.eq(Mux(dut.clear, 0, total) + products + pe.cycle_bias)
    given, ok = Signal(), Signal()
    exclusive = ~Cat(dut.digits[n].one & dut.digits[n].two for n in range(pe.lanes)).any()
    m.d.comb += [given.eq(exclusive), ok.eq(total == expected)]
    return Property(m, ok, inputs, given)


def output_adder_accumulates(pe: DigitElement) -> Property:
    """A result is the sum of the pairs' values, each shifted by its bit weight; fresh ones restart.

    Its most significant part is up to date after the latency, the others a cycle earlier each.
    """
    m = Module()
    m.submodules.dut = dut = ShiftAdd(pe, cells=1)
    cut = AdderParts.of(pe)
    inputs = drive(m, dut)
    value = Signal(signed(pe.pair_bits))
    m.d.comb += value.eq(dut.pairs[0].sum + dut.pairs[0].carry - dut.bias)
    expected = Signal(pe.accumulator_bits)
    shifted = Signal(pe.accumulator_bits)
    m.d.comb += shifted.eq(value << (dut.weight * 2))
    seen = Signal()
    with m.If(dut.start):
        m.d.sync += expected.eq(Mux(dut.fresh, 0, expected) + shifted)
        m.d.sync += seen.eq(seen | dut.fresh)
    stages: list[Any] = [Cat(seen, expected)]
    for n in range(cut.latency - 1):
        stage = Signal(len(stages[0]), name=f"late_{n}")
        m.d.sync += stage.eq(stages[-1])
        stages.append(stage)
    ok, parts = Signal(), parts_of(pe.accumulator_bits, cut.result)
    right = [
        ~stages[n][0] | (stages[n][1:][part] == dut.results[0][part])
        for n, part in zip(range(-len(parts), 0), parts, strict=True)
    ]
    m.d.comb += ok.eq(Cat(right).all())
    return Property(m, ok, inputs)
