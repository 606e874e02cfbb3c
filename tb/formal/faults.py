"""Faults for the proofs to find: one cell of a netlist turned into another.

A proof that no fault can break proves nothing. Faults are put into the RTLIL of the block under
proof, one at a time, and every proof is run again on each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["Fault", "faults"]

_OTHERS = {
    "$and": "$or",
    "$or": "$and",
    "$xor": "$or",
    "$not": "$pos",
    "$neg": "$pos",
    "$add": "$sub",
    "$sub": "$add",
    "$eq": "$ne",
    "$ne": "$eq",
    "$ge": "$lt",
    "$reduce_or": "$reduce_and",
    "$reduce_bool": "$reduce_and",
}
_MODULE = re.compile(r"^module \\(\S+)\n.*?^end\n", re.M | re.S)
_CELL = re.compile(r"^  cell (\$\w+) (\S+)\n(.*?)^  end\n", re.M | re.S)
_INPUTS = re.compile(r"^    connect \\([AB]) (.*)\n", re.M)
# Which wires of a module are ports, and the numbers of names, follow from what is around it.
_DECLARED = re.compile(r"^ *(?:wire|attribute) .*\n|^\n", re.M)
_NUMBER = re.compile(r"(?<=\w)\$\d+")


@dataclass(frozen=True)
class Fault:
    """One changed cell.

    Attributes
    ----------
    name : str
        Which cell of which module, and what became of it.
    design : str
        The RTLIL without the fault.
    place : slice
        Where the cell stands in it.
    cell : str
        What it became.
    """

    name: str
    design: str
    place: slice
    cell: str

    @property
    def text(self) -> str:
        """The RTLIL with the fault."""
        return self.design[: self.place.start] + self.cell + self.design[self.place.stop :]


def faults(text: str, block: str = "top", apart: Sequence[str] = ()) -> Iterator[Fault]:
    """Every fault of the modules whose names start with `block`, but for blocks inside it whose
    names start with one of `apart`.

    Gates become other gates, additions subtractions, and a multiplexer's inputs change places. Of
    modules that differ in nothing but their names, such as the cells of an array, it is the first
    that has faults.
    """
    seen = set()
    for module in _MODULE.finditer(text):
        if not module[1].startswith(block) or module[1].startswith(
            tuple(f"{block}.{name}" for name in apart)
        ):
            continue
        inside = _NUMBER.sub("", _DECLARED.sub("", module[0].partition("\n")[2]))
        if inside in seen:
            continue
        seen.add(inside)
        for cell in _CELL.finditer(text, module.start(), module.end()):
            kind = cell[1]
            if kind == "$mux":
                inputs = dict(_INPUTS.findall(cell[3]))
                if inputs["A"] == inputs["B"]:
                    continue
                body = _INPUTS.sub(
                    lambda m: f"    connect \\{'BA'['AB'.index(m[1])]} {m[2]}\n", cell[3]
                )
                change, changed = "inputs exchanged", f"  cell $mux {cell[2]}\n{body}  end\n"
            elif kind in _OTHERS:
                change = f"to {_OTHERS[kind]}"
                changed = cell[0].replace(f"cell {kind} ", f"cell {_OTHERS[kind]} ", 1)
            else:
                continue
            name = f"{module[1]} {kind} {cell[2]} {change}"
            yield Fault(name, text, slice(cell.start(), cell.end()), changed)
