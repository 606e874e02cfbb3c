"""What an array of fast inner products takes out of its results, computed at its border."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.adder import staged_add
from hw.compress import Addend, compress
from hw.pe.base import CellElement

__all__ = ["BorderSums"]


class BorderSums(wiring.Component):
    """Sums of products along one border: one cell per row or column, one shared negation.

    Cell n gets its operands n cycles after cell 0 does, so the cells finish one after another and
    one adder serves them all, provided that sums end at least `count` cycles apart. Latency 3 cycles from operands to value, one sum per cycle.

    Parameters
    ----------
    pe : CellElement
        Multiplies the first element of a pair by the second.
    count : int
        Cells.

    Members
    -------
    enable : In(1)
        Clock enable of every register.
    valid, first, last : In(count)
        Whether operands are here, begin a sum, end a sum.
    pairs : In(ArrayLayout(pair, count))
    constant : In(W)
        Added to the value; sampled two cycles after `last`.
    value : Out(W)
        ``constant - offset`` minus a finished sum, four cycles after `last`; it holds for one
        cycle. The step biases of `pe` are in that sum.
    """

    def __init__(self, pe: CellElement, *, count: int) -> None:
        self._pe = pe
        self._count = count
        pair = data.ArrayLayout(pe.activation.shape, 2)
        super().__init__(
            {
                "enable": In(1),
                "valid": In(count),
                "first": In(count),
                "last": In(count),
                "pairs": In(data.ArrayLayout(pair, count)),
                "constant": In(pe.accumulator_bits),
                "value": Out(pe.accumulator_bits),
            }
        )

    @property
    def pe(self) -> CellElement:
        return self._pe

    @property
    def count(self) -> int:
        return self._count

    @property
    def offset(self) -> int:
        """What `constant` must have in excess: one for each word of an accumulator."""
        return len(self._pe.accumulator.members)

    def elaborate(self, platform: object) -> Any:
        m = Module()
        layout, width = self._pe.accumulator, self._pe.accumulator_bits
        done = Signal(self._count)
        taken = Signal(layout, reset_less=True)
        masked = []
        for n in range(self._count):
            m.submodules[f"cell_{n}"] = cell = self._pe.create()
            m.d.comb += [
                cell.enable.eq(self.enable),
                cell.valid.eq(self.valid[n]),
                cell.first.eq(self.first[n]),
                cell.a.eq(self.pairs[n][0]),
                cell.b.eq(self.pairs[n][1]),
            ]
            word = cell.accumulator.as_value().as_unsigned()
            masked.append(word & done[n].replicate(len(word)))
        # -(x + y) == ~x + ~y + 2, and likewise with one word.
        words = [~taken[name].as_unsigned() for name in layout.members]
        # The constant brings the 2: another addition here would be the slowest path of an array.
        pair = compress(m, [*map(Addend, words), Addend(self.constant)], width)
        with m.If(self.enable):
            m.d.sync += [done.eq(self.last), taken.eq(reduce(or_, masked))]
        finished = staged_add(m, *pair, enable=self.enable, stages=2)
        m.d.comb += self.value.eq(finished)
        return m
