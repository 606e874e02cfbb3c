"""``opt1``: carry-save accumulation; the carry chain leaves the PE.

The cell recodes one operand into Booth digits, selects one multiple of the other operand per digit,
and compresses these rows together with the accumulated {sum, carry} pair. One carry-propagate
addition (CPA) per finished sum is left, and it is shared by a column of cells (Wu et al., HPCA
2025, arXiv 2503.06342, "OPT1").

Two forms, chosen by `sign_extension`:

*Sign-extended.* Every row is a two's complement number, sign-extended to the accumulator's width.

*Sign-extension-free.* A row keeps its own width. Its top bit is inverted, which adds
``2**multiplicand_bits`` to it, and the "+1" of a negated row fills a vacant slot in the next row.
Each step therefore adds a constant, `step_bias`, that `resolve` takes out again: for int8 it is
``256 * (1 + 4 + 16 + 64) = 21760``.
"""

from __future__ import annotations

from typing import Any, Literal

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring

from hw.adder import staged_add
from hw.compress import Addend, compress
from hw.digits import BoothSelect, booth_digit_count, booth_select
from hw.operand import Operand
from hw.pe.base import CellElement, CellSignature

__all__ = [
    "CarrySave",
    "CarrySaveCell",
    "accumulate_rows",
    "product_bias",
    "product_rows",
    "selected_rows",
]


class CarrySave(CellElement):
    """Carry-save PE. Latency 1 cycle, 1 MAC per cycle, resolve 3 cycles.

    Attributes
    ----------
    sign_extension : bool
        Sign-extend every partial product through the tree (the literature's form) instead of
        deferring a constant bias to the resolve stage (smaller and faster; the default).
    """

    kind: Literal["opt1"] = "opt1"
    sign_extension: bool = False

    @property
    def resolve_latency(self) -> int:
        return 3  # a carry chain as short as the cell's tree is deep

    @property
    def accumulator(self) -> data.StructLayout:
        w = self.accumulator_bits
        return data.StructLayout({"sum": unsigned(w), "carry": unsigned(w)})

    @property
    def recodes_weight(self) -> bool:
        """Whether the weight is the recoded operand: the one with fewer Booth digits is."""
        return booth_digit_count(self.weight) < booth_digit_count(self.activation)

    @property
    def multiplier(self) -> Operand:
        """The recoded operand."""
        return self.weight if self.recodes_weight else self.activation

    @property
    def multiplicand(self) -> Operand:
        """The operand whose multiples are selected."""
        return self.activation if self.recodes_weight else self.weight

    @property
    def step_bias(self) -> int:
        if self.sign_extension:
            return 0
        return product_bias(self.multiplier, self.multiplicand)

    def create(self) -> CarrySaveCell:
        return CarrySaveCell(self)

    def resolve(
        self, m: Any, accumulator: Any, correction: Any, enable: Any, row: Any = None
    ) -> Any:
        addends = [Addend(accumulator.sum), Addend(accumulator.carry)]
        if self.step_bias:
            addends.append(Addend(correction))
        total, carry = compress(m, addends, self.accumulator_bits)
        return staged_add(m, total, carry, enable=enable, stages=self.resolve_latency)


class CarrySaveCell(wiring.Component):
    """Accumulates ``a * b`` into a {sum, carry} pair. Latency 1 cycle, 1 MAC per cycle.

    Invariant: ``sum + carry == accumulated products + steps * step_bias (mod 2**W)``. The two words
    may wrap on their own; only their sum has a meaning.
    """

    def __init__(self, parameters: CarrySave) -> None:
        self._parameters = parameters
        super().__init__(CellSignature(parameters))

    @property
    def parameters(self) -> CarrySave:
        return self._parameters

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        multiplier, multiplicand = (self.b, self.a) if p.recodes_weight else (self.a, self.b)
        rows = product_rows(
            m, multiplier, multiplicand, p.multiplier, p.multiplicand,
            width=p.accumulator_bits, sign_extension=p.sign_extension,
        )  # fmt: skip
        accumulate_rows(m, self, p.accumulator, rows, self.enable & self.valid, self.first)
        return m


