"""The write side of the memory port."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.transfer import BurstSplitter
from hw.isa import TRANSFER_LAYOUT
from hw.memory.scratchpad import READ_LATENCY

__all__ = ["QUEUE_WORDS", "StoreUnit"]

QUEUE_WORDS = 8
"""Words between the scratchpad and the bus: what is on its way, and one to send in every cycle."""


class StoreUnit(wiring.Component):
    """Runs `Store` instructions one after another. One word per cycle within a burst.

    A burst's address goes out first, then its words; the next burst follows without waiting for the
    response, and an instruction is finished with its last response.

    Members
    -------
    instructions : In(stream.Signature(TRANSFER_LAYOUT))
    read_enable : Out(1), read_address : Out(24), read_data : In(8 * word_bytes)
        Port of the scratchpad, `READ_LATENCY` cycles.
    address, length, address_valid, address_ready
        The port's write address channel.
    word, word_last, word_valid, word_ready
        The port's write data channel.
    response : In(1)
        A write response arrives.
    finished : Out(1)
    idle : Out(1)
    quiet : Out(1)
        No burst is under way.
    """

    def __init__(self, *, word_bytes: int) -> None:
        self._word_bytes = word_bytes
        super().__init__(
            {
                "instructions": In(stream.Signature(TRANSFER_LAYOUT)),
                "read_enable": Out(1),
                "read_address": Out(24),
                "read_data": In(8 * word_bytes),
                "address": Out(32),
                "length": Out(8),
                "address_valid": Out(1),
                "address_ready": In(1),
                "word": Out(8 * word_bytes),
                "word_last": Out(1),
                "word_valid": Out(1),
                "word_ready": In(1),
                "response": In(1),
                "finished": Out(1),
                "idle": Out(1),
                "quiet": Out(1),
            }
        )

    @property
    def word_bytes(self) -> int:
        return self._word_bytes

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.splitter = splitter = BurstSplitter(word_bytes=self._word_bytes)
        m.submodules.words = words = fifo.SyncFIFOBuffered(
            width=8 * self._word_bytes, depth=QUEUE_WORDS
        )
        instruction, bursts = self.instructions.payload, splitter.bursts
        active = Signal()
        # Bit n: a word was asked for n + 1 cycles ago.
        reading = Signal(READ_LATENCY)
        local, to_read = Signal(24), Signal(24)
        responses = Signal(24)
        # A burst is open until its words are sent; `behind`: words of it behind the next one.
        opened, behind, final = Signal(), Signal(8), Signal()
        m.d.comb += [
            self.instructions.ready.eq(~active & splitter.extents.ready),
            splitter.extents.valid.eq(self.instructions.valid & ~active),
            splitter.extents.payload.address.eq(instruction.memory),
            splitter.extents.payload.words.eq(instruction.words),
            self.idle.eq(~active),
        ]
        with m.If(self.instructions.valid & self.instructions.ready):
            m.d.sync += [active.eq(1), local.eq(instruction.local), to_read.eq(instruction.words)]

        # Words are read ahead as far as the queue has room for what is on its way.
        coming = words.level + sum(reading[n] for n in range(READ_LATENCY))
        m.d.comb += [
            self.read_enable.eq((to_read != 0) & (coming < QUEUE_WORDS - 1)),
            self.read_address.eq(local),
            words.w_en.eq(reading[-1]),
            words.w_data.eq(self.read_data),
        ]
        m.d.sync += reading.eq(Cat(self.read_enable, reading))
        with m.If(self.read_enable):
            m.d.sync += [local.eq(local + 1), to_read.eq(to_read - 1)]

        sent, started = Signal(), Signal()
        m.d.comb += [
            self.address_valid.eq(bursts.valid & ~opened),
            self.address.eq(bursts.payload.address),
            self.length.eq(bursts.payload.length),
            started.eq(self.address_valid & self.address_ready),
            bursts.ready.eq(started),
            self.word.eq(words.r_data),
            self.word_valid.eq(words.r_rdy & opened),
            self.word_last.eq(behind == 0),
            sent.eq(self.word_valid & self.word_ready),
            words.r_en.eq(sent),
        ]
        with m.If(started):
            m.d.sync += [
                opened.eq(1),
                behind.eq(bursts.payload.length),
                final.eq(bursts.payload.final),
            ]
        with m.Elif(sent):
            m.d.sync += [opened.eq(~self.word_last), behind.eq(behind - 1)]
        m.d.comb += self.quiet.eq(~opened & (responses == 0))
        m.d.sync += responses.eq(responses + started - self.response)
        m.d.comb += self.finished.eq(active & final & ~opened & self.response & (responses == 1))
        with m.If(self.finished):
            m.d.sync += [active.eq(0), final.eq(0)]
        return m
