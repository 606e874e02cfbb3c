"""What is proved of engines and of what feeds them: values and order of whole streams."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal

from hw.engine.catalogue import create_array
from hw.engine.feeder import Feeder, early_release
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.base import ProcessingElement
from hw.pe.mac import Mac
from tb.formal.solver import Property
from tb.formal.wiring import drive

__all__ = ["engine_multiplies", "feeder_streams_in_order"]


def engine_multiplies(pe: ProcessingElement, *, rows: int = 1, cols: int = 1) -> Property:
    """Result beats are the products of the operand beats, tile by tile, under any stalls.

    The producer may idle and the consumer block in any cycle: no beat is lost, repeated or
    exchanged. At most two tiles wait for their results.
    """
    m = Module()
    m.submodules.dut = dut = create_array(pe, rows=rows, cols=cols)
    inputs = drive(m, dut)
    width, step = pe.accumulator_bits, pe.k_granularity
    operands, results = dut.operands, dut.results
    tile_bits = rows * cols * width
    waiting = [Signal(tile_bits, name=f"waiting_{n}") for n in range(3)]
    count, row, starts = Signal(range(4)), Signal(range(max(2, rows))), Signal(init=1)
    entries = []
    for i in range(rows):
        for j in range(cols):
            a, b = operands.payload.a[i], operands.payload.b[j]
            product = a * b if step == 1 else sum(a[e] * b[e] for e in range(step))
            total, entry = Signal(width, name=f"total_{i}_{j}"), Signal(width, name=f"sum_{i}_{j}")
            m.d.comb += entry.eq(Mux(starts, 0, total) + product)
            with m.If(operands.valid & operands.ready):
                m.d.sync += total.eq(entry)
            entries.append(entry)
    taken, sent = operands.valid & operands.ready, results.valid & results.ready
    push, pop = taken & operands.payload.last, sent & (row == rows - 1)
    with m.If(taken):
        m.d.sync += starts.eq(operands.payload.last)
    with m.If(sent):
        m.d.sync += row.eq(Mux(row == rows - 1, 0, row + 1))
    m.d.sync += count.eq(count + push - pop)
    with m.If(pop):
        m.d.sync += [waiting[n].eq(waiting[n + 1]) for n in range(2)]
    for n in range(3):
        with m.If(push & (count - pop == n)):
            m.d.sync += waiting[n].eq(Cat(entries))
    expected = waiting[0].word_select(row, cols * width)
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(count != 3),
        ok.eq(
            ~results.valid
            | (
                (count != 0)
                & (results.payload.c.as_value() == expected)
                & (results.payload.last == (row == rows - 1))
            )
        ),
    ]
    return Property(m, ok, inputs, given)


def feeder_streams_in_order(*, rows: int, cols: int) -> Property:
    """Operand beats are the bytes of the words that were asked for, in order.

    A block is taken when there is none, and is streamed in time. Reads come at any time, and the
    array may stall in any cycle; where the feeder relies on an array
    that does not (it gives a bank back early), the array is always ready.

    The scratchpad answers with a word that depends on the address, the weight memory with one that
    depends on its address; what is asked for comes in whole blocks of `rows` words. A computation
    may start whenever all of the one before has left: its weights are those from the base on, also
    in the middle of a tile.
    """
    m = Module()
    bits = 4
    m.submodules.dut = dut = Feeder(Mac(), rows=rows, cols=cols, weight_address_bits=bits)
    word, weight = Signal(8 * cols), Signal(8 * cols)
    fixed = {"read_data": word, "weight_data": weight, "weight_base": Const(0, bits)}
    inputs = drive(m, dut, fixed={**fixed, "pad": Const(0x5A, 8)})

    def bytes_of(address: Any, mark: int) -> Any:
        return Cat(Cat(address[:bits], Const((mark + n) % 16, 4)) for n in range(cols))

    answers = [Signal(8 * cols, name=f"answer_{n}") for n in range(READ_LATENCY)]
    with m.If(dut.read_enable):
        m.d.sync += answers[0].eq(bytes_of(dut.read_address, 1))
    m.d.sync += [later.eq(early) for early, later in zip(answers, answers[1:], strict=False)]
    m.d.comb += word.eq(answers[-1])
    with m.If(dut.weight_enable):
        m.d.sync += weight.eq(bytes_of(dut.weight_address, 9))

    held = 6  # more than fit into its banks and registers
    # What was asked for: the words of the blocks that have not been streamed yet.
    read = dut.reads.payload
    asked = dut.reads.valid & dut.reads.ready
    row, count = Signal(range(max(2, rows))), Signal(range(8))
    blocks = [Signal(rows * 8 * cols, name=f"block_{n}") for n in range(held)]
    ends = Signal(held)
    answer = Mux(read.inside, bytes_of(read.address, 1), Const(0x5A, 8).replicate(cols))
    step, place = Signal(range(max(2, cols))), Signal(bits)
    beat = dut.operands.valid & dut.operands.ready
    finished = beat & (step == cols - 1)
    with m.If(asked):
        m.d.sync += row.eq(Mux(read.block_end, 0, row + 1))
    m.d.sync += count.eq(count + (asked & read.block_end) - finished)
    with m.If(finished):
        m.d.sync += [blocks[n].eq(blocks[n + 1]) for n in range(held - 1)]
        m.d.sync += ends.eq(ends >> 1)
    at = count - finished
    for n in range(held):
        with m.If(asked & (at == n)):
            kept = Mux(finished, blocks[n + 1] if n < held - 1 else 0, blocks[n])
            grown = [
                Mux(row == i, answer, kept[8 * cols * i : 8 * cols * (i + 1)]) for i in range(rows)
            ]
            m.d.sync += [blocks[n].eq(Cat(grown)), ends[n].eq(read.tile_end)]
    last = (step == cols - 1) & ends[0]
    with m.If(beat):
        m.d.sync += step.eq(Mux(step == cols - 1, 0, step + 1))
        m.d.sync += place.eq(Mux(last, 0, place + 1))
    with m.If(dut.start):
        m.d.sync += place.eq(0)
    patience = READ_LATENCY + 4
    idle = Signal(range(patience + 2))
    m.d.sync += idle.eq(Mux(dut.operands.valid | (count == 0), 0, idle + (idle <= patience)))
    prompt = (idle <= patience) & (dut.reads.ready | (count != 0))
    expected = Cat(blocks[0][8 * cols * i :].word_select(step, 8) for i in range(rows))
    got = dut.operands.payload
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(
            (read.block_end == (row == rows - 1))
            & (~read.tile_end | read.block_end)
            & (read.address[bits:] == 0)
            & (dut.operands.ready | (early_release(rows, cols) == 0))
            & ~(dut.start & (dut.busy | dut.waiting | dut.reads.valid))
        ),
        ok.eq(
            prompt
            & (
                ~dut.operands.valid
                | (
                    (count != 0)
                    & (got.a.as_value() == expected)
                    & (got.b.as_value() == bytes_of(place, 9))
                    & (got.last == last)
                )
            )
        ),
    ]
    return Property(m, ok, inputs, given)
