"""Turns words of input channels into operand beats of an engine."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.control.address import READ
from hw.engine.array import Sized
from hw.engine.beats import operand_beat
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.base import ProcessingElement

__all__ = ["STAGES", "Feeder", "early_release"]

STAGES = 2
"""Cycles from a channel leaving its bank to its operand beat: the weight memory, and a register."""


def early_release(rows: int, steps: int, *, paced: bool = False) -> int:
    """Cycles before the end of a block, of `steps` operand beats, in which its bank is given back.

    The first new word arrives some cycles after it is asked for, so the bank need not be empty yet.
    Where the array can make the feeder wait (a tile may be shorter than its rows, or the operands
    set the pace), it must be.
    """
    return min(READ_LATENCY + 1, steps - 1) if rows <= steps and not paced else 0


class Feeder(Sized[ProcessingElement], wiring.Component):
    """Gathers one word of each row of a tile, then streams them step by step, with the weights.

    A block is one word (`cols` channels) of each of `rows` pixels. While one block is streamed, in
    ``steps = cols / elements`` cycles, the next is gathered, one word per cycle, so a block takes
    ``max(rows, steps)`` cycles; or half of
    ``rows + steps + READ_LATENCY - early_release(rows, steps)`` where that is more (2 rows and 2
    steps, or one or two rows more than steps), since there are two banks.
    Weight words are read in streaming order from `weight_base` on, once per tile.

    Parameters
    ----------
    pe : ProcessingElement
        Of the engine, as `rows` and `cols` are.
    paced : bool
        The engine does not take a beat in every cycle: operands set its pace.
    weight_address_bits : int

    Members
    -------
    start : In(1)
        A computation begins in the next cycle: its weights are read from `weight_base` on, also
        where it goes on with a tile.
    weight_base : In(bits)
        Address of the first weight word; stable while anything is in flight.
    pad : In(8)
        Every byte of a word that is not inside.
    reads : In(stream.Signature(READ))
        What to gather.
    read_enable, read_address, read_data
        Port of the scratchpad, `READ_LATENCY` cycles.
    weight_enable, weight_address, weight_data
        Port of the weight memory, 1 cycle, which holds its words until the next read: `elements`
        of them, from the address on.
    operands : Out(stream.Signature(operand_beat(rows, cols, pe)))
    busy : Out(1)
        Not all channels of the words that it took have left, nor have all weights been read.
    waiting : Out(1)
        A beat is on its way to the engine.
    """

    def __init__(
        self,
        pe: ProcessingElement,
        *,
        rows: int,
        cols: int,
        weight_address_bits: int,
        paced: bool = False,
    ) -> None:
        self._pe = pe
        self._rows = rows
        self._cols = cols
        elements = self.elements
        if cols % elements:
            raise ValueError(f"columns must be whole beats of {elements}, not {cols}")
        self._early = early_release(rows, cols // elements, paced=paced)
        super().__init__(
            {
                "start": In(1),
                "weight_base": In(weight_address_bits),
                "pad": In(8),
                "reads": In(stream.Signature(READ)),
                "read_enable": Out(1),
                "read_address": Out(24),
                "read_data": In(8 * cols),
                "weight_enable": Out(1),
                "weight_address": Out(weight_address_bits),
                "weight_data": In(8 * cols * elements),
                "operands": Out(stream.Signature(operand_beat(rows, cols, pe))),
                "busy": Out(1),
                "waiting": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Any:
        m = Module()
        rows, cols, elements = self._rows, self._cols, self.elements
        steps = cols // elements
        read = self.reads.payload

        # Gathering: one bank fills while the other streams.
        claimed = Signal()
        free = Signal(range(3), init=2)
        released = Signal()
        fill_bank = Signal()
        row = Signal(range(max(2, rows)))
        transfer = Signal()
        m.d.comb += [
            self.reads.ready.eq(claimed | (free != 0)),
            transfer.eq(self.reads.valid & self.reads.ready),
            self.read_enable.eq(transfer & read.inside),
            self.read_address.eq(read.address),
        ]
        claim = Signal()
        m.d.comb += claim.eq(transfer & ~claimed)
        m.d.sync += free.eq(free - claim + released)
        with m.If(transfer):
            m.d.sync += [
                claimed.eq(~read.block_end),
                row.eq(Mux(read.block_end, 0, row + 1)),
                fill_bank.eq(fill_bank ^ read.block_end),
            ]
        asked = data.StructLayout(
            {"inside": 1, "row": len(row), "bank": 1, "block_end": 1, "tile_end": 1}
        )
        sent, arrived_valid = Signal(asked), transfer
        m.d.comb += [
            sent.inside.eq(read.inside),
            sent.row.eq(row),
            sent.bank.eq(fill_bank),
            sent.block_end.eq(read.block_end),
            sent.tile_end.eq(read.tile_end),
        ]
        arrived = sent
        for n in range(READ_LATENCY):
            later, later_valid = Signal(asked, name=f"asked_{n}"), Signal(name=f"asked_{n}_valid")
            m.d.sync += [later.eq(arrived), later_valid.eq(arrived_valid)]
            arrived, arrived_valid = later, later_valid
        full = Signal(2)
        ends_tile = Signal(2)
        word = Mux(arrived.inside, self.read_data, self.pad.replicate(cols))

        # Streaming: each step shifts every row of the bank by its channels.
        stream_bank = Signal()
        step = Signal(range(max(2, steps)))
        address = Signal.like(self.weight_address)
        tile_start = Signal(init=1)
        # What has left its bank: `STAGES` deep, one step at a time.
        staged = Signal(STAGES)
        staged_last = Signal(STAGES)
        advance, streaming, last_step = Signal(), Signal(), Signal()
        emptied = Signal()
        m.d.comb += [
            advance.eq(~staged[-1] | self.operands.ready),
            streaming.eq(full.bit_select(stream_bank, 1)),
            last_step.eq(step == steps - 1),
            self.weight_enable.eq(advance & streaming),
            self.weight_address.eq(Mux(tile_start, self.weight_base, address)),
            released.eq(advance & streaming & (step == steps - 1 - self._early)),
            emptied.eq(advance & streaming & last_step),
        ]
        pending = Signal(range(4))  # blocks whose last channel has not left
        m.d.sync += pending.eq(pending + claim - emptied)
        m.d.comb += [self.busy.eq(pending != 0), self.waiting.eq(staged.any())]
        ends = ends_tile.bit_select(stream_bank, 1)
        with m.If(advance):
            m.d.sync += [
                staged.eq(Cat(streaming, staged)),
                staged_last.eq(Cat(streaming & last_step & ends, staged_last)),
            ]
            with m.If(streaming):
                m.d.sync += [
                    address.eq(self.weight_address + elements),
                    tile_start.eq(last_step & ends),
                    step.eq(Mux(last_step, 0, step + 1)),
                    stream_bank.eq(stream_bank ^ last_step),
                ]
        with m.If(self.start):
            m.d.sync += tile_start.eq(1)
        activations = []
        for i in range(rows):
            banks = []
            for n in range(2):
                bank = Signal(8 * cols, name=f"bank_{n}_{i}", reset_less=True)
                with m.If(arrived_valid & (arrived.bank == n) & (arrived.row == i)):
                    m.d.sync += bank.eq(word)
                with m.Elif(advance & streaming & (stream_bank == n)):
                    m.d.sync += bank.eq(bank >> 8 * elements)
                banks.append(bank[: 8 * elements])
            channels = Mux(stream_bank, banks[1], banks[0])
            for stage in range(STAGES):
                later = Signal(8 * elements, name=f"a_{i}_{stage}", reset_less=True)
                with m.If(advance):
                    m.d.sync += later.eq(channels)
                channels = later
            activations.append(channels)
        weights = Signal(8 * cols * elements, reset_less=True)
        with m.If(advance):
            m.d.sync += weights.eq(self.weight_data)
        # A word has a byte for each column, a beat has for each column one byte of every word.
        by_column = [
            weights.word_select(element * cols + j, 8)
            for j in range(cols)
            for element in range(elements)
        ]
        m.d.comb += [
            self.operands.valid.eq(staged[-1]),
            self.operands.payload.eq(Cat(*activations, *by_column, staged_last[-1])),
        ]
        for n in range(2):
            with m.If(arrived_valid & arrived.block_end & (arrived.bank == n)):
                m.d.sync += [full[n].eq(1), ends_tile[n].eq(arrived.tile_end)]
            with m.Elif(emptied & (stream_bank == n)):
                m.d.sync += full[n].eq(0)
        return m
