"""What a component really consists of, counted from its elaborated netlist.

Amaranth writes one module per instance, so every cell that is there is counted once.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amaranth.back import rtlil

__all__ = ["Netlist", "elaborated"]

_CELL = re.compile(r"^  cell (\S+) \S+\n((?:    .*\n)*?)  end$", re.MULTILINE)
_WIRE = re.compile(r"^  wire width (\d+) .*?\\(\S+)$", re.MULTILINE)
_PARAMETER = re.compile(r"parameter \\(\w+) (\d+)")

_REGISTERS = ("$dff", "$dffe", "$adff", "$adffe", "$sdff", "$sdffe", "$sdffce")
_CARRY_CHAINS = ("$add", "$sub", "$neg", "$alu")


@dataclass(frozen=True)
class Netlist:
    """Cells and named wires of a component and all that is inside it.

    Attributes
    ----------
    cells : mapping of (type, width) to number
        The width is that of the output.
    wires : tuple of (name, width)
        As the design names them, once per instance.
    """

    cells: Mapping[tuple[str, int], int]
    wires: tuple[tuple[str, int], ...]

    @property
    def flip_flops(self) -> int:
        """Bits of registers."""
        return sum(bits * n for (kind, bits), n in self.cells.items() if kind in _REGISTERS)

    @property
    def adders(self) -> int:
        """Carry-propagate additions and negations."""
        return sum(n for (kind, _), n in self.cells.items() if kind in _CARRY_CHAINS)

    @property
    def multipliers(self) -> int:
        return sum(n for (kind, _), n in self.cells.items() if kind == "$mul")

    def named(self, prefix: str) -> list[int]:
        """Widths of the wires called ``<prefix><number>``."""
        pattern = re.compile(re.escape(prefix) + r"\d+(\$\d+)?")
        return [width for name, width in self.wires if pattern.fullmatch(name)]


def elaborated(component: Any) -> Netlist:
    """The netlist of an Amaranth component."""
    text = rtlil.convert(component, emit_src=False)
    cells: Counter[tuple[str, int]] = Counter()
    for kind, body in _CELL.findall(text):
        parameters = dict(_PARAMETER.findall(body))
        width = parameters.get("Y_WIDTH", parameters.get("WIDTH", "0"))
        cells[kind, int(width or 0)] += 1
    wires = tuple((name, int(width)) for width, name in _WIRE.findall(text))
    return Netlist(cells, wires)
