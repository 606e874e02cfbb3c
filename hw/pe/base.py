"""The contract of every processing element (PE).

A PE is four stages: *encode* an operand, *select* a product, *accumulate* it (redundantly or not),
and *resolve* the accumulator into a number. The first three are the cell that `create` builds; the
last is shared by a row or column of cells and is described by `resolve`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from pydantic import BaseModel, ConfigDict, Field

from hw.operand import Operand

__all__ = ["CellSignature", "ProcessingElement", "RegisteredCell", "accumulator_bits_for"]


def accumulator_bits_for(activation: Operand, weight: Operand, k: int) -> int:
    """Fewest two's complement bits that hold every sum of `k` products."""
    corners = [a * b for a in (activation.min, activation.max) for b in (weight.min, weight.max)]
    low, high = k * min(0, *corners), k * max(0, *corners)
    return max((-low - 1).bit_length() if low else 0, high.bit_length()) + 1


class CellSignature(wiring.Signature):
    """Ports of a PE cell.

    Members
    -------
    enable : In(1)
        The cell accumulates ``a * b`` at the end of this cycle.
    first : In(1)
        The product starts a new sum: what was accumulated before is forgotten.
    a : In(activation)
        Activation operand.
    b : In(weight)
        Weight operand.
    accumulator : Out(layout)
        The accumulator register.
    """

    def __init__(self, activation: Operand, weight: Operand, accumulator: Any) -> None:
        super().__init__(
            {
                "enable": In(1),
                "first": In(1),
                "a": In(activation.shape),
                "b": In(weight.shape),
                "accumulator": Out(accumulator),
            }
        )


class ProcessingElement(BaseModel, ABC):
    """Parameters of a PE; they validate themselves and create the hardware.

    Attributes
    ----------
    kind : str
        The PE's name in a spec.
    activation, weight : Operand
        Formats of the operands, written ``int8`` or ``uint8`` and the like.
    accumulator_bits : int
        Width W of the accumulator in bits; results are exact modulo ``2**W``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    latency: ClassVar[int] = 1
    """Cycles from operands to accumulator."""

    resolve_latency: ClassVar[int] = 0
    """Registers inside `resolve`, in cycles."""

    k_granularity: ClassVar[int] = 1
    """K is padded to a multiple of this."""

    kind: str
    activation: Operand = Operand(8)
    weight: Operand = Operand(8)
    accumulator_bits: int = Field(default=32, ge=4, le=64)

    def cycles(self, k: int) -> int:
        """Enabled cycles for one sum of `k` products: 1 MAC per cycle."""
        return k

    @property
    def step_bias(self) -> int:
        """What each enabled cycle adds to the accumulator beside ``a * b``; `resolve` removes it."""
        return 0

    @property
    @abstractmethod
    def accumulator(self) -> data.StructLayout:
        """Layout of the accumulator register."""

    @abstractmethod
    def create(self) -> wiring.Component:
        """Builds a cell with a `CellSignature`."""

    def standalone(self) -> wiring.Component:
        """The PE by itself with its operand registers: what area and delay are measured of.

        Neither clock enable nor neighbours: operands enter a register in every cycle.
        """
        return RegisteredCell(self)

    @abstractmethod
    def resolve(self, m: Any, accumulator: Any, correction: Any, enable: Any) -> Any:
        """Adds to module `m` what turns an accumulator into a W-bit number.

        Parameters
        ----------
        accumulator : View of `accumulator`
        correction : Value
            W bits: minus the sum of the step biases; constant zero when `step_bias` is 0.
        enable : Value
            Clock enable of the `resolve_latency` registers.

        Returns
        -------
        Value
            W bits, `resolve_latency` enabled cycles after `accumulator`.
        """


class RegisteredCell(wiring.Component):
    """A cell behind operand registers, always enabled. Latency ``1 + pe.latency`` cycles.

    Members
    -------
    first : In(1)
        The operands start a new sum.
    a, b : In
        Operands.
    accumulator : Out
        The accumulator register.
    """

    def __init__(self, pe: ProcessingElement) -> None:
        self._pe = pe
        super().__init__(
            {
                "first": In(1),
                "a": In(pe.activation.shape),
                "b": In(pe.weight.shape),
                "accumulator": Out(pe.accumulator),
            }
        )

    @property
    def pe(self) -> ProcessingElement:
        return self._pe

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.cell = cell = self._pe.create()
        a = Signal(self._pe.activation.shape, reset_less=True)
        b = Signal(self._pe.weight.shape, reset_less=True)
        first = Signal(reset_less=True)
        m.d.sync += [a.eq(self.a), b.eq(self.b), first.eq(self.first)]
        m.d.comb += [
            cell.enable.eq(1),
            cell.first.eq(first),
            cell.a.eq(a),
            cell.b.eq(b),
            self.accumulator.eq(cell.accumulator),
        ]
        return m
