"""The two-dimensional matrix: operands are broadcast, results are drained row by row.

Every cell of a row gets the same activation and every cell of a column the same weight, in the same
cycle, straight from registers at the border: nothing is skewed, and no cell passes anything on. All
cells finish a tile at once. As no cell has a second register to hold its result, the columns take
one row per cycle into their resolve stage (for carry-save pairs: one carry-propagate adder per
column), and the next tile begins behind the last row.

With dot products as cells this is the multiplier-adder tree.
"""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.emit import place
from hw.engine.array import OutputStationaryArray
from hw.engine.beats import result_beat
from hw.engine.border import BorderSums
from hw.engine.epilogue import TAG, ColumnEpilogue, bias_correction
from hw.pe.base import CellElement
from hw.queue import TwoEntryQueue

__all__ = ["MatrixArray", "MatrixCell"]


class MatrixCell(wiring.Component):
    """One PE; what it takes comes from border registers. Latency `pe.latency`, 1 step per cycle.

    Members
    -------
    enable : In(1)
        Clock enable of every register.
    a, b, tag : In
        From the border.
    accumulator : Out
    """

    def __init__(self, pe: CellElement) -> None:
        self._pe = pe
        super().__init__(
            {
                "enable": In(1),
                "a": In(pe.a_step),
                "b": In(pe.b_step),
                "tag": In(TAG),
                "accumulator": Out(pe.accumulator),
            }
        )

    @property
    def pe(self) -> CellElement:
        return self._pe

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.pe = pe = self._pe.create()
        m.d.comb += [
            pe.enable.eq(self.enable),
            pe.valid.eq(self.tag.valid),
            pe.first.eq(self.tag.first),
            pe.a.eq(self.a),
            pe.b.eq(self.b),
            self.accumulator.eq(pe.accumulator),
        ]
        return m


