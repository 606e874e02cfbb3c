"""What a component really consists of, counted from its elaborated netlist.

Amaranth writes one module per instance, so every cell that is there is counted once.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from amaranth.back import rtlil

__all__ = ["Cell", "Netlist", "elaborated"]

_MODULE = re.compile(r"^module \S+\n(.*?)^end$", re.MULTILINE | re.DOTALL)
_CELL = re.compile(r"^  cell (\S+) \S+\n((?:    .*\n)*?)  end$", re.MULTILINE)
_PARAMETER = re.compile(r"^    parameter \\(\w+) (\d+)$", re.MULTILINE)
_CONNECT = re.compile(r"^    connect \\(\w+) (.+)$", re.MULTILINE)
_WIRE = re.compile(r"^  wire width (\d+) .*?\\(\S+)$", re.MULTILINE)

_REGISTERS = ("$dff", "$dffe", "$adff", "$adffe", "$sdff", "$sdffe", "$sdffce")
_CARRY_CHAINS = ("$add", "$sub", "$neg", "$alu")


@dataclass(frozen=True)
class Cell:
    """One cell: its type, the width of its output, and the wires at its ports, slices left off."""

    kind: str
    width: int
    ports: dict[str, str]


@dataclass(frozen=True)
class Netlist:
    """Cells and named wires of a component, module by module."""

    modules: tuple[tuple[Cell, ...], ...]
    wires: tuple[tuple[str, int], ...]

    def _of(self, kinds: tuple[str, ...]) -> list[Cell]:
        return [cell for module in self.modules for cell in module if cell.kind in kinds]

    @property
    def registers(self) -> Counter[str]:
        """Bits of registers by name; those of one name in several instances are added up."""
        found: Counter[str] = Counter()
        for cell in self._of(_REGISTERS):
            found[cell.ports["Q"].lstrip("\\")] += cell.width
        return found

    @property
    def flip_flops(self) -> int:
        """Bits of registers."""
        return sum(self.registers.values())

    @property
    def adders(self) -> int:
        """Carry-propagate additions, subtractions and negations."""
        return len(self._of(_CARRY_CHAINS))

    @property
    def multipliers(self) -> int:
        return len(self._of(("$mul",)))

    @property
    def full_adders(self) -> int:
        """Bits of 3:2 compressors, found as majorities: ``(x & y) | (x & z) | (y & z)``."""
        bits = 0
        for module in self.modules:
            made_by = {cell.ports["Y"]: cell for cell in module if "Y" in cell.ports}

            def inputs(cell: Cell, by: dict[str, Cell] = made_by) -> list[str]:
                return [by[cell.ports[p]].kind for p in "AB" if cell.ports[p] in by]

            for cell in module:
                if cell.kind == "$or" and inputs(cell) == ["$or", "$and"]:
                    bits += cell.width * (inputs(made_by[cell.ports["A"]]) == ["$and", "$and"])
        return bits

    def named(self, prefix: str) -> list[int]:
        """Widths of the wires called ``<prefix><number>``, or just `prefix`."""
        pattern = re.compile(re.escape(prefix) + r"\d*(\$\d+)?")
        return [width for name, width in self.wires if pattern.fullmatch(name)]


def elaborated(component: Any) -> Netlist:
    """The netlist of an Amaranth component."""
    text = rtlil.convert(component, emit_src=False)
    modules = []
    for module in _MODULE.findall(text):
        cells = []
        for kind, body in _CELL.findall(module):
            parameters = dict(_PARAMETER.findall(body))
            width = int(parameters.get("Y_WIDTH") or parameters.get("WIDTH") or 0)
            ports = {port: wire.split(" ")[0] for port, wire in _CONNECT.findall(body)}
            cells.append(Cell(kind, width, ports))
        modules.append(tuple(cells))
    wires = tuple((name, int(width)) for width, name in _WIRE.findall(text))
    return Netlist(tuple(modules), wires)
