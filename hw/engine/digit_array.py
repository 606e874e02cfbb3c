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

from hw.emit import place
from hw.engine.array import OutputStationaryArray
from hw.engine.digit_lane import DigitLane, segment_write
from hw.engine.shift_add import SHIFT_ADD_LATENCY, ShiftAdd
from hw.pe.digit_column import PAIRS_AFTER, DigitColumn
from hw.pe.sparse_digit import DigitElement

__all__ = ["DigitArray", "DigitRow"]


class DigitRow(wiring.Component):
    """A digit column with its lanes and output adders: one row of every tile.

    A pass over a segment at one bit weight takes the cycles of its digits (see
    `hw.pe.digit_column.DigitColumn`) and `pe.cells_per_adder` - 1 more. The results of a tile are
    valid `latency` cycles after its last pass has ended.

    Members
    -------
    write : In(segment_write(pe))
    starts, finishes : In(2)
        Per half: its segment is the first, the last of a tile.
    a, b : In(activation), In(ArrayLayout(weight, size))
        The element that is written.
    freed : Out(2)
        Per half a bit that turns round when its segment has been worked off.
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
                "a": In(pe.activation.shape),
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
    def latency(self) -> int:
        """Cycles from the end of a tile's last pass to its valid results."""
        return PAIRS_AFTER + self._turns - 1 + SHIFT_ADD_LATENCY

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        m.submodules.column = column = DigitColumn(pe, size=self._size, pause=self._turns - 1)
        for n in range(pe.lanes):
            m.submodules[f"lane_{n}"] = lane = DigitLane(pe, lane=n, size=self._size)
            wiring.connect(m, wiring.flipped(self.write), lane.write)
            wiring.connect(m, lane.groups, getattr(column, f"groups_{n}"))
            m.d.comb += [lane.a.eq(self.a), lane.b.eq(self.b)]
            m.d.comb += lane.position.eq(column.position[n])
            m.d.comb += [column.b[i][n].eq(lane.weights[i]) for i in range(self._size)]

        # Which pass is running, and whether the results of the tile before are still here.
        half, busy = Signal(), Signal()
        weight = Signal(range(pe.digit_count))
        fresh, final, last = Signal(), Signal(), Signal()
        m.d.comb += [
            last.eq(weight == pe.digit_count - 1),
            fresh.eq(self.starts.bit_select(half, 1) & (weight == 0)),
            final.eq(self.finishes.bit_select(half, 1) & last),
            column.may_end.eq(~(fresh & busy)),
        ]
        with m.If(column.ends):
            m.d.sync += weight.eq(Mux(last, 0, weight + 1))
            with m.If(last):
                m.d.sync += [half.eq(~half), self.freed.eq(self.freed ^ (1 << half))]
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
    cycle. One operand beat is accepted per cycle while a buffer half is free.

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
        rows = []
        key = (self._pe, self._cols)

        def create() -> DigitRow:
            return DigitRow(self._pe, size=self._cols)

        for i in range(self._rows):
            row = place(m, platform, f"row_{i}", create, name="row", key=key)
            m.d.comb += [
                row.write.enable.eq(write.enable),
                row.write.half.eq(write.half),
                row.write.element.eq(write.element),
                row.write.written.eq(write.written),
                row.write.counts.eq(write.counts),
                row.starts.eq(starts),
                row.finishes.eq(finishes),
                row.a.eq(self.operands.payload.a[i]),
                row.b.eq(self.operands.payload.b),
            ]
            rows.append(row)
        busy = reduce(or_, [row.freed ^ write.written for row in rows])
        m.d.comb += free.eq(~busy)
        if self._watched:
            m.d.comb += self.working.eq(busy.any())
        self._deliver(m, rows)
        return m

    def _load(self, m: Any) -> tuple[Any, Any, Any, Any]:
        """Writes operand beats into the halves in turn."""
        pe, payload = self._pe, self.operands.payload
        write = segment_write(pe).create()
        starts, finishes, free = Signal(2), Signal(2), Signal(2)
        half, tile_start, complete = Signal(), Signal(init=1), Signal()
        element = Signal(range(pe.segment))
        written = Signal(2)
        counts = Signal(data.ArrayLayout(range(pe.segment + 1), 2))
        m.d.comb += [
            self.operands.ready.eq(free.bit_select(half, 1)),
            write.enable.eq(self.operands.valid & self.operands.ready),
            write.half.eq(half),
            write.element.eq(element),
            write.written.eq(written),
            write.counts.eq(counts),
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
                            counts[n].eq(element + 1),
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
