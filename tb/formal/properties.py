"""What is proved of recoders, cells, columns, adders and streams.

Each function builds a block together with what it must do, said in arithmetic: nothing here is
taken from how the block works.
"""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hw.digits import BoothSelect, Recoding, select_digits
from hw.engine.catalogue import create_array
from hw.engine.feeder import Feeder, early_release
from hw.engine.shift_add import SHIFT_ADD_LATENCY, ShiftAdd
from hw.memory.scratchpad import READ_LATENCY
from hw.operand import Operand
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.digit_column import PAIRS_AFTER, DigitColumn, SparseEncoder
from hw.pe.fast_inner import FastInner, FastInnerElement
from hw.pe.mac import Mac
from hw.pe.sparse_digit import DigitElement
from hw.queue import TwoEntryQueue
from tb.formal.solver import Property

__all__ = [
    "cell_accumulates",
    "column_issues_all",
    "digit_cell_accumulates",
    "digits_represent",
    "encoder_issues_once",
    "engine_multiplies",
    "feeder_streams_in_order",
    "output_adder_accumulates",
    "queue_keeps_order",
]


def digits_represent(operand: Operand, recoding: Recoding) -> Property:
    """The digits of every value add up to it, and no digit is one and two at once."""
    m, value = Module(), Signal(operand.shape, name="value")
    m.submodules.dut = dut = Module()
    selects = []
    for i, select in enumerate(select_digits(value, operand, recoding)):
        lines = {name: Signal(name=f"{name}_{i}") for name in ("one", "two", "neg")}
        dut.d.comb += [line.eq(getattr(select, name)) for name, line in lines.items()]
        selects.append(BoothSelect(**lines))
    total = sum(_digit(s) << (2 * i) for i, s in enumerate(selects))
    ok = Signal()
    exclusive = ~Cat(s.one & s.two for s in selects).any()
    m.d.comb += ok.eq((total == value) & exclusive)
    return Property(m, ok, (value,))


def cell_accumulates(pe: CellElement) -> Property:
    """From any state, one enabled step adds exactly the product and the step bias, modulo 2**W.

    The words of the accumulator count by their sum alone. A first product replaces what was there;
    without valid operands, or (of a cell without operand registers) without enable, nothing changes.
    With the sum of no step as the base, this is the inductive proof for every sequence of steps.
    """
    m = Module()
    m.submodules.dut = dut = pe.create()
    inputs = _drive(m, dut)
    words = [Value.cast(dut.accumulator[name]).as_unsigned() for name in pe.accumulator.members]
    total = Signal(pe.accumulator_bits)
    m.d.comb += total.eq(sum(words[1:], words[0]))
    taken, first, given = dut.enable & dut.valid, dut.first, Signal(init=1)
    m.d.comb += given.eq(1)
    left, right = dut.a, dut.b
    if isinstance(pe, FastInnerElement):
        # Its operand registers are followed while it is enabled.
        m.d.comb += given.eq(dut.enable)
        sums = [
            dut.a[n] + (dut.b[1 - n] if isinstance(pe, FastInner) else dut.b[n]) for n in range(2)
        ]
        # One register, as the cell has: so that the solver sees that both are the same.
        factors = Signal(data.ArrayLayout(pe.presum.shape, 2), reset_less=True)
        left, right = factors[0], factors[1]
        late = Signal(name="late_taken"), Signal(name="late_first")
        with m.If(dut.enable):
            m.d.sync += [left.eq(sums[0]), right.eq(sums[1])]
        m.d.sync += [late[0].eq(dut.valid), late[1].eq(first)]
        taken, first = late
    product = left * right
    expected = Signal(pe.accumulator_bits)
    m.d.sync += expected.eq(Mux(taken, Mux(first, 0, total) + product + pe.step_bias, total))
    ok = Signal()
    m.d.comb += ok.eq(total == expected)
    return Property(m, ok, inputs, given)


def digit_cell_accumulates(pe: DigitElement) -> Property:
    """From any state, one cycle adds every lane's digit times its weight and the cycle bias."""
    m = Module()
    m.submodules.dut = dut = pe.create()
    inputs = _drive(m, dut)
    total = Signal(pe.pair_bits)
    m.d.comb += total.eq(dut.pair.sum + dut.pair.carry)
    b = [Signal(pe.weight.shape, name=f"late_b_{n}") for n in range(pe.lanes)]
    m.d.sync += [b[n].eq(dut.b[n]) for n in range(pe.lanes)]
    products = sum(_digit(dut.digits[n]) * b[n] for n in range(pe.lanes))
    expected = Signal(pe.pair_bits)
    m.d.sync += expected.eq(Mux(dut.clear, 0, total) + products + pe.cycle_bias)
    given, ok = Signal(), Signal()
    exclusive = ~Cat(dut.digits[n].one & dut.digits[n].two for n in range(pe.lanes)).any()
    m.d.comb += [given.eq(exclusive), ok.eq(total == expected)]
    return Property(m, ok, inputs, given)


