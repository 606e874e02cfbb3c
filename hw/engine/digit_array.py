"""An array of digit columns: results of sparse, bit-weight-serial PEs, in order and in step.

Each row of a tile is a digit column: it holds the row's activations, recodes them, and issues their
nonzero digits to one PE per column of the tile. Rows have different numbers of nonzero digits, so
each runs at its own pace and has its own copy of the weights, which it fetches by the position of
the digit. What keeps them together is the double buffer: a segment of K is written into all rows at
once, as soon as every row has freed that half. So a row may be one segment ahead, and no more.

A reduction of any length is exact: it is cut into segments, and each bit weight of each segment is
read out, added, shifted and accumulated by output adders.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.digits import select_digits
from hw.emit import place
from hw.engine.array import OutputStationaryArray
from hw.engine.digit_lane import DigitLane, recoded, segment_write
from hw.engine.shift_add import AdderParts, ShiftAdd
from hw.pe.digit_column import PAIRS_AFTER, DigitColumn
from hw.pe.sparse_digit import DigitElement

__all__ = ["DigitArray", "DigitRow", "freed_after"]


def freed_after(turns: int) -> int:
    """Cycles from the end of a segment's last pass to the first beat that may overwrite it.

    The beat is written a cycle after its acceptance, and not before the last of `turns` cells has
    asked for its weights. One cycle goes to the row's register, one to the array's.
    """
    return max(2, turns - 1)


class DigitRow(wiring.Component):
    """A digit column with its lanes and output adders: one row of every tile.

    A pass over a segment at one bit weight takes the cycles of its digits, and `turns` at least; see
    `hw.pe.digit_column.DigitColumn`. The results of a tile are valid `latency` cycles after its last
    pass has ended.

    Members
    -------
    write : In(segment_write(pe))
    starts, finishes : In(2)
        Per half: its segment is the first, the last of a tile.
    a, b : In(recoded(pe)), In(ArrayLayout(weight, size))
        The element that is written, a cycle later: `write` goes through a register of the row's own,
        since it comes from one place and is needed in all lanes and memories.
    freed : Out(2)
        Per half a bit that turns round when its segment has been worked off and nothing of it is
        asked for any more: ``freed_after(turns) - 1`` cycles after its last pass has ended.
    valid : Out(1)
    taken : In(1)
        The results are taken, and may be overwritten.
    c : Out(ArrayLayout(W, size))
    """

    def __init__(self, pe: DigitElement, *, size: int) -> None:
        self._pe = pe
        self._size = size
        self._turns = min(size, pe.cells_per_adder)
        super().__init__(
            {
                "write": In(segment_write(pe)),
                "starts": In(2),
                "finishes": In(2),
                "a": In(recoded(pe)),
                "b": In(data.ArrayLayout(pe.weight.shape, size)),
                "freed": Out(2),
                "valid": Out(1),
                "taken": In(1),
                "c": Out(data.ArrayLayout(pe.accumulator_bits, size)),
            }
        )

    @property
    def pe(self) -> DigitElement:
        return self._pe

    @property
    def size(self) -> int:
        return self._size

    @property
    def turns(self) -> int:
        """Cells that share an output adder, and take digits one after another."""
        return self._turns

    @property
    def latency(self) -> int:
        """Cycles from the end of a tile's last pass to its valid results."""
        return PAIRS_AFTER + self._turns - 1 + AdderParts.of(self._pe).latency

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        write = segment_write(pe).create()
        starts, finishes = Signal(2), Signal(2)
        m.d.comb += write.final.eq(self.write.final)
        m.d.sync += [
            write.enable.eq(self.write.enable),
            write.half.eq(self.write.half),
            write.element.eq(self.write.element),
            write.written.eq(self.write.written),
            starts.eq(self.starts),
            finishes.eq(self.finishes),
        ]
        m.submodules.column = column = DigitColumn(pe, size=self._size, turns=self._turns)
        for n in range(pe.lanes):
            lane = DigitLane(pe, lane=n, size=self._size, turns=self._turns)
            m.submodules[f"lane_{n}"] = lane
            wiring.connect(m, write, lane.write)
            wiring.connect(m, lane.groups, getattr(column, f"groups_{n}"))
            m.d.comb += [lane.a.eq(self.a), lane.b.eq(self.b)]
            m.d.comb += lane.position.eq(column.position[n])
            m.d.comb += [column.b[i][n].eq(lane.weights[i]) for i in range(self._size)]

        # Which pass is running, and whether the results of the tile before are still here.
        half, busy, freed = Signal(), Signal(), Signal(2)
        weight = Signal(range(pe.digit_count))
        fresh, final, last = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(weight == pe.digit_count - 1),
            fresh.eq(starts.bit_select(half, 1) & (weight == 0)),
            final.eq(finishes.bit_select(half, 1) & last),
            column.may_end.eq(~(fresh & busy)),
        ]
        with m.If(column.ends):
            m.d.sync += weight.eq(Mux(last, 0, weight + 1))
            with m.If(last):
                m.d.sync += [half.eq(~half), freed.eq(freed ^ (1 << half))]
        # The last cells still fetch weights when the first have ended.
        for n in range(freed_after(self._turns) - 2):
            later = Signal(2, name=f"freed_{n}")
            m.d.sync += later.eq(freed)
            freed = later
        m.d.comb += self.freed.eq(freed)
        with m.If(self.taken):
            m.d.sync += [busy.eq(0), self.valid.eq(0)]
        with m.If(column.ends & final):
            m.d.sync += busy.eq(1)
        finishing = Signal(self.latency - 1)
        m.d.sync += finishing.eq(Cat(column.ends & final, finishing))
        with m.If(finishing[-1]):
            m.d.sync += self.valid.eq(1)

        stages = Cat(column.ends, fresh, weight)
        for n in range(PAIRS_AFTER):
            stage = Signal(len(stages), name=f"pass_{n}")
            m.d.sync += stage.eq(stages)
            stages = stage
        for first in range(0, self._size, self._turns):
            adder = ShiftAdd(pe, cells=self._turns)
            m.submodules[f"adder_{first // self._turns}"] = adder
            m.d.comb += [
                adder.start.eq(stages[0]),
                adder.fresh.eq(stages[1]),
                adder.weight.eq(stages[2:]),
                adder.bias.eq(column.bias),
            ]
            for n in range(min(self._turns, self._size - first)):
                m.d.comb += [
                    adder.pairs[n].eq(column.pairs[first + n]),
                    self.c[first + n].eq(adder.results[n]),
                ]
        return m


