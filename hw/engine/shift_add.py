"""The output adder of digit columns: what is left of a PE's carry chain and shifter."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.compress import Addend, compress
from hw.pe.sparse_digit import DigitElement

__all__ = ["AdderParts", "ShiftAdd", "parts_of"]


@dataclass(frozen=True)
class AdderParts:
    """Into how many parts the carry chains of an output adder are cut: a cycle per part.

    Attributes
    ----------
    pair, result : int
        Of the addition that resolves a pair, and of the one that accumulates.
    """

    pair: int
    result: int

    @classmethod
    def of(cls, pe: DigitElement) -> AdderParts:
        """So many that a cycle is no longer than one of the PE's own."""
        return cls(2, 3) if pe.lanes == 1 else cls(1, 2)

    @property
    def latency(self) -> int:
        """Cycles from a cell's pair to its accumulated result: selection and shift are one each."""
        return 2 + self.pair + self.result


class ShiftAdd(wiring.Component):
    """Adds up the pairs of a few cells, one per cycle, and accumulates them by their bit weight.

    Stages: a multiplexer takes a pair, and a row of full adders subtracts the bias from it;
    carry-propagate additions resolve it at its own width, part by part from the least significant
    one; the sum is sign-extended and shifted by two bits per bit weight; and it is added to the
    cell's result, part by part again (`AdderParts`). A pair must not be extended or shifted before it
    is added, since its two words wrap on their own.

    Latency ``AdderParts.of(pe).latency``, one pair per cycle: all results are up to date ``cells - 1``
    cycles and the latency after `start`, every lower part a cycle earlier.

    Members
    -------
    start : In(1)
        The pair of cell 0 is here; that of cell n is n cycles later.
    weight : In(range(pe.digit_count))
        Bit weight of the pairs; read with `start`.
    fresh : In(1)
        They begin new results; read with `start`.
    bias : In(pair_bits)
        Of all pairs; read with `start`.
    pairs : In(ArrayLayout(pair, cells))
        Of a `hw.pe.digit_column.DigitColumn`.
    results : Out(ArrayLayout(W, cells))
    """

    def __init__(self, pe: DigitElement, *, cells: int) -> None:
        if cells < 1:
            raise ValueError(f"cells must be 1 or more, not {cells}")
        self._pe = pe
        self._cells = cells
        super().__init__(
            {
                "start": In(1),
                "weight": In(range(pe.digit_count)),
                "fresh": In(1),
                "bias": In(pe.pair_bits),
                "pairs": In(data.ArrayLayout(pe.pair, cells)),
                "results": Out(data.ArrayLayout(pe.accumulator_bits, cells)),
            }
        )

    @property
    def pe(self) -> DigitElement:
        return self._pe

    @property
    def cells(self) -> int:
        return self._cells

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe, width, cut = self._pe, self._pe.pair_bits, AdderParts.of(self._pe)
        started = Signal(self._cells)
        select = Signal(self._cells)
        m.d.comb += select.eq(Cat(self.start, started))
        m.d.sync += started.eq(select)
        masked = [
            self.pairs[n].as_value() & select[n].replicate(2 * width) for n in range(self._cells)
        ]
        chosen = Signal(pe.pair)
        bias, kept_bias = Signal(width), Signal(width, reset_less=True)
        taken = Signal(pe.pair, reset_less=True)
        active = Signal(cut.latency - 1)
        weight = Signal.like(self.weight, reset_less=True)
        fresh = Signal(reset_less=True)
        m.d.comb += [
            chosen.eq(reduce(or_, masked)),
            bias.eq(Mux(self.start, self.bias, kept_bias)),
        ]
        # sum + carry - bias == sum + carry + ~bias + 1
        words = [Addend(chosen.sum), Addend(chosen.carry), Addend(~bias)]
        total, carry = compress(m, words, width, [Const(1, 1)])
        m.d.sync += [
            taken.sum.eq(total),
            taken.carry.eq(carry),
            active.eq(Cat(select.any(), active)),
        ]
        with m.If(self.start):
            m.d.sync += [weight.eq(self.weight), fresh.eq(self.fresh), kept_bias.eq(self.bias)]

        resolved, carries = [], Const(0, 1)
        for n, part in enumerate(parts_of(width, cut.pair)):
            words = Cat(taken.sum[part], taken.carry[part])
            words = _later(m, words, n, f"pair_{n}")
            size = len(words) // 2
            summed = Signal(size + 1, name=f"resolved_{n}", reset_less=True)
            m.d.sync += summed.eq(words[:size] + words[size:] + carries)
            carries = summed[-1]
            resolved.append(_later(m, summed[:-1], cut.pair - 1 - n, f"resolved_{n}"))
        weight_resolved = _later(m, weight, cut.pair, "weight")
        shifted = Signal(pe.accumulator_bits, reset_less=True)
        m.d.sync += shifted.eq(Cat(resolved).as_signed() << Cat(0, weight_resolved))
        fresh_shifted = _later(m, fresh, cut.pair + 1, "fresh")
        self._accumulate(m, shifted, fresh_shifted, active[cut.pair + 1 :], cut.result)
        return m

    def _accumulate(self, m: Any, shifted: Any, fresh: Any, active: Any, parts: int) -> None:
        """Adds to the result of the cell whose turn it is, part by part."""
        carry: Any = Const(0, 1)
        rings = []
        for n, part in enumerate(parts_of(len(shifted), parts)):
            entering = _later(m, Cat(fresh, shifted[part]), n, f"entering_{n}")
            word, restart = entering[1:], entering[0]
            # The results go round: the first is that of the cell whose turn it is.
            layout = data.ArrayLayout(len(word), self._cells)
            ring = Signal(layout, name=f"ring_{n}", reset_less=True)
            added, carried = Signal(len(word) + 1, name=f"added_{n}"), Signal(name=f"carried_{n}")
            m.d.comb += added.eq((ring[0] & ~restart.replicate(len(word))) + word + carry)
            m.d.sync += carried.eq(added[-1])
            with m.If(active[n]):
                m.d.sync += [ring[i].eq(ring[i + 1]) for i in range(self._cells - 1)]
                m.d.sync += ring[self._cells - 1].eq(added[:-1])
            carry = carried
            rings.append(ring)
        for i in range(self._cells):
            m.d.comb += self.results[i].eq(Cat(ring[i] for ring in rings))


def parts_of(width: int, count: int) -> list[slice]:
    """A word's `count` parts, least significant first, as equal as can be."""
    edges = [width * n // count for n in range(count + 1)]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def _later(m: Any, value: Any, cycles: int, name: str) -> Any:
    for n in range(cycles):
        stage = Signal(len(value), name=f"{name}_after_{n + 1}", reset_less=True)
        m.d.sync += stage.eq(value)
        value = stage
    return value
