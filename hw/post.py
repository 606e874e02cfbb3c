"""Post-processing: accumulators become bytes, exactly."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.emit import place

__all__ = ["POST_LATENCY", "PostLane", "PostProcessor", "channel_layout"]

POST_LATENCY = 6
"""Cycles from an accumulator to its byte: bias, partial products, product, shift, rounding, range."""

# Beyond this any output byte is at a clamp, whatever the zero point is.
_SATURATED_BITS = 10


def channel_layout() -> data.StructLayout:
    """Parameters of one output channel."""
    return data.StructLayout({"bias": signed(32), "multiplier": 31, "shift": 6})


class PostLane(wiring.Component):
    """One channel: ``clamp(round_half_even((acc + bias) * multiplier * 2**-shift) + zero_point)``.

    The rounding is that of the real number: ties go to the even integer. ``acc + bias`` is taken
    modulo 2**32. Latency `POST_LATENCY` cycles, one value per cycle; nothing stalls.

    Members
    -------
    accumulator : In(signed(32))
    channel : In(channel_layout())
    zero_point, low, high : In(signed(8))
    value : Out(signed(8))
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "accumulator": In(signed(32)),
                "channel": In(channel_layout()),
                "zero_point": In(signed(8)),
                "low": In(signed(8)),
                "high": In(signed(8)),
                "value": Out(signed(8)),
            }
        )

    def elaborate(self, platform: object) -> Any:
        m = Module()
        biased = Signal(signed(32), reset_less=True)
        m.d.sync += biased.eq(self.accumulator + self.channel.bias)

        # The product of 32 by 31 bits in halves, with a register behind each multiplier.
        multiplier = self.channel.multiplier
        low, high = biased[:16], biased[16:].as_signed()
        parts = {}
        for name, part in {
            "low_low": low * multiplier[:16],
            "low_high": low * multiplier[16:],
            "high_low": high * multiplier[:16],
            "high_high": high * multiplier[16:],
        }.items():
            parts[name] = Signal(part.shape(), name=name, reset_less=True)
            m.d.sync += parts[name].eq(part)
        product = Signal(signed(63), reset_less=True)
        outer = Cat(parts["low_low"], parts["high_high"]).as_signed()
        m.d.sync += product.eq(outer + ((parts["low_high"] + parts["high_low"]) << 16))

        # Bit 0 of `shifted` is what decides a rounding; `sticky`: a bit below it is set.
        shift = self.channel.shift
        shifted = Signal(signed(64), reset_less=True)
        sticky = Signal(reset_less=True)
        doubled = Cat(0, product).as_signed()
        below = (Const(1, 65) << shift)[:64] - 1
        m.d.sync += [
            shifted.eq(doubled >> shift),
            sticky.eq((doubled.as_unsigned() & below).any()),
        ]

        quotient = shifted >> 1
        top = (1 << (_SATURATED_BITS - 1)) - 1
        rounded = Signal(signed(_SATURATED_BITS), reset_less=True)
        up = shifted[0] & (sticky | shifted[1])
        # Above `top` by rounding is `top`, and beyond the range by any amount is at its end.
        with m.If((quotient > top) | ((quotient == top) & up)):
            m.d.sync += rounded.eq(top)
        with m.Elif(quotient < -top - 1):
            m.d.sync += rounded.eq(-top - 1)
        with m.Else():
            m.d.sync += rounded.eq(quotient[:_SATURATED_BITS] + up)

        placed = Signal(signed(_SATURATED_BITS + 1))
        m.d.comb += placed.eq(rounded + self.zero_point)
        m.d.sync += self.value.eq(
            Mux(placed < self.low, self.low, Mux(placed > self.high, self.high, placed))
        )
        return m


class PostProcessor(wiring.Component):
    """A `PostLane` per channel of a word. Latency `POST_LATENCY`, one word per cycle.

    Members
    -------
    valid, last : In(1)
        `last` travels with its word.
    accumulators : In(ArrayLayout(signed(32), lanes))
    channels : In(ArrayLayout(channel_layout(), lanes))
    zero_point, low, high : In(signed(8))
    o_valid, o_last : Out(1)
    word : Out(8 * lanes)
    """

    def __init__(self, *, lanes: int) -> None:
        self._lanes = lanes
        super().__init__(
            {
                "valid": In(1),
                "last": In(1),
                "accumulators": In(data.ArrayLayout(signed(32), lanes)),
                "channels": In(data.ArrayLayout(channel_layout(), lanes)),
                "zero_point": In(signed(8)),
                "low": In(signed(8)),
                "high": In(signed(8)),
                "o_valid": Out(1),
                "o_last": Out(1),
                "word": Out(8 * lanes),
            }
        )

    @property
    def lanes(self) -> int:
        return self._lanes

    def elaborate(self, platform: object) -> Any:
        m = Module()
        values = []
        for n in range(self._lanes):
            lane = place(m, platform, f"lane_{n}", PostLane, name="post_lane", key=())
            m.d.comb += [
                lane.accumulator.eq(self.accumulators[n]),
                lane.channel.eq(self.channels[n]),
                lane.zero_point.eq(self.zero_point),
                lane.low.eq(self.low),
                lane.high.eq(self.high),
            ]
            values.append(lane.value)
        valid, last = Signal(POST_LATENCY), Signal(POST_LATENCY)
        m.d.sync += [
            valid.eq((valid << 1) | self.valid),
            last.eq((last << 1) | self.last),
        ]
        m.d.comb += [
            self.word.eq(Cat(*values)),
            self.o_valid.eq(valid[-1]),
            self.o_last.eq(last[-1]),
        ]
        return m
