"""hw.notation.count, widths and recode: figures derived from nests, against figures by hand."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth import Module
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.compress import Addend, compress
from hw.notation.count import Counts, count
from hw.notation.derive import Sizes, derive
from hw.notation.netlist import elaborated
from hw.notation.recode import RECODINGS, digit_count, digits_of, radix_of
from hw.notation.widths import pair_bias, required_bits
from hw.operand import Operand
from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac

SIZES = Sizes(m=16, n=16, k=64, rows=16, cols=16, group=4, lanes=4)
CELLS = 16 * 16


def counts(name: str) -> Counts:
    return count(derive(name, SIZES)[-1].nest)


def test_the_carry_chain_leaves_the_loop() -> None:
    # A multiplier's own addition and the accumulator's, in every cell.
    assert counts("mac").adders == 2 * CELLS
    assert counts("opt1").adders == 0
    # MP * NP / K = 256 / 64 external adders keep up.
    assert counts("opt1").shared_adders == 4


def test_encoders_move_out_of_the_cells() -> None:
    assert counts("opt3").copies("sparse encoder") == CELLS
    assert counts("opt3").copies("encoder") == 4 * CELLS
    assert counts("opt4c").copies("sparse encoder") == 16
    assert counts("opt4c").copies("encoder") == 4 * 16
    assert counts("opt4e").copies("sparse encoder") == 4 * 16


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("mac", 4),
        ("opt1", 6),
        ("opt1x", 7),
        ("opt2", 6),
        ("opt3", 3),
        ("opt4c", 3),
        ("opt4e", 6),
        ("fip", 8),
        ("ffip", 8),
        ("fip-mac", 5),
    ],
)
def test_words_into_each_compressor(name: str, inputs: int) -> None:
    (compressor,) = counts(name).of("compressor")
    assert (compressor.inputs, compressor.copies) == (inputs, CELLS)


def test_registers() -> None:
    assert counts("mac").flip_flops("accumulator") == 32 * CELLS
    assert counts("opt1").flip_flops("accumulator") == 2 * 32 * CELLS
    # 64 products of one weight: 64 * 256 = 2^14 needs 16 signed bits; C collects the weights.
    assert counts("opt4c").flip_flops("accumulator") == (2 * 16 + 32) * CELLS
    # Pre-sums of 9 bits, two per cell, and the product of two elements of A once per row.
    assert counts("ffip").flip_flops("pipeline") == 2 * 9 * CELLS + 16 * 16


def test_shifters_are_wires_where_the_weight_is_fixed_in_space() -> None:
    assert counts("mac").copies("shifter") == counts("opt1").copies("shifter") == 0
    assert counts("opt2").copies("shifter") == CELLS


def test_candidate_multiples_are_shared_by_the_digits() -> None:
    assert counts("opt1").copies("selector") == 4 * CELLS
    assert counts("opt1").copies("negator") == CELLS
    assert counts("opt1x").copies("negator") == 0
    assert counts("fip").copies("presum") == 2 * CELLS
    assert counts("fip").copies("multiplier") == 16


def test_retiming_counts_registers() -> None:
    steps = derive("fip", SIZES)
    before, after = count(steps[-2].nest), count(steps[-1].nest)
    assert before.flip_flops("pipeline") == 0
    assert after.flip_flops("pipeline") == 2 * 9 * CELLS + 16 * 16
    assert before.units == after.units


@pytest.mark.parametrize(
    ("k", "bits"),
    [(1, 10), (3, 11), (4, 12), (15, 13), (16, 14), (17, 14), (131071, 26), (131072, 27)],
)
def test_width_of_one_bit_weight(k: int, bits: int) -> None:
    # 256 * K <= 2^(W-1) - 1; the shortcut 1 + ceil(log2(256 K)) is one short at powers of two.
    nest = derive("opt3", Sizes(m=1, n=1, k=k, accumulator_bits=40))[-1].nest
    assert required_bits(nest, "(s, c)") == nest.width("(s, c)") == bits


@pytest.mark.parametrize(("k", "bits"), [(1, 16), (2, 17), (98, 22), (131071, 32)])
def test_width_of_whole_products(k: int, bits: int) -> None:
    nest = derive("opt1", Sizes(m=1, n=1, k=k))[-1].nest
    assert required_bits(nest, "(s, c)") == bits


def test_excess_of_rows_without_signs() -> None:
    opt1x = derive("opt1x", Sizes(m=1, n=1, k=5))[-1].nest
    assert pair_bias(opt1x, "(s, c)") == 5 * 256 * (1 + 4 + 16 + 64)
    fip = derive("fip", Sizes(m=1, n=1, k=5))[-1].nest
    assert pair_bias(fip, "(s, c)") == 3 * 512 * (1 + 4 + 16 + 64 + 256)


@pytest.mark.parametrize("recoding", RECODINGS)
@pytest.mark.parametrize(
    "operand",
    [Operand(2), Operand(5), Operand(8), Operand(9), Operand(4, False), Operand(8, False)],
)
def test_digits_stand_for_their_value(recoding: str, operand: Operand) -> None:
    for value in range(operand.min, operand.max + 1):
        digits = digits_of(value, recoding, operand)
        assert len(digits) == digit_count(recoding, operand)
        assert sum(d * radix_of(recoding) ** i for i, d in enumerate(digits)) == value


@pytest.mark.parametrize(
    ("recoding", "histogram"),
    [
        ("mbe", [1, 12, 54, 108, 81]),
        ("ent", [1, 15, 60, 108, 72]),
        ("radix2", [1, 8, 28, 56, 70, 56, 28, 8, 1]),
    ],
)
def test_nonzero_digits_of_int8(recoding: str, histogram: list[int]) -> None:
    found = [sum(d != 0 for d in digits_of(v, recoding, Operand(8))) for v in range(-128, 128)]
    assert [found.count(n) for n in range(len(histogram))] == histogram


def test_a_value_outside_the_format_has_no_digits() -> None:
    with pytest.raises(ValueError, match=r"^value must be of format int8, not 128$"):
        digits_of(128, "ent", Operand(8))


def test_netlists_are_counted_cell_by_cell() -> None:
    mac = elaborated(Mac().create())
    assert (mac.flip_flops, mac.adders, mac.multipliers) == (32, 1, 1)
    opt1 = elaborated(CarrySave(accumulator_bits=24).create())
    assert (opt1.flip_flops, opt1.adders, opt1.multipliers) == (48, 0, 0)
    assert opt1.named("one_") == [1] * 4


def test_full_adders_are_found_by_their_majorities() -> None:
    class Tree(wiring.Component):
        def __init__(self) -> None:
            super().__init__({"x": In(data.ArrayLayout(8, 4)), "s": Out(8), "c": Out(8)})

        def elaborate(self, platform: object) -> Any:
            m = Module()
            total, carry = compress(m, [Addend(self.x[n]) for n in range(4)], 8)
            m.d.comb += [self.s.eq(total), self.c.eq(carry | self.x[0])]
            return m

    # Two rows; the top column may drop its carries, and the column below may need no full adder.
    assert 12 <= elaborated(Tree()).full_adders <= 16