class MatrixArray(OutputStationaryArray[CellElement]):
    """Multiplies tiles: a rows × K by K × cols product per K operand beats.

    Throughput: one operand beat, that is ``rows * cols * pe.k_granularity`` MACs, per cycle. A tile
    of s steps takes ``s + rows - 1`` cycles, since its rows leave one after another before the next
    tile may begin.

    Latency: `latency` cycles from the acceptance of a tile's last operand beat to its first result
    beat, which is followed by one result beat per cycle.

    Stalls: as `hw.engine.systolic.SystolicArray`.

    Parameters
    ----------
    pe : CellElement
        Takes its operands as they come: not from a neighbour, and all of a step at once.
    rows, cols : int
        Size of the array; 1 × 1 is the smallest.

    Members
    -------
    operands : In(stream.Signature(operand_beat(rows, cols, pe)))
    results : Out(stream.Signature(result_beat(cols, pe)))

    Raises
    ------
    ValueError
        `rows` or `cols` is below 1, or the PE is another.
    """

    def __init__(self, pe: CellElement, *, rows: int, cols: int) -> None:
        if pe.passes_operands or pe.staggered:
            raise ValueError(f"PE must take broadcast operands, which {pe.kind} does not")
        super().__init__(pe, rows=rows, cols=cols)

    @property
    def paced(self) -> bool:
        """Whether beats may have to wait while the results of the tile before leave: they may."""
        return self._rows > 1

    @property
    def latency(self) -> int:
        """Cycles from the last operand beat of a tile to its first result beat.

        Border register, PE, multiplexer, resolve, result queue.
        """
        return 1 + self._pe.latency + 1 + self._pe.resolve_latency + 1

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        m.submodules.queue = queue = TwoEntryQueue(result_beat(self._cols, pe))
        wiring.connect(m, wiring.flipped(self.results), queue.o)
        enable = queue.i.ready
        tag = self._admit(m, enable)
        payload = self.operands.payload
        a = [
            self._registered(m, enable, f"a_{i}", pe.west(m, word), pe.a_step)
            for i, word in enumerate(payload.a)
        ]
        b = [
            self._registered(m, enable, f"b_{j}", word, pe.b_step)
            for j, word in enumerate(payload.b)
        ]
        columns = self._columns(m, platform, enable, a, b, tag)
        for j, column in enumerate(columns):
            m.d.comb += queue.i.payload.c[j].eq(column.value)
        row = Signal(range(self._rows))
        last = row == self._rows - 1
        m.d.comb += [queue.i.valid.eq(columns[0].valid), queue.i.payload.last.eq(last)]
        with m.If(enable & queue.i.valid):
            with m.If(last):
                m.d.sync += row.eq(0)
            with m.Else():
                m.d.sync += row.eq(row + 1)
        return m

    def _admit(self, m: Any, enable: Any) -> Any:
        """Accepts operand beats; returns the tag that belongs to the border registers."""
        payload = self.operands.payload
        tag = Signal(TAG)
        starts = Signal(init=1)
        # Enabled cycles until the cells may begin another tile.
        busy = Signal(range(self._rows))
        fits, taken = Signal(), Signal()
        m.d.comb += [
            fits.eq((busy == 0) | ~starts),
            self.operands.ready.eq(enable & fits),
            taken.eq(self.operands.valid & fits),
        ]
        with m.If(enable):
            m.d.sync += [
                tag.valid.eq(taken),
                tag.first.eq(taken & starts),
                tag.last.eq(taken & payload.last),
            ]
            with m.If(taken):
                m.d.sync += starts.eq(payload.last)
            with m.If(taken & payload.last):
                m.d.sync += busy.eq(self._rows - 1)
            with m.Elif(busy != 0):
                m.d.sync += busy.eq(busy - 1)
        return tag

    def _registered(self, m: Any, enable: Any, name: str, word: Any, shape: Any) -> Any:
        register = Signal(shape, name=name, reset_less=True)
        with m.If(enable):
            m.d.sync += register.eq(word)
        return register

    def _columns(
        self, m: Any, platform: object, enable: Any, a: list[Any], b: list[Any], tag: Any
    ) -> list[Any]:
        pe = self._pe
        # Bit n is set n cycles after the last operands of a tile were at the cells.
        drain = Signal(pe.latency + self._rows)
        after = Signal(pe.latency + self._rows - 1)
        m.d.comb += drain.eq((after << 1) | tag.last)
        with m.If(enable):
            m.d.sync += after.eq(drain)
        done = drain[pe.latency :]
        row, column, correction = None, None, None
        if pe.correction:
            row, column = self._borders(m, enable, a, b, tag, drain)
        elif pe.step_bias:
            correction = bias_correction(m, pe, enable, tag, pe.step_bias, delay=pe.latency)

        def create_cell() -> MatrixCell:
            return MatrixCell(pe)

        def create_column() -> ColumnEpilogue:
            return ColumnEpilogue(pe, rows=self._rows, skewed=False)

        columns = []
        for j in range(self._cols):
            epilogue = place(
                m, platform, f"column_{j}", create_column, name="column", key=(pe, self._rows)
            )
            m.d.comb += [epilogue.enable.eq(enable), epilogue.done.eq(done)]
            for i in range(self._rows):
                cell = place(m, platform, f"cell_{i}_{j}", create_cell, name="cell", key=pe)
                m.d.comb += [
                    cell.enable.eq(enable),
                    cell.tag.eq(tag),
                    cell.a.eq(a[i]),
                    cell.b.eq(b[j]),
                    epilogue.accumulator[i].eq(cell.accumulator),
                ]
            for port, value in (("row", row), ("correction", correction)):
                if value is not None:
                    m.d.comb += getattr(epilogue, port).eq(value)
            if column is not None:
                m.d.comb += epilogue.column.eq(column[j])
            columns.append(epilogue)
        return columns

    def _borders(
        self, m: Any, enable: Any, a: list[Any], b: list[Any], tag: Any, drain: Any
    ) -> tuple[Any, list[Any] | None]:
        """Minus the rows' parts, one per cycle, step biases included; minus the columns' parts."""
        pe = self._pe
        along_rows = pe.correction
        assert along_rows is not None
        along_columns = along_rows.model_copy(
            update={"activation": pe.weight, "weight": pe.weight},
        )
        bias = pe.step_bias - along_rows.step_bias
        m.submodules.row_sums = rows = BorderSums(along_rows, count=self._rows)
        self._connect_border(m, enable, rows, a, tag, drain)
        column: list[Any] | None = None
        if pe.corrects_columns:
            bias -= along_columns.step_bias
            column = []
            # They are all wanted in the same cycle, so each has an adder of its own.
            for j in range(self._cols):
                m.submodules[f"column_sum_{j}"] = sums = BorderSums(along_columns, count=1)
                m.d.comb += sums.constant.eq(sums.offset)
                self._connect_border(m, enable, sums, b[j : j + 1], tag, drain)
                column.append(sums.value)
        constant = Signal(pe.accumulator_bits, init=rows.offset)
        if bias:
            excess = bias_correction(m, pe, enable, tag, bias)
            with m.If(enable):
                m.d.sync += constant.eq(excess + rows.offset)
        m.d.comb += rows.constant.eq(constant)
        return rows.value, column

    def _connect_border(
        self, m: Any, enable: Any, sums: BorderSums, pairs: list[Any], tag: Any, drain: Any
    ) -> None:
        """Cells of `sums` finish together, and are read one after another."""
        m.d.comb += sums.enable.eq(enable)
        for n, pair in enumerate(pairs):
            m.d.comb += [
                sums.pairs[n].eq(pair),
                sums.valid[n].eq(tag.valid),
                sums.first[n].eq(tag.first),
                sums.last[n].eq(drain[n]),
            ]
