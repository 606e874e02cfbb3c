"""The output adder of digit columns: what is left of a PE's carry chain and shifter."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.compress import Addend, compress
from hw.pe.sparse_digit import DigitElement

__all__ = ["SHIFT_ADD_LATENCY", "ShiftAdd"]

SHIFT_ADD_LATENCY = 4
"""Cycles from a cell's pair to its accumulated result."""


class ShiftAdd(wiring.Component):
    """Adds up the pairs of a few cells, one per cycle, and accumulates them by their bit weight.

    Four stages: a multiplexer takes a pair; the carry-propagate addition resolves it at the pair's
    own width; the sum is sign-extended and shifted by two bits per bit weight; then it is added to
    the cell's result. A pair must not be extended or shifted before it is added, since its two words
    wrap on their own.

    Latency `SHIFT_ADD_LATENCY`, one pair per cycle: all results are up to date ``cells - 1 + 4``
    cycles after `start`.

    Members
    -------
    start : In(1)
        The pair of cell 0 is here; those of the others follow, one per cycle.
    weight : In(range(pe.digit_count))
        Bit weight of the pairs; read with `start`.
    fresh : In(1)
        They begin new results; read with `start`.
    bias, pairs : In
        Of the column; see `hw.pe.digit_column.DigitColumn`.
    results : Out(ArrayLayout(W, cells))
    """

    def __init__(self, pe: DigitElement, *, cells: int) -> None:
        if cells < 1:
            raise ValueError(f"cells must be 1 or more, not {cells}")
        self._pe = pe
        self._cells = cells
        super().__init__(
            {
                "start": In(1),
                "weight": In(range(pe.digit_count)),
                "fresh": In(1),
                "bias": In(pe.pair_bits),
                "pairs": In(data.ArrayLayout(pe.pair, cells)),
                "results": Out(data.ArrayLayout(pe.accumulator_bits, cells)),
            }
        )

    @property
    def pe(self) -> DigitElement:
        return self._pe

    @property
    def cells(self) -> int:
        return self._cells

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe, width = self._pe, self._pe.pair_bits
        started = Signal(self._cells)
        select = Signal(self._cells)
        m.d.comb += select.eq(Cat(self.start, started))
        m.d.sync += started.eq(select)
        masked = [
            self.pairs[n].as_value() & select[n].replicate(2 * width) for n in range(self._cells)
        ]
        taken = Signal(pe.pair, reset_less=True)
        taken_bias = Signal(width, reset_less=True)
        active = Signal(SHIFT_ADD_LATENCY - 1)
        weight = Signal.like(self.weight, reset_less=True)
        fresh = Signal(reset_less=True)
        m.d.sync += [
            taken.eq(reduce(or_, masked)),
            taken_bias.eq(self.bias),
            active.eq(Cat(select.any(), active)),
        ]
        with m.If(self.start):
            m.d.sync += [weight.eq(self.weight), fresh.eq(self.fresh)]

        # sum + carry - bias == sum + carry + ~bias + 1
        words = [Addend(taken.sum), Addend(taken.carry), Addend(~taken_bias)]
        total = Signal(width, reset_less=True)
        pair = compress(m, words, width, [Const(1, 1)])
        weight_of_total = Signal.like(weight, reset_less=True)
        fresh_total = Signal(reset_less=True)
        m.d.sync += [
            total.eq(pair[0] + pair[1]),
            weight_of_total.eq(weight),
            fresh_total.eq(fresh),
        ]

        # The results go round: the first is that of the cell whose turn it is.
        ring = Signal(data.ArrayLayout(pe.accumulator_bits, self._cells), reset_less=True)
        shifted = Signal(pe.accumulator_bits, reset_less=True)
        fresh_shifted = Signal(reset_less=True)
        m.d.sync += [
            shifted.eq(total.as_signed() << Cat(0, weight_of_total)),
            fresh_shifted.eq(fresh_total),
        ]
        m.d.comb += self.results.eq(ring)
        with m.If(active[-1]):
            for n in range(self._cells - 1):
                m.d.sync += ring[n].eq(ring[n + 1])
            m.d.sync += ring[self._cells - 1].eq(Mux(fresh_shifted, 0, ring[0]) + shifted)
        return m
