"""``mac``: the textbook multiply-accumulate PE, and the baseline of every comparison."""

from __future__ import annotations

from typing import Any, Literal

from amaranth import Module, Signal, signed
from amaranth.lib import data, wiring

from hw.pe.base import CellElement, CellSignature

__all__ = ["Mac", "MacCell"]


class Mac(CellElement):
    """Multiplier, carry-propagate adder and accumulator. Latency 1 cycle, 1 MAC per cycle."""

    kind: Literal["mac"] = "mac"

    @property
    def accumulator(self) -> data.StructLayout:
        return data.StructLayout({"sum": signed(self.accumulator_bits)})

    def create(self) -> MacCell:
        return MacCell(self)

    def resolve(
        self, m: Any, accumulator: Any, correction: Any, enable: Any, row: Any = None
    ) -> Any:
        return accumulator.sum


class MacCell(wiring.Component):
    """Accumulates ``a * b`` modulo ``2**W``. Latency 1 cycle, throughput 1 MAC per cycle."""

    def __init__(self, parameters: Mac) -> None:
        self._parameters = parameters
        super().__init__(CellSignature(parameters))

    @property
    def parameters(self) -> Mac:
        return self._parameters

    def elaborate(self, platform: object) -> Any:
        m = Module()
        # A new sum forgets the old one, so the register needs no reset.
        total = Signal(signed(self._parameters.accumulator_bits), reset_less=True)
        m.d.comb += self.accumulator.sum.eq(total)
        kept = total & ~self.first.replicate(len(total)).as_signed()
        with m.If(self.enable & self.valid):
            m.d.sync += total.eq(kept + self.a * self.b)
        return m
