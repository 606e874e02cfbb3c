"""A proof of the catalogue: what is proved, how, and the faults that must break it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from amaranth.back import rtlil

from hw.pe.base import ProcessingElement
from hw.pe.sparse_digit import DigitElement
from tb.formal.algebra import Netlist
from tb.formal.faults import faults
from tb.formal.reachability import prove_for_ever
from tb.formal.solver import Method, Property, Verdict, equivalent, prove_all, to_rtlil
from tb.formal.sums import cell_adds, digit_cell_adds

__all__ = ["Proof", "added", "label", "solved"]

_SCOPES: dict[str, str] = {
    "step": "any state",
    "induction": "induction, unbounded",
    "reachable": "reachability, unbounded",
}

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


def label(pe: ProcessingElement) -> str:
    options = pe.model_dump(exclude_defaults=True, mode="json")
    if options.keys() & {"activation", "weight"}:
        options = {"activation": str(pe.activation), "weight": str(pe.weight)} | options
    values = [f"{k}={v}" if isinstance(v, bool) else str(v) for k, v in options.items()]
    return "-".join([pe.kind, *values])


def solved(
    name: str,
    statement: Callable[[], Property],
    method: Method | Literal["reachable"] = "bounded",
    depth: int = 1,
    *,
    quick: bool = True,
    faulted: bool = False,
) -> Proof:
    return Proof(
        name,
        lambda: to_rtlil(statement()),
        lambda texts: (
            prove_for_ever(texts)
            if method == "reachable"
            else prove_all(texts, method, depth=depth)
        ),
        "top.body.dut",
        quick,
        faulted,
        _SCOPES.get(method, f"{depth} cycles from reset"),
    )


def added(name: str, pe: Any, *, quick: bool, faulted: bool) -> Proof:
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
