"""Dot products of several elements of K per step: the cells of a multiplier-adder tree.

``mac``: multipliers, adders of four operands, accumulator; each in a cycle of its own.

``opt1``: the carry chains leave the cell. The partial products of all multipliers are rows of one
compressor tree, which is cut in two where few words are left; its second half also takes the {sum,
carry} pair that is accumulated over time.

``opt2``: the encoders leave it too, since activations are recoded once per row of cells, at the
border; and so does the shift, but for one per step. The products by the digits of one bit weight
are narrow numbers of equal weight: a low-width tree per bit weight compresses them, then the pairs
are shifted and accumulated (Wu et al., HPCA 2025, arXiv 2503.06342: "OPT2", with all bit weights
side by side). Sixteen products by -2 of -128 need one bit more than 16 * 255 does; the widths here
follow from the largest sum.
"""

from __future__ import annotations

from typing import Any, ClassVar

from amaranth import Cat, Module, Signal, signed
from amaranth.lib import data, wiring

from hw.compress import Addend, compress, compress_to
from hw.digits import select_digits
from hw.pe.base import CellSignature, accumulator_bits_for
from hw.pe.carry_save import CarrySave, product_rows
from hw.pe.compound import Compound, accumulate, biased_bound
from hw.pe.sparse_digit import DIGIT, Opt2, digit_row

__all__ = ["BitWeightTree", "CarrySaveTree", "DotProduct", "MacTree", "dot_product"]

_HALFWAY = 6
"""Words that are left where a carry-save tree is cut: with the pair they are three levels from it."""


class DotProduct(Compound):
    """Adds `depth` products per step. Throughput one step per cycle."""

    @property
    def latency(self) -> int:
        return 2


def dot_product(pe: Any, depth: int) -> DotProduct:
    """The cell of `depth` multipliers of `pe`.

    Raises
    ------
    ValueError
        There is no such cell of `pe`.
    """
    for cell in (CarrySaveTree, BitWeightTree):
        if pe.kind in cell.kinds:
            return cell.of(pe, depth)
    return MacTree.of(pe, depth)


class MacTree(DotProduct):
    """Multipliers, adders, accumulator. Latency 2 cycles and one per factor of four in `depth`."""

    kinds: ClassVar[tuple[str, ...]] = ("mac",)

    @property
    def stages(self) -> int:
        """Levels of adders of four operands."""
        return ((self.depth - 1).bit_length() + 1) // 2

    @property
    def latency(self) -> int:
        return 2 + self.stages

    def create(self) -> wiring.Component:
        return MacTreeCell(self)


class CarrySaveTree(DotProduct):
    """One compressor tree for all products and the accumulated pair. Latency 2 cycles."""

    kinds: ClassVar[tuple[str, ...]] = ("opt1",)

    @property
    def row_bits(self) -> int:
        """Width of the words between the halves of the tree."""
        if not self.step_bias:
            return self.accumulator_bits
        return biased_bound(self.resolving, self.depth, self.accumulator_bits)

    def create(self) -> wiring.Component:
        return CarrySaveTreeCell(self)


class BitWeightTree(DotProduct):
    """A low-width tree per bit weight; takes digits from the west. Latency 2 cycles."""

    kinds: ClassVar[tuple[str, ...]] = ("opt2",)

    @property
    def opt2(self) -> Opt2:
        """The PE that a spec names."""
        assert isinstance(self.pe, Opt2)
        return self.pe

    @property
    def a_step(self) -> Any:
        digits = data.ArrayLayout(DIGIT, self.opt2.digit_count)
        return data.ArrayLayout(digits, self.depth)

    def west(self, m: Any, beat: Any) -> Any:
        step = Signal(self.a_step)
        for element in range(self.depth):
            word = beat if self.depth == 1 else beat[element]
            selects = select_digits(word, self.activation, self.opt2.recoding)
            for digit, select in zip(step[element], selects, strict=True):
                m.d.comb += [
                    digit.one.eq(select.one),
                    digit.two.eq(select.two),
                    digit.neg.eq(select.neg),
                ]
        return step

    @property
    def weight_bias(self) -> int:
        """What the sum of one bit weight has in excess per step."""
        return self.depth << self.weight.signed_bits

    @property
    def pair_bits(self) -> int:
        """Width of the {sum, carry} pair of one bit weight: 14 for 16 products of int8."""
        return (2 * self.weight_bias).bit_length()

    @property
    def step_bias(self) -> int:
        return self.weight_bias * sum(1 << 2 * i for i in range(self.opt2.digit_count))

    def create(self) -> wiring.Component:
        return BitWeightTreeCell(self)


