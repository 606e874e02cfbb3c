"""The contract of every processing element (PE).

A PE is four stages: *encode* an operand, *select* a product, *accumulate* it (redundantly or not),
and *resolve* the accumulator into a number. Two families differ in who drives them:

`CellElement`
    Dense: every step takes the operands that arrive. The first three stages are the cell that
    `CellElement.create` builds; the last is shared by a row or column of cells.
digit elements (`hw.pe.sparse_digit`)
    Sparse: the nonzero digits of one operand decide how many steps there are.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from pydantic import BaseModel, ConfigDict, Field

from hw.operand import Operand

__all__ = [
    "CellElement",
    "CellSignature",
    "ProcessingElement",
    "RegisteredCell",
    "accumulator_bits_for",
    "cell_element",
]


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
        Clock enable of every register.
    valid : In(1)
        Operands are here: the cell accumulates their product, `CellElement.latency` enabled cycles
        later.
    first : In(1)
        The product starts a new sum: what was accumulated before is forgotten.
    a, b : In(a_step), In(b_step)
        Operands of one step.
    a_east : Out(a_step)
        Operands for the cell to the east, a cycle later; only where `CellElement.passes_operands`.
    accumulator : Out(layout)
        The accumulator register.
    """

    def __init__(self, pe: CellElement) -> None:
        ports = {
            "enable": In(1),
            "valid": In(1),
            "first": In(1),
            "a": In(pe.a_step),
            "b": In(pe.b_step),
            "accumulator": Out(pe.accumulator),
        }
        if pe.passes_operands:
            ports["a_east"] = Out(pe.a_step)
        super().__init__(ports)


class ProcessingElement(BaseModel, ABC):
    """Parameters of a PE; they validate themselves and create the hardware.

    Attributes
    ----------
    kind : str
        The PE's name in a spec.
    activation, weight : Operand
        Formats of the operands, written ``int8`` or ``uint8`` and the like.
    accumulator_bits : int
        Width W of a result in bits; results are exact modulo ``2**W``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    activation: Operand = Operand(8)
    weight: Operand = Operand(8)
    accumulator_bits: int = Field(default=32, ge=4, le=64)

    @property
    def latency(self) -> int:
        """Cycles from operands to accumulator."""
        return 1

    @property
    def k_granularity(self) -> int:
        """Elements of K in one step; K is padded with zeros to a multiple of this."""
        return 1

    @property
    def a_beat(self) -> Any:
        """Shape of the activations of one step: one, or an array of `k_granularity`."""
        return _beat(self.activation, self.k_granularity)

    @property
    def b_beat(self) -> Any:
        """Shape of the weights of one step."""
        return _beat(self.weight, self.k_granularity)

    def steps(self, k: int) -> int:
        """Operand beats of a reduction of `k` elements."""
        return -(-k // self.k_granularity)

    @abstractmethod
    def standalone(self) -> wiring.Component:
        """The PE by itself with its operand registers: what area and delay are measured of."""


class CellElement(ProcessingElement):
    """A PE that takes its operands in every step, whatever their values: ``steps(k)`` cycles."""

    passes_operands: ClassVar[bool] = False
    """Whether the cell itself makes the operands of its eastern neighbour."""

    staggered: ClassVar[bool] = False
    """Whether element e of a step must come e cycles after element 0."""

    @property
    def resolve_latency(self) -> int:
        """Registers inside `resolve`, in cycles."""
        return 0

    @property
    def a_step(self) -> Any:
        """Shape of what a cell takes from the west in one step."""
        return self.a_beat

    @property
    def b_step(self) -> Any:
        """Shape of what a cell takes from the north in one step."""
        return self.b_beat

    def west(self, m: Any, beat: Any) -> Any:
        """What enters the western border of an array: `a_step`, from one row's operands."""
        return beat

    def north(self, m: Any, beat: Any, neighbour: Any) -> Any:
        """What enters the northern border: `b_step`, from the operands of one column and of its
        western neighbour (None for column 0)."""
        return beat

    @property
    def correction(self) -> CellElement | None:
        """The PE that sums up what all results of one row have in excess, if there is such a part.

        It multiplies the first element of each step by the second; both are activations. The PE
        for the columns' part has the format of the weights in both places.
        """
        return None

    @property
    def corrects_columns(self) -> bool:
        """Whether hardware takes out the column's part too; otherwise it is left in the results."""
        return False

    def cycles(self, k: int) -> int:
        """Enabled cycles for one sum of `k` products."""
        return self.steps(k)

    @property
    def step_bias(self) -> int:
        """What each step adds to the accumulator beside its products; `resolve` removes it."""
        return 0

    @property
    @abstractmethod
    def accumulator(self) -> data.StructLayout:
        """Layout of the accumulator register."""

    @abstractmethod
    def create(self) -> wiring.Component:
        """Builds a cell with a `CellSignature`."""

    def standalone(self) -> wiring.Component:
        return RegisteredCell(self)

    @abstractmethod
    def resolve(
        self, m: Any, accumulator: Any, correction: Any, enable: Any, row: Any = None
    ) -> Any:
        """Adds to module `m` what turns an accumulator into a W-bit number.

        Parameters
        ----------
        accumulator : View of `accumulator`
        correction : Value
            W bits to be added. Without a `correction` PE: minus the sum of the step biases. With
            one: minus the column's part, and it comes one enabled cycle after `accumulator`.
        enable : Value
            Clock enable of the `resolve_latency` registers.
        row : Value, optional
            W bits to be added: minus the row's part and minus the sum of all step biases. Given
            where the PE has a `correction` PE.

        Returns
        -------
        Value
            W bits, `resolve_latency` enabled cycles after `accumulator`.
        """


def _beat(operand: Operand, elements: int) -> Any:
    return operand.shape if elements == 1 else data.ArrayLayout(operand.shape, elements)


def cell_element(pe: ProcessingElement) -> CellElement:
    """`pe`, known to be dense.

    Raises
    ------
    ValueError
        It is a digit element.
    """
    if not isinstance(pe, CellElement):
        raise ValueError(f"PE must take its operands in every step, which {pe.kind} does not")
    return pe


class RegisteredCell(wiring.Component):
    """A cell by itself, always enabled. Latency 2 cycles.

    Operands pass a register before they are multiplied: the cell's own where it has one
    (``pe.latency`` of 2), else one of this component.

    Members
    -------
    first : In(1)
        The operands start a new sum.
    a, b : In
        Operands.
    accumulator : Out
        The accumulator register.
    """

    def __init__(self, pe: CellElement) -> None:
        self._pe = pe
        super().__init__(
            {
                "first": In(1),
                "a": In(pe.a_step),
                "b": In(pe.b_step),
                "accumulator": Out(pe.accumulator),
            }
        )

    @property
    def pe(self) -> CellElement:
        return self._pe

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.cell = cell = self._pe.create()
        m.d.comb += [cell.enable.eq(1), cell.valid.eq(1), self.accumulator.eq(cell.accumulator)]
        for port, own in ((cell.a, self.a), (cell.b, self.b), (cell.first, self.first)):
            word = own
            if self._pe.latency == 1:
                word = Signal.like(own, reset_less=True)
                m.d.sync += word.eq(own)
            m.d.comb += port.eq(word)
        return m
