"""Scratchpad budgets of the literature, relative to a network, or in bytes.

``MR`` is the largest sum of one operator's inputs and outputs: no schedule runs in less. ``MP`` is
the least peak over all orders: in that much nothing need be spilled. ``MH`` is their mean, rounded
down (Li, Gupta, Malik, arXiv 2311.18246, evaluation).
"""

from __future__ import annotations

from dataclasses import dataclass

from hw.errors import InputError
from hw.units import parse_bytes
from mapper.graph import Graph, Operator
from mapper.limits import Limits
from mapper.schedule.orders import least_peak
from mapper.schedule.problem import Problem

__all__ = ["Budget", "largest_operator", "resolve_budget"]

_RELATIVE = ("MR", "MH", "MP")
_LIMIT = 1 << 50


@dataclass(frozen=True)
class Budget:
    """A capacity and how it was named.

    Attributes
    ----------
    name : str
        ``MR``, ``MH``, ``MP``, ``bytes``, or ``spec`` for the accelerator's own scratchpad.
    bytes : int
        The capacity.
    proven : bool
        False where the search for the least peak gave up, so that ``MP`` (or ``MH``) is only the
        least peak that was found.
    """

    name: str
    bytes: int
    proven: bool = True


def largest_operator(graph: Graph) -> tuple[Operator, int]:
    """The operator with most bytes of operands, the first of equals, and those bytes (``MR``)."""
    operator = max(graph.operators, key=graph.operand_bytes)
    return operator, graph.operand_bytes(operator)


def resolve_budget(graph: Graph, text: str, limits: Limits | None = None) -> Budget:
    """The capacity that `text` names for `graph`.

    Parameters
    ----------
    graph : Graph
    text : str
        ``MR``, ``MH`` or ``MP`` in any case, or bytes such as ``4096``, ``256KiB`` or ``1.5MB``.
    limits : Limits, optional
        Its clock ends the search for the least peak.

    Raises
    ------
    InputError
        `text` has another form, or is zero or absurdly large.
    """
    name = text.strip().upper()
    if name == "MR":
        return Budget("MR", largest_operator(graph)[1])
    if name in _RELATIVE:
        within = limits.share(0.2) if limits is not None else None
        peak = least_peak(Problem.of(graph), limits=within)
        if name == "MP":
            return Budget("MP", peak.bytes, peak.proven)
        return Budget("MH", (largest_operator(graph)[1] + peak.bytes) // 2, peak.proven)
    try:
        count = parse_bytes(text)
    except ValueError as error:
        raise InputError(
            f"--scratchpad must be MR, MH, MP or a size such as 256KiB, not {text!r} ({error})."
        ) from error
    if not 0 < count <= _LIMIT:
        raise InputError(
            f"--scratchpad must be between 1 byte and {_LIMIT >> 40} TiB, not {text!r}."
        )
    return Budget("bytes", count)
