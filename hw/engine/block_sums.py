"""Adds up what the blocks of a tile contribute to its sums."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hw.adder import staged_add
from hw.delay import Delay
from hw.emit import place
from hw.engine.beats import result_beat
from hw.pe.stationary import StationaryForm

__all__ = ["CONTROL", "BlockAdder", "BlockSums"]

CONTROL = data.StructLayout({"valid": 1, "block_end": 1, "tile_end": 1})
"""What is known of a row of a block; `block_end` and `tile_end` as in `activation_beat`."""


class BlockAdder(wiring.Component):
    """Adds a block's sum to the sum of the blocks before. Latency `form.add_latency`, one per cycle.

    Members
    -------
    enable : In(1)
    starts : In(1)
        There is no block before the sum that comes in the next enabled cycle.
    sum : In(form.bits)
    before : In(W)
    total : Out(W)
    """

    def __init__(self, form: StationaryForm) -> None:
        self._form = form
        width = form.pe.accumulator_bits
        super().__init__(
            {
                "enable": In(1),
                "starts": In(1),
                "sum": In(form.bits),
                "before": In(width),
                "total": Out(width),
            }
        )

    @property
    def form(self) -> StationaryForm:
        return self._form

    def elaborate(self, platform: object) -> Any:
        m = Module()
        width = self._form.pe.accumulator_bits
        extended = Cat(self.sum, self.sum[-1].replicate(width - self._form.bits))
        # A register per column, since it drives as many gates as a sum has bits.
        first = Signal(reset_less=True)
        with m.If(self.enable):
            m.d.sync += first.eq(self.starts)
        kept = self.before & ~first.replicate(width)
        stages = self._form.add_latency
        m.d.comb += self.total.eq(
            staged_add(m, extended, kept, enable=self.enable, stages=stages),
        )
        return m


class BlockSums(wiring.Component):
    """Adds up blocks in a memory with an entry per row of a tile; hands out the last block's sums.

    Latency `form.add_latency` cycles, one row per cycle. A row may come again
    ``form.add_latency + 2`` cycles later.

    Members
    -------
    enable : In(1)
        Clock enable of every register.
    coming : In(CONTROL)
        Of the row whose sums come in the next enabled cycle.
    sums : In(ArrayLayout(form.bits, cols))
    valid : Out(1)
    result : Out(result_beat(cols, pe))
    """

    def __init__(self, form: StationaryForm, *, cols: int, tile_rows: int) -> None:
        self._form = form
        self._cols = cols
        self._tile_rows = tile_rows
        super().__init__(
            {
                "enable": In(1),
                "coming": In(CONTROL),
                "sums": In(data.ArrayLayout(form.bits, cols)),
                "valid": Out(1),
                "result": Out(result_beat(cols, form.pe)),
            }
        )

    @property
    def form(self) -> StationaryForm:
        return self._form

    @property
    def cols(self) -> int:
        return self._cols

    @property
    def tile_rows(self) -> int:
        return self._tile_rows

    def elaborate(self, platform: object) -> Any:
        m = Module()
        form, coming = self._form, self.coming
        row = Signal(range(max(2, self._tile_rows)))
        starts = Signal(init=1)
        with m.If(self.enable & coming.valid):
            m.d.sync += row.eq(row + 1)
            with m.If(coming.block_end):
                m.d.sync += [row.eq(0), starts.eq(coming.tile_end)]

        control = coming
        for n in range(1 + form.add_latency):
            later = Signal(CONTROL, name=f"control_{n}")
            with m.If(self.enable):
                m.d.sync += later.eq(control)
            control = later
        m.submodules.rows = rows = Delay(row.shape(), cycles=1 + form.add_latency)
        m.d.comb += [rows.enable.eq(self.enable), rows.i.eq(row)]

        totals = []
        before = Signal(data.ArrayLayout(form.pe.accumulator_bits, self._cols))
        for j in range(self._cols):
            adder = place(
                m, platform, f"adder_{j}", lambda: BlockAdder(form), name="block_adder", key=form
            )
            m.d.comb += [
                adder.enable.eq(self.enable),
                adder.starts.eq(starts),
                adder.sum.eq(self.sums[j]),
                adder.before.eq(before[j]),
                self.result.c[j].eq(adder.total),
            ]
            totals.append(adder.total)
        m.d.comb += [
            self.valid.eq(control.valid & control.tile_end),
            self.result.last.eq(control.block_end),
        ]
        write = Signal()
        m.d.comb += write.eq(self.enable & control.valid & ~control.tile_end)
        self._memory(m, before, row, write, rows.o, Cat(*totals))
        return m

    def _memory(self, m: Any, before: Any, row: Any, write: Any, address: Any, word: Any) -> None:
        """Reads entry `row` into `before` for the next cycle, and writes `word`."""
        bits = self._cols * self._form.pe.accumulator_bits
        if self._tile_rows == 1:  # a memory without an address is a register
            entry = Signal(bits, reset_less=True)
            read = Signal(bits, reset_less=True)
            with m.If(write):
                m.d.sync += entry.eq(word)
            with m.If(self.enable):
                m.d.sync += read.eq(entry)
            m.d.comb += before.as_value().eq(read)
            return
        # A row is not read in the cycle that writes it.
        m.submodules.partial = entries = memory.Memory(
            shape=bits, depth=self._tile_rows, init=[], attrs={"no_rw_check": 1}
        )
        read_port, write_port = entries.read_port(), entries.write_port()
        m.d.comb += [
            read_port.en.eq(self.enable),
            read_port.addr.eq(row),
            before.as_value().eq(read_port.data),
            write_port.en.eq(write),
            write_port.addr.eq(address),
            write_port.data.eq(word),
        ]
