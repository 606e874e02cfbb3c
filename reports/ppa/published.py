"""Published figures to compare with: theirs, quoted, never ours.

Sources: the paper is Wu et al., HPCA 2025, arXiv 2503.06342 (SMIC 28 nm, layout level); "abstract" is
its abstract, "paper" its body as a third party quotes it, which we could not check. "RTL reports" are
the synthesis reports in the authors' public repository (Synopsys 32 nm educational library, Design
Compiler with retiming and wire load, 32-bit accumulators), whose ratios at the best points that met
timing are our arithmetic. Their baseline is a behavioural multiplier, which their tool merges with its
accumulator as it sees fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["CLAIMS", "Claim", "figure"]

Quantity = Literal["performance per area", "MACs per energy", "clock period", "area"]


@dataclass(frozen=True)
class Claim:
    """One published figure, and which of our rows stands beside it.

    Attributes
    ----------
    what, source : str
    level : str
        Ours: ``pe`` or ``engine``.
    design : str
        Ours: the same structure as theirs, or a name that is no design of ours.
    quantity : str
        What is compared; always relative to `baseline` of the same run.
    theirs : float
    missing : str
        Why there is no figure of ours where there is none.
    baseline : str
    note : str
        What differs between the two figures, where more does than process and tools.
    """

    what: str
    source: str
    level: Literal["pe", "engine"]
    design: str
    quantity: Quantity
    theirs: float
    missing: str = ""
    baseline: str = "mac"
    note: str = ""


def figure(claim: Claim, result: Mapping[str, Any]) -> float | None:
    """Our figure beside a claim, from a result of `reports.ppa.run`; None where it has none."""
    rows = {row["name"]: row for row in result.get(claim.level, {}).get("designs", ())}
    row, base = rows.get(claim.design), rows.get(claim.baseline)
    if row is None or base is None:
        return None
    own, theirs = row["best"], base["best"]
    if claim.quantity == "MACs per energy":
        if "energy" not in row or "energy" not in base:
            return None
        return float(base["energy"]["total"] / row["energy"]["total"])
    if claim.quantity == "clock period":
        return float(own["period"] / theirs["period"])
    if claim.quantity == "area":
        return float(own["area"] / row["pes"] / (theirs["area"] / base["pes"]))
    costs = [r["best"]["area"] * r["best"]["period"] / r["macs_per_cycle"] for r in (base, row)]
    return float(costs[0] / costs[1])


_ENERGY = "energy is measured of PEs, not of engines"
_RIVAL = "no RTL or model of {} is public, and none was written"
_DEEP = "ours is 8 x 8 x 4"
_NO_DRAIN = "theirs has no drain, and its adders outside; ours has both inside"
_SUMS = "the memory of sums is in neither"
_EQUAL_AREA = (
    "theirs is a whole ViT at equal area, buffers and waiting accounted for in ways that we do not "
    "know; ours is full tiles of the operands named above, logic only: with memories see the table "
    "of engines"
)

CLAIMS = (
    Claim("systolic array, OPT1", "abstract", "engine", "opt1", "performance per area", 1.27),
    Claim("the same", "abstract", "engine", "opt1", "MACs per energy", 1.04, _ENERGY),
    Claim(
        "3D cube, OPT1", "abstract", "engine", "opt1-cube", "performance per area", 1.28,
        baseline="mac-cube", note=_DEEP,
    ),
    Claim(
        "the same", "abstract", "engine", "opt1-cube", "MACs per energy", 1.56, _ENERGY, "mac-cube"
    ),
    Claim(
        "multiplier-adder tree, OPT2", "abstract", "engine", "opt2-tree", "performance per area",
        1.56, baseline="mac-tree", note=_DEEP,
    ),
    Claim(
        "the same", "abstract", "engine", "opt2-tree", "MACs per energy", 1.49, _ENERGY, "mac-tree"
    ),
    Claim(
        "2D matrix, OPT1 or OPT2", "abstract", "engine", "opt1-matrix", "performance per area", 1.44,
        baseline="mac-matrix", note="which of the two theirs is, is not known to us; ours is OPT1",
    ),
    Claim(
        "the same", "abstract", "engine", "opt1-matrix", "MACs per energy", 1.20, _ENERGY,
        "mac-matrix",
    ),
    Claim(
        "bit-slice engine against Laconic", "abstract", "engine", "laconic", "performance per area",
        2.85, _RIVAL.format("Laconic"),
    ),
    Claim(
        "the same", "abstract", "engine", "laconic", "MACs per energy", 12.10,
        _RIVAL.format("Laconic"),
    ),
    Claim("OPT1 PE", "RTL reports", "pe", "opt1-extended", "performance per area", 1.45),
    Claim("OPT1 PE", "RTL reports", "pe", "opt1-extended", "area", 1.03),
    Claim(
        "OPT1 PE, default switching activity", "RTL reports", "pe", "opt1-extended",
        "MACs per energy", 0.72, note="ours has simulated toggles, glitches included",
    ),
    Claim("OPT1 PE, 1.95 to 0.92 ns", "paper", "pe", "opt1-extended", "clock period", 0.47),
    Claim(
        "16 x 16 output-stationary array, OPT1", "RTL reports", "engine", "opt1-extended",
        "performance per area", 2.17, note=_NO_DRAIN,
    ),
    Claim(
        "the same", "RTL reports", "engine", "opt1-extended", "area", 0.962, note=_NO_DRAIN
    ),
    Claim("the same", "RTL reports", "engine", "opt1-extended", "clock period", 0.477),
    Claim(
        "16 x 16 weight-stationary array, OPT1", "RTL reports", "engine", "opt1-ws",
        "performance per area", 1.48, baseline="mac-ws", note=_SUMS,
    ),
    Claim(
        "the same", "RTL reports", "engine", "opt1-ws", "area", 1.126, baseline="mac-ws", note=_SUMS
    ),
    Claim(
        "the same", "RTL reports", "engine", "opt1-ws", "clock period", 0.60, baseline="mac-ws"
    ),
    Claim(
        "8 x 8 x 8 cube, OPT1", "RTL reports", "engine", "opt1-cube", "performance per area", 1.49,
        baseline="mac-cube", note=_DEEP,
    ),
    Claim("OPT4C PE of 81 um2, MAC of 246 um2", "paper", "pe", "opt4c", "area", 0.33),
    Claim(
        "three OPT4C in a MAC's area, 2.7 times its throughput", "paper", "pe", "opt4c",
        "performance per area", 2.7,
    ),
    Claim(
        "OPT4E group, 3.6 times the MAC's throughput in about its area", "paper", "pe", "opt4e",
        "performance per area", 3.6,
    ),
    Claim(
        "array of OPT4E, equal area, on ViT", "paper", "engine", "opt4e", "performance per area",
        2.02, note=_EQUAL_AREA,
    ),
)  # fmt: skip
