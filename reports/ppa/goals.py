"""What this package aims at on silicon, and what a result has measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["GOALS", "STEADY", "Goal", "Outcome", "outcomes"]

STEADY = 0.10
"""Share by which the period of a carry-save PE may change over the accumulator widths."""


@dataclass(frozen=True)
class Goal:
    """Performance per area of a design over its baseline's that is to be reached.

    Attributes
    ----------
    what : str
        In words.
    level : str
        ``pe`` or ``engine``.
    design : str
    least : float
    """

    what: str
    level: Literal["pe", "engine"]
    design: str
    least: float


GOALS = (
    Goal("OPT1 without sign extension, one PE", "pe", "opt1", 1.7),
    Goal("OPT3, one PE with its sparse encoder", "pe", "opt3", 1.5),
    Goal("OPT4C, per PE in a column of 16 with their encoder", "pe", "opt4c", 1.8),
    Goal("OPT4E, per PE in a column of 16 with their encoders", "pe", "opt4e", 2.3),
    Goal("free-pipeline fast inner product, carry-save, one PE", "pe", "ffip", 2.7),
    Goal(
        "16 x 16 output-stationary array of OPT1, skew, drain and adders included", "engine",
        "opt1", 1.5,
    ),
    Goal(
        "16 x 16 output-stationary array of fast inner products, corrections included", "engine",
        "ffip", 2.2,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """One line of the comparison: what was asked for, what was measured, whether that is enough."""

    what: str
    asked: str
    measured: str
    met: bool | None


def outcomes(result: Mapping[str, Any]) -> list[Outcome]:
    """All goals beside the figures of a result; ``met`` is None for what it has not measured."""
    return [_ratio(goal, result) for goal in GOALS] + _steadiness(result)


def _ratio(goal: Goal, result: Mapping[str, Any]) -> Outcome:
    asked = f"at least {goal.least:.1f} times the performance per area"
    rows = {row["name"]: row for row in result.get(goal.level, {}).get("designs", ())}
    if goal.design not in rows:
        return Outcome(goal.what, asked, "not measured", None)
    value = rows[goal.design]["relative"]["best"]
    return Outcome(goal.what, asked, f"{value:.2f}", value >= goal.least)


def _steadiness(result: Mapping[str, Any]) -> list[Outcome]:
    content = result.get("widths", {"bits": (), "designs": ()})
    asked = f"period changes by less than {100 * STEADY:.0f} %"
    rows = [row for row in content["designs"] if row["carry_save"]]
    if not rows:
        what = "carry-save PEs over the accumulator widths"
        return [Outcome(what, asked, "not measured", None)]
    span = f"accumulators of {min(content['bits'])} to {max(content['bits'])} bits"
    return [
        Outcome(
            f"{row['name']}, {span}",
            asked,
            f"{100 * (row['spread'] - 1):.1f} %",
            row["spread"] - 1 < STEADY,
        )
        for row in rows
    ]
