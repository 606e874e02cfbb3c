"""Every proof of the package, and the faults that must break it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from amaranth.back import rtlil

from hw.operand import Operand
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import DigitElement, Opt2, Opt3, Opt4c, Opt4e
from tb.formal.faults import faults
from tb.formal.properties import (
    cell_accumulates,
    column_issues_all,
    digits_represent,
    encoder_issues_once,
    engine_multiplies,
    feeder_streams_in_order,
    output_adder_accumulates,
    queue_keeps_order,
)
from tb.formal.solver import Method, Property, Verdict, equivalent, prove, to_rtlil
from tb.formal.sums import cell_adds, digit_cell_adds

__all__ = ["Proof", "proofs"]

_I2, _I3, _I4, _I8, _I16 = (Operand(bits) for bits in (2, 3, 4, 8, 16))
_U4, _U8 = Operand(4, False), Operand(8, False)


@dataclass(frozen=True)
class Proof:
    """One statement about one block.

    Attributes
    ----------
    name : str
    design : callable
        The RTLIL that is proved something of.
    check : callable
        Proves it of an RTLIL text.
    block : str
        Modules of the RTLIL in which faults are injected.
    quick : bool
        Part of the test suite; the others belong to the long run.
    faulted : bool
        Faults are injected here: one proof of each kind of block is enough.
    faulted : bool
        Faults are injected here: one proof of each kind of block is enough.
    """

    name: str
    design: Callable[[], str]
    check: Callable[[str], Verdict]
    block: str = "top"
    quick: bool = True
    faulted: bool = False

    def run(self) -> Verdict:
        """Proves it of the block as it is."""
        return self.check(self.design())

    def survivors(self, every: int = 1) -> tuple[int, list[str]]:
        """Injects every n-th fault: how many, and those that change the block and are not found.

        A change that is proved to change nothing (an input is constant, say) is no fault.
        """
        design, found, count = self.design(), [], 0
        for n, fault in enumerate(faults(design, self.block)):
            if n % every:
                continue
            count += 1
            if self.check(fault.text).proved:
                if equivalent(design, fault.text):
                    count -= 1
                else:
                    found.append(fault.name)
        return count, found


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
    for a, b in ((_I4, _I4), (_U4, _I4), (_I8, _I8), (_U8, _I8), (_U8, _U8), (_I16, _I16)):
        formats: dict[str, Any] = {
            "activation": a,
            "weight": b,
            "accumulator_bits": 48 if a == _I16 else 32,
        }
        cells += [CarrySave(**formats), CarrySave(sign_extension=True, **formats)]
        cells += [FastInner(**formats), FreePipeline(**formats)]
        cells += [Opt2(**formats), Opt3(**formats), Opt4c(**formats), Opt4e(**formats)]
        cells += [Opt4c(sign_extension=True, segment=65536, **formats)]
    quick = {(_I4, _I4), (_I8, _I8)}
    for pe in cells:
        name = f"sum[{_label(pe)}]"
        formats_of = (pe.activation, pe.weight)
        yield _added(name, pe, quick=formats_of in quick, faulted=formats_of == (_I4, _I4))


def _words() -> Iterator[Proof]:
    """One step of a cell from any state, by SAT."""
    four: dict[str, Any] = {"activation": _I4, "weight": _I4, "accumulator_bits": 10}
    eight: dict[str, Any] = {"accumulator_bits": 18}
    for pe, quick in (
        (Mac(**four), True),
        (Mac(**eight), True),
        (FastInner(carry_save=False, **four), True),
        (FreePipeline(carry_save=False, **four), True),
        (FastInner(carry_save=False, **eight), False),
        (FreePipeline(carry_save=False, **eight), False),
        (CarrySave(**four), True),
        (CarrySave(sign_extension=True, **four), False),
        (CarrySave(**eight), False),
    ):
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
        "output_adder", partial(output_adder_accumulates, adder), "bounded", 8, faulted=True
    )


def _streams() -> Iterator[Proof]:
    """Nothing lost, repeated or exchanged under any stalls, from reset on."""
    yield _solved("queue", partial(queue_keeps_order, 2), "bounded", 10, faulted=True)
    for pe in (Opt4c(), Opt2()):
        label = f"encoder[group {pe.group}]"
        yield _solved(label, partial(encoder_issues_once, pe), "bounded", 10, faulted=pe.group > 1)
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
        lambda text: prove(text, method, depth=depth),
        "top.body.dut",
        quick,
        faulted,
    )


def _added(name: str, pe: Any, *, quick: bool, faulted: bool) -> Proof:
    def design() -> str:
        text: str = rtlil.convert(pe.create(), name="top", emit_src=False)
        return text

    def check(text: str) -> Verdict:
        started = time.monotonic()
        if isinstance(pe, DigitElement):
            proved = digit_cell_adds(pe, lambda _: text)
        else:
            assert isinstance(pe, CellElement)
            proved = cell_adds(pe, lambda _: text)
        return Verdict(proved, time.monotonic() - started, "" if proved else "sums differ")

    return Proof(name, design, check, "top", quick, faulted)
