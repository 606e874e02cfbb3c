"""The address pattern of a computation: which word each tap of each output pixel reads."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.isa import COMPUTE_LAYOUT

__all__ = ["READ", "AddressGenerator"]

READ = data.StructLayout(
    {
        "address": 24,
        "inside": 1,
        "block_end": 1,
        "tile_end": 1,
    }
)
"""One word to read. `inside`: not padding and not past the last pixel. `block_end`: the last row of
a block (one word of every row of a tile); `tile_end`: in the last block of a tile whose sums are
not kept."""

POSITION = data.StructLayout(
    {
        "pixel": 25,
        "column": 16,
        "y": signed(18),
        "x": signed(18),
        "address": 24,
    }
)
"""An output pixel: its number, its column, and where its window starts in the input."""


class AddressGenerator(wiring.Component):
    """Walks over tiles, kernel rows, kernel columns, words, and the rows of a tile, in this order.

    Latency: the first word 1 cycle after `start`; throughput one word per cycle. Convolution is
    nothing but this pattern: no copy of the input is made.

    Parameters
    ----------
    rows : int
        Output pixels of a tile while `array` is set; otherwise a tile is one pixel.
    short_tiles : bool
        The last tile ends with the last pixel; otherwise its other rows are read as not inside.

    Members
    -------
    compute : In(COMPUTE_LAYOUT)
        Stable from `start` until `busy` falls.
    array : In(1)
    start : In(1)
    busy : Out(1)
    reads : Out(stream.Signature(READ))
    final : Out(1)
        `reads` is in the last block of the computation.
    """

    def __init__(self, *, rows: int, short_tiles: bool = False) -> None:
        self._rows = rows
        self._short_tiles = short_tiles
        super().__init__(
            {
                "compute": In(COMPUTE_LAYOUT),
                "array": In(1),
                "start": In(1),
                "busy": Out(1),
                "reads": Out(stream.Signature(READ)),
                "final": Out(1),
            }
        )

    @property
    def rows(self) -> int:
        return self._rows

    @property
    def short_tiles(self) -> bool:
        return self._short_tiles

    def elaborate(self, platform: object) -> Any:
        m = Module()
        c = self.compute
        tile, now, after = Signal(POSITION), Signal(POSITION), Signal(POSITION)
        following, next_tile = Signal(POSITION), Signal(POSITION)
        row = Signal(range(max(2, self._rows)))
        word = Signal(10)
        kernel_x, kernel_y = Signal(8), Signal(8)
        tap_y, tap_x = Signal(signed(18)), Signal(signed(18))
        tap_address = Signal(24)
        first_block = Signal()

        # The output pixel after `now`.
        m.d.comb += following.pixel.eq(now.pixel + 1)
        with m.If(now.column == c.out_width - 1):
            m.d.comb += [
                following.column.eq(0),
                following.y.eq(now.y + c.stride_y),
                following.x.eq(-c.pad_left.as_signed()),
                following.address.eq(now.address + c.step_y),
            ]
        with m.Else():
            m.d.comb += [
                following.column.eq(now.column + 1),
                following.y.eq(now.y),
                following.x.eq(now.x + c.stride_x),
                following.address.eq(now.address + c.step_x),
            ]

        last_row = Signal()
        last_word, last_x, last_y, last_block = Signal(), Signal(), Signal(), Signal()
        y, x = Signal(signed(19)), Signal(signed(19))
        read = self.reads.payload
        m.d.comb += [
            last_row.eq(
                ~self.array
                | (row == self._rows - 1)
                | (now.pixel == c.pixels - 1 if self._short_tiles else 0)
            ),
            last_word.eq(word == c.words - 1),
            last_x.eq(kernel_x == c.kernel_x - 1),
            last_y.eq(kernel_y == c.kernel_y - 1),
            first_block.eq((word == 0) & (kernel_x == 0) & (kernel_y == 0)),
            next_tile.eq(Mux(first_block, following, after)),
            y.eq(now.y + tap_y),
            x.eq(now.x + tap_x),
            read.address.eq(now.address + tap_address + word),
            read.inside.eq(
                (now.pixel < c.pixels) & (y >= 0) & (y < c.in_height) & (x >= 0) & (x < c.in_width)
            ),
            read.block_end.eq(last_row),
            last_block.eq(last_word & last_x & last_y),
            # A tile without an end is one that the next computation goes on with.
            read.tile_end.eq(last_block & ~c.keep),
            self.reads.valid.eq(self.busy),
            self.final.eq(last_block & (tile.pixel + self._rows >= c.pixels)),
        ]

        with m.If(self.start):
            m.d.sync += self.busy.eq(1)
            for position in (tile, now):
                m.d.sync += [
                    position.pixel.eq(0),
                    position.column.eq(0),
                    position.y.eq(-c.pad_top.as_signed()),
                    position.x.eq(-c.pad_left.as_signed()),
                    position.address.eq(c.source),
                ]
        with m.Elif(self.busy & self.reads.ready):
            with m.If(~last_row):
                m.d.sync += [row.eq(row + 1), now.eq(following)]
            with m.Else():
                m.d.sync += [row.eq(0), now.eq(tile)]
                with m.If(first_block):
                    # Where the next tile starts is known once, after the first block's rows.
                    m.d.sync += after.eq(following)
                with m.If(~last_word):
                    m.d.sync += word.eq(word + 1)
                with m.Elif(~last_x):
                    m.d.sync += [
                        word.eq(0),
                        kernel_x.eq(kernel_x + 1),
                        tap_x.eq(tap_x + c.dilation_x),
                        tap_address.eq(tap_address + c.tap_x),
                    ]
                with m.Elif(~last_y):
                    m.d.sync += [
                        word.eq(0),
                        kernel_x.eq(0),
                        kernel_y.eq(kernel_y + 1),
                        tap_x.eq(0),
                        tap_y.eq(tap_y + c.dilation_y),
                        tap_address.eq(tap_address + c.tap_y),
                    ]
                with m.Else():
                    m.d.sync += [
                        word.eq(0),
                        kernel_x.eq(0),
                        kernel_y.eq(0),
                        tap_x.eq(0),
                        tap_y.eq(0),
                        tap_address.eq(0),
                        tile.eq(next_tile),
                        now.eq(next_tile),
                    ]
                    with m.If(next_tile.pixel >= c.pixels):
                        m.d.sync += self.busy.eq(0)
        return m