def encoder_issues_once(pe: DigitElement) -> Property:
    """Each nonzero digit of a group is issued once, in order; an empty group issues one zero.

    Nothing is issued without leave, and the next group is taken not before the last digit and not
    after it.
    """
    m = Module()
    m.submodules.dut = dut = SparseEncoder(pe)
    inputs = _drive(m, dut)
    held, last = Signal(), Signal()
    wanted = Signal(pe.group)
    group = [Signal(signed(3), name=f"digit_{n}") for n in range(pe.group)]
    digits = [_digit(dut.groups.payload.digits[n]) for n in range(pe.group)]
    position, final = dut.position, Signal()
    below = (1 << position) - 1
    issued = _digit(dut.digit)
    remaining = wanted & ~(1 << position)
    m.d.comb += final.eq((wanted == 0) | (remaining == 0))
    right = Mux(
        wanted == 0,
        issued == 0,
        wanted.bit_select(position, 1)
        & ((wanted & below) == 0)
        & (issued == Array(group)[position]),
    )
    ok, given = Signal(), Signal()
    exclusive = ~Cat(d.one & d.two for d in dut.groups.payload.digits).any()
    m.d.comb += [
        given.eq(exclusive),
        ok.eq(
            (dut.issues == (held & dut.go))
            & Mux(dut.issues, right, issued == 0)
            & (dut.ends == (dut.issues & final & last))
            & (dut.groups.ready == (~held | (dut.issues & final)))
        ),
    ]
    with m.If(dut.issues):
        m.d.sync += [held.eq(~final), wanted.eq(remaining)]
    with m.If(dut.groups.valid & dut.groups.ready):
        m.d.sync += [held.eq(1), last.eq(dut.groups.payload.last)]
        m.d.sync += [wanted[n].eq(d != 0) for n, d in enumerate(digits)]
        m.d.sync += [group[n].eq(d) for n, d in enumerate(digits)]
    return Property(m, ok, inputs, given)


def column_issues_all(pe: DigitElement, *, pause: int) -> Property:
    """With all weights 1, a finished pass holds the sum of the digits of all of its groups.

    So no digit is lost, issued twice or counted in another pass, whatever stalls: the streams of
    the lanes and the leave to end a pass are free. The pairs hold for as long as is promised, and a
    lane whose pass is not complete takes its next group in time.
    """
    m = Module()
    m.submodules.dut = dut = DigitColumn(pe, size=1, pause=pause)
    inputs = _drive(m, dut, fixed={"b": Cat(Const(1, pe.weight.bits) for _ in range(pe.lanes))})
    width = pe.pair_bits
    exclusive = []
    sums, closed, prompt = [], [], []
    for n in range(pe.lanes):
        port = getattr(dut, f"groups_{n}")
        # Two passes can be under way in a lane: the one that runs, and the group that waits.
        running, waiting = Signal(width, name=f"running_{n}"), Signal(width, name=f"waiting_{n}")
        full, ahead = Signal(name=f"full_{n}"), Signal(name=f"ahead_{n}")
        value = sum(_digit(d) for d in port.payload.digits)
        taken = port.valid & port.ready
        exclusive += [d.one & d.two for d in port.payload.digits]
        with m.If(dut.ends):
            m.d.sync += [running.eq(waiting + Mux(taken, value, 0)), waiting.eq(0)]
            m.d.sync += [full.eq(Mux(taken & ~ahead, port.payload.last, ahead)), ahead.eq(0)]
        with m.Elif(taken):
            with m.If(full):
                m.d.sync += [waiting.eq(waiting + value), ahead.eq(port.payload.last)]
            with m.Else():
                m.d.sync += [running.eq(running + value), full.eq(port.payload.last)]
        sums.append(running)
        longest = pe.group + pause
        refused = Signal(range(longest + 2), name=f"refused_{n}")
        m.d.sync += refused.eq(Mux(port.ready | full, 0, refused + (refused <= longest)))
        prompt.append(refused <= longest)
        closed.append(full)
    sums_now = Signal(width)
    m.d.comb += sums_now.eq(sum(sums))
    stages: list[Any] = [Cat(dut.ends, sums_now)]
    for n in range(PAIRS_AFTER + pause):
        stage = Signal(1 + width, name=f"stage_{n}")
        m.d.sync += stage.eq(stages[-1])
        stages.append(stage)
    found = Signal(width)
    m.d.comb += found.eq(dut.pairs[0].sum + dut.pairs[0].carry - dut.bias)
    right = [~s[0] | (s[1:] == found) for s in stages[PAIRS_AFTER:]]
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(~Cat(exclusive).any()),
        ok.eq(Cat(*right, *prompt, ~dut.ends | Cat(closed).all()).all()),
    ]
    return Property(m, ok, inputs, given)


