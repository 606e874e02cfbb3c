"""Which engine runs which PE."""

from __future__ import annotations

from typing import Literal

from hw.engine.digit_array import DigitArray
from hw.engine.matrix import MatrixArray
from hw.engine.systolic import SystolicArray
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.chain import Chain
from hw.pe.dot_product import dot_product
from hw.pe.fast_inner import FastInnerElement
from hw.pe.sparse_digit import DigitElement, Opt2, Opt3
from hw.pe.stationary import stationary_conflict

__all__ = [
    "AnyEngine",
    "Dataflow",
    "EngineKind",
    "array_element",
    "create_array",
    "dataflow_conflict",
    "engine_conflict",
    "engine_kind_of",
    "engine_kinds",
]

EngineKind = Literal["systolic", "columns", "matrix", "cube", "tree"]
"""``systolic``: operands move one cell per cycle. ``columns``: each row issues its nonzero digits.
``matrix``: operands are broadcast. ``cube``: a systolic array of chains of `depth` multipliers along
K. ``tree``: a matrix of dot products of `depth` elements of K."""

Dataflow = Literal["output-stationary", "weight-stationary"]
"""What stays in its cell: a sum until it is whole, or a weight for all rows of a tile."""

AnyEngine = SystolicArray | DigitArray | MatrixArray

_DEEP: tuple[EngineKind, ...] = ("cube", "tree")
_ARTICLE: dict[EngineKind, str] = {
    "systolic": "a systolic array",
    "columns": "an array of columns",
    "matrix": "a matrix",
    "cube": "a cube",
    "tree": "a tree",
}


def engine_kinds(pe: ProcessingElement) -> tuple[EngineKind, ...]:
    """The engines that `pe` is made for, the usual one first."""
    match pe.kind:
        case "opt3":
            return ()
        case "opt2":
            return "columns", "tree"
        case "fip":
            return "systolic", "matrix"
        case "ffip":
            return ("systolic",)
    return ("columns",) if isinstance(pe, DigitElement) else ("systolic", "matrix", "cube", "tree")


def engine_kind_of(pe: ProcessingElement) -> EngineKind:
    """The usual engine of `pe`."""
    return "columns" if isinstance(pe, DigitElement) else "systolic"


def engine_conflict(
    kind: EngineKind, pe: ProcessingElement, depth: int | None = None
) -> str | None:
    """Why an engine of `kind` cannot run `pe`: field, requirement, value, reason. None if it can."""
    if isinstance(pe, Opt3):
        return (
            "pe.kind must be opt4c or opt4e in an array, not opt3: every PE of a row would encode "
            "the same digits again, and opt4c shares that encoder at the same number of cycles"
        )
    kinds = engine_kinds(pe)
    if kind not in kinds:
        return (
            f"engine.kind must be {' or '.join(kinds)} for {pe.kind}, not {kind}: "
            f"{_mismatch(kind, pe)}"
        )
    if kind not in _DEEP:
        if depth is None:
            return None
        return (
            f"engine.depth must be absent for {kind}, not {depth}: only a cell of a cube or a tree "
            "has several multipliers"
        )
    if depth is None:
        return f"engine.depth must be given for {kind}: the multipliers of a cell, 1 or more"
    return _opt2_conflict(pe, depth) if isinstance(pe, Opt2) else None


def dataflow_conflict(dataflow: Dataflow, kind: EngineKind, pe: ProcessingElement) -> str | None:
    """Why an engine of `pe` has no such dataflow: requirement, value, reason. None if it has."""
    if dataflow == "output-stationary":
        return None
    if conflict := stationary_conflict(pe):
        return conflict
    if kind == "systolic":
        return None
    return (
        f"must be output-stationary for {kind}, not weight-stationary: partial sums move through "
        f"the rows of a systolic array only, and stay in the cells of {_ARTICLE[kind]}"
    )


def _mismatch(kind: EngineKind, pe: ProcessingElement) -> str:
    """Why `kind` is not among the engines of `pe`."""
    if kind == "columns":
        return "its PEs take whole operands, and columns issue single digits"
    if isinstance(pe, Opt2):
        return (
            f"its PEs take one digit of every operand, and the cells of {_ARTICLE[kind]} "
            "take whole operands"
        )
    if isinstance(pe, DigitElement):
        return (
            "its PEs take as many cycles as their operands have nonzero digits, but "
            f"{_ARTICLE[kind]} moves in step"
        )
    if isinstance(pe, FastInnerElement) and kind in _DEEP:
        return (
            f"its PEs multiply sums of an activation and a weight, and the cells of "
            f"{_ARTICLE[kind]} multiply the operands themselves"
        )
    return "its PEs pass pre-sums on to their neighbours, and a matrix broadcasts its operands"


def _opt2_conflict(pe: Opt2, depth: int) -> str | None:
    """A tree takes all bit weights at once and has no segments: what it cannot heed is refused."""
    if pe.products != depth:
        return (
            f"pe.products must be engine.depth for opt2 in a tree, not {pe.products} beside "
            f"{depth}: change one of them"
        )
    if pe.sign_extension:
        return (
            "pe.sign_extension must be false for opt2 in a tree, not true: {sum, carry} words of "
            "one bit weight are widened, which needs sums without a sign"
        )
    for field in ("segment", "cells_per_adder"):
        value = getattr(pe, field)
        if value != Opt2.model_fields[field].default:
            return (
                f"pe.{field} must be absent for opt2 in a tree, not {value}: a tree takes every "
                "bit weight in every step, and reads none out"
            )
    return None


def array_element(
    pe: ProcessingElement, kind: EngineKind, depth: int | None = None
) -> ProcessingElement:
    """What an engine is an array of: `pe` itself, or a cell of `depth` of its multipliers.


    Raises
    ------
    ValueError
        An engine of `kind` cannot run `pe`.
    """
    if conflict := engine_conflict(kind, pe, depth):
        raise ValueError(conflict)
    if depth is None:
        return pe
    return Chain.of(pe, depth) if kind == "cube" else dot_product(pe, depth)


def create_array(
    pe: ProcessingElement,
    *,
    rows: int,
    cols: int,
    kind: EngineKind | None = None,
    depth: int | None = None,
    watched: bool = False,
) -> AnyEngine:
    """An engine of `pe` with one stream of operands; of the usual kind where none is given.

    A digit array is `watched` if asked for: it says whether it is working.

    Raises
    ------
    ValueError
        An engine of `kind` cannot run `pe`, or `rows` or `cols` is below 1.
    """
    kind = kind or engine_kind_of(pe)
    element = array_element(pe, kind, depth)
    if isinstance(element, DigitElement):
        return DigitArray(element, rows=rows, cols=cols, watched=watched)
    assert isinstance(element, CellElement)
    if kind in ("matrix", "tree"):
        return MatrixArray(element, rows=rows, cols=cols)
    return SystolicArray(element, rows=rows, cols=cols)
