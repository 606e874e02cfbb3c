"""Bursts on the memory port, and what asks for them."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["BURST", "EXTENT", "MAX_BEATS", "BurstSplitter"]

MAX_BEATS = 256
_BOUNDARY = 4096  # bytes that an AXI4 burst must not cross

EXTENT = data.StructLayout({"address": 32, "words": 24})
"""`words` words from byte address `address` on; at least one."""

BURST = data.StructLayout({"address": 32, "length": 8, "final": 1})
"""An AXI4 burst of ``length + 1`` beats; `final`: the last one of its extent."""


class BurstSplitter(wiring.Component):
    """Cuts an extent into bursts that AXI4 allows: 256 beats at most, none across 4 KiB.

    Latency 1 cycle, one burst per cycle.

    Members
    -------
    extents : In(stream.Signature(EXTENT))
    bursts : Out(stream.Signature(BURST))
    """

    def __init__(self, *, word_bytes: int) -> None:
        if word_bytes & (word_bytes - 1) or not 1 <= word_bytes <= 128:
            raise ValueError(f"word must be a power of two up to 128 bytes, not {word_bytes}")
        self._word_bytes = word_bytes
        super().__init__(
            {
                "extents": In(stream.Signature(EXTENT)),
                "bursts": Out(stream.Signature(BURST)),
            }
        )

    @property
    def word_bytes(self) -> int:
        return self._word_bytes

    def elaborate(self, platform: object) -> Any:
        m = Module()
        address, left = Signal(32), Signal(24)
        per_page = _BOUNDARY // self._word_bytes
        log = self._word_bytes.bit_length() - 1
        to_boundary, limit = Signal(13), Signal(13)
        rest, final = Signal(signed(25)), Signal()
        m.d.comb += [
            to_boundary.eq(per_page - address[log:12]),
            limit.eq(Mux(to_boundary < MAX_BEATS, to_boundary, MAX_BEATS)),
            rest.eq(left - limit),
            final.eq(rest <= 0),
            self.bursts.valid.eq(left != 0),
            self.bursts.payload.address.eq(address),
            # The sum of two bytes before the choice, which is late, not behind it.
            self.bursts.payload.length.eq(Mux(final, left[:8] - 1, limit[:8] - 1)),
            self.bursts.payload.final.eq(final),
            self.extents.ready.eq(left == 0),
        ]
        with m.If(self.extents.valid & self.extents.ready):
            m.d.sync += [
                address.eq(self.extents.payload.address),
                left.eq(self.extents.payload.words),
            ]
        with m.Elif(self.bursts.valid & self.bursts.ready):
            # Behind the final burst the address does not matter, so it need not know which it is.
            m.d.sync += [address.eq(address + (limit << log)), left.eq(Mux(final, 0, rest))]
        return m
