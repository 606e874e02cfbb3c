"""Fetches a program, hands its instructions to the units, and keeps their dependency tokens."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.bus.transfer import BURST
from hw.control.reduction import ReductionRule
from hw.isa import (
    BEGIN_LAYOUT,
    COMPUTE_LAYOUT,
    HEADER_LAYOUT,
    INSTRUCTION_BYTES,
    ISA_VERSION,
    TRANSFER_LAYOUT,
    Opcode,
)
from hw.queue import TwoEntryQueue

__all__ = ["FETCH_INSTRUCTIONS", "Dispatcher", "ErrorCode"]

FETCH_INSTRUCTIONS = 8
"""Instructions per burst; programs are aligned to as much, so no burst crosses 4 KiB."""

_BUFFERED = 2 * FETCH_INSTRUCTIONS
_ALIGNMENT_BITS = (INSTRUCTION_BYTES * FETCH_INSTRUCTIONS - 1).bit_length()


class ErrorCode(IntEnum):
    """Why the accelerator stopped.

    VERSION: the program does not begin with `Begin` of this version. OPCODE: an instruction is
    unknown, or a `Begin` that is not the first. ADDRESS: an on-chip address is out of range. BUS:
    the memory answered with an error. CONFLICT: two units used one port of one bank of the
    scratchpad at once. LENGTH: `End` is not the last instruction, or a transfer has no words.
    DEADLOCK: the instructions in hand wait for ones that can never come. ALIGNMENT: the address of
    the program, or of a transfer in memory, is not a multiple of what it must be. REDUCTION: the
    parts of a reduction differ in path or pixels, have more pixels than sums are kept of, or have
    no end.
    """

    NONE = 0
    VERSION = 1
    OPCODE = 2
    ADDRESS = 3
    BUS = 4
    CONFLICT = 5
    LENGTH = 6
    DEADLOCK = 7
    ALIGNMENT = 8
    REDUCTION = 9


class Dispatcher(wiring.Component):
    """Runs one program. An instruction leaves every ``64 / word_bytes + 1`` cycles at best.

    Parameters
    ----------
    word_bytes : int
    tile : int
        Pixels whose sums the array keeps.

    Members
    -------
    start : In(1)
    program : In(32)
        Byte address, a multiple of ``64 * FETCH_INSTRUCTIONS``.
    length : In(24)
        Instructions.
    bursts : Out(stream.Signature(BURST))
    beat : In(1), word : In(8 * word_bytes)
    load, store, compute : Out(stream.Signature(...))
        Instructions whose tokens are there.
    load_finished, store_finished, compute_finished : In(1)
    running : Out(1)
    finished : Out(1)
        High for one cycle when `End` is reached and every unit is done.
    error : Out(ErrorCode)
        What is wrong with the instruction in hand.
    waiting : Out(3)
        The execute unit's next instruction waits for a load, a computation, a store.
    """

    def __init__(self, *, word_bytes: int, tile: int) -> None:
        self._word_bytes = word_bytes
        self._tile = tile
        super().__init__(
            {
                "start": In(1),
                "program": In(32),
                "length": In(24),
                "bursts": Out(stream.Signature(BURST)),
                "beat": In(1),
                "word": In(8 * word_bytes),
                "load": Out(stream.Signature(TRANSFER_LAYOUT)),
                "store": Out(stream.Signature(TRANSFER_LAYOUT)),
                "compute": Out(stream.Signature(COMPUTE_LAYOUT)),
                "load_finished": In(1),
                "store_finished": In(1),
                "compute_finished": In(1),
                "running": Out(1),
                "finished": Out(1),
                "error": Out(ErrorCode),
                "waiting": Out(3),
            }
        )

    @property
    def word_bytes(self) -> int:
        return self._word_bytes

    @property
    def tile(self) -> int:
        return self._tile

    def elaborate(self, platform: object) -> Any:
        m = Module()
        instruction, ready, consumed, unread, missing = self._fetch(m)
        header = data.View(HEADER_LAYOUT, instruction)
        begun = Signal()
        names = ("load", "compute", "store")
        opcodes = {"load": Opcode.LOAD, "compute": Opcode.COMPUTE, "store": Opcode.STORE}
        finished = {
            "load": self.load_finished,
            "compute": self.compute_finished,
            "store": self.store_finished,
        }
        issued = {name: Signal(16, name=f"issued_{name}") for name in names}
        done = {name: Signal(16, name=f"done_{name}") for name in names}
        m.submodules.reduction = reduction = ReductionRule(tile=self._tile)
        taken, stuck, blocked = [], [], []
        for name in names:
            port = getattr(self, name)
            layout = COMPUTE_LAYOUT if name == "compute" else TRANSFER_LAYOUT
            m.submodules[f"{name}_queue"] = queue = TwoEntryQueue(layout)
            tokens = Signal(3, name=f"tokens_{name}")
            head = queue.o.payload
            for n, (unit, after) in enumerate(
                (
                    ("load", head.after_load),
                    ("compute", head.after_execute),
                    ("store", head.after_store),
                )
            ):
                ahead = Signal(signed(16), name=f"ahead_{name}_{unit}")
                # Counts wrap; what is compared is never 2**15 instructions apart.
                m.d.comb += [ahead.eq(done[unit] - after), tokens[n].eq(ahead >= 0)]
            m.d.comb += [
                queue.i.payload.eq(instruction),
                queue.i.valid.eq(ready & begun & (header.opcode == opcodes[name])),
                port.payload.eq(queue.o.payload),
                port.valid.eq(queue.o.valid & tokens.all()),
                queue.o.ready.eq(port.ready & tokens.all()),
            ]
            taken.append(queue.i.valid & queue.i.ready)
            if name == "compute":
                m.d.comb += [
                    reduction.compute.eq(instruction),
                    reduction.coming.eq(queue.i.valid),
                    reduction.taken.eq(taken[-1]),
                ]
            # Of this unit: instructions that it has begun and not finished.
            running = Signal(16, name=f"running_{name}")
            if name == "compute":
                waits = queue.o.valid & (running == 0)
                m.d.comb += self.waiting.eq(Mux(waits, ~tokens, 0))
            sent = port.valid & port.ready
            m.d.sync += running.eq(running + sent - finished[name])
            blocked.append(queue.o.valid & ~tokens.all())
            stuck.append((running == 0) & (~queue.o.valid | ~tokens.all()))
            m.d.sync += [
                issued[name].eq(issued[name] + taken[-1]),
                done[name].eq(done[name] + finished[name]),
            ]
        idle = Signal()
        ends = Signal()
        begins = Signal()
        begin = data.View(BEGIN_LAYOUT, instruction)
        last = Signal()
        dead = Signal()
        transfer = data.View(TRANSFER_LAYOUT, instruction)
        empty = (transfer.words == 0) & (
            (header.opcode == Opcode.LOAD) | (header.opcode == Opcode.STORE)
        )
        m.d.comb += [
            last.eq(~unread),
            dead.eq(ready & ~Cat(*taken).any() & Cat(*stuck).all() & Cat(*blocked).any()),
            idle.eq(Cat(*(issued[name] == done[name] for name in names)).all()),
            begins.eq(ready & ~begun & (header.opcode == Opcode.BEGIN)),
            ends.eq(ready & begun & (header.opcode == Opcode.END)),
            reduction.ends.eq(ends),
            self.finished.eq(ends & idle & last & ~reduction.broken),
            consumed.eq(Cat(*taken).any() | self.finished | (begins & (self.error == 0))),
        ]
        # Two ways to be misaligned: bursts of the fetch would cross 4 KiB, or a word be in pieces.
        skewed = Signal()
        with m.If(self.start):
            m.d.sync += skewed.eq(self.program[:_ALIGNMENT_BITS].any())
        within = (self._word_bytes - 1).bit_length()
        split = (transfer.memory[:within] != 0) & (
            (header.opcode == Opcode.LOAD) | (header.opcode == Opcode.STORE)
        )
        with m.If(self.running & skewed):
            m.d.comb += self.error.eq(ErrorCode.ALIGNMENT)
        with m.Elif(ready & ~begun):
            with m.If(~begins | (begin.version != ISA_VERSION)):
                m.d.comb += self.error.eq(ErrorCode.VERSION)
        with m.Elif(ready & (header.opcode > Opcode.COMPUTE)):
            m.d.comb += self.error.eq(ErrorCode.OPCODE)
        with m.Elif((ready & empty) | (ends & ~last) | (self.running & missing)):
            m.d.comb += self.error.eq(ErrorCode.LENGTH)
        with m.Elif(ready & split):
            m.d.comb += self.error.eq(ErrorCode.ALIGNMENT)
        with m.Elif(reduction.broken):
            m.d.comb += self.error.eq(ErrorCode.REDUCTION)
        with m.Elif(dead):
            m.d.comb += self.error.eq(ErrorCode.DEADLOCK)
        with m.If(consumed):
            m.d.sync += begun.eq(1)
        with m.If(self.start):
            m.d.sync += self.running.eq(1)
        with m.If(self.finished):
            m.d.sync += [
                self.running.eq(0),
                begun.eq(0),
                *(signal.eq(0) for name in names for signal in (issued[name], done[name])),
            ]
        return m

    def _fetch(self, m: Any) -> tuple[Any, Any, Any, Any, Any]:
        """Reads ahead in the program; returns the next instruction, whether it is there, its
        acknowledgement, whether others follow it, and whether none is left."""
        beats = INSTRUCTION_BYTES // self._word_bytes
        m.submodules.buffer = buffer = fifo.SyncFIFOBuffered(
            width=8 * self._word_bytes, depth=_BUFFERED * beats
        )
        address, left = Signal(32), Signal(24)
        credit = Signal(range(_BUFFERED + 1), init=_BUFFERED)
        chunk = Signal(range(FETCH_INSTRUCTIONS + 1))
        asked, consumed = Signal(), Signal()
        m.d.comb += [
            chunk.eq(Mux(left < FETCH_INSTRUCTIONS, left, FETCH_INSTRUCTIONS)),
            self.bursts.valid.eq((left != 0) & (credit >= FETCH_INSTRUCTIONS)),
            self.bursts.payload.address.eq(address),
            self.bursts.payload.length.eq(chunk * beats - 1),
            self.bursts.payload.final.eq(left == chunk),
            asked.eq(self.bursts.valid & self.bursts.ready),
            buffer.w_en.eq(self.beat),
            buffer.w_data.eq(self.word),
        ]
        with m.If(self.start):
            m.d.sync += address.eq(self.program)
            with m.If(~self.program[:_ALIGNMENT_BITS].any()):
                m.d.sync += left.eq(self.length)
        with m.Elif(asked):
            m.d.sync += [
                address.eq(address + FETCH_INSTRUCTIONS * INSTRUCTION_BYTES),
                left.eq(left - chunk),
            ]
        m.d.sync += credit.eq(credit - Mux(asked, chunk, 0) + consumed)

        instruction = Signal(8 * INSTRUCTION_BYTES, reset_less=True)
        have = Signal(range(beats + 1))
        ready = Signal()
        m.d.comb += [ready.eq(have == beats), buffer.r_en.eq(~ready)]
        with m.If(ready):
            with m.If(consumed):
                m.d.sync += have.eq(0)
        with m.Elif(buffer.r_rdy):
            width = 8 * self._word_bytes
            m.d.sync += [
                instruction.eq(Cat(instruction[width:], buffer.r_data)),
                have.eq(have + 1),
            ]
        # A credit is back when its instruction is consumed, so they tell what is under way.
        unread = (left != 0) | (credit != _BUFFERED - 1)
        missing = (left == 0) & (credit == _BUFFERED)
        return instruction, ready, consumed, unread, missing
