"""Every proof of the package: recoders and cells here, streams and engines beside it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from typing import Any, Literal

from hw.operand import Operand
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.chain import Chain
from hw.pe.compound import Compound
from hw.pe.dot_product import dot_product
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.merged_mac import MergedMac
from hw.pe.sparse_digit import DigitElement, Opt2, Opt3, Opt4c, Opt4e
from hw.pe.stationary import stationary_form
from tb.formal.catalogue_streams import block_sums, engines, streams
from tb.formal.compound import compound_accumulates
from tb.formal.proof import Proof, added, label, solved
from tb.formal.properties import cell_accumulates, digits_represent, output_adder_accumulates
from tb.formal.stationary import column_resolves, stationary_cell_adds
from tb.formal.sums import cell_adds, digit_cell_adds, merged_mac_adds

__all__ = ["Proof", "proofs"]

_I2, _I3, _I4, _I8, _I16 = (Operand(bits) for bits in (2, 3, 4, 8, 16))
_U4, _U8 = Operand(4, False), Operand(8, False)


def proofs() -> list[Proof]:
    """All proofs."""
    return [
        *_recoders(),
        *_cells(),
        *_words(),
        *_compounds(),
        *streams(),
        *engines(),
        *block_sums(),
    ]


def _recoders() -> Iterator[Proof]:
    for operand in (_I4, _U4, _I8, _U8, _I16):
        yield solved(
            f"digits[booth-{operand}]",
            partial(digits_represent, operand, "booth"),
            faulted=operand == _I4,
        )
        yield solved(
            f"digits[ent-{operand}]",
            partial(digits_represent, operand, "ent"),
            faulted=operand == _I4,
        )


def _cells() -> Iterator[Proof]:
    """Sums by algebra, at the widths that are built."""
    cells: list[CellElement | DigitElement] = [CarrySave(accumulator_bits=48)]
    accumulators = {4: 16, 8: 32, 16: 48}
    both = [(a, b) for a, b in product((_I4, _U4, _I8, _U8), repeat=2) if a.bits == b.bits]
    for a, b in (*both, (_I16, _I16)):
        formats: dict[str, Any] = {
            "activation": a,
            "weight": b,
            "accumulator_bits": accumulators[a.bits],
        }
        cells += [CarrySave(**formats), CarrySave(sign_extension=True, **formats)]
        cells += [FastInner(**formats), FreePipeline(**formats)]
        # Sixteen lanes at the width that engines have; four show the same faults sooner.
        products: Literal[4, 16] = 4 if a.bits == 4 else 16
        cells += [Opt2(products=products, **formats)]
        cells += [Opt3(**formats), Opt4c(**formats), Opt4e(**formats)]
        cells += [Opt4c(sign_extension=True, segment=65536, **formats)]
    quick = {(_I4, _I4), (_I8, _I8)}
    for pe in cells:
        name = f"sum[{label(pe)}]"
        formats_of = (pe.activation, pe.weight)
        adds: Any = digit_cell_adds if isinstance(pe, DigitElement) else cell_adds
        yield added(
            name,
            pe.create,
            partial(adds, pe),
            quick=formats_of in quick,
            faulted=formats_of == (_I4, _I4),
        )
    # The baseline of silicon is no PE of a spec, and takes its operands through registers.
    for operand, bits in ((_I4, 16), (_U4, 16), (_I8, 32), (_U8, 32), (_I16, 48)):
        yield added(
            f"sum[merged_mac-{operand}-{bits}]",
            partial(MergedMac, operand, bits=bits),
            partial(merged_mac_adds, operand),
            quick=operand in (_I4, _I8),
            faulted=operand == _I4,
        )


def _words() -> Iterator[Proof]:
    """One step of a cell from any state, by SAT."""
    four: dict[str, Any] = {"activation": _I4, "weight": _I4, "accumulator_bits": 10}
    words: list[tuple[Any, bool]] = []
    for a, b in product((_I4, _U4, _I8, _U8), repeat=2):
        if a.bits != b.bits:
            continue
        formats: dict[str, Any] = {
            "activation": a,
            "weight": b,
            "accumulator_bits": 2 * a.bits + 2,
        }
        quick = (a, b) in ((_I4, _I4), (_I8, _I8))
        words += [(Mac(**formats), quick)]
        words += [
            (fast(carry_save=False, **formats), quick and a == _I4)
            for fast in (FastInner, FreePipeline)
        ]
    # Algebra proves these at any width; at four bits SAT, which shares nothing with it, does too.
    words += [(CarrySave(**four), True), (CarrySave(sign_extension=True, **four), False)]
    for pe, quick in words:
        depth = pe.latency
        yield solved(
            f"step[{label(pe)}]",
            partial(cell_accumulates, pe),
            "step",
            depth,
            quick=quick,
            faulted=pe == Mac(**four),
        )
    for adder in (Opt4c(segment=8, **four), Opt4e(segment=32, **four)):
        yield solved(
            f"output_adder[{adder.kind}]",
            partial(output_adder_accumulates, adder),
            "induction",
            8,
            faulted=adder.kind == "opt4c",
        )


def _compounds() -> Iterator[Proof]:
    """Cells of several multipliers, and cells whose weight stands still."""

    def formats(operand: Operand, accumulator_bits: int) -> dict[str, Any]:
        both = {"activation": operand, "weight": operand}
        return {**both, "accumulator_bits": accumulator_bits}

    cells: list[tuple[str, Compound, bool]] = []
    for operand, width, depth in ((_I4, 10, 2), (_U4, 10, 3), (_I8, 20, 4)):
        mac = Mac(**formats(operand, width))
        cells += [("tree", dot_product(mac, depth), operand == _I4)]
        cells += [("chain", Chain.of(mac, depth), operand == _I4)]
    # Sums of two compressed products are as far as SAT goes at these widths.
    for operand, faulted in ((_I3, True), (Operand(3, False), False)):
        opt1 = CarrySave(**formats(operand, 8))
        cells += [("tree", dot_product(opt1, 2), faulted), ("chain", Chain.of(opt1, 2), faulted)]
    cells += [("tree", dot_product(Opt2(products=4, **formats(_I2, 6)), 4), True)]
    for name, cell, faulted in cells:
        yield solved(
            f"{name}[{label(cell.pe)} x {cell.depth}]",
            partial(compound_accumulates, cell),
            "step",
            cell.latency,
            quick=faulted,
            faulted=faulted,
        )
    stationary: list[tuple[ProcessingElement, bool]] = [
        (Mac(**formats(_I4, 10)), True),
        (Mac(**formats(_U4, 10)), False),
        (CarrySave(**formats(_I4, 10)), True),
        (CarrySave(**formats(_U4, 10)), False),
        (CarrySave(sign_extension=True, **formats(_I4, 10)), False),
        (CarrySave(activation=_I2, weight=_I4, accumulator_bits=10), False),
    ]
    for pe, faulted in stationary:
        form = stationary_form(pe, 2)
        yield solved(
            f"stationary_cell[{label(pe)}]",
            partial(stationary_cell_adds, form),
            "induction",
            1,
            quick=faulted,
            faulted=faulted,
        )
        yield solved(
            f"stationary_column[{label(pe)}]",
            partial(column_resolves, form),
            "step",
            max(1, form.resolve_latency),
            quick=faulted,
            faulted=faulted and form.resolve_latency > 0,
        )
