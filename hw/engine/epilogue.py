"""How finished accumulators of an array become results, and what tells them that they are."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.delay import Delay
from hw.pe.base import CellElement

__all__ = ["TAG", "ColumnEpilogue", "bias_correction"]

TAG = data.StructLayout({"valid": 1, "first": 1, "last": 1})
"""Travels with the activations: `first` and `last` are set only together with `valid`."""


class ColumnEpilogue(wiring.Component):
    """Takes the finished accumulators of one column, one per cycle, and resolves them.

    Latency ``1 + pe.resolve_latency`` cycles, throughput one result per cycle.

    Parameters
    ----------
    pe : CellElement
    rows : int
        Cells of the column.
    skewed : bool
        The column to the east works a cycle later, and gets its corrections from this one.

    Members
    -------
    enable : In(1)
        Clock enable of every register.
    done : In(rows)
        Bit i: the accumulator of row i is finished; at most one bit is set.
    accumulator : In(ArrayLayout(pe.accumulator, rows))
    correction, correction_east : In(W), Out(W)
        Minus the sum of the tile's step biases; taken when row 0 is done, passed on a cycle later.
        Present only where the PE has a step bias that the rows' part does not hold already. Where
        nothing is skewed it is not taken, but wanted from a cycle after `done` on.
    row, row_east : In(W), Out(W)
        Minus the row's part of a result, two cycles after `done`; passed on a cycle later.
    column : In(W)
        Minus the column's part, two cycles after row 0 is done.
    valid : Out(1)
    value : Out(W)
    """

    def __init__(self, pe: CellElement, *, rows: int, skewed: bool = True) -> None:
        self._pe = pe
        self._rows = rows
        self._skewed = skewed
        ports = {
            "enable": In(1),
            "done": In(rows),
            "accumulator": In(data.ArrayLayout(pe.accumulator, rows)),
            "valid": Out(1),
            "value": Out(pe.accumulator_bits),
        }
        names = []
        if pe.correction:
            names = [("row", "row_east")]
            ports |= {"column": In(pe.accumulator_bits)} if pe.corrects_columns else {}
        elif pe.step_bias:
            names = [("correction", "correction_east")]
        for name, name_east in names:
            ports[name] = In(pe.accumulator_bits)
            if skewed:
                ports[name_east] = Out(pe.accumulator_bits)
        super().__init__(ports)

    @property
    def pe(self) -> CellElement:
        return self._pe

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def skewed(self) -> bool:
        return self._skewed

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        taken = Signal(pe.accumulator, reset_less=True)
        valid = Signal(1 + pe.resolve_latency)
        width = len(taken.as_value())
        masked = [
            self.accumulator[i].as_value().as_unsigned() & self.done[i].replicate(width)
            for i in range(self._rows)
        ]
        with m.If(self.enable):
            m.d.sync += [
                taken.eq(reduce(or_, masked)),
                valid.eq((valid << 1) | self.done.any()),
            ]
        correction = Signal(pe.accumulator_bits, reset_less=True)
        row = None
        if pe.correction:
            row = self.row
            if self._skewed:
                passed = Signal(pe.accumulator_bits, name="row_passed", reset_less=True)
                m.d.comb += self.row_east.eq(passed)
                with m.If(self.enable):
                    m.d.sync += passed.eq(row)
            if pe.corrects_columns:
                starts = Signal(2)
                with m.If(self.enable):
                    m.d.sync += starts.eq(Cat(self.done[0], starts))
                with m.If(self.enable & starts[1]):
                    m.d.sync += correction.eq(self.column)
        elif pe.step_bias and self._skewed:
            with m.If(self.enable & self.done[0]):
                m.d.sync += correction.eq(self.correction)
            m.d.comb += self.correction_east.eq(correction)
        elif pe.step_bias:
            correction = self.correction
        value = pe.resolve(m, taken, correction, self.enable, row)
        m.d.comb += [self.value.eq(value), self.valid.eq(valid[-1])]
        return m


def bias_correction(
    m: Any, pe: CellElement, enable: Any, tag: Any, bias: int, *, delay: int = 0
) -> Any:
    """Adds to `m` what says minus the sum of the biases of a tile's steps; returns that word.

    It is there ``1 + delay`` cycles after the tile's `last` tag, until as long after the next
    tile's, which may follow before this one has been accumulated.
    """
    if delay:
        m.submodules.late_tag = line = Delay(TAG, cycles=delay)
        m.d.comb += [line.enable.eq(enable), line.i.eq(tag)]
        tag = line.o
    width = pe.accumulator_bits
    running = Signal(width, reset_less=True)
    total = Signal(width)
    finished = Signal(width, reset_less=True)
    step = -bias % (1 << width)
    m.d.comb += total.eq((running & ~tag.first.replicate(width)) + step)
    with m.If(enable & tag.valid):
        m.d.sync += running.eq(total)
    with m.If(enable & tag.last):
        m.d.sync += finished.eq(total)
    return finished
