"""A proof of the catalogue: what is proved, how, and the faults that must break it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from amaranth.back import rtlil

from hw.pe.base import ProcessingElement
from tb.formal.algebra import Netlist
from tb.formal.faults import Fault, faults
from tb.formal.harmless import harmless
from tb.formal.reachability import prove_for_ever
from tb.formal.solver import Method, Property, Verdict, prove_all, to_rtlil

__all__ = ["Proof", "added", "label", "solved"]

_SCOPES: dict[str, str] = {
    "step": "any state",
    "induction": "induction, unbounded",
    "reachable": "reachability, unbounded",
}

_BATCH = 16
"""Faults per run of Yosys, whose start takes as long as a short proof."""


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
    holds : tuple of str
        Outputs of the design that are high in every state that it reaches: the promise of the
        environment, and the statement where it is proved for ever.
    apart : tuple of str
        Blocks inside the block that have proofs, and faults, of their own.
    """

    name: str
    design: Callable[[], str]
    check: Callable[[Sequence[str]], Sequence[Verdict]]
    block: str = "top"
    quick: bool = True
    faulted: bool = False
    scope: str = "any state"
    holds: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()

    def run(self) -> Verdict:
        """Proves it of the block as it is."""
        (verdict,) = self.check([self.design()])
        return verdict

    def batches(self, every: int = 1) -> list[list[Fault]]:
        """Every n-th fault, in groups that are checked together."""
        chosen = list(faults(self.design(), self.block, self.apart))[::every]
        return [chosen[start : start + _BATCH] for start in range(0, len(chosen), _BATCH)]

    def missed(self, batch: Sequence[Fault]) -> tuple[int, list[str]]:
        """Injects each fault: how many, and those that change the block and are not found; what the
        solver has no time for is not found.

        A change that is proved to change nothing (an input is constant, say) is no fault.
        """
        count, found = 0, []
        verdicts = self.check([fault.text for fault in batch])
        for fault, verdict in zip(batch, verdicts, strict=True):
            if verdict.proved and harmless(fault.design, fault.text, self.holds):
                continue
            count += 1
            if verdict.proved or verdict.late:
                found.append(fault.name)
        return count, found

    def survivors(self, every: int = 1) -> tuple[int, list[str]]:
        """As `missed`, of every n-th fault."""
        parts = [self.missed(batch) for batch in self.batches(every)]
        return sum(count for count, _ in parts), [name for _, names in parts for name in names]


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
    apart: tuple[str, ...] = (),
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
        ("given", "ok") if method in ("induction", "reachable") else ("given",),
        apart,
    )


def added(
    name: str,
    create: Callable[[], Any],
    adds: Callable[[Netlist], bool],
    *,
    quick: bool,
    faulted: bool,
) -> Proof:
    def design() -> str:
        text: str = rtlil.convert(create(), name="top", emit_src=False)
        return text

    def check(texts: Sequence[str]) -> list[Verdict]:
        started = time.monotonic()
        proved = [adds(net) for net in Netlist.of_texts(texts)]
        seconds = (time.monotonic() - started) / len(texts)
        return [Verdict(yes, seconds, "" if yes else "sums differ") for yes in proved]

    return Proof(name, design, check, "top", quick, faulted)