class _TreeCell(wiring.Component):
    """A cell whose last register is the accumulator: what comes before it is pipelined."""

    def __init__(self, parameters: DotProduct) -> None:
        self._parameters = parameters
        super().__init__(CellSignature(parameters))

    @property
    def parameters(self) -> DotProduct:
        return self._parameters

    def _accumulate(self, m: Any, words: list[Any]) -> None:
        """Takes `words`, which come `latency` - 1 enabled cycles after their operands."""
        p = self._parameters
        valid, first = self.valid, self.first
        for n in range(p.latency - 1):
            tag = Signal(2, name=f"tag_{n}")
            with m.If(self.enable):
                m.d.sync += tag.eq(Cat(valid, first))
            valid, first = tag[0], tag[1]
        accumulate(m, self, p.resolving, words, self.enable & valid, first)

    def _registered(self, m: Any, name: str, word: Any) -> Any:
        register = Signal(word.shape(), name=name, reset_less=True)
        with m.If(self.enable):
            m.d.sync += register.eq(word)
        return register

    def _pairs(self) -> list[tuple[Any, Any]]:
        if self._parameters.depth == 1:
            return [(self.a, self.b)]
        return [(self.a[e], self.b[e]) for e in range(self._parameters.depth)]


class MacTreeCell(_TreeCell):
    """See `MacTree`."""

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        assert isinstance(p, MacTree)
        words = [
            self._registered(m, f"product_{n}", a * b) for n, (a, b) in enumerate(self._pairs())
        ]
        products = 1
        for stage in range(p.stages):
            products *= 4
            bits = accumulator_bits_for(p.activation, p.weight, min(products, p.depth))
            sums = []
            for n in range(0, len(words), 4):
                total = Signal(signed(bits), name=f"total_{stage}_{n // 4}")
                m.d.comb += total.eq(sum(words[n + 1 : n + 4], words[n]))
                sums.append(self._registered(m, f"sum_{stage}_{n // 4}", total))
            words = sums
        self._accumulate(m, words)
        return m


class CarrySaveTreeCell(_TreeCell):
    """See `CarrySaveTree`."""

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        assert isinstance(p, CarrySaveTree)
        pe = p.pe
        assert isinstance(pe, CarrySave)
        rows: list[Addend] = []
        for n, (a, b) in enumerate(self._pairs()):
            multiplier, multiplicand = (b, a) if pe.recodes_weight else (a, b)
            # In a module of its own: the names of its wires are not those of its neighbours.
            m.submodules[f"product_{n}"] = product = Module()
            rows += product_rows(
                product, multiplier, multiplicand, pe.multiplier, pe.multiplicand,
                width=p.row_bits, sign_extension=pe.sign_extension,
            )  # fmt: skip
        words = compress_to(m, rows, p.row_bits, words=_HALFWAY)
        self._accumulate(m, [self._registered(m, f"word_{n}", w) for n, w in enumerate(words)])
        return m


class BitWeightTreeCell(_TreeCell):
    """See `BitWeightTree`."""

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        assert isinstance(p, BitWeightTree)
        words: list[Any] = []
        for i in range(p.opt2.digit_count):
            m.submodules[f"weight_{i}"] = tree = Module()
            rows, negations = [], []
            for element in range(p.depth):
                digit = self.a[element][i]
                b = self.b if p.depth == 1 else self.b[element]
                value = digit_row(digit, b, p.weight.signed_bits)
                rows.append(Addend(Cat(value[:-1], ~value[-1]), arrival=1))
                negations.append(Addend(digit.neg))
            pair = compress(tree, [*rows, *negations], p.pair_bits)
            words += [
                Cat(*[0] * (2 * i), self._registered(m, f"{name}_{i}", word))
                for name, word in zip(("sum", "carry"), pair, strict=True)
            ]
        self._accumulate(m, words)
        return m
