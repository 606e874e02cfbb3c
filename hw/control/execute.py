"""The execute unit: one computation at a time, from the scratchpad through an engine and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.control.address import AddressGenerator
from hw.engine.array import Sized
from hw.engine.catalogue import (
    AnyEngine,
    EngineKind,
    array_element,
    create_array,
    engine_kind_of,
)
from hw.engine.digit_array import DigitArray
from hw.engine.feeder import Feeder
from hw.engine.vector import VectorUnit
from hw.engine.weight_feeder import WeightFeeder
from hw.engine.weight_stationary import WeightStationaryArray
from hw.isa import COMPUTE_LAYOUT, Path
from hw.memory.scratchpad import READ_LATENCY, read_port, write_port
from hw.pe.base import ProcessingElement
from hw.post import PostProcessor

__all__ = ["PARAMETER_WORDS", "WEIGHT_ADDRESS_BITS", "ExecuteUnit"]

PARAMETER_WORDS = 9
"""Words before the weights of a block: per channel a 32-bit bias (4 words), a 32-bit multiplier (4
words) and an 8-bit shift (1 word)."""

WEIGHT_ADDRESS_BITS = 21
"""One more than an instruction has: a block that begins inside the memory and leaves it counts on
into addresses that no memory has, and is found out before they wrap."""


class ExecuteUnit(Sized[ProcessingElement], wiring.Component):
    """Runs `Compute` instructions one after another.

    Timing: `PARAMETER_WORDS` cycles to read the parameters, which for the next instruction begin as
    soon as this one reads no more weights; then the address pattern at one word per cycle, from 2
    cycles after the instruction is taken. The next one is taken in the cycle that ends this one.
    Exact figures are those of `sim.timing.execute`.

    Parameters
    ----------
    pe : ProcessingElement
    rows, cols : int
        Size of the array; a word holds one byte per column.
    kind, depth
        Of the engine, as `hw.engine.catalogue.create_array` takes them.
    tile_rows : int, optional
        Weights stand still, and a tile has up to this many pixels; otherwise `rows`.

    Members
    -------
    instructions : In(stream.Signature(COMPUTE_LAYOUT))
    finished : Out(1)
        High for one cycle per instruction.
    busy : Out(1)
    read, write : Out(read_port(cols)), Out(write_port(cols))
        Ports of the scratchpad; an address may be out of its range.
    weight_enable, weight_address, weight_data
        Port of the weight memory, 1 cycle, which holds its words until the next read: `elements` of
        them, from the address on. An address may be out of its range.
    """

    def __init__(
        self,
        pe: ProcessingElement,
        *,
        rows: int,
        cols: int,
        kind: EngineKind | None = None,
        depth: int | None = None,
        tile_rows: int | None = None,
    ) -> None:
        kind = kind or engine_kind_of(pe)
        self._create: Callable[[], AnyEngine | WeightStationaryArray]
        if tile_rows is None:
            self._pe = array_element(pe, kind, depth)
            self._create = partial(
                create_array, pe, rows=rows, cols=cols, kind=kind, depth=depth, watched=True
            )
        else:
            self._pe = pe
            self._create = partial(
                WeightStationaryArray, pe, rows=rows, cols=cols, tile_rows=tile_rows
            )
        self._rows = rows
        self._cols = cols
        super().__init__(
            {
                "instructions": In(stream.Signature(COMPUTE_LAYOUT)),
                "finished": Out(1),
                "busy": Out(1),
                "read": Out(read_port(cols)),
                "write": Out(write_port(cols)),
                "weight_enable": Out(1),
                "weight_address": Out(WEIGHT_ADDRESS_BITS),
                "weight_data": In(8 * cols * self._pe.k_granularity),
            }
        )

    def elaborate(self, platform: object) -> Any:
        m = Module()
        compute = Signal(COMPUTE_LAYOUT)
        array = Signal()
        m.d.comb += array.eq(compute.path == Path.ARRAY)
        m.submodules.engine = engine = self._create()
        stationary = isinstance(engine, WeightStationaryArray)
        tile_rows = engine.tile_rows if stationary else engine.rows
        m.submodules.addresses = addresses = AddressGenerator(
            rows=tile_rows, short_tiles=stationary
        )
        feeder, working = self._feeder(m, engine, addresses)
        m.submodules.feeder = feeder
        m.submodules.vector = vector = VectorUnit(lanes=self.cols)
        m.submodules.post = post = PostProcessor(lanes=self.cols)
        weight_base = Signal(WEIGHT_ADDRESS_BITS)
        m.d.comb += [
            addresses.compute.eq(compute),
            addresses.array.eq(array),
            feeder.weight_base.eq(weight_base),
            feeder.pad.eq(compute.pad_value),
        ]
        kept, accumulating = Signal(), Signal()
        m.d.comb += kept.eq(
            ~(feeder.busy | feeder.waiting | working | accumulating) | ~compute.keep
        )
        in_flight = self._sequence(m, compute, addresses, feeder, weight_base, post, kept)
        self._gather(m, compute, array, addresses, feeder, vector, weight_base, accumulating)
        self._finish(m, compute, array, addresses.reads, engine, vector, post, in_flight)
        return m

    def _feeder(self, m: Any, engine: Any, addresses: Any) -> tuple[Any, Any]:
        """What turns words into the operands of `engine`, connected to it, and whether that works
        on operands at a pace of its own."""
        if isinstance(engine, WeightStationaryArray):
            streams = WeightFeeder(self.pe, cols=self.cols, weight_address_bits=WEIGHT_ADDRESS_BITS)
            wiring.connect(m, streams.weights, engine.weights)
            wiring.connect(m, streams.activations, engine.activations)
            m.d.comb += [
                streams.start.eq(addresses.start & addresses.array),
                streams.final.eq(addresses.final),
            ]
            return streams, Const(0, 1)
        gathering = Feeder(
            self.pe,
            rows=self.rows,
            cols=self.cols,
            weight_address_bits=WEIGHT_ADDRESS_BITS,
            paced=engine.paced,
        )
        wiring.connect(m, gathering.operands, engine.operands)
        m.d.comb += gathering.start.eq(addresses.start)
        return gathering, engine.working if isinstance(engine, DigitArray) else Const(0, 1)

    def _sequence(
        self,
        m: Any,
        compute: Any,
        addresses: Any,
        feeder: Any,
        weight_base: Any,
        post: Any,
        kept: Any,
    ) -> Any:
        """Takes an instruction, its parameters, runs it, and says when it is finished.

        Without results it is when all that it adds to the sums that stay is `kept` there.
        """
        # Parameters are read while the instruction still stands in front of the unit, and taken
        # over when it begins: those of the instruction before are in use until it ends.
        index = Signal(range(PARAMETER_WORDS + 1))
        arriving, reading, port_free, taken = Signal(), Signal(), Signal(), Signal()
        waiting = self.instructions.payload
        word = 8 * self.cols
        coming = Signal(word * PARAMETER_WORDS, reset_less=True)
        parameters = Signal.like(coming)
        in_flight = Signal(24)
        m.d.comb += [
            reading.eq(
                self.instructions.valid & (index != PARAMETER_WORDS) & (port_free | (index != 0))
            ),
            taken.eq(self.instructions.valid & self.instructions.ready),
        ]
        with m.If(reading):
            m.d.comb += [
                self.weight_enable.eq(1),
                self.weight_address.eq(waiting.weights + index),
            ]
            m.d.sync += index.eq(index + 1)
        with m.If(taken):
            m.d.sync += [compute.eq(waiting), index.eq(0)]
        m.d.sync += arriving.eq(reading)
        with m.If(arriving):
            # The block's first word ends up lowest.
            m.d.sync += coming.eq(Cat(coming[word:], self.weight_data[:word]))

        # The last word is on its way when an instruction is taken.
        ready, weighs = Signal(), Signal()
        m.d.comb += [
            ready.eq(index >= PARAMETER_WORDS - 1),
            weighs.eq((compute.path == Path.ARRAY) | (compute.path == Path.TAPS)),
        ]
        with m.FSM():
            with m.State("Idle"):
                m.d.comb += [
                    port_free.eq(1),
                    self.busy.eq(reading),
                    self.instructions.ready.eq(ready),
                ]
                with m.If(taken):
                    m.next = "Start"
            with m.State("Start"):
                m.d.comb += [
                    port_free.eq(~weighs),
                    self.busy.eq(1),
                    addresses.start.eq(1),
                ]
                m.d.sync += weight_base.eq(compute.weights + PARAMETER_WORDS)
                m.next = "Parameters"
            with m.State("Parameters"):
                m.d.comb += [port_free.eq(~weighs), self.busy.eq(1)]
                m.d.sync += parameters.eq(coming)
                m.next = "Run"
            with m.State("Run"):
                m.d.comb += [
                    port_free.eq(~weighs | (~addresses.busy & ~feeder.busy)),
                    self.busy.eq(1),
                ]
                with m.If(~addresses.busy & (in_flight == 0) & kept):
                    m.d.comb += [self.finished.eq(1), self.instructions.ready.eq(ready)]
                    m.next = "Idle"
                    with m.If(taken):
                        m.next = "Start"
        for n in range(self.cols):
            bias, multiplier = 32 * n, 32 * (self.cols + n)
            shift = 64 * self.cols + 8 * n
            channel = post.channels[n]
            m.d.comb += [
                channel.bias.eq(parameters[bias : bias + 32]),
                channel.multiplier.eq(parameters[multiplier : multiplier + 31]),
                channel.shift.eq(parameters[shift : shift + 6]),
            ]
        return in_flight

    def _gather(
        self,
        m: Any,
        compute: Any,
        array: Any,
        addresses: Any,
        feeder: Any,
        vector: Any,
        weight_base: Any,
        accumulating: Any,
    ) -> None:
        """Routes words from the scratchpad to the path that the instruction names."""
        read = addresses.reads
        tap, starts = Signal(16), Signal(init=1)
        taken = Signal()
        m.d.comb += [
            feeder.reads.payload.eq(read.payload),
            feeder.reads.valid.eq(read.valid & array),
            feeder.read_data.eq(self.read.data),
            feeder.weight_data.eq(self.weight_data),
            taken.eq(read.valid & ~array),
        ]
        with m.If(array):
            m.d.comb += [
                read.ready.eq(feeder.reads.ready),
                self.read.enable.eq(feeder.read_enable),
                self.read.address.eq(feeder.read_address),
            ]
            with m.If(feeder.weight_enable):
                m.d.comb += [
                    self.weight_enable.eq(1),
                    self.weight_address.eq(feeder.weight_address),
                ]
        with m.Else():
            m.d.comb += [
                read.ready.eq(1),
                self.read.enable.eq(taken & read.payload.inside),
                self.read.address.eq(read.payload.address),
            ]
            with m.If(taken & (compute.path == Path.TAPS)):
                m.d.comb += [
                    self.weight_enable.eq(1),
                    self.weight_address.eq(weight_base + tap),
                ]
        with m.If(taken):
            m.d.sync += [
                tap.eq(Mux(read.payload.tile_end, 0, tap + 1)),
                starts.eq(read.payload.tile_end),
            ]
        with m.If(addresses.start):
            m.d.sync += tap.eq(0)
        # What belongs to a word arrives with it; its weights come from a memory a cycle faster.
        about = Signal(
            data.StructLayout({"valid": 1, "inside": 1, "first": 1, "last": 1, "odd": 1})
        )
        m.d.comb += [
            about.valid.eq(taken),
            about.inside.eq(read.payload.inside),
            about.first.eq(starts),
            about.last.eq(read.payload.tile_end),
            about.odd.eq(tap[0]),
        ]
        stages = [about]
        for n in range(READ_LATENCY):
            stages.append(Signal(about.shape(), name=f"about_{n}"))
            m.d.sync += stages[-1].eq(stages[-2])
        now, next_word = stages[-1], stages[-2]
        m.d.comb += accumulating.eq(Cat(stage.valid for stage in stages).any() | vector.busy)
        pad = compute.pad_value.replicate(self.cols)
        m.d.comb += [
            vector.path.eq(compute.path),
            vector.valid.eq(now.valid),
            vector.first.eq(now.first),
            vector.last.eq(now.last),
            vector.word.eq(Mux(now.inside, self.read.data, pad)),
            vector.odd.eq(next_word.odd),
            vector.weights.eq(self.weight_data[: 8 * self.cols]),
            vector.scalar_0.eq(compute.scalar_0),
            vector.scalar_1.eq(compute.scalar_1),
        ]

    def _finish(
        self,
        m: Any,
        compute: Any,
        array: Any,
        reads: Any,
        engine: Any,
        vector: Any,
        post: Any,
        in_flight: Any,
    ) -> None:
        """Requantises finished sums and writes them, output pixels in order."""
        pixel, address = Signal(25), Signal(24)
        tile_begun, tile_written = Signal(), Signal()
        m.d.comb += engine.results.ready.eq(1)
        with m.If(array):
            m.d.comb += [
                post.valid.eq(engine.results.valid),
                post.last.eq(engine.results.payload.last),
            ]
            for n in range(self.cols):
                m.d.comb += post.accumulators[n].eq(engine.results.payload.c[n])
        with m.Else():
            m.d.comb += [
                post.valid.eq(vector.o_valid),
                post.last.eq(1),
                post.accumulators.eq(vector.accumulators),
            ]
        m.d.comb += [
            post.zero_point.eq(compute.zero_point),
            post.low.eq(compute.low),
            post.high.eq(compute.high),
            self.write.address.eq(address),
            self.write.data.eq(post.word),
            tile_written.eq(post.o_valid & post.o_last),
        ]
        # Rows of the last tile that lie past the last pixel are computed but not written.
        with m.If(post.o_valid & (pixel < compute.pixels)):
            m.d.comb += self.write.enable.eq(compute.mask)
        with m.If(self.instructions.valid & self.instructions.ready):
            m.d.sync += [pixel.eq(0), address.eq(self.instructions.payload.destination)]
        with m.Elif(post.o_valid):
            m.d.sync += [pixel.eq(pixel + 1), address.eq(address + compute.destination_step)]
        ends = reads.payload.tile_end & reads.payload.block_end
        m.d.comb += tile_begun.eq(reads.valid & reads.ready & ends)
        m.d.sync += in_flight.eq(in_flight + tile_begun - tile_written)
