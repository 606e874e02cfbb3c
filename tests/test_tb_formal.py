"""tb.formal: the proofs of PEs and streams hold, and faults break them."""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import pytest
from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.back import rtlil

import hw.digits
import hw.pe.carry_save
import tb.formal.feeder
import tb.formal.streams
from hw.delay import Delay
from hw.engine.feeder import Feeder
from hw.operand import Operand
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FreePipeline
from hw.pe.merged_mac import MergedMac
from hw.pe.sparse_digit import Opt4e
from hw.pe.stationary import stationary_form
from hw.registry import PES
from tb.formal.algebra import Netlist, constant, product, total, variable, word
from tb.formal.catalogue import Proof, proofs
from tb.formal.faults import faults
from tb.formal.feeder import feeder_streams_in_order
from tb.formal.harmless import harmless
from tb.formal.reachability import prove_for_ever
from tb.formal.solver import Property, prove, prove_all, to_rtlil
from tb.formal.stationary import stationary_cell_adds
from tb.formal.streams import delay_keeps_order
from tb.formal.sums import cell_adds, digit_cell_adds, merged_mac_adds

QUICK = [proof for proof in proofs() if proof.quick]
# Every so many of the faults, so that the test is short; `bitweft bench proofs` takes all.
FAULTED = {
    "digits[ent-int4]": 8,
    "sum[opt1-int4-int4-16]": 12,
    "sum[ffip-int4-int4-16]": 16,
    "sum[opt4e-int4-int4-16]": 12,
    "step[mac-int4-int4-10]": 1,
    "encoder[group 4]": 9,
    "column[opt4c-1x2-turns 2]": 30,
    "queue": 4,
    "feeder[2x1]": 20,
    "tree[opt1-int3-int3-8 x 2]": 40,
    "chain[mac-int4-int4-10 x 2]": 1,
    "stationary_cell[opt1-int4-int4-10]": 15,
    "systolic[mac-int2-int2-4-1x1]": 10,
    "block_sums[opt1-int2-int2-4-2 rows x 1]": 8,
}


def counters(defect: int) -> Property:
    """Two counters that run side by side, or drift apart."""
    m, enable, ok = Module(), Signal(name="enable"), Signal()
    one, other = Signal(4), Signal(4)
    with m.If(enable):
        m.d.sync += [one.eq(one + 1), other.eq(other + 1 + defect)]
    m.d.comb += ok.eq(one == other)
    return Property(m, ok, (enable,))


def ring(end: int, beyond: int = 0) -> Property:
    """A counter from 0 to `end`, whose state 7 is followed by `beyond`."""
    m, enable, ok = Module(), Signal(name="enable"), Signal()
    count = Signal(3, name="count")
    with m.If(enable):
        m.d.sync += count.eq(Mux(count == 7, beyond, Mux(count == end, 0, count + 1)))
    m.d.comb += ok.eq(count <= 5)
    return Property(m, ok, (enable,))


def kept_word(*, masked: bool, idle: int, taken: int) -> Property:
    """A word is shown in the cycle after it was taken, or always; else its register holds `idle`."""
    m, take, bit, ok = Module(), Signal(name="take"), Signal(name="bit"), Signal()
    valid, word = Signal(name="valid"), Signal(name="word")
    m.d.sync += [valid.eq(take), word.eq(Mux(take, bit ^ taken, idle))]
    m.d.comb += ok.eq(1)
    return Property(m, ok, (take, bit), shown=Cat(valid, Mux(valid | (not masked), word, 0)))


class TestSolver:
    @pytest.mark.parametrize("method", ["bounded", "induction"])
    def test_proves_and_refutes(self, method: Any) -> None:
        assert prove(to_rtlil(counters(0)), method, depth=3).proved
        refuted = prove(to_rtlil(counters(1)), method, depth=3)
        assert not refuted.proved
        # The counterexample shows what the solver chose.
        assert "enable" in refuted.text

    def test_several_in_one_run_have_verdicts_of_their_own(self) -> None:
        texts = [to_rtlil(counters(defect)) for defect in (0, 1, 0)]
        assert [v.proved for v in prove_all(texts, "bounded", depth=3)] == [True, False, True]

    def test_reachability_proves_and_refutes_without_an_invariant(self) -> None:
        drifted, alike = prove_for_ever([to_rtlil(counters(defect)) for defect in (1, 0)])
        assert alike.proved
        assert not drifted.proved
        assert not drifted.late

    def test_a_step_starts_from_any_state(self) -> None:
        assert not prove(to_rtlil(counters(0)), "step").proved

    def test_knows_designs_that_behave_alike(self) -> None:
        good, bad = to_rtlil(counters(0)), to_rtlil(counters(1))
        assert harmless(good, good)
        assert not harmless(good, bad)

    def test_a_wire_that_no_register_takes_over_makes_no_difference(self) -> None:
        texts = []
        for idle in (0, 1):
            m, enable, ok = Module(), Signal(name="enable"), Signal()
            wire, held = Signal(name="wire"), Signal(name="held")
            m.d.comb += [wire.eq(Mux(enable, ~held, idle)), ok.eq(held)]
            with m.If(enable):
                m.d.sync += held.eq(wire)
            texts.append(to_rtlil(Property(m, ok, (enable,))))
        assert harmless(*texts)

    def test_a_state_that_no_run_reaches_makes_no_difference(self) -> None:
        right, wrong = (to_rtlil(ring(end)) for end in (5, 6))
        assert harmless(right, to_rtlil(ring(5, beyond=1)), ["given", "ok"])
        assert not harmless(right, to_rtlil(ring(5, beyond=1)), ["given"])
        assert not harmless(right, wrong, ["given", "ok"])

    def test_a_register_that_nobody_sees_makes_no_difference(self) -> None:
        for masked in (True, False):
            kept, other, wrong = (
                to_rtlil(kept_word(masked=masked, idle=idle, taken=taken))
                for idle, taken in ((0, 0), (1, 0), (0, 1))
            )
            assert harmless(kept, other, ["given", "ok"]) == masked
            assert not harmless(kept, wrong, ["given", "ok"])


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

    def test_a_merged_mac_of_another_format_is_noticed(self) -> None:
        net = Netlist.of(MergedMac(Operand(4), bits=10))
        assert merged_mac_adds(Operand(4), net)
        assert not merged_mac_adds(Operand(4, False), net)

    def test_a_lost_negation_is_noticed(self) -> None:
        pe = Opt4e(activation=Operand(4), weight=Operand(4))
        text = rtlil.convert(pe.create(), name="top", emit_src=False)
        right, wrong = Netlist.of_texts([text, text.replace("\\digits [11]", "1'0")])
        assert digit_cell_adds(pe, right)
        assert not digit_cell_adds(pe, wrong)


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


