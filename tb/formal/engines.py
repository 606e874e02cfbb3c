"""What is proved of engines: values and order of whole streams."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal, Value

from hw.engine.catalogue import EngineKind, create_array
from hw.engine.digit_array import DigitArray
from hw.pe.base import ProcessingElement
from tb.formal.solver import Property
from tb.formal.wiring import drive, peek

__all__ = ["engine_multiplies"]


def engine_multiplies(
    pe: ProcessingElement,
    *,
    rows: int = 1,
    cols: int = 1,
    kind: EngineKind | None = None,
    depth: int | None = None,
) -> Property:
    """Result beats are the products of the operand beats, tile by tile, under any stalls.

    The producer may idle and the consumer block in any cycle: no beat is lost, repeated or
    exchanged. At most two tiles wait for their results. An engine that is empty takes a beat, and
    one whose pace is its own gives a result within its latency, and takes none while two wait.
    """
    m = Module()
    m.submodules.dut = dut = create_array(pe, rows=rows, cols=cols, kind=kind, depth=depth)
    inputs = drive(m, dut)
    width, step = pe.accumulator_bits, dut.elements
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
    prompt: Any = operands.ready | (count != 0)
    inner: dict[str, Signal] = {}
    if not isinstance(dut, DigitArray):
        late = Signal(range(dut.latency + 2))
        waits = ~results.valid & (count != 0)
        m.d.sync += late.eq(Mux(waits, late + (late <= dut.latency), 0))
        inner = peek(**{"queue.level": 2})
        level = inner["queue.level"]
        prompt = (
            prompt
            & (late < dut.latency)
            & (results.valid == (level != 0))
            & ~(operands.ready & (level == 2))
        )
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(count != 3),
        ok.eq(
            prompt
            & (
                ~results.valid
                | (
                    (count != 0)
                    & (results.payload.c.as_value() == expected)
                    & (results.payload.last == (row == rows - 1))
                )
            )
        ),
    ]
    payload = Value.cast(results.payload)
    shown = Cat(operands.ready, results.valid, Mux(results.valid, payload, 0))
    return Property(m, ok, inputs, given, inner, shown)
