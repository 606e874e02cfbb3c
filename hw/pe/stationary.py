"""PEs whose weight stands still: they add one product to a partial sum that passes by.

The four stages of `hw.pe.base` in another place: *encode* happens once per block of weights instead
of once per step, *accumulate* is the move of a partial sum to the next cell, and *resolve* stands at
the end of a column. A partial sum covers one block, so it is as narrow as a sum of that many
products can be.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from amaranth import Signal, signed, unsigned
from amaranth.lib import data

from hw.adder import staged_add
from hw.compress import Addend, compress
from hw.digits import BoothSelect, booth_digit_count, booth_select
from hw.pe.base import ProcessingElement, accumulator_bits_for
from hw.pe.carry_save import CarrySave, product_bias, product_rows, selected_rows
from hw.pe.mac import Mac

__all__ = ["StationaryForm", "stationary_conflict", "stationary_form"]


@dataclass(frozen=True)
class StationaryForm(ABC):
    """What a PE is in a weight-stationary cell.

    Attributes
    ----------
    pe : ProcessingElement
    block : int
        Products in a partial sum.
    """

    pe: ProcessingElement
    block: int

    @property
    def bits(self) -> int:
        """Width of a partial sum: exact, or modulo ``2**W`` where results are no wider."""
        need = accumulator_bits_for(self.pe.activation, self.pe.weight, self.block)
        return min(need, self.pe.accumulator_bits)

    @property
    @abstractmethod
    def held(self) -> data.StructLayout:
        """Layout of the weight as a cell holds it."""

    @property
    @abstractmethod
    def partial(self) -> data.StructLayout:
        """Layout of a partial sum."""

    @property
    def start(self) -> int:
        """`partial.sum` that enters a column; its other fields are 0."""
        return 0

    @property
    def resolve_latency(self) -> int:
        """Registers inside `resolve`, in cycles."""
        return 0

    @property
    def add_latency(self) -> int:
        """Cycles that a sum of W bits takes in adders no slower than a cell."""
        return 1

    @abstractmethod
    def hold(self, m: Any, weight: Any) -> Any:
        """Adds to module `m` what turns a weight into `held`."""

    @abstractmethod
    def add(self, m: Any, activation: Any, held: Any, partial: Any) -> Any:
        """Adds to module `m` what adds ``activation * weight`` to `partial`; no register."""

    @abstractmethod
    def resolve(self, m: Any, partial: Any, enable: Any) -> Any:
        """Adds to module `m` what turns the partial sum of a whole column into a number.

        Returns
        -------
        Value
            `bits` bits, `resolve_latency` enabled cycles after `partial`.
        """


class _Plain(StationaryForm):
    """``mac``: a multiplier and a carry-propagate adder."""

    @property
    def held(self) -> data.StructLayout:
        return data.StructLayout({"weight": self.pe.weight.shape})

    @property
    def partial(self) -> data.StructLayout:
        return data.StructLayout({"sum": signed(self.bits)})

    def hold(self, m: Any, weight: Any) -> Any:
        return weight

    def add(self, m: Any, activation: Any, held: Any, partial: Any) -> Any:
        return (partial.sum + activation * held.weight)[: self.bits]

    def resolve(self, m: Any, partial: Any, enable: Any) -> Any:
        return partial.sum


class _CarrySave(StationaryForm):
    """``opt1``: the partial sum is a {sum, carry} pair, resolved once per column.

    The weight is recoded when a block takes its place, so no recoder is in the path of a step;
    only where it has more digits than the activation, the activation is recoded in every step.
    What rows without sign extension have in excess is the same for every partial sum, and is taken
    out of what enters the column.
    """

    pe: CarrySave

    @property
    def recodes_weight(self) -> bool:
        return booth_digit_count(self.pe.weight) <= booth_digit_count(self.pe.activation)

    @property
    def held(self) -> data.StructLayout:
        if not self.recodes_weight:
            return data.StructLayout({"weight": self.pe.weight.shape})
        digits = booth_digit_count(self.pe.weight)
        return data.StructLayout({name: unsigned(digits) for name in ("one", "two", "neg")})

    @property
    def partial(self) -> data.StructLayout:
        return data.StructLayout({"sum": unsigned(self.bits), "carry": unsigned(self.bits)})

    @property
    def start(self) -> int:
        if self.pe.sign_extension:
            return 0
        operands = (self.pe.weight, self.pe.activation)
        bias = product_bias(*(operands if self.recodes_weight else operands[::-1]))
        return -self.block * bias % (1 << self.bits)

    @property
    def resolve_latency(self) -> int:
        return self.pe.resolve_latency

    @property
    def add_latency(self) -> int:
        return self.pe.resolve_latency

    def hold(self, m: Any, weight: Any) -> Any:
        if not self.recodes_weight:
            return weight
        held = Signal(self.held)
        for i, select in enumerate(booth_select(weight, self.pe.weight)):
            for name in ("one", "two", "neg"):
                m.d.comb += held[name][i].eq(getattr(select, name))
        return held

    def add(self, m: Any, activation: Any, held: Any, partial: Any) -> Any:
        pe, bits, extended = self.pe, self.bits, self.pe.sign_extension
        if self.recodes_weight:
            selects = [
                BoothSelect(one=held.one[i], two=held.two[i], neg=held.neg[i])
                for i in range(booth_digit_count(pe.weight))
            ]
            rows = selected_rows(
                m, selects, activation, pe.activation, width=bits, sign_extension=extended
            )
        else:
            rows = product_rows(
                m, activation, held.weight, pe.activation, pe.weight,
                width=bits, sign_extension=extended,
            )  # fmt: skip
        moved = Signal(self.partial)
        addends = [*rows, Addend(partial.sum), Addend(partial.carry)]
        total, carry = compress(m, addends, self.bits)
        m.d.comb += [moved.sum.eq(total), moved.carry.eq(carry)]
        return moved

    def resolve(self, m: Any, partial: Any, enable: Any) -> Any:
        return staged_add(m, partial.sum, partial.carry, enable=enable, stages=self.resolve_latency)


_FORMS: dict[type[ProcessingElement], type[StationaryForm]] = {Mac: _Plain, CarrySave: _CarrySave}


def stationary_conflict(pe: ProcessingElement) -> str | None:
    """Why the weights of `pe` cannot stand still: the requirement, the value and the reason."""
    if type(pe) in _FORMS:
        return None
    reasons = {
        "fip": "its cells sum a pair of elements before they multiply, and what rows and columns "
        "have in excess is summed up beside results that stay in their cells",
        "ffip": "its cells hand pre-sums of weights along the row, and weights that stand still "
        "move no more",
    }
    reason = reasons.get(
        pe.kind,
        "its steps take as many cycles as an operand has nonzero digits, and partial sums move on "
        "in every cycle",
    )
    return f"must be output-stationary for {pe.kind}, not weight-stationary: {reason}"


def stationary_form(pe: ProcessingElement, block: int) -> StationaryForm:
    """`pe` in a column of `block` cells whose weights stand still.

    Raises
    ------
    ValueError
        There is no such form.
    """
    if conflict := stationary_conflict(pe):
        raise ValueError(f"dataflow {conflict}")
    return _FORMS[type(pe)](pe, block)
