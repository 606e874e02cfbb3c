"""A stronger multiply-accumulate than the textbook one: its adder and its multiplier are one tree.

Synthesis tools for silicon merge ``acc + a * b`` into one carry-save tree with one carry-propagate
adder behind it; Yosys does not. So that the comparison does not profit from that, this is the merged
form, by hand. It is no PE of the package, since no engine gains by it.
"""

from __future__ import annotations

from typing import Any

from amaranth import Const, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.compress import Addend, compress
from hw.operand import Operand
from hw.pe.carry_save import product_bias, product_rows

__all__ = ["MergedMac"]


class MergedMac(wiring.Component):
    """Accumulates ``a * b`` modulo ``2**bits`` behind operand registers. Latency 2 cycles.

    Parameters
    ----------
    operand : Operand
        Format of both operands.
    bits : int
        Width W of the accumulator.

    Members
    -------
    first : In(1)
    a, b : In(operand)
    accumulator : Out(bits)
    """

    def __init__(self, operand: Operand, *, bits: int) -> None:
        self._operand = operand
        self._bits = bits
        shape = operand.shape
        super().__init__({"first": In(1), "a": In(shape), "b": In(shape), "accumulator": Out(bits)})

    @property
    def operand(self) -> Operand:
        return self._operand

    @property
    def bits(self) -> int:
        return self._bits

    def elaborate(self, platform: object) -> Any:
        m = Module()
        operand, bits = self._operand, self._bits
        a = Signal(operand.shape, reset_less=True)
        b = Signal(operand.shape, reset_less=True)
        first = Signal(reset_less=True)
        total = Signal(bits, reset_less=True)
        rows = product_rows(m, a, b, operand, operand, width=bits, sign_extension=False)
        bias = -product_bias(operand, operand) % (1 << bits)
        addends = [Addend(total & ~first.replicate(bits)), Addend(Const(bias, bits))]
        last, carry = compress(m, [*rows, *addends], bits)
        m.d.sync += [a.eq(self.a), b.eq(self.b), first.eq(self.first), total.eq(last + carry)]
        m.d.comb += self.accumulator.eq(total)
        return m
