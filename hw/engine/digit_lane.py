"""One lane of a digit column in an array: its buffers, and what reads them in order."""

from __future__ import annotations

from typing import Any

from amaranth import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.digits import select_digits
from hw.pe.digit_column import group_layout
from hw.pe.sparse_digit import DigitElement

__all__ = ["DigitLane", "segment_write"]


def segment_write(pe: DigitElement) -> wiring.Signature:
    """How a segment of K is written into the lanes of every row.

    Members
    -------
    enable : Out(1)
    half : Out(1)
        Which half of the buffers.
    element : Out(range(pe.segment))
        Place in the segment.
    written : Out(2)
        Per half a bit that turns round when its segment is complete.
    counts : Out(ArrayLayout(range(pe.segment + 1), 2))
        Per half how many elements its segment has; stable until every row has freed it.
    """
    return wiring.Signature(
        {
            "enable": Out(1),
            "half": Out(1),
            "element": Out(range(pe.segment)),
            "written": Out(2),
            "counts": Out(data.ArrayLayout(range(pe.segment + 1), 2)),
        }
    )


class DigitLane(wiring.Component):
    """Holds every `pe.lanes`-th group of two segments; streams their digits, bit weight by bit weight.

    Latency 2 cycles from a complete segment to its first group in the encoder; then one group per
    cycle if they are taken.

    Parameters
    ----------
    lane : int
        Which groups: ``lane``, ``lane + pe.lanes``, and so on.
    size : int
        Weights that belong to one element of K.

    Members
    -------
    write : In(segment_write(pe))
    a, b : In(activation), In(ArrayLayout(weight, size))
        The element that is written.
    groups : Out(stream.Signature(group_layout(pe)))
    position : In(range(max(2, pe.group)))
        Of the group that was taken last: whose weights are asked for.
    weights : Out(ArrayLayout(weight, size))
        A cycle later.
    """

    def __init__(self, pe: DigitElement, *, lane: int, size: int) -> None:
        self._pe = pe
        self._lane = lane
        self._size = size
        super().__init__(
            {
                "write": In(segment_write(pe)),
                "a": In(pe.activation.shape),
                "b": In(data.ArrayLayout(pe.weight.shape, size)),
                "groups": Out(stream.Signature(group_layout(pe))),
                "position": In(range(max(2, pe.group))),
                "weights": Out(data.ArrayLayout(pe.weight.shape, size)),
            }
        )

    @property
    def pe(self) -> DigitElement:
        return self._pe

    @property
    def lane(self) -> int:
        return self._lane

    @property
    def size(self) -> int:
        return self._size

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        place_bits = (pe.group - 1).bit_length()
        lane_bits = (pe.lanes - 1).bit_length()
        groups = pe.segment // (pe.group * pe.lanes)

        bits = pe.activation.bits
        m.submodules.activations = activations = memory.Memory(
            shape=pe.group * bits, depth=2 * groups, init=[]
        )
        m.submodules.weight_rows = weights = memory.Memory(
            shape=self._size * pe.weight.bits, depth=2 * groups * pe.group, init=[]
        )
        # An element's place in the segment is: group of the lane, lane, place in the group.
        place = self.write.element[:place_bits]
        lane = self.write.element[place_bits : place_bits + lane_bits]
        group = self.write.element[place_bits + lane_bits :]
        mine = Signal()
        a_write = activations.write_port(granularity=bits)
        b_write = weights.write_port()
        m.d.comb += [
            mine.eq(self.write.enable & (lane == self._lane)),
            a_write.en.eq(Mux(mine, 1 << place, 0)),
            a_write.addr.eq(Cat(group, self.write.half)),
            a_write.data.eq(self.a.as_unsigned().replicate(pe.group)),
            b_write.en.eq(mine),
            b_write.addr.eq(Cat(place, group, self.write.half)),
            b_write.data.eq(self.b),
        ]

        half, index = Signal(), Signal(range(groups))
        weight = Signal(range(pe.digit_count))
        seen = Signal(2)
        reads, advance, last, last_weight = Signal(), Signal(), Signal(), Signal()
        count = Signal(range(pe.segment + 1))
        base, following = Signal(range(pe.segment)), Signal(range(2 * pe.segment))
        staged = Signal()
        here = Cat(index, half)
        m.d.comb += [
            count.eq(Mux(half, self.write.counts[1], self.write.counts[0])),
            base.eq(((index * pe.lanes) + self._lane) * pe.group),
            following.eq(base + pe.lanes * pe.group),
            last.eq(following >= count),
            last_weight.eq(weight == pe.digit_count - 1),
            advance.eq(~staged | self.groups.ready),
            reads.eq(advance & (self.write.written ^ seen).bit_select(half, 1)),
        ]
        with m.If(reads):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += weight.eq(Mux(last_weight, 0, weight + 1))
            with m.If(last & last_weight):
                m.d.sync += [half.eq(~half), seen.bit_select(half, 1).eq(~seen.bit_select(half, 1))]

        a_read = activations.read_port()
        staged_weight, staged_last = Signal.like(weight, reset_less=True), Signal(reset_less=True)
        staged_at = Signal(len(here), reset_less=True)
        inside = Signal(pe.group, reset_less=True)
        m.d.comb += [a_read.en.eq(reads), a_read.addr.eq(here)]
        with m.If(advance):
            m.d.sync += staged.eq(reads)
        with m.If(reads):
            m.d.sync += [
                staged_weight.eq(weight),
                staged_last.eq(last),
                staged_at.eq(here),
                inside.eq(Cat(base + n < count for n in range(pe.group))),
            ]
        m.d.comb += [self.groups.valid.eq(staged), self.groups.payload.last.eq(staged_last)]
        for n in range(pe.group):
            value = Signal(pe.activation.shape, name=f"value_{n}")
            m.d.comb += value.eq(a_read.data[n * bits : (n + 1) * bits])
            selects = select_digits(value, pe.activation, pe.recoding)
            digit = self.groups.payload.digits[n]
            # What lies past the end of the segment is left over from another: it is no digit.
            m.d.comb += [
                digit.one.eq(inside[n] & Array(s.one for s in selects)[staged_weight]),
                digit.two.eq(inside[n] & Array(s.two for s in selects)[staged_weight]),
                digit.neg.eq(Array(s.neg for s in selects)[staged_weight]),
            ]

        current = Signal(len(here), reset_less=True)
        with m.If(self.groups.valid & self.groups.ready):
            m.d.sync += current.eq(staged_at)
        b_read = weights.read_port()
        m.d.comb += [
            b_read.en.eq(1),
            b_read.addr.eq(Cat(self.position[:place_bits], current)),
            self.weights.eq(b_read.data),
        ]
        return m