class DigitArray(OutputStationaryArray[DigitElement]):
    """Multiplies tiles: a rows × K by K × cols product, at the pace of the nonzero digits.

    Throughput and latency depend on the data: `sim.timing.digit_array.DigitTiming` gives every
    cycle. One operand beat is accepted per cycle while a buffer half is free; it is recoded, and
    written from a register in the cycle after.

    Stalls: an idle operand stream delays the segment that it fills; a blocked result stream stops a
    row at the end of the first pass of its next tile.

    Parameters
    ----------
    pe : DigitElement
        ``opt2``, ``opt4c`` or ``opt4e``.
    rows, cols : int
    watched : bool
        Adds the member `working`.

    Members
    -------
    operands : In(stream.Signature(operand_beat(rows, cols, pe)))
    results : Out(stream.Signature(result_beat(cols, pe)))
    working : Out(1)
        Segments that are complete have not all been worked off.

    Raises
    ------
    ValueError
        `rows` or `cols` is below 1.
    """

    def __init__(self, pe: DigitElement, *, rows: int, cols: int, watched: bool = False) -> None:
        self._watched = watched
        super().__init__(pe, rows=rows, cols=cols, more={"working": Out(1)} if watched else None)

    @property
    def watched(self) -> bool:
        return self._watched

    @property
    def paced(self) -> bool:
        """Whether the operands set the pace: they do."""
        return True

    def elaborate(self, platform: object) -> Any:
        m = Module()
        write, starts, finishes, free = self._load(m)
        digits = Signal(data.ArrayLayout(recoded(self._pe), self._rows), reset_less=True)
        weights = Signal(self.operands.payload.b.shape(), reset_less=True)
        m.d.sync += weights.eq(self.operands.payload.b)
        rows = []
        key = (self._pe, self._cols)

        def create() -> DigitRow:
            return DigitRow(self._pe, size=self._cols)

        for i in range(self._rows):
            value = self.operands.payload.a[i]
            for n, select in enumerate(
                select_digits(value, self._pe.activation, self._pe.recoding)
            ):
                digit = digits[i][n]
                m.d.sync += [
                    digit.one.eq(select.one),
                    digit.two.eq(select.two),
                    digit.neg.eq(select.neg),
                ]
            row = place(m, platform, f"row_{i}", create, name="row", key=key)
            m.d.comb += [
                row.write.enable.eq(write.enable),
                row.write.half.eq(write.half),
                row.write.element.eq(write.element),
                row.write.written.eq(write.written),
                row.write.final.eq(write.final),
                row.starts.eq(starts),
                row.finishes.eq(finishes),
                row.a.eq(digits[i]),
                row.b.eq(weights),
            ]
            rows.append(row)
        busy = Signal(2)
        m.d.comb += busy.eq(reduce(or_, [row.freed ^ write.written for row in rows]))
        # It is a cycle late; but halves are written in turn, and each for a cycle at least.
        m.d.sync += free.eq(~busy)
        if self._watched:
            m.d.comb += self.working.eq(busy.any() | ~free.all())
        self._deliver(m, rows)
        return m

    def _load(self, m: Any) -> tuple[Any, Any, Any, Any]:
        """Writes operand beats into the halves in turn."""
        pe, payload = self._pe, self.operands.payload
        write = segment_write(pe).create()
        starts, finishes, free = Signal(2), Signal(2), Signal(2, init=0b11)
        half, tile_start, complete = Signal(), Signal(init=1), Signal()
        element = Signal(range(pe.segment))
        written = Signal(2)
        m.d.comb += [
            self.operands.ready.eq(free.bit_select(half, 1)),
            write.enable.eq(self.operands.valid & self.operands.ready),
            write.half.eq(half),
            write.element.eq(element),
            write.written.eq(written),
            complete.eq(payload.last | (element == pe.segment - 1)),
        ]
        with m.If(write.enable):
            m.d.sync += element.eq(Mux(complete, 0, element + 1))
            with m.If(complete):
                m.d.sync += [
                    half.eq(~half),
                    written.eq(written ^ (1 << half)),
                    tile_start.eq(payload.last),
                ]
                for n in range(2):
                    with m.If(half == n):
                        m.d.sync += [
                            write.final[n].eq(element),
                            starts[n].eq(tile_start),
                            finishes[n].eq(payload.last),
                        ]
        return write, starts, finishes, free

    def _deliver(self, m: Any, rows: list[Any]) -> None:
        """Offers the rows of a tile in order, each as soon as it is valid."""
        chosen = Signal(self._rows, init=1)
        valids = Cat(row.valid for row in rows)
        words = [
            row.c.as_value() & chosen[i].replicate(len(row.c.as_value()))
            for i, row in enumerate(rows)
        ]
        transfer = Signal()
        m.d.comb += [
            self.results.valid.eq((valids & chosen).any()),
            self.results.payload.c.eq(reduce(or_, words)),
            self.results.payload.last.eq(chosen[-1]),
            transfer.eq(self.results.valid & self.results.ready),
        ]
        m.d.comb += [row.taken.eq(transfer & chosen[i]) for i, row in enumerate(rows)]
        with m.If(transfer):
            m.d.sync += chosen.eq(chosen.rotate_left(1))
