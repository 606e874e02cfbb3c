"""What is proved of weights that stand still: the cell, the end of a column, and whole arrays."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.engine.stationary_cell import StationaryCell, StationaryColumn
from hw.engine.weight_stationary import WeightStationaryArray
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave, product_bias
from hw.pe.stationary import StationaryForm
from tb.formal.solver import Property
from tb.formal.wiring import digit_value, drive, peek

__all__ = ["column_resolves", "stationary_array_multiplies", "stationary_cell_adds"]


def _total(form: StationaryForm, partial: Any) -> Any:
    """What the words of a partial sum stand for, modulo ``2**form.bits``."""
    words = [Value.cast(partial[name]).as_unsigned() for name in form.partial.members]
    return sum(words[1:], words[0])[: form.bits]


def _excess(form: StationaryForm) -> int:
    """What a cell adds beside its product; the start of a column must leave out as much."""
    pe = form.pe
    if not isinstance(pe, CarrySave) or pe.sign_extension:
        excess = 0
    elif "weight" in form.held.members:
        excess = product_bias(pe.activation, pe.weight)
    else:
        excess = product_bias(pe.weight, pe.activation)
    if (form.start + form.block * excess) % (1 << form.bits):
        raise ValueError(
            f"start of a column must balance {form.block} x {excess}, not {form.start}"
        )
    return excess


def stationary_cell_adds(form: StationaryForm) -> Property:
    """A cell adds activation * weight, and what all cells have in excess, to what comes from above.

    For any sequence of weights, swaps and pauses: a weight that is loaded goes south a cycle later,
    and takes its place with the next swap; tags and activations go east. Nothing moves unless
    enabled.
    """
    excess = _excess(form)
    m = Module()
    m.submodules.dut = dut = StationaryCell(form)
    inputs = drive(m, dut)
    pe = form.pe
    shadow, weight = Signal(pe.weight.shape), Signal(pe.weight.shape)
    total = Signal(form.bits)
    passed = Cat(dut.a, dut.load, dut.swap)
    east = Signal(len(passed))
    with m.If(dut.enable):
        m.d.sync += [
            east.eq(passed),
            total.eq(_total(form, dut.partial) + dut.a * weight + excess),
        ]
        with m.If(dut.load):
            m.d.sync += shadow.eq(dut.weight)
        with m.If(dut.swap):
            m.d.sync += weight.eq(shadow)
    inner = peek(held=data.Layout.cast(form.held).size)
    held = data.View(form.held, inner["held"])
    if "weight" in form.held.members:
        stands = held.weight == weight
        exclusive: Any = True
    else:
        digits = [
            data.View(
                data.StructLayout({"one": 1, "two": 1, "neg": 1}),
                Cat(held.one[i], held.two[i], held.neg[i]),
            )
            for i in range(len(held.one))
        ]
        stands = sum(digit_value(d) << 2 * i for i, d in enumerate(digits)) == weight
        exclusive = ~Cat(d.one & d.two for d in digits).any()
    ok = Signal()
    m.d.comb += ok.eq(
        (Cat(dut.a_east, dut.load_east, dut.swap_east) == east)
        & (dut.weight_south == shadow)
        & (_total(form, dut.partial_south) == total)
        & stands
        & exclusive
    )
    return Property(m, ok, inputs, peeks=inner)


def column_resolves(form: StationaryForm) -> Property:
    """The end of a column gives the number that a partial sum stands for, in time."""
    m = Module()
    m.submodules.dut = dut = StationaryColumn(form)
    inputs = drive(m, dut)
    expected: Any = _total(form, dut.partial)
    for n in range(form.resolve_latency):
        late = Signal(form.bits, name=f"late_{n}")
        with m.If(dut.enable):
            m.d.sync += late.eq(expected)
        expected = late
    ok = Signal()
    m.d.comb += ok.eq(dut.sum == expected)
    return Property(m, ok, inputs, dut.enable)


def stationary_array_multiplies(
    pe: ProcessingElement, *, rows: int, cols: int, tile_rows: int
) -> Property:
    """Results are the products of activations and weights, summed over the blocks of a tile.

    Weights and activations may idle, and the results block, in any cycle. The solver follows any
    one row of results, from the acceptance of its last activations on: so the statement holds for
    all of them. The array stands still exactly while two results wait. Else it takes weights unless
    a block and one more row of them wait; and activations, of a block whose weights are there, from
    the step on in which `WeightStationaryArray.revisit` steps lie between any row and its next.
    Results come within its latency.
    """
    m = Module()
    dut = WeightStationaryArray(pe, rows=rows, cols=cols, tile_rows=tile_rows)
    m.submodules.dut = dut
    inputs = drive(m, dut)
    width = pe.accumulator_bits
    weights, activations, results = dut.weights, dut.activations, dut.results
    loaded = weights.valid & weights.ready
    taken = activations.valid & activations.ready
    sent = results.valid & results.ready
    block_end, tile_end = activations.payload.block_end, activations.payload.tile_end

    # Rows of weights that no activations have met yet, and the block that stands still.
    row_bits = cols * pe.weight.bits
    depth = 2 * rows + 1
    waiting = [Signal(row_bits, name=f"waiting_{n}") for n in range(depth)]
    stands = [Signal(row_bits, name=f"stands_{n}") for n in range(rows)]
    level = Signal(range(depth + 1))
    starts = Signal(init=1)
    begins = taken & starts
    after = level - Mux(begins, rows, 0)
    m.d.sync += level.eq(after + loaded)
    for n in range(depth):
        moved = waiting[n + rows] if n + rows < depth else 0
        m.d.sync += waiting[n].eq(
            Mux(loaded & (after == n), weights.payload.as_value(), Mux(begins, moved, waiting[n]))
        )
    block = [Mux(starts, waiting[k], stands[k]) for k in range(rows)]
    with m.If(begins):
        m.d.sync += [stands[k].eq(waiting[k]) for k in range(rows)]

    # Sums of the blocks before, by row of the tile.
    row, length = Signal(range(tile_rows)), Signal(range(tile_rows))
    first = Signal(init=1)
    sums = [Signal(cols * width, name=f"sums_{n}") for n in range(tile_rows)]
    before = Mux(first, 0, Array(sums)[row])
    entries = []
    for j in range(cols):
        products = [activations.payload.a[k] * _weight(pe, block[k], j) for k in range(rows)]
        entries.append((before[width * j : width * (j + 1)] + sum(products))[:width])
    entry = Signal(cols * width)
    m.d.comb += entry.eq(Cat(entries))
    during = Signal()
    with m.If(taken):
        m.d.sync += [
            starts.eq(block_end),
            row.eq(Mux(block_end, 0, row + 1)),
            during.eq(tile_end),
        ]
        m.d.sync += [sums[n].eq(Mux(row == n, entry, sums[n])) for n in range(tile_rows)]
        with m.If(block_end):
            m.d.sync += [first.eq(tile_end), length.eq(row)]

    # The result that is followed, and how many come before it.
    pick, followed, last = Signal(), Signal(), Signal()
    count, ahead = Signal(range(32)), Signal(range(32))
    value = Signal(cols * width)
    given_out = taken & tile_end
    m.d.sync += count.eq(count + given_out - sent)
    with m.If(given_out & pick & ~followed):
        m.d.sync += [followed.eq(1), ahead.eq(count - sent), value.eq(entry), last.eq(block_end)]
    with m.Elif(followed & sent):
        m.d.sync += [followed.eq(ahead != 0), ahead.eq(ahead - 1)]

    late = Signal(range(dut.latency + 2))
    m.d.sync += late.eq(Mux(~results.valid & (count != 0), late + (late <= dut.latency), 0))
    inner = peek(**{"queue.level": 2})
    moves = inner["queue.level"] != 2
    # Steps since each row of a tile came last.
    ages = [
        Signal(range(dut.revisit + 1), init=dut.revisit, name=f"age_{n}") for n in range(tile_rows)
    ]
    with m.If(moves):
        for n, age in enumerate(ages):
            again = Mux(taken & (row == n), 0, age)
            m.d.sync += age.eq(Mux(again == dut.revisit, again, again + 1))
    settled = Cat(age + n >= dut.revisit for n, age in enumerate(ages)).all()
    right = (results.payload.c.as_value() == value) & (results.payload.last == last)
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(
            # All blocks of a tile have the same rows.
            Mux(first, (row != tile_rows - 1) | block_end, block_end == (row == length))
            & (starts | (tile_end == during))
        ),
        ok.eq(
            (weights.ready == (moves & (level <= rows)))
            & (activations.ready == (moves & (~starts | ((level >= rows) & settled))))
            & (results.valid == (inner["queue.level"] != 0))
            & (late < dut.latency)
            & (~results.valid | ((count != 0) & (~followed | (ahead != 0) | right)))
        ),
    ]
    return Property(m, ok, (*inputs, pick), given, inner)


def _weight(pe: ProcessingElement, row: Any, j: int) -> Any:
    word = row[pe.weight.bits * j : pe.weight.bits * (j + 1)]
    return word.as_signed() if pe.weight.signed else word
