"""What is synthesised: PEs by themselves, and whole engines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from hw.emit import to_verilog
from hw.engine.systolic import SystolicArray
from hw.errors import InputError
from hw.operand import Operand
from hw.pe.base import CellElement, ProcessingElement
from hw.pe.merged_mac import MergedMac
from hw.registry import PES

__all__ = ["ENGINE_SIZE", "Design", "Level", "design_names", "find_designs"]

Level = Literal["pe", "engine"]

ENGINE_SIZE = 16
"""Rows and columns of the engines."""

_INSTANCE = re.compile(r"^  (\w+) (?:\\\S+ |\w+ )\($", re.M)


@dataclass(frozen=True)
class Design:
    """A unit that is measured.

    Attributes
    ----------
    name : str
    level : str
    about : str
        One line for the report.
    bits : int
        Width of a result.
    macs : int
        MACs in one step of the unit, which takes one cycle.
    create : callable
        Makes the component.
    """

    name: str
    level: Level
    about: str
    bits: int
    macs: int
    create: Callable[[], Any]

    @property
    def top(self) -> str:
        """Name of the Verilog module."""
        return "unit"

    @cached_property
    def verilog(self) -> str:
        return to_verilog(self.create(), self.top)

    @property
    def shared(self) -> tuple[str, ...]:
        """Modules that are instantiated more than once, and so are mapped once."""
        uses = Counter(_INSTANCE.findall(self.verilog))
        return tuple(sorted(name for name, count in uses.items() if count > 1))


_VARIANTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "mac": ("mac", {}, "Booth multiplier, adder, accumulator: the baseline"),
    "opt1": ("opt1", {}, "carry-save accumulation without sign extension"),
    "opt1-extended": ("opt1", {"sign_extension": True}, "the same with sign extension"),
    "fip": ("fip", {}, "fast inner product, carry-save"),
    "fip-plain": ("fip", {"carry_save": False}, "fast inner product, plain accumulator"),
    "ffip": ("ffip", {}, "free-pipeline fast inner product, carry-save"),
    "ffip-plain": ("ffip", {"carry_save": False}, "the same with a plain accumulator"),
}
_MERGED = "mac-merged"


def design_names(level: Level) -> tuple[str, ...]:
    """Names of the designs of a level, baseline first."""
    names = [name for name, (kind, _, _) in _VARIANTS.items() if kind in PES]
    if level == "pe":
        names.insert(1, _MERGED)
    return tuple(names)


def find_designs(names: tuple[str, ...], level: Level, bits: int) -> list[Design]:
    """The designs `names` with results of `bits` bits; all of the level where none is named.

    Raises
    ------
    InputError
        A name is unknown.
    """
    known = design_names(level)
    for name in names:
        if name not in known:
            raise InputError(f"Design must be one of {', '.join(known)}, not {name!r}.")
    chosen = [n for n in known if not names or n in names or n == "mac"]
    return [_design(name, level, bits) for name in chosen]


def _design(name: str, level: Level, bits: int) -> Design:
    if name == _MERGED:
        about = "Booth rows and accumulator in one tree, then one adder: a stronger baseline"
        return Design(name, level, about, bits, 1, lambda: MergedMac(Operand(8), bits=bits))
    kind, options, about = _VARIANTS[name]
    pe: ProcessingElement = PES[kind](accumulator_bits=bits, **options)
    if level == "pe":
        return Design(name, level, about, bits, pe.k_granularity, pe.standalone)
    if not isinstance(pe, CellElement):
        raise InputError(f"Engine must be of a dense PE, not {name!r}.")
    size = ENGINE_SIZE
    return Design(
        name,
        level,
        about,
        bits,
        pe.k_granularity * size * size,
        lambda: SystolicArray(pe, rows=size, cols=size),
    )
