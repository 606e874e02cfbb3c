"""Turns words of input channels, and words of weights, into beats of a weight-stationary engine."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out

from hw.control.address import READ
from hw.engine.beats import activation_beat, weight_beat
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.base import ProcessingElement

__all__ = ["BUFFERED", "WeightFeeder"]

BUFFERED = READ_LATENCY + 2
"""Words of activations on the way: as many as keep the engine busy."""


class WeightFeeder(wiring.Component):
    """Streams each word of the address pattern as a beat, and the weights a block ahead.

    A block is one word (`cols` channels) of each pixel of a tile; its `cols` words of weights begin
    to leave the weight memory when the first word of the block before is read, and not before those
    of that block have left. They are read in streaming order from `weight_base` on, once per tile.
    Throughput: one word of activations and one of weights per cycle.

    Parameters
    ----------
    pe : ProcessingElement
    cols : int
        Rows and columns of the engine: channels of a word.
    weight_address_bits : int

    Members
    -------
    start : In(1)
        A computation begins in the next cycle.
    final : In(1)
        No block follows the one that `reads` is in.
    weight_base, pad, reads, read_enable, read_address, read_data, weight_enable, weight_address,
    weight_data
        As of `hw.engine.feeder.Feeder`.
    weights : Out(stream.Signature(weight_beat(cols, pe)))
    activations : Out(stream.Signature(activation_beat(cols, pe)))
    busy : Out(1)
        Weights of blocks that have begun, or of the next one, have not all left.
    waiting : Out(1)
        Activations are on their way to the engine.
    """

    def __init__(self, pe: ProcessingElement, *, cols: int, weight_address_bits: int) -> None:
        self._cols = cols
        super().__init__(
            {
                "start": In(1),
                "final": In(1),
                "weight_base": In(weight_address_bits),
                "pad": In(8),
                "reads": In(stream.Signature(READ)),
                "read_enable": Out(1),
                "read_address": Out(24),
                "read_data": In(8 * cols),
                "weight_enable": Out(1),
                "weight_address": Out(weight_address_bits),
                "weight_data": In(8 * cols),
                "weights": Out(stream.Signature(weight_beat(cols, pe))),
                "activations": Out(stream.Signature(activation_beat(cols, pe))),
                "busy": Out(1),
                "waiting": Out(1),
            }
        )

    @property
    def cols(self) -> int:
        return self._cols

    def elaborate(self, platform: object) -> Any:
        m = Module()
        begins = Signal()  # the first word of a block is read
        pending = self._read_weights(m, begins)
        self._read_activations(m, begins, pending)
        return m

    def _read_weights(self, m: Any, begins: Any) -> Any:
        """Returns whether a block's weights may be read, but none of them has been."""
        pending, restarts = Signal(), Signal()
        active = Signal()
        word = Signal(range(self._cols))
        address = Signal.like(self.weight_address)
        staged = Signal()  # a word stands at the memory's output
        advance, reading = Signal(), Signal()
        m.d.comb += [
            advance.eq(~staged | self.weights.ready),
            reading.eq(advance & (active | pending)),
            self.weight_enable.eq(reading),
            self.weight_address.eq(Mux(~active & restarts, self.weight_base, address)),
            self.weights.valid.eq(staged),
            self.weights.payload.eq(self.weight_data),
            self.busy.eq(active | pending | staged),
        ]
        with m.If(advance):
            m.d.sync += staged.eq(reading)
        with m.If(reading):
            last = word == self._cols - 1
            m.d.sync += [
                address.eq(self.weight_address + 1),
                word.eq(Mux(last, 0, word + 1)),
                active.eq(~last),
            ]
            with m.If(~active):
                m.d.sync += pending.eq(0)
        with m.If(self.start):
            m.d.sync += [pending.eq(1), restarts.eq(1)]
        with m.Elif(begins & ~self.final):
            m.d.sync += [pending.eq(1), restarts.eq(self.reads.payload.tile_end)]
        return pending

    def _read_activations(self, m: Any, begins: Any, pending: Any) -> None:
        read = self.reads.payload
        free = Signal(range(BUFFERED + 1), init=BUFFERED)
        starts = Signal(init=1)
        transfer, taken = Signal(), Signal()
        m.d.comb += [
            # What is pending belongs to this block at the latest, so there is one place for it.
            self.reads.ready.eq((free != 0) & ~(starts & pending)),
            transfer.eq(self.reads.valid & self.reads.ready),
            begins.eq(transfer & starts),
            self.read_enable.eq(transfer & read.inside),
            self.read_address.eq(read.address),
            taken.eq(self.activations.valid & self.activations.ready),
        ]
        m.d.comb += self.waiting.eq(free != BUFFERED)
        m.d.sync += free.eq(free - transfer + taken)
        with m.If(transfer):
            m.d.sync += starts.eq(read.block_end)

        asked = data.StructLayout({"valid": 1, "inside": 1, "block_end": 1, "tile_end": 1})
        sent = Signal(asked)
        m.d.comb += [
            sent.valid.eq(transfer),
            sent.inside.eq(read.inside),
            sent.block_end.eq(read.block_end),
            sent.tile_end.eq(read.tile_end),
        ]
        arrived = sent
        for n in range(READ_LATENCY):
            later = Signal(asked, name=f"asked_{n}")
            m.d.sync += later.eq(arrived)
            arrived = later
        beat = Signal(self.activations.payload.shape())
        m.d.comb += [
            beat.a.as_value().eq(
                Mux(arrived.inside, self.read_data, self.pad.replicate(self._cols))
            ),
            beat.block_end.eq(arrived.block_end),
            beat.tile_end.eq(arrived.tile_end),
        ]
        m.submodules.words = words = SyncFIFO(width=len(beat.as_value()), depth=BUFFERED)
        m.d.comb += [
            words.w_en.eq(arrived.valid),
            words.w_data.eq(beat),
            words.r_en.eq(self.activations.ready),
            self.activations.valid.eq(words.r_rdy),
            self.activations.payload.eq(words.r_data),
        ]
