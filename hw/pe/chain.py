"""Chains of multipliers along K: the cells of a cube.

Each link multiplies one element of a step and adds what the link before it has added, a cycle
earlier: element e must come e cycles after element 0. Behind the last link, sums accumulate over
time. With ``opt1`` a {sum, carry} pair moves along the chain, and no link has a carry chain.
"""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import wiring

from hw.compress import Addend, compress
from hw.pe.base import CellSignature, accumulator_bits_for
from hw.pe.carry_save import CarrySave, product_rows
from hw.pe.compound import Compound, accumulate, biased_bound

__all__ = ["Chain", "ChainCell"]


class Chain(Compound):
    """`depth` links and an accumulator. Latency ``depth + 1`` cycles, one step per cycle."""

    staggered: ClassVar[bool] = True

    @property
    def latency(self) -> int:
        return self.depth + 1

    def sum_bits(self, links: int) -> int:
        """Width of a word that leaves so many links."""
        width = self.accumulator_bits
        if not isinstance(self.pe, CarrySave):
            return min(width, accumulator_bits_for(self.activation, self.weight, links))
        return biased_bound(self.pe, links, width) if self.pe.step_bias else width

    def create(self) -> ChainCell:
        return ChainCell(self)


class ChainCell(wiring.Component):
    """See `Chain`; operands of element e come e cycles after `valid` and `first`."""

    def __init__(self, parameters: Chain) -> None:
        self._parameters = parameters
        super().__init__(CellSignature(parameters))

    @property
    def parameters(self) -> Chain:
        return self._parameters

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        words: list[Any] = []
        for n in range(p.depth):
            a, b = (self.a, self.b) if p.depth == 1 else (self.a[n], self.b[n])
            words = self._link(m, n, a, b, words)
        valid, first = self.valid, self.first
        for n in range(p.depth):
            tag = Signal(2, name=f"tag_{n}")
            with m.If(self.enable):
                m.d.sync += tag.eq(Cat(valid, first))
            valid, first = tag[0], tag[1]
        accumulate(m, self, p.resolving, words, self.enable & valid, first)
        return m

    def _link(self, m: Any, n: int, a: Any, b: Any, before: list[Any]) -> list[Any]:
        """The words that leave link `n`, a cycle after `a` and `b`."""
        p = self._parameters
        pe, bits = p.pe, p.sum_bits(n + 1)
        if not isinstance(pe, CarrySave):
            total = Signal(signed(bits), name=f"sum_{n}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += total.eq(sum(before, a * b))
            return [total]
        m.submodules[f"link_{n}"] = link = Module()
        multiplier, multiplicand = (b, a) if pe.recodes_weight else (a, b)
        rows = product_rows(
            link, multiplier, multiplicand, pe.multiplier, pe.multiplicand,
            width=bits, sign_extension=pe.sign_extension,
        )  # fmt: skip
        words = []
        for name, word in zip(
            ("sum", "carry"), compress(link, [*rows, *map(Addend, before)], bits), strict=True
        ):
            register = Signal(bits, name=f"{name}_{n}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += register.eq(word)
            words.append(register)
        return words
