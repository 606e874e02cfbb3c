"""Which engine runs which PE."""

from __future__ import annotations

from typing import Literal

from hw.engine.digit_array import DigitArray
from hw.engine.systolic import SystolicArray
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.sparse_digit import DigitElement, Opt3
from hw.pe.stationary import stationary_conflict

__all__ = [
    "AnyEngine",
    "Dataflow",
    "EngineKind",
    "create_array",
    "dataflow_conflict",
    "engine_conflict",
    "engine_kind_of",
]

EngineKind = Literal["systolic", "columns"]
"""``systolic``: operands move one cell per cycle. ``columns``: each row issues its nonzero digits."""

Dataflow = Literal["output-stationary", "weight-stationary"]
"""What stays in its cell: a sum until it is whole, or a weight for all rows of a tile."""

AnyEngine = SystolicArray | DigitArray


def engine_kind_of(pe: ProcessingElement) -> EngineKind:
    """The engine that `pe` is made for."""
    return "columns" if isinstance(pe, DigitElement) else "systolic"


def engine_conflict(kind: EngineKind, pe: ProcessingElement) -> str | None:
    """Why an engine of `kind` cannot run `pe`: field, requirement, value, reason. None if it can."""
    if isinstance(pe, Opt3):
        return (
            "pe.kind must be opt4c or opt4e in an array, not opt3: every PE of a row would encode "
            "the same digits again, and opt4c shares that encoder at the same number of cycles"
        )
    if kind == engine_kind_of(pe):
        return None
    if kind == "systolic":
        return (
            f"engine.kind must be columns for {pe.kind}, not systolic: its PEs take as many cycles "
            "as their operands have nonzero digits, but a systolic array moves in step"
        )
    return (
        f"engine.kind must be systolic for {pe.kind}, not columns: its PEs take whole operands, "
        "and columns issue single digits"
    )


def dataflow_conflict(dataflow: Dataflow, pe: ProcessingElement) -> str | None:
    """Why the engine of `pe` has no such dataflow: requirement, value, reason. None if it has."""
    return stationary_conflict(pe) if dataflow == "weight-stationary" else None


def create_array(pe: ProcessingElement, *, rows: int, cols: int) -> AnyEngine:
    """The engine that `pe` is made for, with one stream of operands: outputs stand still.

    Raises
    ------
    ValueError
        No engine runs `pe`, or `rows` or `cols` is below 1.
    """
    if conflict := engine_conflict(engine_kind_of(pe), pe):
        raise ValueError(conflict)
    if isinstance(pe, DigitElement):
        return DigitArray(pe, rows=rows, cols=cols)
    assert isinstance(pe, CellElement)
    return SystolicArray(pe, rows=rows, cols=cols)
