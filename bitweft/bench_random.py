"""Random programs, networks and faults on small accelerators, as a table that anyone can make again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bitweft.random_checks import Check, check_fault, check_network, check_program, fault_of
from hw.errors import InputError
from hw.limits import accelerator_conflict
from hw.registry import PES
from hw.spec import Spec, load_spec
from sim.random_programs import conflict

__all__ = ["KINDS", "Accelerated", "Tally", "configurations", "markdown", "run_random"]

KINDS = ("programs", "networks", "faults")


@dataclass(frozen=True)
class Accelerated:
    """An accelerator, and the name that the results give it."""

    name: str
    spec: Spec


@dataclass
class Tally:
    """What the cases of one kind on one accelerator have shown.

    Attributes
    ----------
    kind, accelerator : str
    cases : int
    exact_cycles : int
        Cases whose cycles were compared: those without stalls.
    cycles, compared : int
        Simulated cycles; bytes of memory or elements of tensors.
    mismatches : int
        Cases in which anything differed, an error code was wrong, or the watchdog ended the run.
    """

    kind: str
    accelerator: str
    cases: int = 0
    exact_cycles: int = 0
    cycles: int = 0
    compared: int = 0
    mismatches: int = 0

    def add(self, check: Check) -> None:
        """Counts a case."""
        self.cases += 1
        self.exact_cycles += not check.stalled
        self.cycles += check.cycles
        self.compared += check.compared
        self.mismatches += bool(check.wrong)


@dataclass
class RandomResults:
    """All tallies, how often each fault occurred, and every mismatch."""

    tallies: list[Tally] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    mismatches: list[dict[str, Any]] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """For machines."""
        return {
            "results": [asdict(tally) for tally in self.tallies],
            "faults": dict(sorted(self.faults.items())),
            "mismatches": self.mismatches,
        }


def configurations(specs: Sequence[str]) -> list[Accelerated]:
    """The accelerators that `specs` name; without any, small ones of all PEs and several widths.

    Raises
    ------
    InputError
        A spec cannot be read, is no accelerator, or is too small for the random programs.
    """
    if specs:
        chosen = [Accelerated(name, load_spec(name)) for name in specs]
    else:
        tiny = load_spec("tiny")
        pes = [pe(kind=kind) for kind, pe in PES.items()]
        of_pes = [tiny.with_pe(pe) for pe in pes]
        chosen = [
            Accelerated(f"tiny {spec.pe.kind}", spec)
            for spec in of_pes
            if accelerator_conflict(spec) is None
        ]
        chosen += [
            Accelerated(f"{size} × {size} {tiny.pe.kind}", _sized(tiny, size)) for size in (2, 8)
        ]
    for one in chosen:
        problem = accelerator_conflict(one.spec) or conflict(one.spec)
        if problem:
            raise InputError(f"Spec {one.name!r}: {problem}.")
    return chosen


def _sized(spec: Spec, size: int) -> Spec:
    """Another array, with words and memories to match."""
    grow = size / spec.engine.cols
    content = spec.resolved()
    content["engine"] |= {"rows": size, "cols": size}
    content["memory"] |= {"bus_bits": 8 * size, "bytes_per_cycle": size}
    for name in ("scratchpad", "weight_buffer"):
        content[name]["bytes"] = round(content[name]["bytes"] * max(1, grow * grow))
    return Spec.model_validate_json(json.dumps(content))


def run_random(
    counts: Mapping[str, int],
    accelerators: Sequence[Accelerated],
    seed: int,
    on_case: Callable[[str, int], object] = lambda kind, number: None,
) -> RandomResults:
    """Runs so many cases of each kind, in turn on each accelerator.

    A case depends on the seed, its kind and its number alone.
    """
    results = RandomResults()
    for kind in KINDS:
        tallies = {one.name: Tally(kind, one.name) for one in accelerators}
        for number, one in _turns(counts[kind], accelerators):
            rng = np.random.default_rng([seed, KINDS.index(kind), number])
            if kind == "programs":
                check = check_program(rng, one.spec)
            elif kind == "networks":
                check = check_network(rng, one.spec, number)
            else:
                check = check_fault(rng, one.spec, number)
                results.faults[fault_of(number)] += 1
            tallies[one.name].add(check)
            if check.wrong:
                case = {"kind": kind, "number": number, "accelerator": one.name}
                results.mismatches.append({**case, "wrong": check.wrong})
            on_case(kind, number)
        results.tallies += [tally for tally in tallies.values() if tally.cases]
    return results


def _turns(count: int, accelerators: Sequence[Accelerated]) -> Iterator[tuple[int, Accelerated]]:
    """Numbers of cases with their accelerator: all cases of one, then those of the next."""
    for turn, one in enumerate(accelerators):
        for number in range(turn, count, len(accelerators)):
            yield number, one


def markdown(content: Mapping[str, Any]) -> str:
    """The results as a page."""
    lines = [
        "# Random programs, networks and faults on the generated hardware",
        "",
        (
            "Made by `bitweft bench random`. A program's memory is compared byte by byte with the "
            "functional simulator's, a network's tensors with the integer reference, the counters "
            "of bytes with program or plan. Half of the programs overlap loads, computations and "
            "stores as far as the tokens that the mapper gives them allow. The memory has a random latency and bandwidth; in two "
            "cases of three it stalls at random, in the others the cycles are compared with the "
            "timing model, too. Networks are planned by the mapper; in every third the operators "
            "have to run in patches where they can. A fault is an error on the bus, a reset in "
            "mid-run, or a malformed program; its error code is compared, and then another program "
            "must run on the same accelerator. Every run is bounded by a watchdog in cycles."
        ),
        "",
        "| kind | accelerator | cases | with cycles compared | cycles | values compared | mismatches |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in content["results"]:
        lines.append(
            f"| {r['kind']} | {r['accelerator']} | {r['cases']:,} | {r['exact_cycles']:,} "
            f"| {r['cycles']:,} | {r['compared']:,} | {r['mismatches']:,} |"
        )
    if content["faults"]:
        faults = "; ".join(f"{what} {count}" for what, count in content["faults"].items())
        lines += ["", f"Faults by what happened: {faults}."]
    lines += ["", "## Mismatches", ""]
    lines += [
        f"* {m['kind']} {m['number']} on {m['accelerator']}: {'; '.join(m['wrong'])}."
        for m in content["mismatches"]
    ] or ["None."]
    made = ", ".join(f"{name} {version}" for name, version in content["made_with"].items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])
