"""What is proved of the feeder: operand beats are the words that were asked for, in order, for ever.

The solver follows any one word, from the cycle in which it is asked for to the beats in which its
bytes must come. So what is proved holds for every word, and the statement keeps no more than one.
Where the registers of the block belong to what the statement keeps is said too, and proved with it:
otherwise induction would begin in states that no run reaches.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import Any

from amaranth import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hw.engine.feeder import STAGES, Feeder, early_release
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.mac import Mac
from tb.formal.solver import Property
from tb.formal.wiring import drive, peek

__all__ = ["feeder_streams_in_order"]

_BITS = 4
"""Of an address."""
_PAD = 0x5A


def feeder_streams_in_order(*, rows: int, cols: int, paced: bool = False) -> Property:
    """Operand beats are the bytes of the words that were asked for, in order.

    A block is taken while at most one waits, and what was begun is gathered without a pause; a block
    is streamed as soon as its last word can be. Memories are read for what is asked for and for
    nothing else, and `busy` says exactly whether a word of weights is still to be read. Reads come
    at any time, and the array may stall in any cycle; where the feeder relies on an array that does
    not (it gives a bank back early), the array is always ready.

    The scratchpad answers with a word that depends on the address, the weight memory with one that
    depends on its address; what is asked for comes in whole blocks of `rows` words.
    """
    m = Module()
    early = early_release(rows, cols, paced=paced)
    m.submodules.dut = dut = Feeder(
        Mac(), rows=rows, cols=cols, weight_address_bits=_BITS, paced=paced
    )
    word, weight = Signal(8 * cols), Signal(8 * cols)
    fixed = {"read_data": word, "weight_data": weight, "weight_base": Const(0, _BITS)}
    inputs = drive(m, dut, fixed={**fixed, "pad": Const(_PAD, 8)})
    answers = [Signal(8 * cols, name=f"answer_{n}") for n in range(READ_LATENCY)]
    with m.If(dut.read_enable):
        m.d.sync += answers[0].eq(_bytes_of(dut.read_address, 1, cols))
    m.d.sync += [later.eq(early) for early, later in zip(answers, answers[1:], strict=False)]
    m.d.comb += word.eq(answers[-1])
    with m.If(dut.weight_enable):
        m.d.sync += weight.eq(_bytes_of(dut.weight_address, 9, cols))

    seen = _Seen(m, dut, rows, cols)
    pick = Signal()
    followed = _Followed(m, seen, pick)
    inner = _registers(rows, cols)
    inside = _Inside(inner, seen, early)
    read, got = seen.read, dut.operands.payload
    prompt = (seen.idle <= READ_LATENCY + STAGES) & (
        dut.reads.ready | ((seen.row == 0) & (seen.owed > cols))
    )
    memories = (
        (dut.read_enable == (seen.asked & read.inside))
        & (~dut.read_enable | (dut.read_address == read.address))
        & (~dut.weight_enable | (seen.owed != 0))
        & (dut.busy == (seen.owed != 0))
        & (seen.waiting == (seen.leaving != 0))
    )
    mine = Cat(got.a[i] for i in range(rows)).word_select(followed.row, 8)
    beat = (
        (seen.count != 0)
        & (got.b.as_value() == _bytes_of(seen.place, 9, cols))
        & (~got.last | seen.last_step)
        & (
            ~followed.on
            | (followed.ahead != 0)
            | (
                (mine == followed.word.word_select(seen.step, 8))
                & (got.last == (seen.last_step & followed.ends))
            )
        )
    )
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(
            (read.block_end == (seen.row == rows - 1))
            & (~read.tile_end | read.block_end)
            & (read.address[_BITS:] == 0)
            & (dut.operands.ready | (early == 0))
            & (~seen.start | seen.may_start)
        ),
        ok.eq(
            Cat(
                prompt,
                memories,
                ~dut.operands.valid | beat,
                *inside.order(),
                *inside.weights(weight),
                *inside.follows(followed, answers),
            ).all()
        ),
    ]
    shown = Cat(
        dut.reads.ready,
        dut.busy,
        dut.waiting,
        *(
            Cat(valid, Mux(valid, word, 0))
            for valid, word in (
                (dut.read_enable, dut.read_address),
                (dut.weight_enable, dut.weight_address),
                (dut.operands.valid, Value.cast(dut.operands.payload)),
            )
        ),
    )
    return Property(m, ok, (*inputs, pick), given, inner, shown)


def _bytes_of(address: Any, mark: int, cols: int) -> Any:
    return Cat(Cat(address[:_BITS], Const((mark + n) % 16, 4)) for n in range(cols))


class _Seen:
    """What can be seen from outside: counts of what was asked for and of what has come.

    Attributes
    ----------
    row, count : Signal
        Words of the block that is being asked for; whole blocks that have not been streamed.
    step, place : Signal
        Of the beat that comes next: in its block; of its weights in their tile.
    owed : Signal
        Words of weights still to be read for the blocks that were begun.
    leaving : Signal
        Beats whose weights have been read.
    idle : Signal
        Cycles that a whole block has waited for a beat.
    ended : Signal
        The last whole block was the end of a tile.
    may_start : Value
        A computation may begin: all words have been read, and a tile without an end has left.
    """

    def __init__(self, m: Any, dut: Feeder, rows: int, cols: int) -> None:
        self.rows, self.cols = rows, cols
        self.read = read = dut.reads.payload
        self.asked = asked = dut.reads.valid & dut.reads.ready
        beat = dut.operands.valid & dut.operands.ready
        self.row, self.count = Signal(range(max(2, rows))), Signal(range(8))
        self.step, self.place = Signal(range(max(2, cols))), Signal(_BITS)
        self.owed, self.idle = Signal(range(4 * cols)), Signal(range(8))
        self.leaving, self.ended = Signal(range(4)), Signal(init=1)
        self.start, self.waiting = dut.start, dut.waiting
        self.may_start = (self.owed == 0) & ~asked & ((self.count == 0) | self.ended)
        self.last_step = self.step == cols - 1
        self.finished = finished = beat & self.last_step
        waits = ~dut.operands.valid & (self.count != 0)
        m.d.sync += [
            self.count.eq(self.count + (asked & read.block_end) - finished),
            self.owed.eq(self.owed + Mux(asked & (self.row == 0), cols, 0) - dut.weight_enable),
            self.idle.eq(Mux(waits, self.idle + (self.idle != 7), 0)),
            self.leaving.eq(self.leaving + dut.weight_enable - beat),
        ]
        with m.If(asked):
            m.d.sync += self.row.eq(Mux(read.block_end, 0, self.row + 1))
        with m.If(asked & read.block_end):
            m.d.sync += self.ended.eq(read.tile_end)
        with m.If(self.start & (self.count == 0)):
            m.d.sync += self.place.eq(0)
        with m.If(beat):
            m.d.sync += self.step.eq(Mux(self.last_step, 0, self.step + 1))
            m.d.sync += self.place.eq(Mux(dut.operands.payload.last, 0, self.place + 1))


class _Followed:
    """The word that is followed, from any cycle on in which the solver picks it.

    Attributes
    ----------
    on : Signal
    age : Signal
        Cycles since it was asked for, up to `READ_LATENCY`.
    ahead : Signal
        Whole blocks before its own that have not been streamed.
    row, word : Signal
        Its place in its block, and what its bytes must be.
    open, ends : Signal
        The end of its block has not been asked for; it was the end of a tile.
    """

    def __init__(self, m: Any, seen: _Seen, pick: Any) -> None:
        self.on, self.open, self.ends = Signal(), Signal(), Signal()
        self.age, self.ahead = Signal(range(READ_LATENCY + 1)), Signal.like(seen.count)
        self.row, self.word = Signal.like(seen.row), Signal(8 * seen.cols)
        read = seen.read
        starts = seen.asked & pick & ~self.on
        pad = Const(_PAD, 8).replicate(seen.cols)
        m.d.sync += self.age.eq(self.age + (self.age != READ_LATENCY))
        with m.If(starts):
            m.d.sync += [
                self.on.eq(1),
                self.age.eq(0),
                self.ahead.eq(seen.count - seen.finished),
                self.row.eq(seen.row),
                self.word.eq(Mux(read.inside, _bytes_of(read.address, 1, seen.cols), pad)),
            ]
        with m.Elif(self.on & seen.finished):
            m.d.sync += [self.on.eq(self.ahead != 0), self.ahead.eq(self.ahead - 1)]
        with m.If(starts | (self.open & seen.asked)):
            m.d.sync += [self.open.eq(~read.block_end), self.ends.eq(read.tile_end)]


def _registers(rows: int, cols: int) -> dict[str, Signal]:
    row_bits, step_bits = (len(Signal(range(max(2, n)))) for n in (rows, cols))
    widths = {"claimed": 1, "free": 2, "pending": 2, "row": row_bits, "fill_bank": 1}
    widths |= {"full": 2, "ends_tile": 2, "stream_bank": 1, "step": step_bits, "tile_start": 1}
    widths |= {"address": _BITS, "weights": 8 * cols, "staged": STAGES, "staged_last": STAGES}
    for n in range(READ_LATENCY):
        widths |= {f"asked_{n}": 4 + row_bits, f"asked_{n}_valid": 1}
    for i in range(rows):
        widths |= {f"bank_{n}_{i}": 8 * cols for n in range(2)}
        widths |= {f"a_{i}_{n}": 8 for n in range(STAGES)}
    return peek(**widths)


class _Inside:
    """How the registers of the block belong to what is seen of it."""

    def __init__(self, inner: dict[str, Signal], seen: _Seen, early: int) -> None:
        self._inner, self._seen, self._early = inner, seen, early
        self._rows, self._steps = seen.rows, seen.cols
        layout = data.StructLayout(
            {"inside": 1, "row": len(inner["row"]), "bank": 1, "block_end": 1, "tile_end": 1}
        )
        self._words = [
            (inner[f"asked_{n}_valid"], data.View(layout, inner[f"asked_{n}"]))
            for n in range(READ_LATENCY)
        ]
        self._full, self._bank = inner["full"], inner["stream_bank"]
        # Blocks that are whole, on their way and in banks; those whose bank is empty again.
        self._coming = reduce(add, [valid & word.block_end for valid, word in self._words])
        self._filled = self._full[0] + self._full[1]
        self._left = (seen.count - self._coming - self._filled)[:3]
        # The beats that have left the banks: the older one, and the step of the younger one.
        self._young, self._old = inner["staged"][0], inner["staged"][1]
        self._young_step = Mux(self._old, Mux(seen.last_step, 0, seen.step + 1), seen.step)

    def order(self) -> list[Any]:
        """Of counters, banks, and words on their way."""
        r, seen, rows, steps = self._inner, self._seen, self._rows, self._steps
        full, bank, early = self._full, self._bank, self._early
        row, fill = r["row"], r["fill_bank"]
        held: list[Any] = [
            (row == seen.row) & (row < rows) & (r["claimed"] == (row != 0)),
            r["pending"] == (row != 0) + self._coming + self._filled,
            r["free"] + r["pending"] == 2 + (r["step"] > steps - 1 - early),
            (r["step"] < steps) & (seen.step < steps),
            ((full == 0) & (r["step"] == 0)) | full.bit_select(bank, 1),
            fill == (bank ^ (self._coming + self._filled)[0]),
            seen.owed + r["step"] == r["pending"] * steps,
            (self._coming + self._filled) * steps + self._old + self._young + seen.step
            == seen.count * steps + r["step"],
        ]
        wait = Mux(full.any(), STAGES, 0)
        ended: Any = Mux(full.any(), r["ends_tile"].bit_select(~fill, 1), r["tile_start"])
        for n, (valid, word) in enumerate(self._words):
            # Words come as they were asked for: this one just before those behind it.
            before = Mux(row == 0, rows - 1, row - 1)[: len(row)], fill ^ (row == 0)
            row, fill = Mux(valid, before[0], row), Mux(valid, before[1], fill)
            arrives = READ_LATENCY - 1 - n
            emptied = (word.bank == bank) & (r["step"] + arrives >= steps - 1)
            held += [
                ~valid | ((word.row == row) & (word.bank == fill)),
                ~valid | (word.block_end == (word.row == rows - 1)),
                # It finds its bank empty, or just being emptied.
                ~valid | ~full.bit_select(word.bank, 1) | (emptied if early else 0),
            ]
            wait = Mux(full.any(), wait, Mux(valid & word.block_end, arrives + 1 + STAGES, wait))
        for valid, word in reversed(self._words):
            ended = Mux(valid & word.block_end, word.tile_end, ended)
        held += [~seen.ended | ended, seen.leaving == self._old + self._young]
        wait = Mux(self._old, 0, Mux(self._young, 1, wait))
        longest = READ_LATENCY + STAGES
        held.append(Mux(seen.count == 0, seen.idle == 0, seen.idle + wait <= longest))
        return held

    def weights(self, weight: Any) -> list[Any]:
        """Of weights, and of ends of tiles in the stages."""
        r, seen, cols = self._inner, self._seen, self._steps
        last = r["staged_last"]
        young = Mux(self._old, Mux(last[1], 0, seen.place + 1), seen.place)[:_BITS]
        following = Mux(self._young, Mux(last[0], 0, young + 1), young)[:_BITS]
        return [
            ~self._old | (r["weights"] == _bytes_of(seen.place, 9, cols)),
            ~self._young | (weight == _bytes_of(young, 9, cols)),
            Mux(r["tile_start"], 0, r["address"]) == following,
            ~r["tile_start"] | (r["step"] == 0),
            ~last[1] | (self._old & seen.last_step),
            ~last[0] | (self._young & (self._young_step == cols - 1)),
        ]

    def follows(self, followed: _Followed, answers: list[Any]) -> list[Any]:
        """Where the followed word is, and that it is what it must be."""
        r, seen, steps, rows = self._inner, self._seen, self._steps, self._rows
        last, on, ahead = r["staged_last"], followed.on, followed.ahead
        behind = (ahead - self._left)[:3]
        in_bank = (ahead >= self._left) & (behind < self._filled)
        waiting = (ahead >= self._left) & (behind >= self._filled)
        bank = self._bank ^ behind[0]
        arrived = followed.age == READ_LATENCY
        banks = [Array(r[f"bank_{n}_{i}"] for i in range(rows))[followed.row] for n in range(2)]
        kept = Mux(bank, banks[1], banks[0])
        shifted = followed.word >> 8 * Mux(behind == 0, r["step"], 0)
        held: list[Any] = [
            ahead <= seen.count,
            followed.open == (ahead == seen.count),
            ~followed.open | (followed.row < seen.row),
            followed.row < rows,
            ~waiting | ~arrived | ((kept == followed.word) & ~self._full.bit_select(bank, 1)),
            ~in_bank
            | (arrived & (kept == shifted) & (r["ends_tile"].bit_select(bank, 1) == followed.ends)),
            waiting | arrived,
        ]
        for n, (valid, word) in enumerate(self._words):
            answer = Mux(word.inside, answers[n], Const(_PAD, 8).replicate(steps))
            beside = valid & waiting & (word.bank == bank)
            held += [
                (followed.age != n)
                | (beside & (word.row == followed.row) & (answer == followed.word)),
                ~beside | ~arrived | (word.row > followed.row),
                ~beside | followed.open | ~word.block_end | (word.tile_end == followed.ends),
            ]
        young = self._old & seen.last_step
        for stage, here, step in (
            (1, self._old & (ahead == 0), seen.step),
            (0, self._young & (ahead == young), self._young_step),
        ):
            channel = Array(r[f"a_{i}_{stage}"] for i in range(rows))[followed.row]
            held += [
                ~here
                | (
                    (channel == followed.word.word_select(step, 8))
                    & (last[stage] == ((step == steps - 1) & followed.ends))
                )
            ]
        return [~(followed.open & ~on), *(~on | rule for rule in held)]
