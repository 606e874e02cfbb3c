"""What a cell of several multipliers has in common, whatever it does with their products."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal, Self

from amaranth import Signal, signed
from amaranth.lib import data, wiring
from pydantic import Field

from hw.compress import Addend
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.carry_save import CarrySave, accumulate_rows
from hw.pe.mac import Mac

__all__ = ["Compound", "accumulate", "biased_bound"]


class Compound(CellElement):
    """A cell that takes `depth` elements of K per step, and accumulates as its PE does.

    Attributes
    ----------
    pe : ProcessingElement
        What a spec names: multiplies, accumulates, and resolves.
    depth : int
        Products per step.
    """

    kind: Literal["compound"] = "compound"
    pe: ProcessingElement
    depth: int = Field(ge=1)

    kinds: ClassVar[tuple[str, ...]] = ("mac", "opt1")
    """PEs that it can be made of."""

    @classmethod
    def of(cls, pe: ProcessingElement, depth: int) -> Self:
        """The cell of `depth` multipliers of `pe`.

        Raises
        ------
        ValueError
            There is no such cell of `pe`.
        """
        if pe.kind not in cls.kinds:
            raise ValueError(f"PE must be {' or '.join(cls.kinds)}, not {pe.kind}")
        return cls(
            pe=pe,
            depth=depth,
            activation=pe.activation,
            weight=pe.weight,
            accumulator_bits=pe.accumulator_bits,
        )

    @property
    def k_granularity(self) -> int:
        return self.depth

    @property
    def resolving(self) -> CellElement:
        """A PE that accumulates what this one does, one product per step."""
        if isinstance(self.pe, CellElement):
            return self.pe
        return CarrySave(
            activation=self.activation,
            weight=self.weight,
            accumulator_bits=self.accumulator_bits,
        )

    @property
    def resolve_latency(self) -> int:
        return self.resolving.resolve_latency

    @property
    def accumulator(self) -> data.StructLayout:
        return self.resolving.accumulator

    @property
    def step_bias(self) -> int:
        return self.depth * self.resolving.step_bias

    def resolve(
        self, m: Any, accumulator: Any, correction: Any, enable: Any, row: Any = None
    ) -> Any:
        return self.resolving.resolve(m, accumulator, correction, enable, row)

    @abstractmethod
    def create(self) -> wiring.Component: ...


def biased_bound(pe: CellElement, products: int, width: int) -> int:
    """Bits that hold the sum of so many products with their biases, `width` at most.

    A product without sign extension is a sum of numbers that are not negative: as long as none of
    their carries is lost, {sum, carry} words of this width may be extended by zeros.
    """
    # Each row of b bits lies between 0 and twice its bias, the "+1" of a negation included.
    return min(width, (2 * products * pe.step_bias).bit_length())


def accumulate(m: Any, cell: Any, pe: CellElement, words: list[Any], take: Any, first: Any) -> None:
    """Adds to `m` the accumulator of `cell`, as that of `pe`, which takes the sum of `words`."""
    if not isinstance(pe, Mac):
        addends = [Addend(word) for word in words]
        accumulate_rows(m, cell, pe.accumulator, addends, take, first)
        return
    (word,) = words
    total = Signal(signed(pe.accumulator_bits), reset_less=True)
    m.d.comb += cell.accumulator.sum.eq(total)
    kept = total & ~first.replicate(len(total)).as_signed()
    with m.If(take):
        m.d.sync += total.eq(kept + word)
