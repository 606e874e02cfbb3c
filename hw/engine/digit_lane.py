"""One lane of a digit column in an array: its buffers, and what reads them in order."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.digit_column import group_layout
from hw.pe.sparse_digit import DIGIT, DigitElement

__all__ = ["DigitLane", "recoded", "segment_write"]


def recoded(pe: DigitElement) -> data.ArrayLayout:
    """All digits of an activation, least significant first."""
    return data.ArrayLayout(DIGIT, pe.digit_count)


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
    final : Out(ArrayLayout(range(pe.segment), 2))
        Per half the place of the last element of its segment; there a cycle before the segment is
        complete, and stable until every row has freed it.
    """
    return wiring.Signature(
        {
            "enable": Out(1),
            "half": Out(1),
            "element": Out(range(pe.segment)),
            "written": Out(2),
            "final": Out(data.ArrayLayout(range(pe.segment), 2)),
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
    turns : int
        Of a `hw.pe.digit_column.DigitColumn`: its cells ask for weights one after another. Those of
        one turn lie in a memory of their own, which is read so much later.

    Members
    -------
    write : In(segment_write(pe))
    a, b : In(recoded(pe)), In(ArrayLayout(weight, size))
        The element that is written.
    groups : Out(stream.Signature(group_layout(pe)))
    position : In(range(max(2, pe.group)))
        Of the group that was taken last: whose weights are asked for.
    weights : Out(ArrayLayout(weight, size))
        Of cell n ``1 + n % turns`` cycles later.
    """

    def __init__(self, pe: DigitElement, *, lane: int, size: int, turns: int) -> None:
        self._pe = pe
        self._lane = lane
        self._size = size
        self._turns = turns
        super().__init__(
            {
                "write": In(segment_write(pe)),
                "a": In(recoded(pe)),
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

    @property
    def turns(self) -> int:
        return self._turns

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        place_bits = (pe.group - 1).bit_length()
        lane_bits = (pe.lanes - 1).bit_length()
        groups = pe.segment // (pe.group * pe.lanes)

        bits = recoded(pe).size
        m.submodules.activations = activations = memory.Memory(
            shape=pe.group * bits, depth=2 * groups, init=[]
        )

        def parts(element: Any) -> tuple[Any, Any, Any]:
            """Place in the group, lane, group of the lane."""
            below = place_bits + lane_bits
            return element[:place_bits], element[place_bits:below], element[below:]

        place, lane, group = parts(self.write.element)
        mine = Signal()
        a_write = activations.write_port(granularity=bits)
        m.d.comb += [
            mine.eq(self.write.enable & (lane == self._lane)),
            a_write.en.eq(Mux(mine, 1 << place, 0)),
            a_write.addr.eq(Cat(group, self.write.half)),
            a_write.data.eq(self.a.as_value().replicate(pe.group)),
        ]

        half, index = Signal(), Signal(range(groups))
        weight = Signal(range(pe.digit_count))
        seen = Signal(2)
        reads, advance, last, last_weight = Signal(), Signal(), Signal(), Signal()
        # Of this half; known in time, since it is there a cycle before the segment counts as written.
        final = Signal(range(pe.segment), reset_less=True)
        staged, through = Signal(), Signal()
        final_place, final_lane, final_group = parts(final)
        # Whether the lane's part of the last groups of the segment is filled, or begun.
        begun, filled = Signal(), Signal()
        here = Cat(index, half)
        m.d.comb += [
            begun.eq(final_lane >= self._lane),
            filled.eq(final_lane > self._lane),
            last.eq((index == final_group) | (~begun & (index + 1 == final_group))),
            last_weight.eq(weight == pe.digit_count - 1),
            advance.eq(~staged | self.groups.ready),
            reads.eq(advance & (self.write.written ^ seen).bit_select(half, 1)),
        ]
        m.d.comb += through.eq(reads & last & last_weight)
        m.d.sync += final.eq(Mux(half ^ through, self.write.final[1], self.write.final[0]))
        with m.If(reads):
            m.d.sync += index.eq(Mux(last, 0, index + 1))
            with m.If(last):
                m.d.sync += weight.eq(Mux(last_weight, 0, weight + 1))
            with m.If(through):
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
                inside.eq(
                    Cat(
                        (index != final_group) | filled | (begun & (final_place >= n))
                        for n in range(pe.group)
                    )
                ),
            ]
        m.d.comb += [self.groups.valid.eq(staged), self.groups.payload.last.eq(staged_last)]
        for n in range(pe.group):
            stored = data.View(recoded(pe), a_read.data[n * bits : (n + 1) * bits])[staged_weight]
            digit = self.groups.payload.digits[n]
            # What lies past the end of the segment is left over from another: it is no digit.
            m.d.comb += [
                digit.one.eq(inside[n] & stored.one),
                digit.two.eq(inside[n] & stored.two),
                digit.neg.eq(stored.neg),
            ]

        current = Signal(len(here), reset_less=True)
        with m.If(self.groups.valid & self.groups.ready):
            m.d.sync += current.eq(staged_at)
        asked: Any = Cat(self.position[:place_bits], current)
        for turn in range(min(self._size, self._turns)):
            cells = range(turn, self._size, self._turns)
            weights = memory.Memory(
                shape=len(cells) * pe.weight.bits, depth=2 * groups * pe.group, init=[]
            )
            m.submodules[f"weights_{turn}"] = weights
            b_write, b_read = weights.write_port(), weights.read_port()
            m.d.comb += [
                b_write.en.eq(mine),
                b_write.addr.eq(Cat(place, group, self.write.half)),
                b_write.data.eq(Cat(self.b[n] for n in cells)),
                b_read.en.eq(1),
                b_read.addr.eq(asked),
                Cat(self.weights[n] for n in cells).eq(b_read.data),
            ]
            later = Signal(len(asked), name=f"asked_{turn + 1}", reset_less=True)
            m.d.sync += later.eq(asked)
            asked = later
        return m