def output_adder_accumulates(pe: DigitElement) -> Property:
    """A result is the sum of the pairs' values, each shifted by its bit weight; fresh ones restart."""
    m = Module()
    m.submodules.dut = dut = ShiftAdd(pe, cells=1)
    inputs = _drive(m, dut)
    value = Signal(signed(pe.pair_bits))
    m.d.comb += value.eq(dut.pairs[0].sum + dut.pairs[0].carry - dut.bias)
    expected = Signal(pe.accumulator_bits)
    shifted = Signal(pe.accumulator_bits)
    m.d.comb += shifted.eq(value << (dut.weight * 2))
    seen = Signal()
    with m.If(dut.start):
        m.d.sync += expected.eq(Mux(dut.fresh, 0, expected) + shifted)
        m.d.sync += seen.eq(seen | dut.fresh)
    late: Any = Cat(seen, expected)
    for n in range(SHIFT_ADD_LATENCY - 1):
        stage = Signal(len(late), name=f"late_{n}")
        m.d.sync += stage.eq(late)
        late = stage
    ok = Signal()
    m.d.comb += ok.eq(~late[0] | (late[1:] == dut.results[0]))
    return Property(m, ok, inputs)


def queue_keeps_order(bits: int) -> Property:
    """The queue offers exactly the beats that it has taken, in order, and takes two without a pop."""
    m = Module()
    m.submodules.dut = dut = TwoEntryQueue(bits)
    inputs = _drive(m, dut)
    level = Signal(range(3))
    oldest, newest = Signal(bits), Signal(bits)
    push, pop = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    with m.If(pop):
        m.d.sync += oldest.eq(Mux(level == 2, newest, dut.i.payload))
    with m.Elif(level == 0):
        m.d.sync += oldest.eq(dut.i.payload)
    with m.If(push):
        m.d.sync += newest.eq(dut.i.payload)
    m.d.sync += level.eq(level + push - pop)
    ok = Signal()
    m.d.comb += ok.eq(
        (dut.i.ready == (level != 2))
        & (dut.o.valid == (level != 0))
        & ((level == 0) | (dut.o.payload == oldest))
    )
    return Property(m, ok, inputs)


def engine_multiplies(pe: ProcessingElement, *, rows: int = 1, cols: int = 1) -> Property:
    """Result beats are the products of the operand beats, tile by tile, under any stalls.

    The producer may idle and the consumer block in any cycle: no beat is lost, repeated or
    exchanged. At most two tiles wait for their results.
    """
    m = Module()
    m.submodules.dut = dut = create_array(pe, rows=rows, cols=cols)
    inputs = _drive(m, dut)
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
    depends on its address; what is asked for comes in whole blocks of `rows` words.
    """
    m = Module()
    bits = 4
    m.submodules.dut = dut = Feeder(Mac(), rows=rows, cols=cols, weight_address_bits=bits)
    word, weight = Signal(8 * cols), Signal(8 * cols)
    fixed = {"read_data": word, "weight_data": weight, "weight_base": Const(0, bits)}
    inputs = _drive(m, dut, fixed={**fixed, "pad": Const(0x5A, 8)})

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


def _digit(select: Any) -> Any:
    """A digit's value, from its select lines."""
    magnitude = Cat(select.one, select.two)
    return Mux(select.neg, -magnitude, magnitude)


def _drive(m: Any, dut: wiring.Component, fixed: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """Connects every input of `dut` to a free signal, or to what is fixed; returns the free ones."""
    free = []
    for path, member, value in dut.signature.flatten(dut):
        if member.flow != In:
            continue
        port = Value.cast(value)
        if fixed and path[0] in fixed:
            m.d.comb += port.eq(fixed[path[0]])
            continue
        signal = Signal(len(port), name="in_" + "_".join(map(str, path)))
        m.d.comb += port.eq(signal)
        free.append(signal)
    return tuple(free)
