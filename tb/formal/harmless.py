"""Whether a change of a netlist changes nothing that its proof could find.

A fault of that kind is none. Yosys does not see it by itself: constant inputs, digits that are never
one and two at once, or states that no run reaches may be what makes the change harmless.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from tb.formal.reachability import asserted_for_ever
from tb.formal.solver import connected
from tb.formal.yosys import flattened, run_yosys

__all__ = ["harmless"]

_MAPPED = ["memory -nomap", "memory_map", "opt_clean"]


def harmless(design: str, changed: str, holds: Sequence[str] = (), *, limit: float = 120) -> bool:
    """Whether a design and a changed one with the same names are proved to behave alike.

    In one of three ways:

    * in one step from any state in which `holds` is high, all outputs and what all registers take
      over are the same: then both go through the same states for ever;
    * where the design says what it shows: this is the same in every state that is reached from
      reset, where registers may differ;
    * wire by wire, and by induction.

    Parameters
    ----------
    holds : sequence of str
        Outputs of `design` that are high whatever happens: what the environment promises, and what
        was proved of every state that is reached. Where it is empty, nothing is assumed.
    limit : float
        Seconds for each way.
    """
    return (
        _in_one_step(design, changed, holds, limit)
        or (" \\shown\n" in design and _shows_the_same(design, changed, holds, limit))
        or _wire_by_wire(design, changed, limit)
    )


def _in_one_step(design: str, changed: str, holds: Sequence[str], limit: float) -> bool:
    given = [f"-set gold_{name} 1" for name in holds]
    # A design that promises something is proved without resets.
    given += ["-set in_rst 0"] if holds and "\\rst\n" in design else []
    commands = [
        *_both(
            *(
                [
                    *_read(text),
                    *_MAPPED,
                    *connected(text),
                    "dffunmap",
                    "expose -sep : -evert-dff -dff",
                ]
                for text in (design, changed)
            )
        ),
        "miter -equiv -flatten -make_outputs one other both",
        "hierarchy -top both",
        "opt -full",
        f"sat -prove trigger 0 {' '.join(given)} both",
    ]
    return _says(commands, "no model found: SUCCESS", limit)


def _shows_the_same(design: str, changed: str, holds: Sequence[str], limit: float) -> bool:
    assumed = [f"add -assume {name}" for name in holds]
    one, other = (
        [
            *flattened(text),
            *connected(text),
            "cd top",
            *extra,
            *(f"delete -output o:{name}" for name in ("ok", "given")),
            "cd",
        ]
        for text, extra in ((design, assumed), (changed, []))
    )
    commands = [
        *_both(one, other),
        "miter -equiv -flatten -make_assert one other both",
        "hierarchy -top both",
        "delete -input w:in_rst",
        "setundef -undriven -zero",
        "delete -output o:*",
    ]
    try:
        (verdict,) = asserted_for_ever([commands], limit=limit)
    except RuntimeError:  # they cannot be compared, and so the fault counts
        return False
    return verdict.proved


def _wire_by_wire(design: str, changed: str, limit: float) -> bool:
    commands = [
        *_both(*([*_read(text), *_MAPPED] for text in (design, changed))),
        "equiv_make one other both",
        "hierarchy -top both",
        "opt_clean",
        "equiv_simple -undef",
        "equiv_induct -undef",
        "equiv_status",
    ]
    return _says(commands, "Equivalence successfully proven!", limit)


def _read(text: str) -> list[str]:
    return [
        f"read_rtlil <<rtlil\n{text}\nrtlil",
        "hierarchy -top top",
        "proc",
        "flatten",
        "opt_clean",
    ]


def _both(one: list[str], other: list[str]) -> list[str]:
    """Commands that prepare both designs, and load them under these names."""
    commands = []
    for name, prepare in (("one", one), ("other", other)):
        commands += [*prepare, f"rename top {name}", f"design -stash {name}"]
    return commands + [f"design -copy-from {name} -as {name} {name}" for name in ("one", "other")]


def _says(commands: Sequence[str], success: str, limit: float) -> bool:
    try:
        done = run_yosys("\n".join(commands), limit)
    except subprocess.TimeoutExpired:
        return False
    # Where Yosys cannot compare them, nothing is proved, and the fault counts.
    return done.returncode == 0 and success in done.stdout
