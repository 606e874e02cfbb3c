"""``fip`` and ``ffip``: Winograd's fast inner product, half the multiplications.

For an even K, indices from 1 (an odd K is padded with a zero)::

    c[i,j]   = sum_k (a[i,2k-1] + b[2k,j]) * (a[i,2k] + b[2k-1,j])  -  alpha[i]  -  beta[j]
    alpha[i] = sum_k a[i,2k-1] * a[i,2k]
    beta[j]  = sum_k b[2k-1,j] * b[2k,j]

A cell adds, multiplies and accumulates: two elements of K per step. The sums alpha and beta belong
to a whole row and column, so one more cell per row and per column computes them at the border.

In the free-pipeline form (Pogue and Nicolici, IEEE Trans. Computers 73(2), 2024, arXiv 2311.12224)
the pre-sums travel from column to column, and each cell updates them by the difference between its
weights and those of its western neighbour: the registers that hold the pre-sums are the pipeline.

Either form accumulates in a {sum, carry} pair or, with ``carry_save = false``, in one word.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar, Literal

from amaranth import Module, Signal, signed, unsigned
from amaranth.lib import data, wiring

from hw.adder import staged_add
from hw.compress import Addend, compress
from hw.digits import booth_digit_count
from hw.operand import Operand
from hw.pe.base import CellElement, CellSignature
from hw.pe.carry_save import CarrySave, accumulate_rows, product_bias, product_rows
from hw.pe.mac import Mac

__all__ = ["FastInner", "FastInnerCell", "FastInnerElement", "FreePipeline"]


class FastInnerElement(CellElement):
    """What both forms share. Latency 2 cycles, 2 MACs per cycle, resolve 5 cycles.

    Attributes
    ----------
    carry_save : bool
        Accumulate without a carry chain (smaller per clock rate; the default).
    beta : str
        Who subtracts beta: the ``hardware``, or nobody, because it has been folded into the
        ``bias`` that is added later; results then are ``c + beta``.
    """

    carry_save: bool = True
    beta: Literal["hardware", "bias"] = "hardware"

    @property
    def latency(self) -> int:
        return 2

    @property
    def resolve_latency(self) -> int:
        return 5

    @property
    def k_granularity(self) -> int:
        return 2

    @property
    def presum(self) -> Operand:
        """Format of an activation plus a weight."""
        a, b = self.activation, self.weight
        if not a.signed and not b.signed:
            return Operand(max(a.bits, b.bits) + 1, False)
        return Operand(max(a.signed_bits, b.signed_bits) + 1)

    @property
    def accumulator(self) -> data.StructLayout:
        w = self.accumulator_bits
        if self.carry_save:
            return data.StructLayout({"sum": unsigned(w), "carry": unsigned(w)})
        return data.StructLayout({"sum": signed(w)})

    @property
    def step_bias(self) -> int:
        return product_bias(self.presum, self.presum) if self.carry_save else 0

    @property
    def digits(self) -> int:
        """Booth digits of a pre-sum."""
        return booth_digit_count(self.presum)

    @property
    def correction(self) -> CellElement:
        create = CarrySave if self.carry_save else Mac
        return create(
            activation=self.activation,
            weight=self.activation,
            accumulator_bits=self.accumulator_bits,
        )

    @property
    def corrects_columns(self) -> bool:
        return self.beta == "hardware"

    @property
    @abstractmethod
    def a_step(self) -> Any: ...

    @property
    @abstractmethod
    def b_step(self) -> Any: ...

    @abstractmethod
    def presums(self, a: Any, b: Any) -> tuple[Any, Any]:
        """The two factors, from the operands of one step."""

    def create(self) -> FastInnerCell:
        return FastInnerCell(self)

    def resolve(
        self, m: Any, accumulator: Any, correction: Any, enable: Any, row: Any = None
    ) -> Any:
        w = self.accumulator_bits
        # The row's part comes a cycle later, and the column's part another one.
        early = Signal(self.accumulator, reset_less=True)
        with m.If(enable):
            m.d.sync += early.eq(accumulator)
        # Where one word is accumulated, the row's part completes a pair.
        words = [Addend(early[word]) for word in self.accumulator.members]
        total, carry = compress(m, [*words, Addend(row)], w)
        late = Signal(data.StructLayout({"sum": w, "carry": w}), reset_less=True)
        with m.If(enable):
            m.d.sync += [late.sum.eq(total), late.carry.eq(carry)]
        words = [Addend(late.sum), Addend(late.carry), Addend(correction)]
        total, carry = compress(m, words, w)
        return staged_add(m, total, carry, enable=enable, stages=self.resolve_latency - 2)


class FastInner(FastInnerElement):
    """``fip``: operands are forwarded as they are, and each cell adds its own pair."""

    kind: Literal["fip"] = "fip"

    @property
    def a_step(self) -> Any:
        return self.a_beat

    @property
    def b_step(self) -> Any:
        return self.b_beat

    def presums(self, a: Any, b: Any) -> tuple[Any, Any]:
        return a[0] + b[1], a[1] + b[0]


class FreePipeline(FastInnerElement):
    """``ffip``: pre-sums are forwarded and updated by differences of weights."""

    kind: Literal["ffip"] = "ffip"

    passes_operands: ClassVar[bool] = True

    @property
    def a_step(self) -> Any:
        return data.ArrayLayout(self.presum.shape, 2)

    @property
    def b_step(self) -> Any:
        return data.ArrayLayout(self.presum.shape, 2)

    def west(self, m: Any, beat: Any) -> Any:
        step = Signal(self.a_step)
        m.d.comb += [step[n].eq(beat[n]) for n in range(2)]
        return step

    def north(self, m: Any, beat: Any, neighbour: Any) -> Any:
        step = Signal(self.b_step)
        for n in range(2):
            # The first activation meets the second weight and the other way round.
            own, other = beat[1 - n], 0 if neighbour is None else neighbour[1 - n]
            m.d.comb += step[n].eq(own - other)
        return step

    def presums(self, a: Any, b: Any) -> tuple[Any, Any]:
        return a[0] + b[0], a[1] + b[1]


class FastInnerCell(wiring.Component):
    """Registers two pre-sums, then accumulates their product. Latency 2 cycles, 2 MACs per cycle.

    Invariant: the words of the accumulator add up, modulo ``2**W``, to the accumulated products of
    pre-sums plus ``steps * step_bias``.
    """

    def __init__(self, parameters: FastInnerElement) -> None:
        self._parameters = parameters
        super().__init__(CellSignature(parameters))

    @property
    def parameters(self) -> FastInnerElement:
        return self._parameters

    def elaborate(self, platform: object) -> Any:
        m = Module()
        p = self._parameters
        factors = Signal(data.ArrayLayout(p.presum.shape, 2), reset_less=True)
        valid = Signal(name="factors_valid")
        first = Signal(name="factors_first", reset_less=True)
        sums = p.presums(self.a, self.b)
        with m.If(self.enable):
            m.d.sync += [factors[n].eq(sums[n]) for n in range(2)]
            m.d.sync += [valid.eq(self.valid), first.eq(self.first)]
        if p.passes_operands:
            m.d.comb += self.a_east.eq(factors)
        take = self.enable & valid
        if p.carry_save:
            rows = product_rows(
                m, factors[0], factors[1], p.presum, p.presum,
                width=p.accumulator_bits, sign_extension=False,
            )  # fmt: skip
            accumulate_rows(m, self, p.accumulator, rows, take, first)
        else:
            total = Signal(signed(p.accumulator_bits), reset_less=True)
            kept = total & ~first.replicate(p.accumulator_bits).as_signed()
            m.d.comb += self.accumulator.sum.eq(total)
            with m.If(take):
                m.d.sync += total.eq(kept + factors[0] * factors[1])
        return m
