"""Whether the parts of a reduction belong together, and end."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.isa import COMPUTE_LAYOUT, Path

__all__ = ["ReductionRule"]


class ReductionRule(wiring.Component):
    """Follows the computations of a program, in order, and finds sums that would be mixed or lost.

    A part of a reduction leaves its sums in the accumulators (`Compute.keep`), one tile of pixels
    on ARRAY and one pixel on the other paths. The next computation adds to them, so it must have the
    same path and as many pixels, and there must be one. `broken` is there in the cycle in which the
    instruction is in hand.

    Parameters
    ----------
    tile : int
        Pixels whose sums the array keeps.

    Members
    -------
    compute : In(COMPUTE_LAYOUT)
    coming : In(1)
        `compute` is in hand.
    taken : In(1)
        It is handed out in this cycle.
    ends : In(1)
        The program ends.
    broken : Out(1)
    """

    def __init__(self, *, tile: int) -> None:
        if tile < 1:
            raise ValueError(f"tile must have at least 1 pixel, not {tile}")
        self._tile = tile
        super().__init__(
            {
                "compute": In(COMPUTE_LAYOUT),
                "coming": In(1),
                "taken": In(1),
                "ends": In(1),
                "broken": Out(1),
            }
        )

    @property
    def tile(self) -> int:
        return self._tile

    def elaborate(self, platform: object) -> Any:
        m = Module()
        now = self.compute
        open_ = Signal()  # sums wait for the next part
        path, pixels = Signal.like(now.path), Signal.like(now.pixels)
        most = Mux(now.path == Path.ARRAY, self._tile, 1)
        other = open_ & ((now.path != path) | (now.pixels != pixels))
        many = now.keep & (now.pixels > most)
        m.d.comb += self.broken.eq((self.coming & (other | many)) | (self.ends & open_))
        with m.If(self.taken):
            m.d.sync += [open_.eq(now.keep), path.eq(now.path), pixels.eq(now.pixels)]
        return m
