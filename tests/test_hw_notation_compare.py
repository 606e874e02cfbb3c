"""hw.notation.compare: what a nest counts is what its elaborated PE has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.errors import InputError
from hw.notation.compare import ELEMENTS, NESTS, Row, compare, nest_of
from hw.notation.cycles import cycles
from hw.operand import Operand
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import DigitElement, Opt2, Opt3, Opt4c, Opt4e
from hw.registry import PES
from sim.timing.digit_array import DigitTiming
from tests.notation_moves import matrices

U8 = Operand(8, signed=False)
NARROW = Operand(4)
WIDE = Operand(16)

CELLS: list[ProcessingElement] = [
    Mac(),
    Mac(activation=NARROW, weight=WIDE, accumulator_bits=24),
    CarrySave(),
    CarrySave(sign_extension=True),
    CarrySave(activation=U8),
    CarrySave(activation=NARROW, weight=WIDE, accumulator_bits=48),
    CarrySave(activation=WIDE, weight=WIDE, sign_extension=True, accumulator_bits=40),
    FastInner(),
    FastInner(carry_save=False),
    FastInner(activation=NARROW, weight=U8),
    FreePipeline(),
    FreePipeline(carry_save=False),
    FreePipeline(activation=WIDE, weight=NARROW, accumulator_bits=40),
    Opt2(),
    Opt2(products=4, activation=U8, recoding="booth", sign_extension=True),
    Opt3(),
    Opt4c(),
    Opt4c(activation=NARROW, weight=U8, group=8, segment=64, sign_extension=True),
    Opt4e(),
    Opt4e(recoding="booth", weight=WIDE, segment=1024, accumulator_bits=48),
]


@pytest.mark.parametrize("pe", CELLS, ids=repr)
def test_counts_are_those_of_the_hardware(pe: ProcessingElement) -> None:
    rows = compare(pe)
    assert [row for row in rows if not row.agrees] == []
    assert len(rows) >= 4


def exact(pe: ProcessingElement) -> dict[str, int]:
    """The figures that the nest leaves no choice in, as counted in the hardware."""
    return {row.what: row.hardware for row in compare(pe) if row.least == row.most}


def test_figures_that_a_person_can_check() -> None:
    # Two words of 32 bits, and no carry chain but the one after the sum.
    assert exact(CarrySave()) == {
        "register bits of the cell": 64,
        "carry chains of the cell": 0,
        "bias of a step": 21760,
        "digits": 4,
    }
    # A pair of 18 bits for 256 products of one weight; four lanes with a weight register each.
    assert exact(Opt4e()) == {
        "width of the pair": 18,
        "register bits of the pairs": 3 * 2 * 18,
        "register bits of the cells": 3 * (2 * 18 + 4 * 8),
        "selectors of a cell": 4,
        "carry chains of the cells": 0,
        "sparse encoders of a column": 4,
        "held digits and positions": 4 * 4 * 3,
    }


@given(data=st.data())
@settings(max_examples=60)
def test_cycles_of_the_nest_are_those_of_the_digit_columns(data: st.DataObject) -> None:
    # The timing model is what the simulated array keeps to; it knows nothing of nests.
    kind = data.draw(st.sampled_from([Opt2, Opt3, Opt4c, Opt4e]))
    pe: DigitElement = kind(
        activation=data.draw(st.sampled_from([Operand(8), NARROW, U8])),
        recoding=data.draw(st.sampled_from(["ent", "booth"])),
        segment=64,
    )
    k = data.draw(st.integers(1, 64))
    (row,) = data.draw(matrices(1, k, pe.activation))
    passes = DigitTiming(pe, rows=1, cols=1).passes([[x] for x in row])
    assert cycles(nest_of(pe, k=k), [row]) == passes.sum()


@pytest.mark.parametrize("pe", [Mac(), CarrySave(), FastInner(), FreePipeline()], ids=repr)
@pytest.mark.parametrize("k", [1, 2, 7, 64])
def test_cycles_of_the_nest_are_those_of_the_cells(pe: CellElement, k: int) -> None:
    assert cycles(nest_of(pe, k=k)) == pe.cycles(k)


def test_sixteen_streams_feed_a_column_of_adder_trees() -> None:
    figures = exact(Opt2())
    assert figures["streams of digits of a column"] == 16
    assert figures["selectors of a cell"] == 16
    assert figures["register bits of the cells"] == 3 * (2 * 18 + 16 * 8)


def test_a_figure_that_is_off_by_one_does_not_agree() -> None:
    assert Row("", 3, 3, 3).agrees
    assert not Row("", 3, 3, 4).agrees
    assert not Row("", 4, 5, 3).agrees


def test_the_full_adders_of_two_trees_are_told_apart() -> None:
    # Rows that reach up to the accumulator's top need more than short ones can be given.
    def full_adders(pe: ProcessingElement) -> Row:
        (row,) = (row for row in compare(pe) if row.what == "full adders of the cell")
        return row

    assert full_adders(CarrySave(sign_extension=True)).least == 4 * 32 - (2 + 4 + 6) - 2 * 4
    assert full_adders(CarrySave()).least == 4 * (9 + 1) - 2 * 5


def test_every_registered_pe_has_a_nest() -> None:
    assert set(PES) <= set(NESTS)
    assert {kind for kind, _ in ELEMENTS.values()} == set(NESTS)


def test_a_pe_without_a_nest_is_named() -> None:
    class Other(Mac):
        pass

    pe = Other.model_construct(kind="other")
    with pytest.raises(InputError, match=rf"^PE must be one of {', '.join(NESTS)}, not 'other'\.$"):
        nest_of(pe)
