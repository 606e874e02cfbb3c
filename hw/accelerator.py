"""The accelerator: engine, memories, memory port, registers, and what ties them together.

Three units (load, execute, store) run side by side, ordered by the dependency tokens of the
program. Loads and stores overlap with execution, except where they use the same port of the same bank
of the scratchpad as the execute unit: the tokens must keep them apart, and the hardware stops with an
error code when they do not.
"""

from __future__ import annotations

from typing import Any

from amaranth import (
    Cat,
    ClockDomain,
    ClockSignal,
    DomainRenamer,
    Module,
    ResetSignal,
    Signal,
)
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hw.bus.axi import axi4, axi4_lite
from hw.bus.load import LoadUnit, ReadArbiter
from hw.bus.registers import ADDRESS_BITS, RegisterFile
from hw.bus.store import StoreUnit
from hw.control.dispatch import Dispatcher, ErrorCode
from hw.control.execute import ExecuteUnit
from hw.isa import Target
from hw.limits import require_accelerator
from hw.memory.ram import Ram
from hw.memory.scratchpad import ScratchpadMemory
from hw.spec import Spec

__all__ = ["Accelerator"]


class Accelerator(wiring.Component):
    """What a spec describes, with an AXI4 manager port and AXI4-Lite registers.

    Members
    -------
    m_axi_* : AXI4 manager, data as wide as ``memory.bus_bits``
    s_axi_* : AXI4-Lite subordinate; see `hw.bus.registers.REGISTERS`
    irq : Out(1)
        Level, high while done or an error is set and enabled.
    computes_finished : Out(32)
        The register `computes`, for what watches a run without the time that registers take.

    Raises
    ------
    ValueError
        The spec describes no accelerator; see `hw.limits.accelerator_conflict`.
    """

    def __init__(self, spec: Spec) -> None:
        require_accelerator(spec)
        self._spec = spec
        memory = axi4(data_bits=spec.memory.bus_bits)
        control = axi4_lite(address_bits=ADDRESS_BITS).flip()
        ports = {f"m_axi_{name}": member for name, member in memory.members.items()}
        ports |= {f"s_axi_{name}": member for name, member in control.members.items()}
        super().__init__({**ports, "irq": Out(1), "computes_finished": Out(32)})

    @property
    def spec(self) -> Spec:
        return self._spec

    def elaborate(self, platform: object) -> Any:
        m = Module()
        spec = self._spec
        word_bytes = spec.word_bytes
        pad_words = spec.scratchpad.bytes // word_bytes
        weight_words = spec.weight_buffer.bytes // word_bytes

        m.submodules.registers = registers = RegisterFile()
        for name in axi4_lite(address_bits=ADDRESS_BITS).members:
            port, inner = getattr(self, f"s_axi_{name}"), getattr(registers.bus, name)
            outward = self.signature.members[f"s_axi_{name}"].flow == Out
            m.d.comb += port.eq(inner) if outward else inner.eq(port)

        # After an error the units are reset once nothing of theirs is under way on the bus.
        reset, stopping = Signal(), Signal()
        # They have a domain for that: a ResetInserter does not reach the cells of the array, which
        # are instances of a shared module, and stale ones would deliver phantom results.
        m.domains += ClockDomain("units", local=True)
        m.d.comb += [
            ClockSignal("units").eq(ClockSignal()),
            ResetSignal("units").eq(ResetSignal() | reset),
        ]
        renamed = DomainRenamer("units")
        dispatcher = Dispatcher(word_bytes=word_bytes, tile=spec.engine.tile)
        execute = ExecuteUnit(
            spec.pe,
            rows=spec.engine.rows,
            cols=spec.engine.cols,
            tile_rows=spec.engine.tile_rows,
            kind=spec.engine.kind,
            depth=spec.engine.depth,
        )
        load, store = LoadUnit(word_bytes=word_bytes), StoreUnit(word_bytes=word_bytes)
        arbiter = ReadArbiter()
        m.submodules.dispatcher = renamed(dispatcher)
        m.submodules.execute = renamed(execute)
        m.submodules.load = renamed(load)
        m.submodules.store = renamed(store)
        m.submodules.arbiter = renamed(arbiter)
        banks = spec.scratchpad.banks
        m.submodules.scratchpad = scratchpad = ScratchpadMemory(
            depth=pad_words // banks, banks=banks, lanes=word_bytes
        )
        m.submodules.weights = weights = Ram(
            depth=weight_words, lanes=word_bytes, wide=execute.elements
        )

        wiring.connect(m, dispatcher.load, load.instructions)
        wiring.connect(m, dispatcher.store, store.instructions)
        wiring.connect(m, dispatcher.compute, execute.instructions)
        m.d.comb += [
            dispatcher.start.eq(registers.start & ~dispatcher.running & ~stopping),
            dispatcher.program.eq(registers.program_address),
            dispatcher.length.eq(registers.program_length),
            dispatcher.load_finished.eq(load.finished),
            dispatcher.compute_finished.eq(execute.finished),
            dispatcher.store_finished.eq(store.finished),
        ]
        self._memory_port(m, dispatcher, load, store, arbiter, stopping)
        out_of_range = self._chip_memories(m, scratchpad, weights, execute, load, store)
        self._status(
            m, registers, dispatcher, execute, load, store, arbiter,
            scratchpad.conflict, out_of_range, reset, stopping,
        )  # fmt: skip
        return m

    def _memory_port(
        self, m: Any, dispatcher: Any, load: Any, store: Any, arbiter: Any, stopping: Any
    ) -> None:
        size = (self._spec.word_bytes).bit_length() - 1
        beat = self.m_axi_rvalid & self.m_axi_rready
        wiring.connect(m, dispatcher.bursts, arbiter.fetch)
        wiring.connect(m, load.bursts, arbiter.load)
        # AXI4 keeps an address that was offered, even when the units are about to stop.
        offered, may_store = Signal(), Signal()
        m.d.sync += offered.eq(self.m_axi_awvalid & ~self.m_axi_awready)
        m.d.comb += [
            arbiter.stop.eq(stopping),
            may_store.eq(offered | ~stopping),
            self.m_axi_araddr.eq(arbiter.address),
            self.m_axi_arlen.eq(arbiter.length),
            self.m_axi_arvalid.eq(arbiter.valid),
            arbiter.ready.eq(self.m_axi_arready),
            arbiter.beat.eq(beat),
            arbiter.beat_last.eq(self.m_axi_rlast),
            self.m_axi_rready.eq(1),
            load.beat.eq(beat & arbiter.to_load),
            load.word.eq(self.m_axi_rdata),
            dispatcher.beat.eq(beat & ~arbiter.to_load),
            dispatcher.word.eq(self.m_axi_rdata),
            self.m_axi_awaddr.eq(store.address),
            self.m_axi_awlen.eq(store.length),
            self.m_axi_awvalid.eq(store.address_valid & may_store),
            store.address_ready.eq(self.m_axi_awready & may_store),
            self.m_axi_wdata.eq(store.word),
            self.m_axi_wlast.eq(store.word_last),
            self.m_axi_wvalid.eq(store.word_valid),
            self.m_axi_wstrb.eq(~0),
            store.word_ready.eq(self.m_axi_wready),
            self.m_axi_bready.eq(1),
            store.response.eq(self.m_axi_bvalid & self.m_axi_bready),
        ]
        for channel in ("ar", "aw"):
            m.d.comb += [
                getattr(self, f"m_axi_{channel}size").eq(size),
                getattr(self, f"m_axi_{channel}burst").eq(1),  # incrementing
                getattr(self, f"m_axi_{channel}cache").eq(0b0011),  # bufferable, modifiable
            ]

    def _chip_memories(
        self, m: Any, scratchpad: Any, weights: Any, execute: Any, load: Any, store: Any
    ) -> Any:
        """Ports of the on-chip memories; returns whether an address has left its memory."""
        loads_pad, loads_weights = load.write[Target.SCRATCHPAD], load.write[Target.WEIGHTS]
        wiring.connect(m, execute.read, scratchpad.execute_read)
        wiring.connect(m, execute.write, scratchpad.execute_write)
        m.d.comb += [
            scratchpad.store_read.enable.eq(store.read_enable),
            scratchpad.store_read.address.eq(store.read_address),
            store.read_data.eq(scratchpad.store_read.data),
            scratchpad.load_write.enable.eq(loads_pad.replicate(scratchpad.lanes)),
            scratchpad.load_write.address.eq(load.write_address),
            scratchpad.load_write.data.eq(load.write_data),
            weights.read_enable.eq(execute.weight_enable),
            weights.read_address.eq(execute.weight_address),
            execute.weight_data.eq(weights.read_data),
            weights.write_enable.eq(loads_weights.replicate(weights.lanes)),
            weights.write_address.eq(load.write_address),
            weights.write_data.eq(load.write_data),
        ]
        # A cycle late, as the scratchpad's own: an address comes late in its cycle.
        beyond = Signal()
        m.d.sync += beyond.eq(
            (execute.weight_enable & (execute.weight_address >= weights.depth))
            | (loads_weights & (load.write_address >= weights.depth))
        )
        return scratchpad.out_of_range | beyond

    def _status(
        self,
        m: Any,
        registers: Any,
        dispatcher: Any,
        execute: Any,
        load: Any,
        store: Any,
        arbiter: Any,
        conflict: Any,
        out_of_range: Any,
        reset: Any,
        stopping: Any,
    ) -> None:
        """Errors, completion, interrupt and counters."""
        error, done = Signal(ErrorCode), Signal()
        beat = self.m_axi_rvalid & self.m_axi_rready
        response = self.m_axi_bvalid & self.m_axi_bready
        bus = (beat & (self.m_axi_rresp != 0)) | (response & (self.m_axi_bresp != 0))
        running = dispatcher.running
        found = Signal(ErrorCode)
        with m.If(dispatcher.error != ErrorCode.NONE):
            m.d.comb += found.eq(dispatcher.error)
        with m.Elif(bus):
            m.d.comb += found.eq(ErrorCode.BUS)
        with m.Elif(conflict):
            m.d.comb += found.eq(ErrorCode.CONFLICT)
        with m.Elif(out_of_range):
            m.d.comb += found.eq(ErrorCode.ADDRESS)
        with m.If(registers.clear | dispatcher.start):
            m.d.sync += [error.eq(ErrorCode.NONE), done.eq(0)]
        with m.Elif(running & ~stopping & (found != ErrorCode.NONE)):
            m.d.sync += [error.eq(found), stopping.eq(1)]
        # While the units stop, the rest of the program may still run to its end.
        with m.Elif(dispatcher.finished & ~stopping):
            m.d.sync += done.eq(1)
        addressing = self.m_axi_arvalid | self.m_axi_awvalid
        with m.If(stopping & arbiter.idle & store.quiet & ~addressing):
            m.d.comb += reset.eq(1)
            m.d.sync += stopping.eq(0)
        busy = Signal()
        m.d.comb += [
            busy.eq(running | stopping),
            registers.status.eq(Cat(busy, done) | (error << 8)),
            self.irq.eq(registers.interrupt_enable[0] & (done | (error != 0)) & ~busy),
        ]
        word = self._spec.word_bytes
        counted = {
            "cycles": (running, 1),
            "bytes_instructions": (dispatcher.beat, word),
            "bytes_weights": (load.write[Target.WEIGHTS], word),
            "bytes_activations": (load.write[Target.SCRATCHPAD], word),
            "bytes_stored": (self.m_axi_wvalid & self.m_axi_wready, word),
            "busy_execute": (execute.busy, 1),
            "wait_load": (dispatcher.waiting[0], 1),
            "wait_store": (dispatcher.waiting[2], 1),
            "computes": (execute.finished, 1),
        }
        for name, (event, amount) in counted.items():
            counter = Signal(32, name=f"count_{name}")
            with m.If(dispatcher.start):
                m.d.sync += counter.eq(0)
            with m.Elif(event):
                m.d.sync += counter.eq(counter + amount)
            m.d.comb += getattr(registers, name).eq(counter)
        m.d.comb += self.computes_finished.eq(registers.computes)
