"""The output-stationary systolic array.

With chains of multipliers as cells this is the three-dimensional cube: elements of a step that are
further down a chain are skewed by further cycles.

Operands enter on the west (activations) and north (weights) border, are skewed there, and move one
cell per cycle. Cell (i, j) sees step k of a tile i + j cycles after cell (0, 0) does. A tag that
says *valid*, *first* and *last* travels east with the activations, so the cell itself knows where a
tile starts and ends: tiles follow one another without a bubble.

Because of the skew the cells of a column finish one after another, one per cycle. An AND-OR
multiplexer per column therefore takes each finished accumulator directly into the column's single
resolve stage (for carry-save pairs: the one carry-propagate adder) while the next tile already
runs: no cell has a second register to hold or shift its result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.delay import Delay
from hw.emit import place
from hw.engine.array import OutputStationaryArray
from hw.engine.beats import result_beat
from hw.engine.border import BorderSums
from hw.engine.epilogue import TAG, ColumnEpilogue, bias_correction
from hw.pe.base import CellElement
from hw.queue import TwoEntryQueue

__all__ = ["SystolicArray", "SystolicCell"]


class SystolicCell(wiring.Component):
    """One PE and the registers that pass its operands on. Latency `pe.latency`, 1 step per cycle.

    Members
    -------
    enable : In(1)
        Clock enable of every register.
    a, tag : In
        From the west.
    b : In
        From the north.
    a_east, tag_east, b_south : Out
        The same, one cycle later.
    accumulator : Out
        Holds a finished sum in the cycle in which `done` is set.
    done : Out(1)
    """

    def __init__(self, pe: CellElement) -> None:
        self._pe = pe
        a, b = pe.a_step, pe.b_step
        super().__init__(
            {
                "enable": In(1),
                "a": In(a),
                "b": In(b),
                "tag": In(TAG),
                "a_east": Out(a),
                "b_south": Out(b),
                "tag_east": Out(TAG),
                "accumulator": Out(pe.accumulator),
                "done": Out(1),
            }
        )

    @property
    def pe(self) -> CellElement:
        return self._pe

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.pe = pe = self._pe.create()
        b = Signal(self._pe.b_step, reset_less=True)
        tag, done = Signal(TAG), Signal(self._pe.latency)
        m.d.comb += [
            pe.enable.eq(self.enable),
            pe.valid.eq(self.tag.valid),
            pe.first.eq(self.tag.first),
            pe.a.eq(self.a),
            pe.b.eq(self.b),
            self.accumulator.eq(pe.accumulator),
            self.b_south.eq(b),
            self.tag_east.eq(tag),
            self.done.eq(done[-1]),
            done[0].eq(tag.last),
        ]
        with m.If(self.enable):
            m.d.sync += [b.eq(self.b), tag.eq(self.tag), done[1:].eq(done)]
        if self._pe.passes_operands:
            m.d.comb += self.a_east.eq(pe.a_east)
        else:
            a = Signal(self._pe.a_step, reset_less=True)
            m.d.comb += self.a_east.eq(a)
            with m.If(self.enable):
                m.d.sync += a.eq(self.a)
        return m


class SystolicArray(OutputStationaryArray[CellElement]):
    """Multiplies tiles: a rows × K by K × cols product per K operand beats.

    Throughput: one operand beat, that is ``rows * cols * pe.k_granularity`` MACs, per cycle. A tile
    of s steps takes ``max(s, rows)`` cycles, since each column resolves one result per cycle; a tile
    that is shorter than `rows` waits with its last beat.

    A PE with a `correction` gets one more cell per row and per column at the border, which sum up
    what all results of a row, of a column have in excess.

    Latency: `latency` cycles from the acceptance of a tile's last operand beat to its first result
    beat, which is followed by one result beat per cycle.

    Stalls: an idle operand stream is a bubble that travels through, and finished results still
    drain. When the result stream blocks, a two-beat queue fills, then the whole array holds still.

    Parameters
    ----------
    pe : CellElement
    rows, cols : int
        Size of the array; 1 × 1 is the smallest.

    Members
    -------
    operands : In(stream.Signature(operand_beat(rows, cols, pe)))
    results : Out(stream.Signature(result_beat(cols, pe)))

    Raises
    ------
    ValueError
        `rows` or `cols` is below 1.
    """

    @property
    def paced(self) -> bool:
        """Whether the operands set the pace. They do not: only the last beat of a short tile waits."""
        return False

    @property
    def latency(self) -> int:
        """Cycles from the last operand beat of a tile to its first result beat.

        Border register, PE, multiplexer, resolve, the skew of the columns, result queue.
        """
        return 1 + self._pe.latency + 1 + self._pe.resolve_latency + (self._cols - 1) + 1

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.queue = queue = TwoEntryQueue(result_beat(self._cols, self._pe))
        wiring.connect(m, wiring.flipped(self.results), queue.o)
        enable = queue.i.ready

        tag = self._admit(m, enable)
        a, tags = self._skew_rows(m, enable, tag)
        b, beats_b = self._skew_columns(m, enable)
        cells = self._cells(m, platform, enable, [self._pe.west(m, word) for word in a], tags, b)
        if self._pe.correction:
            row, column = self._borders(m, platform, enable, cells[0], a, tags, beats_b)
            columns = self._epilogues(m, platform, enable, cells, row, column)
        else:
            columns = self._epilogues(m, platform, enable, cells)
        self._align(m, enable, columns, queue.i)
        return m

    def _admit(self, m: Any, enable: Any) -> Any:
        """Accepts operand beats; returns the tag of this cycle's beat, or of the bubble."""
        payload, rows = self.operands.payload, self._rows
        tag = Signal(TAG)
        starts = Signal(init=1)
        # Enabled cycles until the columns can take the results of another tile.
        busy = Signal(range(rows))
        fits = Signal()
        m.d.comb += [
            fits.eq((busy == 0) | ~payload.last),
            self.operands.ready.eq(enable & fits),
            tag.valid.eq(self.operands.valid & fits),
            tag.first.eq(tag.valid & starts),
            tag.last.eq(tag.valid & payload.last),
        ]
        with m.If(enable):
            with m.If(tag.valid):
                m.d.sync += starts.eq(payload.last)
            with m.If(tag.last):
                m.d.sync += busy.eq(rows - 1)
            with m.Elif(busy != 0):
                m.d.sync += busy.eq(busy - 1)
        return tag

    def _skew_rows(self, m: Any, enable: Any, tag: Any) -> tuple[list[Any], list[Any]]:
        """Delays row i by 1 + i cycles: operands and tags."""
        a = [
            self._delayed(m, enable, f"skew_a_{i}", word, self._pe.a_beat, 1 + i)
            for i, word in enumerate(self.operands.payload.a)
        ]
        # The tags have a reset, unlike the data: a stale tag would deliver a phantom result.
        tags, previous = [], tag
        for i in range(self._rows):
            stage = Signal(TAG, name=f"tag_{i}")
            with m.If(enable):
                m.d.sync += stage.eq(previous)
            tags.append(stage)
            previous = stage
        return a, tags

    def _skew_columns(self, m: Any, enable: Any) -> tuple[list[Any], list[Any]]:
        """Delays column j by 1 + j cycles: what the cells take, and the operands as they came."""
        pe = self._pe
        steps: list[Any] = []
        beats: list[Any] = []
        for j, word in enumerate(self.operands.payload.b):
            early = self._delayed(m, enable, f"skew_b_{j}", word, pe.b_beat, j)
            # The neighbour's operands have been delayed by 1 + (j - 1): they meet these.
            entering = pe.north(m, early, beats[-1] if beats else None)
            beat = step = Signal(pe.b_beat, name=f"beat_b_{j}", reset_less=True)
            with m.If(enable):
                m.d.sync += beat.eq(early)
            if entering is not early:
                step = Signal(pe.b_step, name=f"step_b_{j}", reset_less=True)
                with m.If(enable):
                    m.d.sync += step.eq(entering)
            steps.append(step)
            beats.append(beat)
        return steps, beats

    def _delayed(self, m: Any, enable: Any, name: str, word: Any, shape: Any, cycles: int) -> Any:
        """`word` so many cycles later; each further element one cycle more where they come so."""
        if self._pe.staggered and self.elements > 1:
            step = Signal(shape, name=f"{name}_step")
            for n in range(self.elements):
                operand = shape.elem_shape
                line = self._line(m, enable, f"{name}_{n}", word[n], operand, cycles + n)
                m.d.comb += step[n].eq(line)
            return step
        return self._line(m, enable, name, word, shape, cycles)

    def _line(self, m: Any, enable: Any, name: str, word: Any, shape: Any, cycles: int) -> Any:
        m.submodules[name] = line = Delay(shape, cycles=cycles)
        m.d.comb += [line.enable.eq(enable), line.i.eq(word)]
        return line.o

    def _borders(
        self,
        m: Any,
        platform: object,
        enable: Any,
        top: list[Any],
        a: list[Any],
        tags: list[Any],
        b: list[Any],
    ) -> tuple[Any, list[Any]]:
        """Minus the rows' part at column 0, step biases included; minus each column's part."""
        pe = self._pe
        along_rows = pe.correction
        assert along_rows is not None
        along_columns = along_rows.model_copy(
            update={"activation": pe.weight, "weight": pe.weight},
        )
        bias = pe.step_bias - along_rows.step_bias
        m.submodules.row_sums = rows = BorderSums(along_rows, count=self._rows)
        self._connect_border(m, enable, rows, a, tags)
        column: list[Any] = []
        if pe.corrects_columns:
            bias -= along_columns.step_bias
            along = [tags[0], *(cell.tag_east for cell in top[:-1])]
            # Tiles follow each other every `rows` cycles: no more columns can share an adder.
            for j in range(0, self._cols, self._rows):
                part = slice(j, min(j + self._rows, self._cols))
                sums = BorderSums(along_columns, count=part.stop - j)
                m.submodules[f"column_sums_{j}"] = sums
                m.d.comb += sums.constant.eq(sums.offset)
                self._connect_border(m, enable, sums, b[part], along[part])
                column += [sums.value] * sums.count
        constant = Signal(pe.accumulator_bits, init=rows.offset)
        if bias:
            excess = bias_correction(m, pe, enable, tags[0], bias)
            with m.If(enable):
                m.d.sync += constant.eq(excess + rows.offset)
        m.d.comb += rows.constant.eq(constant)
        return rows.value, column

    def _connect_border(
        self, m: Any, enable: Any, sums: BorderSums, pairs: list[Any], tags: list[Any]
    ) -> None:
        m.d.comb += sums.enable.eq(enable)
        for n, (pair, tag) in enumerate(zip(pairs, tags, strict=True)):
            m.d.comb += [
                sums.pairs[n].eq(pair),
                sums.valid[n].eq(tag.valid),
                sums.first[n].eq(tag.first),
                sums.last[n].eq(tag.last),
            ]

    def _cells(
        self, m: Any, platform: object, enable: Any, a: Any, tags: Any, b: Any
    ) -> list[list[Any]]:
        cells: list[list[Any]] = []

        def create() -> SystolicCell:
            return SystolicCell(self._pe)

        for i in range(self._rows):
            row: list[Any] = []
            for j in range(self._cols):
                cell = place(m, platform, f"cell_{i}_{j}", create, name="cell", key=self._pe)
                m.d.comb += [
                    cell.enable.eq(enable),
                    cell.a.eq(row[j - 1].a_east if j else a[i]),
                    cell.tag.eq(row[j - 1].tag_east if j else tags[i]),
                    cell.b.eq(cells[i - 1][j].b_south if i else b[j]),
                ]
                row.append(cell)
            cells.append(row)
        return cells

    def _epilogues(
        self,
        m: Any,
        platform: object,
        enable: Any,
        cells: list[list[Any]],
        row: Any = None,
        column: Sequence[Any] = (),
    ) -> list[Any]:
        columns: list[Any] = []
        key = (self._pe, self._rows)

        def create() -> ColumnEpilogue:
            return ColumnEpilogue(self._pe, rows=self._rows)

        correction = None
        if row is None and self._pe.step_bias:
            pe = self._pe
            correction = bias_correction(
                m, pe, enable, cells[0][0].tag, pe.step_bias, delay=pe.latency - 1
            )
        for j in range(self._cols):
            epilogue = place(m, platform, f"column_{j}", create, name="column", key=key)
            m.d.comb += epilogue.enable.eq(enable)
            for i in range(self._rows):
                m.d.comb += [
                    epilogue.done[i].eq(cells[i][j].done),
                    epilogue.accumulator[i].eq(cells[i][j].accumulator),
                ]
            if correction is not None:
                m.d.comb += epilogue.correction.eq(correction)
                correction = epilogue.correction_east
            if row is not None:
                m.d.comb += epilogue.row.eq(row)
                row = epilogue.row_east
            if column:
                m.d.comb += epilogue.column.eq(column[j])
            columns.append(epilogue)
        return columns

    def _align(self, m: Any, enable: Any, columns: list[Any], queue: Any) -> None:
        """Delays column j by cols - 1 - j cycles, so that a result beat is one row."""
        row = Signal(range(self._rows))
        for j, column in enumerate(columns):
            m.submodules[f"align_{j}"] = line = Delay(
                self._pe.accumulator_bits, cycles=self._cols - 1 - j
            )
            m.d.comb += [
                line.enable.eq(enable),
                line.i.eq(column.value),
                queue.payload.c[j].eq(line.o),
            ]
        last = row == self._rows - 1
        m.d.comb += [queue.valid.eq(columns[-1].valid), queue.payload.last.eq(last)]
        # The queue takes a beat exactly in an enabled cycle: its ready is the enable.
        with m.If(enable & queue.valid):
            with m.If(last):
                m.d.sync += row.eq(0)
            with m.Else():
                m.d.sync += row.eq(row + 1)