def test_every_proof_has_a_name_of_its_own() -> None:
    names = [proof.name for proof in proofs()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("kind", PES)
def test_every_pe_is_proved_with_signed_and_unsigned_operands(kind: str, bits: int) -> None:
    prefix = "step" if kind == "mac" else "sum"
    for a, b in itertools.product((f"int{bits}", f"uint{bits}"), repeat=2):
        default = (a, b) == ("int8", "int8")
        name = f"{prefix}[{kind}" + ("" if default else f"-{a}-{b}")
        assert any(proof.name.startswith(name) and proof.scope == "any state" for proof in proofs())


@pytest.mark.parametrize("cycles", [2, 5])
def test_a_line_of_another_length_is_noticed(cycles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Longer(Delay):
        def __init__(self, shape: Any, *, cycles: int) -> None:
            super().__init__(shape, cycles=cycles + 1)

    assert prove(to_rtlil(delay_keeps_order(2, cycles)), "induction", depth=2).proved
    monkeypatch.setattr(tb.formal.streams, "Delay", Longer)
    assert not prove(to_rtlil(delay_keeps_order(2, cycles)), "induction", depth=cycles + 3).proved


def test_registers_inside_are_read_not_assumed() -> None:
    """What is said of a register of the block can be wrong."""
    inner = Module()
    count = Signal(3, name="count")
    inner.d.sync += count.eq(Mux(count == 5, 0, count + 1))
    found = {"count": Signal(3, name="peek_count")}
    for limit, holds in ((5, True), (4, False)):
        m = Module()
        m.submodules.dut = inner
        ok = Signal()
        m.d.comb += ok.eq((found["count"] <= limit) & (found["count"] == count))
        statement = Property(m, ok, (), peeks=found)
        assert prove(to_rtlil(statement), "induction", depth=7).proved == holds
        (verdict,) = prove_for_ever([to_rtlil(statement)])
        assert verdict.proved == holds


def test_a_register_that_is_not_there_cannot_be_read() -> None:
    m, dut, count = Module(), Module(), Signal(3, name="count")
    dut.d.sync += count.eq(count + 1)
    m.submodules.dut = dut
    found = {"counts": Signal(3, name="peek_counts")}
    with pytest.raises(ValueError, match="must have one register counts, not 0"):
        to_rtlil(Property(m, Signal(), (), peeks=found))


def test_a_bank_that_is_given_back_too_early_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Hasty(Feeder):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self._early += 1

    statement = partial(feeder_streams_in_order, rows=1, cols=5)
    assert prove(to_rtlil(statement()), "induction", depth=2).proved
    monkeypatch.setattr(tb.formal.feeder, "Feeder", Hasty)
    assert not prove(to_rtlil(statement()), "induction", depth=2).proved


def test_a_column_must_leave_out_what_its_cells_add(monkeypatch: pytest.MonkeyPatch) -> None:
    form = stationary_form(CarrySave(activation=Operand(4), weight=Operand(4)), 2)
    to_rtlil(stationary_cell_adds(form))
    monkeypatch.setattr(type(form), "start", form.start + 1)
    with pytest.raises(ValueError, match="start of a column must balance 2 x"):
        stationary_cell_adds(form)


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


def test_of_modules_that_are_alike_the_first_has_faults() -> None:
    m = Module()
    for n, defect in enumerate((0, 0, 1)):
        m.submodules[f"copy_{n}"] = counters(defect).module
    design = to_rtlil(Property(m, Signal(), ()))
    blocks = {fault.name.split()[0] for fault in faults(design, "top.body.copy")}
    assert blocks == {"top.body.copy_0", "top.body.copy_2"}
