"""Every proof of the package, and the faults that must break it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any, Literal

from amaranth.back import rtlil

from hw.operand import Operand
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import DigitElement, Opt2, Opt3, Opt4c, Opt4e
from tb.formal.algebra import Netlist
from tb.formal.engines import engine_multiplies, feeder_streams_in_order
from tb.formal.faults import faults
from tb.formal.properties import cell_accumulates, digits_represent, output_adder_accumulates
from tb.formal.solver import Method, Property, Verdict, equivalent, prove_all, to_rtlil
from tb.formal.streams import (
    column_issues_all,
    delay_keeps_order,
    encoder_issues_once,
    queue_keeps_order,
)
from tb.formal.sums import cell_adds, digit_cell_adds

__all__ = ["Proof", "proofs"]

_I2, _I3, _I4, _I8, _I16 = (Operand(bits) for bits in (2, 3, 4, 8, 16))
_U4, _U8 = Operand(4, False), Operand(8, False)

_SCOPES: dict[str, str] = {"step": "any state", "induction": "induction, unbounded"}

_BATCH = 32
"""Faults per run of Yosys: its start takes longer than most proofs."""


@dataclass(frozen=True)
class Proof:
    """One statement about one block.

    Attributes
    ----------
    name : str
    design : callable
        The RTLIL that is proved something of.
    check : callable
        Proves it of some RTLIL texts.
    block : str
        Modules of the RTLIL in which faults are injected.
    quick : bool
        Part of the test suite; the others belong to the long run.
    faulted : bool
        Faults are injected here: one proof of each kind of block is enough.
    scope : str
        How far the proof reaches: ``any state``, ``induction``, or cycles from reset.
    """

    name: str
    design: Callable[[], str]
    check: Callable[[Sequence[str]], Sequence[Verdict]]
    block: str = "top"
    quick: bool = True
    faulted: bool = False
    scope: str = "any state"

    def run(self) -> Verdict:
        """Proves it of the block as it is."""
        (verdict,) = self.check([self.design()])
        return verdict

    def survivors(self, every: int = 1) -> tuple[int, list[str]]:
        """Injects every n-th fault: how many, and those that change the block and are not found;
        what the solver has no time for is not found.

        A change that is proved to change nothing (an input is constant, say) is no fault.
        """
        design = self.design()
        chosen = list(faults(design, self.block))[::every]
        found, harmless = [], 0
        for start in range(0, len(chosen), _BATCH):
            batch = chosen[start : start + _BATCH]
            verdicts = self.check([fault.text for fault in batch])
            for fault, verdict in zip(batch, verdicts, strict=True):
                if verdict.proved and equivalent(design, fault.text):
                    harmless += 1
                elif verdict.proved or verdict.late:
                    found.append(fault.name)
        return len(chosen) - harmless, found


def proofs() -> list[Proof]:
    """All proofs."""
    return [*_recoders(), *_cells(), *_words(), *_streams()]


def _recoders() -> Iterator[Proof]:
    for operand in (_I4, _U4, _I8, _U8, _I16):
        yield _solved(
            f"digits[booth-{operand}]",
            partial(digits_represent, operand, "booth"),
            faulted=operand == _I4,
        )
        yield _solved(
            f"digits[ent-{operand}]",
            partial(digits_represent, operand, "ent"),
            faulted=operand == _I4,
        )


def _cells() -> Iterator[Proof]:
    """Sums by algebra, at the widths that are built."""
    cells: list[ProcessingElement] = [CarrySave(accumulator_bits=48)]
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
        name = f"sum[{_label(pe)}]"
        formats_of = (pe.activation, pe.weight)
        yield _added(name, pe, quick=formats_of in quick, faulted=formats_of == (_I4, _I4))


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
        yield _solved(
            f"step[{_label(pe)}]",
            partial(cell_accumulates, pe),
            "step",
            depth,
            quick=quick,
            faulted=pe == Mac(**four),
        )
    adder = Opt4c(segment=8, activation=_I4, weight=_I4, accumulator_bits=10)
    yield _solved(
        "output_adder", partial(output_adder_accumulates, adder), "induction", 8, faulted=True
    )


def _streams() -> Iterator[Proof]:
    """Nothing lost, repeated or exchanged under any stalls, from reset on.

    What is proved by induction holds for ever; the rest for as many cycles as are named.
    """
    yield _solved("queue", partial(queue_keeps_order, 2), "induction", 2, faulted=True)
    for cycles in (1, 2, 5, 15):
        statement = partial(delay_keeps_order, 2, cycles)
        yield _solved(f"delay[{cycles}]", statement, "induction", 2, quick=cycles < 15)
    for group in (1, 2, 4, 8):
        encoder = Opt2() if group == 1 else Opt4c(group=group)
        statement = partial(encoder_issues_once, encoder)
        yield _solved(f"encoder[group {group}]", statement, "induction", 2, faulted=group == 4)
    for rows, cols, quick in ((2, 1, True), (3, 2, False), (1, 2, False), (2, 2, False)):
        yield _solved(
            f"feeder[{rows}x{cols}]",
            partial(feeder_streams_in_order, rows=rows, cols=cols),
            "bounded",
            12,
            quick=quick,
            faulted=quick,
        )
    small: dict[str, Any] = {"activation": _I3, "weight": _I2}
    for pe, pause, depth, quick in (
        (Opt4c(segment=8, group=2, **small), 1, 8, True),
        (Opt4c(segment=8, group=4, **small), 0, 10, False),
    ):
        yield _solved(
            f"column[{pe.kind}-{pe.lanes}x{pe.group}]",
            partial(column_issues_all, pe, pause=pause),
            "bounded",
            depth,
            quick=quick,
            faulted=quick,
        )
    tiny: dict[str, Any] = {"activation": _I2, "weight": _I2, "accumulator_bits": 4}
    digit: dict[str, Any] = {"segment": 8, "group": 2, "cells_per_adder": 1}
    for engine, rows, depth, quick in (
        (Mac(**tiny), 1, 9, True),
        (Mac(**tiny), 2, 10, False),
        (CarrySave(**tiny), 1, 10, True),
        (FreePipeline(carry_save=False, **tiny), 1, 10, False),
        (Opt4c(**digit, **tiny), 1, 16, True),
        (Opt4c(**digit, **tiny), 2, 15, False),
        (Opt2(segment=8, products=4, cells_per_adder=1, **tiny), 1, 12, False),
        (Opt4e(segment=8, group=1, cells_per_adder=1, **tiny), 1, 12, False),
    ):
        yield _solved(
            f"engine[{_label(engine)}-{rows}x1]",
            partial(engine_multiplies, engine, rows=rows),
            "bounded",
            depth,
            quick=quick,
        )


def _label(pe: ProcessingElement) -> str:
    options = pe.model_dump(exclude_defaults=True, mode="json")
    if options.keys() & {"activation", "weight"}:
        options = {"activation": str(pe.activation), "weight": str(pe.weight)} | options
    values = [f"{k}={v}" if isinstance(v, bool) else str(v) for k, v in options.items()]
    return "-".join([pe.kind, *values])


def _solved(
    name: str,
    statement: Callable[[], Property],
    method: Method = "bounded",
    depth: int = 1,
    *,
    quick: bool = True,
    faulted: bool = False,
) -> Proof:
    return Proof(
        name,
        lambda: to_rtlil(statement()),
        lambda texts: prove_all(texts, method, depth=depth),
        "top.body.dut",
        quick,
        faulted,
        _SCOPES.get(method, f"{depth} cycles from reset"),
    )


def _added(name: str, pe: Any, *, quick: bool, faulted: bool) -> Proof:
    def design() -> str:
        text: str = rtlil.convert(pe.create(), name="top", emit_src=False)
        return text

    def check(texts: Sequence[str]) -> list[Verdict]:
        started = time.monotonic()
        adds = digit_cell_adds if isinstance(pe, DigitElement) else cell_adds
        proved = [adds(pe, net) for net in Netlist.of_texts(texts)]
        seconds = (time.monotonic() - started) / len(texts)
        return [Verdict(yes, seconds, "" if yes else "sums differ") for yes in proved]

    return Proof(name, design, check, "top", quick, faulted)
