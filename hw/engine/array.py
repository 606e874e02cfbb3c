"""What arrays have in common: a size and a PE; where outputs stand still, also their streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.engine.beats import operand_beat, result_beat
from hw.pe.base import ProcessingElement

__all__ = ["OutputStationaryArray", "Sized"]

Element = TypeVar("Element", bound=ProcessingElement)


class Sized(Generic[Element]):
    """Of `rows` by `cols` PEs, or made for an array that is."""

    _pe: Element
    _rows: int
    _cols: int

    @property
    def pe(self) -> Element:
        """What the array is made of."""
        return self._pe

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def cols(self) -> int:
        return self._cols

    @property
    def elements(self) -> int:
        """Elements of K in a beat, for which it takes as many words of weights."""
        return self._pe.k_granularity


class OutputStationaryArray(Sized[Element], wiring.Component):
    """Multiplies tiles: a rows × K by K × cols product per tile. Timing is each array's own.

    Parameters
    ----------
    pe : ProcessingElement
    rows, cols : int
        Size of the array; 1 × 1 is the smallest.
    more : mapping, optional
        Further members of the signature.

    Members
    -------
    operands : In(stream.Signature(operand_beat(rows, cols, pe)))
    results : Out(stream.Signature(result_beat(cols, pe)))

    Raises
    ------
    ValueError
        `rows` or `cols` is below 1.
    """

    def __init__(
        self, pe: Element, *, rows: int, cols: int, more: Mapping[str, Any] | None = None
    ) -> None:
        if rows < 1 or cols < 1:
            raise ValueError(f"array must have at least 1 row and 1 column, not {rows} x {cols}")
        self._pe = pe
        self._rows = rows
        self._cols = cols
        super().__init__(
            {
                "operands": In(stream.Signature(operand_beat(rows, cols, pe))),
                "results": Out(stream.Signature(result_beat(cols, pe))),
                **(more or {}),
            }
        )
