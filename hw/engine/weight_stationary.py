"""The weight-stationary systolic array.

A block of weights, `rows` elements of K by `cols` columns of N, stands still in the cells while the
rows of a tile stream by: activations move east, partial sums move south, one cell per cycle. What
leaves the south border is the sum over the block; sums of several blocks of K are added up in a
memory of `tile_rows` entries.

The next block of weights moves in through a shadow register per cell while this one is at work, one
row of weights per cycle. A swap tag runs ahead of a block's first activations, diagonally as they
do, and the next weights may follow on its heels: a block of `rows` or more activation rows follows
the one before without a bubble.
"""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hw.delay import Delay
from hw.emit import place
from hw.engine.array import Sized
from hw.engine.beats import activation_beat, result_beat, weight_beat
from hw.engine.block_sums import CONTROL, BlockSums
from hw.engine.stationary_cell import StationaryCell, StationaryColumn
from hw.pe.base import ProcessingElement
from hw.pe.stationary import stationary_form
from hw.queue import TwoEntryQueue

__all__ = ["WeightStationaryArray"]

_TO_CELL = 2
"""Cycles from an activation's acceptance to its first cell: the swap tag is one ahead of it."""


class WeightStationaryArray(Sized[ProcessingElement], wiring.Component):
    """Multiplies tiles of up to `tile_rows` rows of A by blocks of B that stand still.

    A tile is ``ceil(K / rows)`` blocks, the last filled with zeros, each with the same rows of A in
    the same order. For each block, `rows` beats of weights and one beat of activations per row.
    Weights may come at any time up to one block ahead. A tile of a single block may have any number
    of rows.

    Throughput: one beat of activations, ``rows * cols`` MACs, per cycle; but blocks begin `rows`
    cycles apart or more, and a row's next block at least `revisit` cycles after its last.

    Latency: `latency` cycles from a row's activations of the last block to its result beat.

    Stalls: missing activations are a bubble that travels through; missing weights make the next
    block's first activations wait. When the result stream blocks, a two-beat queue fills, then the
    whole array holds still.

    Parameters
    ----------
    pe : ProcessingElement
        With a stationary form: ``mac`` or ``opt1``.
    rows, cols : int
        Elements of K and columns of N in a block.
    tile_rows : int
        Entries of the memory of partial sums: rows of A in a tile.

    Members
    -------
    weights : In(stream.Signature(weight_beat(cols, pe)))
    activations : In(stream.Signature(activation_beat(rows, pe)))
    results : Out(stream.Signature(result_beat(cols, pe)))

    Raises
    ------
    ValueError
        A size is below 1, or the PE has no stationary form.
    """

    def __init__(self, pe: ProcessingElement, *, rows: int, cols: int, tile_rows: int) -> None:
        if min(rows, cols, tile_rows) < 1:
            raise ValueError(
                "array must have at least 1 row, 1 column and 1 row of a tile, "
                f"not {rows} x {cols} and {tile_rows}"
            )
        self._form = stationary_form(pe, rows)
        self._pe = self._form.pe
        self._rows = rows
        self._cols = cols
        self._tile_rows = tile_rows
        super().__init__(
            {
                "weights": In(stream.Signature(weight_beat(cols, pe))),
                "activations": In(stream.Signature(activation_beat(rows, pe))),
                "results": Out(stream.Signature(result_beat(cols, pe))),
            }
        )

    @property
    def tile_rows(self) -> int:
        return self._tile_rows

    @property
    def latency(self) -> int:
        """Cycles from a row's last beat of activations to its result beat.

        Border, cells, resolve, the skew of the columns, the sum over blocks, result queue.
        """
        return self._to_sums + self._form.add_latency + 1

    @property
    def revisit(self) -> int:
        """Fewest cycles between two blocks of one row: its sum must be back in the memory."""
        return self._form.add_latency + 2

    @property
    def _to_sums(self) -> int:
        return _TO_CELL + self._rows + self._form.resolve_latency + self._cols - 1

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.submodules.queue = queue = TwoEntryQueue(result_beat(self._cols, self.pe))
        wiring.connect(m, wiring.flipped(self.results), queue.o)
        enable = queue.i.ready
        begins = Signal()  # a block's first activations are accepted
        swap = Signal()
        with m.If(enable):
            m.d.sync += swap.eq(begins)
        row, loads, complete = self._admit_weights(m, enable, begins)
        control = self._admit_activations(m, enable, complete, begins)
        sums = self._cells(m, platform, enable, row, loads, swap)
        self._sum_up(m, enable, sums, control, queue.i)
        return m

    def _admit_weights(self, m: Any, enable: Any, begins: Any) -> tuple[Any, list[Any], Any]:
        """Accepts weights and moves them in.

        Returns the row that enters the shadow registers, which rows of cells take what comes from
        the north, and whether a block is all in, or will be after this cycle.
        """
        rows = self._rows
        row = Signal(weight_beat(self._cols, self.pe), reset_less=True)
        held = Signal()
        moved = Signal(range(rows + 1))
        room = Signal()
        moves = Signal()
        complete = Signal()
        m.d.comb += [
            room.eq(moved != rows),
            moves.eq(held & room),
            self.weights.ready.eq(enable & (~held | room)),
            complete.eq(~room | (held & (moved == rows - 1))),
        ]
        with m.If(enable):
            m.d.sync += moved.eq(Mux(begins, 0, moved + moves))
            with m.If(~held | room):
                m.d.sync += [held.eq(self.weights.valid), row.eq(self.weights.payload)]
        # A weight moves on through as many rows as weights are still to come behind it.
        hops = Signal(range(max(2, rows)), name="hops_0")
        m.d.comb += hops.eq(rows - 1 - moved)
        loads = [moves]
        for i in range(1, rows):
            load = Signal(name=f"load_{i}")
            left = Signal(range(max(2, rows - i)), name=f"hops_{i}", reset_less=True)
            with m.If(enable):
                m.d.sync += [load.eq(loads[-1] & (hops != 0)), left.eq(hops - 1)]
            loads.append(load)
            hops = left
        return row, loads, complete

    def _admit_activations(self, m: Any, enable: Any, complete: Any, begins: Any) -> Any:
        """Accepts activations; returns what is known of this cycle's."""
        payload, revisit = self.activations.payload, self.revisit
        control = Signal(CONTROL)
        starts = Signal(init=1)
        fits = Signal()
        # Cycles until the next block may begin: its row i comes i cycles later or more, and must
        # find its sum in the memory.
        settle = Signal(range(revisit))
        row = Signal(range(revisit))
        m.d.comb += [
            fits.eq(~starts | (complete & (settle == 0))),
            self.activations.ready.eq(enable & fits),
            control.valid.eq(self.activations.valid & fits),
            control.block_end.eq(payload.block_end),
            control.tile_end.eq(payload.tile_end),
            begins.eq(control.valid & starts),
        ]
        with m.If(enable & control.valid):
            m.d.sync += [
                starts.eq(payload.block_end),
                row.eq(Mux(payload.block_end, 0, Mux(row == revisit - 1, row, row + 1))),
                settle.eq(revisit - 1 - row),
            ]
        with m.Elif(enable & (settle != 0)):
            m.d.sync += settle.eq(settle - 1)
        return control

    def _cells(
        self, m: Any, platform: object, enable: Any, row: Any, loads: list[Any], swap: Any
    ) -> list[Any]:
        """Returns the sum of each column over the block, aligned to the last column."""
        form, rows, cols = self._form, self._rows, self._cols
        weights = [
            self._delayed(m, enable, f"skew_b_{j}", row.b[j], self.pe.b_beat, j)
            for j in range(cols)
        ]
        start = Signal(form.partial, init={"sum": form.start})
        partial: list[Any] = [start] * cols
        for i in range(rows):
            # The first row of weights has moved on to the southernmost cells.
            a = self._delayed(
                m, enable, f"skew_a_{i}", self.activations.payload.a[rows - 1 - i],
                self.pe.a_beat, _TO_CELL + i,
            )  # fmt: skip
            load = loads[i]
            if i:
                later = Signal(name=f"swap_{i}", reset_less=True)
                with m.If(enable):
                    m.d.sync += later.eq(swap)
                swap = later
            tag = swap
            for j in range(cols):
                cell = place(
                    m, platform, f"cell_{i}_{j}", lambda: StationaryCell(form), name="cell",
                    key=form,
                )  # fmt: skip
                m.d.comb += [
                    cell.enable.eq(enable),
                    cell.a.eq(a),
                    cell.load.eq(load),
                    cell.swap.eq(tag),
                    cell.weight.eq(weights[j]),
                    cell.partial.eq(partial[j]),
                ]
                a, load, tag = cell.a_east, cell.load_east, cell.swap_east
                weights[j], partial[j] = cell.weight_south, cell.partial_south
        sums = []
        for j in range(cols):
            column = place(
                m, platform, f"column_{j}", lambda: StationaryColumn(form), name="column", key=form
            )
            m.d.comb += [column.enable.eq(enable), column.partial.eq(partial[j])]
            sums.append(self._delayed(m, enable, f"align_{j}", column.sum, form.bits, cols - 1 - j))
        return sums

    def _sum_up(self, m: Any, enable: Any, sums: list[Any], control: Any, queue: Any) -> None:
        """Adds up the blocks of a tile, and queues the results."""
        m.submodules.block_sums = blocks = BlockSums(
            self._form, cols=self._cols, tile_rows=self._tile_rows
        )
        # The memory is read in the cycle before the sums come.
        steps = self._to_sums - 1
        about = self._delayed(m, enable, "about", control, CONTROL, steps)
        valid = Signal(steps)
        with m.If(enable):
            m.d.sync += valid.eq(Cat(control.valid, valid))
        m.d.comb += [
            blocks.enable.eq(enable),
            blocks.coming.eq(about),
            blocks.coming.valid.eq(valid[-1]),
            queue.valid.eq(blocks.valid),
            queue.payload.eq(blocks.result),
        ]
        for j, word in enumerate(sums):
            m.d.comb += blocks.sums[j].eq(word)

    def _delayed(self, m: Any, enable: Any, name: str, word: Any, shape: Any, cycles: int) -> Any:
        m.submodules[name] = line = Delay(shape, cycles=cycles)
        m.d.comb += [line.enable.eq(enable), line.i.eq(word)]
        return line.o
