"""Published figures to compare with: theirs, quoted, never ours.

Sources: the paper is Wu et al., HPCA 2025, arXiv 2503.06342 (SMIC 28 nm, layout level); "RTL
reports" are the synthesis reports in the authors' public repository (Synopsys 32 nm educational
library, Design Compiler with retiming and wire load, 32-bit accumulators), whose ratios at the best
points that met timing are our arithmetic. Their baseline is a behavioural multiplier, which their
tool merges with its accumulator as it sees fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["CLAIMS", "Claim"]

Quantity = Literal["performance per area", "clock period", "area"]


@dataclass(frozen=True)
class Claim:
    """One published figure, and which of our rows stands beside it.

    Attributes
    ----------
    what, source : str
    level : str
        Ours: ``pe`` or ``engine``.
    design : str
        Ours: the same structure as theirs.
    quantity : str
        What is compared; always relative to the MAC of the same run.
    theirs : float
    """

    what: str
    source: str
    level: Literal["pe", "engine"]
    design: str
    quantity: Quantity
    theirs: float


CLAIMS = (
    Claim("OPT1 PE", "RTL reports", "pe", "opt1-extended", "performance per area", 1.45),
    Claim("OPT1 PE", "RTL reports", "pe", "opt1-extended", "area", 1.03),
    Claim("OPT1 PE, 1.95 to 0.92 ns", "paper", "pe", "opt1-extended", "clock period", 0.47),
    Claim("systolic array, OPT1", "abstract", "engine", "opt1", "performance per area", 1.27),
    Claim(
        "16 x 16 output-stationary array, OPT1; no drain, adders outside",
        "RTL reports",
        "engine",
        "opt1-extended",
        "performance per area",
        2.17,
    ),
    Claim("the same", "RTL reports", "engine", "opt1-extended", "area", 0.962),
    Claim("the same", "RTL reports", "engine", "opt1-extended", "clock period", 0.477),
    Claim("OPT4C PE of 81 um2, MAC of 246 um2", "paper", "pe", "opt4c", "area", 0.33),
    Claim(
        "OPT4E group, 3.6 times the MAC's throughput in about its area",
        "paper",
        "pe",
        "opt4e",
        "performance per area",
        3.6,
    ),
    Claim(
        "three OPT4C in a MAC's area, 2.7 times its throughput",
        "paper",
        "pe",
        "opt4c",
        "performance per area",
        2.7,
    ),
)
