"""The vector path: one multiply-accumulate or maximum per channel and cycle."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.isa import Path

__all__ = ["VECTOR_LATENCY", "VectorUnit"]

VECTOR_LATENCY = 2
"""Cycles from the word of the last tap to the accumulators: product, sum."""


class VectorUnit(wiring.Component):
    """Accumulates taps per channel: depthwise convolution, pooling, addition.

    Latency `VECTOR_LATENCY`, throughput one word (`lanes` channels) per cycle; nothing stalls.

    Members
    -------
    path : In(2)
        TAPS, SCALARS or MAXIMUM of `hw.isa.Path`.
    valid, first, last : In(1)
        A word is here; it is the first, the last tap of its pixel.
    odd : In(1)
        Which scalar weighs the word of the next cycle.
    weights : In(8 * lanes)
        One signed byte per channel, for the word of the next cycle.
    word : In(8 * lanes)
        One signed byte per channel.
    scalar_0, scalar_1 : In(signed(23))
    busy : Out(1)
        A word is here that the accumulators do not hold yet.
    o_valid : Out(1)
    accumulators : Out(ArrayLayout(signed(32), lanes))
        Of a pixel without a last tap they go on with the next word that is no first tap.
    """

    def __init__(self, *, lanes: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "path": In(Path),
                "valid": In(1),
                "first": In(1),
                "last": In(1),
                "odd": In(1),
                "word": In(data.ArrayLayout(signed(8), lanes)),
                "weights": In(data.ArrayLayout(signed(8), lanes)),
                "scalar_0": In(signed(23)),
                "scalar_1": In(signed(23)),
                "busy": Out(1),
                "o_valid": Out(1),
                "accumulators": Out(data.ArrayLayout(signed(32), lanes)),
            }
        )

    @property
    def lanes(self) -> int:
        return self._lanes

    def elaborate(self, platform: object) -> Any:
        m = Module()
        valid, first, last = Signal(), Signal(), Signal()
        m.d.sync += [valid.eq(self.valid), first.eq(self.first), last.eq(self.last)]
        m.d.comb += self.busy.eq(self.valid | valid)
        scalar = Signal(signed(23))
        m.d.comb += scalar.eq(Mux(self.odd, self.scalar_1, self.scalar_0))
        for n in range(self._lanes):
            weight = Signal(signed(23), name=f"weight_{n}", reset_less=True)
            product = Signal(signed(31), name=f"product_{n}", reset_less=True)
            with m.Switch(self.path):
                with m.Case(Path.TAPS):
                    m.d.sync += weight.eq(self.weights[n])
                with m.Case(Path.MAXIMUM):
                    m.d.sync += weight.eq(1)
                with m.Default():
                    m.d.sync += weight.eq(scalar)
            m.d.sync += product.eq(self.word[n] * weight)
            total = self.accumulators[n]
            with m.If(valid):
                with m.If(self.path == Path.MAXIMUM):
                    # Both are bytes here: what is compared with is a maximum of bytes.
                    greater = product[:8].as_signed() > total[:8].as_signed()
                    m.d.sync += total.eq(Mux(first | greater, product, total))
                with m.Else():
                    m.d.sync += total.eq(Mux(first, 0, total) + product)
        m.d.sync += self.o_valid.eq(valid & last)
        return m
