"""``opt2``, ``opt3``, ``opt4c``, ``opt4e``: digits of one bit weight at a time.

The activations are recoded into digits. For each bit weight in turn, every digit of a
reduction selects a multiple of its weight, which a compressor adds to a {sum, carry} pair; where an
encoder takes several elements of K at once, digits that are zero are never issued. When a bit weight
is finished, the pair is read out, added, shifted by the bit weight and accumulated outside the PE
(Wu et al., HPCA 2025, arXiv 2503.06342).

They differ in what shares a stream of digits, and in how many a PE takes at once:

``opt2``
    A column of PEs shares 16 (or 4, 8) streams, each of every 16th element, zero digits included:
    an adder tree per bit weight. K is split in space over the streams, and in time.

``opt3``
    Nothing: every PE has a sparse encoder of its own.
``opt4c``
    A column of PEs, which hold the results of one row of activations.
``opt4e``
    A column too, and each of its PEs has four lanes with a stream each and a single pair.

Three choices of our own keep the PE small. The "+1" of a negated row fills the vacant place of the
carry word. A row is not sign-extended: its top bit is inverted, so each lane adds the constant
``2**bits of weight``. And it does so in *every* cycle, also while nothing is issued, so that no
register of a PE needs a clock enable; the column counts what has been added
(`hw.pe.digit_column`). That counter pays where several PEs share it; `opt3` extends the sign.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

from amaranth import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out
from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from hw.compress import Addend, compress
from hw.digits import BoothSelect, Recoding, booth_digit_count
from hw.pe.base import ProcessingElement

__all__ = ["DIGIT", "DigitCell", "DigitElement", "Opt2", "Opt3", "Opt4c", "Opt4e", "select_of"]

DIGIT = data.StructLayout({"one": 1, "two": 1, "neg": 1})
"""A digit on wires, ``(-1)**neg * (one + 2*two)``; `neg` may be set for zero."""


def select_of(digit: Any) -> BoothSelect:
    """The fields of a `DIGIT`."""
    return BoothSelect(one=digit.one, two=digit.two, neg=digit.neg)


class DigitElement(ProcessingElement):
    """What the three share. Latency from a digit to its pair 1 cycle, 1 digit per lane and cycle.

    Cycles of a reduction: for each bit weight the largest over the lanes of the sum over its groups
    of ``max(1, nonzero digits)``; but `cells_per_adder` at least, to read the pairs out.

    Attributes
    ----------
    recoding : str
        ``ent`` (fewer nonzero digits; the default) or ``booth``.
    group : int
        Elements of K whose digits of one bit weight an encoder takes at once; with 1, zero digits
        are issued too.
    segment : int
        Most elements of K that are accumulated for one bit weight before it is read out; a longer
        reduction is cut. Sets the width of the pair and, in an array, the depth of its buffers.
    cells_per_adder : int
        Cells of a column that share one output adder, and take digits one after another. Fewer
        adders; but no pass over a segment is shorter. Default 8 for ``opt4c``, whose passes over a
        segment of 32 are never shorter, else 4.
    sign_extension : bool
        Sign-extend the rows instead of adding a constant in every cycle.
    """

    recoding: Recoding = "ent"
    group: Literal[1, 2, 4, 8] = 4
    segment: int = Field(default=256, ge=8, le=1 << 20)
    cells_per_adder: int = Field(default=4, ge=1, le=128)

    sign_extension: bool = False

    standalone_cells: ClassVar[int] = 1
    """PEs in `standalone`."""

    @model_validator(mode="after")
    def _segment_is_whole_groups(self) -> Self:
        # Two groups per lane at least, so that every address has a bit.
        unit = 2 * self.group * self.lanes
        if self.segment & (self.segment - 1) or self.segment < unit:
            message = f"must be a power of two of at least {unit}, not {self.segment}: change it"
            raise PydanticCustomError(
                "conflict", "{message}", {"field": "pe.segment", "message": message}
            )
        return self

    @property
    def lanes(self) -> int:
        """Digits that a PE accumulates in one cycle."""
        return 1

    @property
    def digit_count(self) -> int:
        """Digits of an activation: the extent BW of the bit-weight dimension."""
        return booth_digit_count(self.activation)

    @property
    def pair_bits(self) -> int:
        """Width of {sum, carry}: holds ``segment`` products by digits -2 to 2, sign included."""
        largest = 2 * max(-self.weight.min, self.weight.max) * self.segment
        return largest.bit_length() + 1

    @property
    def pair(self) -> data.StructLayout:
        """Layout of the accumulator."""
        return data.StructLayout(
            {"sum": unsigned(self.pair_bits), "carry": unsigned(self.pair_bits)}
        )

    @property
    def cycle_bias(self) -> int:
        """What the pair gains in every cycle beside the products."""
        return 0 if self.sign_extension else self.lanes << self.weight.signed_bits

    def create(self) -> DigitCell:
        """Builds one PE."""
        return DigitCell(self)

    def standalone(self) -> wiring.Component:
        """A column of `standalone_cells` PEs with its encoders; buffers and adders are outside."""
        from hw.pe.digit_column import DigitColumn

        return DigitColumn(self, size=self.standalone_cells)


class Opt2(DigitElement):
    """PEs that compress the products of many elements of K at one bit weight.

    A reduction takes ``digit_count * ceil(K / products)`` cycles, whatever its digits.

    Attributes
    ----------
    products : int
        Elements of K that a PE takes at once.
    """

    kind: Literal["opt2"] = "opt2"
    group: Literal[1, 2, 4, 8] = 1
    products: Literal[4, 8, 16] = 16

    standalone_cells: ClassVar[int] = 16

    @property
    def lanes(self) -> int:
        return self.products

    @model_validator(mode="after")
    def _issues_every_digit(self) -> Self:
        if self.group != 1:
            message = f"must be 1 for opt2, which issues zero digits too, not {self.group}: drop it"
            raise PydanticCustomError(
                "conflict", "{message}", {"field": "pe.group", "message": message}
            )
        return self


class Opt3(DigitElement):
    """A PE with its own sparse encoder."""

    kind: Literal["opt3"] = "opt3"
    sign_extension: bool = True


class Opt4c(DigitElement):
    """PEs that share the sparse encoder of their column."""

    kind: Literal["opt4c"] = "opt4c"
    cells_per_adder: int = Field(default=8, ge=1, le=128)

    standalone_cells: ClassVar[int] = 16


class Opt4e(DigitElement):
    """PEs with four lanes and one pair; their column has four sparse encoders."""

    kind: Literal["opt4e"] = "opt4e"

    standalone_cells: ClassVar[int] = 16

    @property
    def lanes(self) -> int:
        return 4


class DigitCell(wiring.Component):
    """Accumulates one product by a digit per lane. Latency 1 cycle after the weights' register.

    Invariant: ``sum + carry == products since the clear + cycles * cycle_bias (mod 2**pair_bits)``,
    where the cycle of the clear counts.

    Members
    -------
    clear : In(1)
        This cycle's products start a new sum.
    digits : In(ArrayLayout(DIGIT, lanes))
        Meet the weights that were at `b` in the cycle before.
    b : In(ArrayLayout(weight, lanes))
    pair : Out
    """

    def __init__(self, parameters: DigitElement) -> None:
        self._parameters = parameters
        lanes = parameters.lanes
        super().__init__(
            {
                "clear": In(1),
                "digits": In(data.ArrayLayout(DIGIT, lanes)),
                "b": In(data.ArrayLayout(parameters.weight.shape, lanes)),
                "pair": Out(parameters.pair),
            }
        )

    @property
    def parameters(self) -> DigitElement:
        return self._parameters

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        weights = Signal(self.b.shape(), reset_less=True)
        pair = Signal(p.pair, reset_less=True)
        m.d.sync += weights.eq(self.b)
        m.d.comb += self.pair.eq(pair)
        keep = ~self.clear.replicate(p.pair_bits)
        addends = [Addend(pair.sum & keep), Addend(pair.carry & keep)]
        for lane in range(p.lanes):
            value = digit_row(self.digits[lane], weights[lane], p.weight.signed_bits)
            if p.sign_extension:
                value = value.as_signed()
            else:
                value = Cat(value[:-1], ~value[-1])
            row = Signal(p.pair_bits if p.sign_extension else len(value), name=f"row_{lane}")
            m.d.comb += row.eq(value)
            addends.append(Addend(row, arrival=1))
        negations = [self.digits[lane].neg for lane in range(p.lanes)]
        total, carry = compress(m, addends, p.pair_bits, negations)
        m.d.sync += [pair.sum.eq(total), pair.carry.eq(carry)]
        return m


def digit_row(digit: Any, weight: Any, bits: int) -> Any:
    """``digit * weight - neg``, two's complement in ``bits + 1`` bits; `bits` hold the weight."""
    top = weight[-1] if weight.shape().signed else 0
    extended = Cat(weight, *[top] * (bits + 1 - len(weight)))
    doubled = Cat(0, extended[:bits])
    chosen = Mux(digit.one, extended, 0) | Mux(digit.two, doubled, 0)
    return chosen[: bits + 1] ^ digit.neg.replicate(bits + 1)
