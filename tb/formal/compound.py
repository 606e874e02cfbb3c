"""What is proved of cells of several multipliers: sums of products, from any state."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value

from hw.pe.chain import Chain
from hw.pe.compound import Compound
from tb.formal.solver import Property
from tb.formal.wiring import drive

__all__ = ["compound_accumulates"]


def compound_accumulates(pe: Compound) -> Property:
    """From any state, a step adds exactly its products and the step bias, modulo 2**W.

    The words of the accumulator count by their sum alone; a first step replaces what was there, and
    without valid operands nothing changes. The cell is enabled while its registers are followed. A
    cell that takes digits takes them from the border of its array, so the operands are whole here.
    """
    m = Module()
    m.submodules.dut = dut = pe.create()
    operands = [
        [Signal(operand.shape, name=f"{side}_{n}") for n in range(pe.depth)]
        for side, operand in (("a", pe.activation), ("b", pe.weight))
    ]
    a = operands[0] if pe.depth > 1 else operands[0][0]
    digits = pe.west(m, a)
    west = Cat(digits) if isinstance(digits, list) else Value.cast(digits)
    inputs = drive(m, dut, fixed={"a": west, "b": Cat(operands[1])})
    products = [x * y for x, y in zip(*operands, strict=True)]
    words = [Value.cast(dut.accumulator[name]).as_unsigned() for name in pe.accumulator.members]
    width = pe.accumulator_bits
    total = Signal(width)
    m.d.comb += total.eq(sum(words[1:], words[0]))
    # What a step adds, one register before it is added; tags come as late.
    if isinstance(pe, Chain):
        gain: Any = 0
        for n, product in enumerate(products):
            gain = _late(m, f"gain_{n}", gain + product, width)
    else:
        # One register for each product: so that the solver sees which are the same.
        gain = sum(_late(m, f"product_{n}", x, x.shape()) for n, x in enumerate(products))
        for n in range(pe.latency - 2):
            gain = _late(m, f"gain_{n}", gain, width)
    tag: Any = Cat(dut.valid, dut.first)
    for n in range(pe.latency - 1):
        tag = _late(m, f"tag_{n}", tag, 2)
    expected = Signal(width)
    m.d.sync += expected.eq(
        Mux(tag[0], Mux(tag[1], 0, total) + gain + pe.step_bias, total),
    )
    ok = Signal()
    m.d.comb += ok.eq(total == expected)
    return Property(m, ok, (*inputs, *operands[0], *operands[1]), dut.enable)


def _late(m: Any, name: str, value: Any, shape: Any) -> Any:
    register = Signal(shape, name=name, reset_less=True)
    m.d.sync += register.eq(value)
    return register
