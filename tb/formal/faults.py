"""Faults for the proofs to find: one cell of a netlist turned into another.

A proof that no fault can break proves nothing. Faults are put into the RTLIL of the block under
proof, one at a time, and every proof is run again on each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
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


@dataclass(frozen=True)
class Fault:
    """One changed cell.

    Attributes
    ----------
    name : str
        Which cell of which module, and what became of it.
    text : str
        The RTLIL with the fault.
    """

    name: str
    text: str


def faults(text: str, block: str = "top") -> Iterator[Fault]:
    """Every fault of the modules whose names start with `block`.

    Gates become other gates, additions subtractions, and a multiplexer's inputs change places.
    """
    for module in _MODULE.finditer(text):
        if not module[1].startswith(block):
            continue
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
            yield Fault(
                f"{module[1]} {kind} {cell[2]} {change}",
                text[: cell.start()] + changed + text[cell.end() :],
            )