def product_rows(
    m: Any,
    multiplier: Any,
    multiplicand: Any,
    multiplier_format: Operand,
    multiplicand_format: Operand,
    *,
    width: int,
    sign_extension: bool,
) -> list[Addend]:
    """Adds to `m` the partial products of one multiplication, ready for a compressor tree.

    A row passes the recoder and the selector, so it settles a full adder's delay later than what
    comes straight from a register.

    Returns
    -------
    list of Addend
        Words whose sum modulo ``2**width`` is the product, plus `product_bias` where
        `sign_extension` is false.
    """
    selects = [
        BoothSelect(
            one=_named(m, f"one_{i}", select.one),
            two=_named(m, f"two_{i}", select.two),
            neg=_named(m, f"neg_{i}", select.neg),
        )
        for i, select in enumerate(booth_select(multiplier, multiplier_format))
    ]
    return selected_rows(
        m, selects, multiplicand, multiplicand_format, width=width, sign_extension=sign_extension
    )


def selected_rows(
    m: Any,
    selects: list[BoothSelect],
    multiplicand: Any,
    multiplicand_format: Operand,
    *,
    width: int,
    sign_extension: bool,
) -> list[Addend]:
    """`product_rows` of a multiplier that is recoded already."""
    if sign_extension:
        return _sign_extended_rows(m, selects, multiplicand, width)
    return _biased_rows(selects, multiplicand, multiplicand_format.signed_bits)


def product_bias(multiplier: Operand, multiplicand: Operand) -> int:
    """What rows without sign extension exceed their product by."""
    return sum(
        1 << (multiplicand.signed_bits + 2 * i) for i in range(booth_digit_count(multiplier))
    )


def accumulate_rows(
    m: Any, cell: Any, layout: data.StructLayout, rows: list[Addend], take: Any, first: Any
) -> None:
    """Adds to `m` the {sum, carry} pair of `cell` and the tree that adds `rows` to it."""
    # A new sum forgets the old one, so the registers need no reset.
    pair = Signal(layout, reset_less=True)
    width = len(pair.sum)
    m.d.comb += cell.accumulator.eq(pair)
    keep = ~first.replicate(width)
    addends = [Addend(pair.sum & keep), Addend(pair.carry & keep)]
    total, carry = compress(m, [*rows, *addends], width)
    with m.If(take):
        m.d.sync += [pair.sum.eq(total), pair.carry.eq(carry)]


def _complemented_row(select: BoothSelect, value: Any, bits: int) -> Any:
    """One's complement multiple of `value`, ``bits + 1`` wide; ``+ neg`` completes it."""
    extended = Cat(value, *[_sign(value)] * (bits + 1 - len(value)))
    doubled = Cat(Const(0, 1), extended[:bits])
    chosen = Mux(select.one, extended, Mux(select.two, doubled, 0))[: bits + 1]
    return chosen ^ select.neg.replicate(bits + 1)


def _biased_rows(selects: list[BoothSelect], value: Any, bits: int) -> list[Addend]:
    """Rows without sign extension; together they exceed the product by the step bias."""
    rows = []
    for i, select in enumerate(selects):
        row = _complemented_row(select, value, bits)
        rows.append(Addend(Cat(row[:bits], ~row[bits]), arrival=1, shift=2 * i))
        rows.append(Addend(select.neg, shift=2 * i))
    return rows


def _sign_extended_rows(m: Any, selects: list[BoothSelect], value: Any, width: int) -> list[Addend]:
    """Two's complement rows of full width; their sum is the product modulo ``2**width``.

    The negated multiplicand is computed once and shared, so that no row needs a "+1".
    """
    bits = len(value) if value.shape().signed else len(value) + 1
    plain = Cat(value, *[_sign(value)] * (bits + 2 - len(value)))
    negated = _named(m, "negated", (~plain + 1)[: bits + 2])
    rows = []
    for i, select in enumerate(selects):
        base = Mux(select.neg, negated, plain)
        doubled = Cat(Const(0, 1), base[: bits + 1])
        row = Mux(select.one, base, Mux(select.two, doubled, 0))
        extended = Cat(row, row[bits + 1].replicate(max(0, width - bits)))
        rows.append(Addend(extended, arrival=1, shift=2 * i))
    return rows


def _named(m: Any, name: str, value: Any) -> Any:
    """`value` as a signal: shared by its readers, and named in the Verilog."""
    signal = Signal(len(value), name=name)
    m.d.comb += signal.eq(value)
    return signal


def _sign(value: Any) -> Any:
    """The bit that extends `value`: its top bit when signed, else zero."""
    return value[-1] if value.shape().signed else Const(0, 1)
