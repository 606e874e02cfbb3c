"""tb.formal: the proofs of PEs and streams hold, and faults break them."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth import Const, Module, Signal

import hw.digits
import hw.pe.carry_save
from hw.operand import Operand
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FreePipeline
from hw.pe.sparse_digit import Opt4e
from tb.formal.algebra import Netlist, constant, product, total, variable, word
from tb.formal.catalogue import Proof, proofs
from tb.formal.faults import faults
from tb.formal.solver import Property, equivalent, prove, to_rtlil
from tb.formal.sums import cell_adds, digit_cell_adds

QUICK = [proof for proof in proofs() if proof.quick]
# Every so many of the faults, so that the test is short; `bitweft bench proofs` takes all.
FAULTED = {
    "digits[ent-int4]": 8,
    "sum[opt1-int4-int4]": 12,
    "sum[ffip-int4-int4]": 16,
    "sum[opt4e-int4-int4]": 12,
    "step[mac-int4-int4-10]": 1,
    "encoder[group 4]": 9,
    "column[opt4c-1x2]": 40,
    "queue": 4,
    "feeder[2x1]": 40,
}


def counters(defect: int) -> Property:
    """Two counters that run side by side, or drift apart."""
    m, enable, ok = Module(), Signal(name="enable"), Signal()
    one, other = Signal(4), Signal(4)
    with m.If(enable):
        m.d.sync += [one.eq(one + 1), other.eq(other + 1 + defect)]
    m.d.comb += ok.eq(one == other)
    return Property(m, ok, (enable,))


class TestSolver:
    @pytest.mark.parametrize("method", ["bounded", "induction"])
    def test_proves_and_refutes(self, method: Any) -> None:
        assert prove(to_rtlil(counters(0)), method, depth=3).proved
        refuted = prove(to_rtlil(counters(1)), method, depth=3)
        assert not refuted.proved
        # The counterexample shows what the solver chose.
        assert "enable" in refuted.text

    def test_a_step_starts_from_any_state(self) -> None:
        assert not prove(to_rtlil(counters(0)), "step").proved

    def test_knows_designs_that_behave_alike(self) -> None:
        good, bad = to_rtlil(counters(0)), to_rtlil(counters(1))
        assert equivalent(good, good)
        assert not equivalent(good, bad)


class TestAlgebra:
    def test_a_word_is_the_sum_of_its_weighted_bits(self) -> None:
        assert word([4, "1", 5]) == {frozenset([4]): 1, frozenset(): 2, frozenset([5]): 4}
        assert word([4, 5], signed=True) == {frozenset([4]): 1, frozenset([5]): -2}

    def test_a_bit_has_no_powers(self) -> None:
        x, y = variable(1), variable(2)
        assert product(x, x) == x
        assert product(total([x, y]), x) == total([x, product(x, y)])

    def test_wrong_bias_operand_format_or_digit_is_noticed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        four = Operand(4)
        pe = CarrySave(activation=four, weight=four, accumulator_bits=10)
        assert cell_adds(pe)
        net = Netlist.of(pe.create())
        total_now = word(net.next("accumulator")[:10])
        assert not net.equal(total_now, total([total_now, constant(1)]), 1 << 10)
        # The last digit of a recoder that forgets the sign.
        right = hw.digits.booth_select

        def forgetful(value: Any, operand: Operand) -> Any:
            *rest, last = right(value, operand)
            return [*rest, hw.digits.BoothSelect(one=last.one, two=last.two, neg=Const(0, 1))]

        monkeypatch.setattr(hw.pe.carry_save, "booth_select", forgetful)
        assert not cell_adds(pe)

    def test_presums_of_the_wrong_sign_are_noticed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        pe = FreePipeline(activation=Operand(4), weight=Operand(4))
        monkeypatch.setattr(FreePipeline, "presums", lambda self, a, b: (a[0] + b[0], a[1] - b[1]))
        assert not cell_adds(pe)

    def test_a_lost_negation_is_noticed(self) -> None:
        pe = Opt4e(activation=Operand(4), weight=Operand(4))
        assert not digit_cell_adds(pe, lambda text: text.replace("\\digits [11]", "1'0"))


@pytest.mark.parametrize("proof", QUICK, ids=lambda proof: proof.name)
def test_proof(proof: Proof) -> None:
    verdict = proof.run()
    assert verdict.proved, verdict.text


@pytest.mark.parametrize(("name", "every"), FAULTED.items())
def test_faults_break_the_proof(name: str, every: int) -> None:
    (proof,) = [proof for proof in proofs() if proof.name == name]
    assert proof.faulted
    count, survivors = proof.survivors(every)
    assert count > 0
    assert survivors == []


def test_faults_change_one_cell_of_the_named_modules() -> None:
    design = to_rtlil(counters(0))
    found = list(faults(design, "top.body"))
    assert len({fault.text for fault in found} | {design}) == len(found) + 1
    assert not list(faults(design, "top.other"))
    before = design.splitlines()
    for fault in found:
        after = fault.text.splitlines()
        assert len(after) == len(before)
        assert 1 <= sum(x != y for x, y in zip(before, after, strict=True)) <= 2
