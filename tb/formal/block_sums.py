"""What is proved of the sums over the blocks of a tile."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal

from hw.engine.block_sums import CONTROL, BlockSums
from hw.pe.stationary import StationaryForm
from tb.formal.solver import Property
from tb.formal.wiring import drive

__all__ = ["blocks_add_up"]


def blocks_add_up(form: StationaryForm, *, cols: int, tile_rows: int) -> Property:
    """The last block of a tile gives each row's sum over all blocks, in time and in no other cycle.

    Rows come, or do not, in any enabled cycle; all blocks of a tile have the same rows, at most
    `tile_rows` unless there is but one, and a row comes again after the cycles that are asked for.
    """
    m = Module()
    m.submodules.dut = dut = BlockSums(form, cols=cols, tile_rows=tile_rows)
    inputs = drive(m, dut)
    width, come = form.pe.accumulator_bits, dut.coming.valid & dut.enable
    block_end, tile_end = dut.coming.block_end, dut.coming.tile_end

    row, length = Signal(range(tile_rows + 1)), Signal(range(tile_rows))
    first, starts, during = Signal(init=1), Signal(init=1), Signal()
    again = form.add_latency + 2
    ages = [Signal(range(again + 1), init=again, name=f"age_{n}") for n in range(tile_rows)]
    with m.If(come):
        m.d.sync += [
            row.eq(Mux(block_end, 0, row + (row != tile_rows))),
            starts.eq(block_end),
            during.eq(tile_end),
        ]
        with m.If(block_end):
            m.d.sync += [first.eq(tile_end), length.eq(row)]
    with m.If(dut.enable):
        for n, age in enumerate(ages):
            since = Mux(come & (row == n), 0, age)
            m.d.sync += age.eq(Mux(since == again, since, since + 1))
    fits = Mux(
        first,
        tile_end | (row != tile_rows - 1) | block_end,
        (block_end == (row == length)) & (Array(ages)[row] == again),
    )

    # One step later the sums come, and are the last of what is waited for in `form.add_latency`.
    about = Signal(CONTROL)
    place, fresh = Signal.like(row), Signal()
    totals = [Signal(cols * width, name=f"total_{n}") for n in range(tile_rows)]
    before = Mux(fresh, 0, Array(totals)[place])
    sums: Any = Cat(
        (before.word_select(j, width) + dut.sums[j].as_signed())[:width] for j in range(cols)
    )
    following: Any = Cat(about, sums)
    with m.If(dut.enable):
        m.d.sync += [about.eq(dut.coming), about.valid.eq(come), place.eq(row), fresh.eq(first)]
        with m.If(about.valid):
            m.d.sync += [total.eq(Mux(place == n, sums, total)) for n, total in enumerate(totals)]
        for n in range(form.add_latency):
            late = Signal(len(following), name=f"late_{n}")
            m.d.sync += late.eq(following)
            following = late
    valid, last, ends = following[0], following[1], following[2]
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(~dut.coming.valid | (fits & (starts | (tile_end == during)))),
        ok.eq(
            (dut.valid == (valid & ends))
            & (
                ~dut.valid
                | ((dut.result.c.as_value() == following[3:]) & (dut.result.last == last))
            )
        ),
    ]
    return Property(m, ok, inputs, given)
