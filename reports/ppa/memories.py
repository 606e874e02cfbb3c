"""Memories inside an engine: how many bits, and what they would take on silicon.

A library of standard cells has no memory. So an engine with operand buffers is mapped without them
(each bit of their ports counts as a flip-flop for timing, and as nothing for area), and what they
hold is listed apart; `reports.ppa.buffers` puts areas beside it.

An engine without buffers of its own needs its operands in every cycle all the same. To be compared
with one that has them, it gets a double buffer of as many elements of K for every row and column.
"""

from __future__ import annotations

import re
from collections import Counter

from hw.pe.base import ProcessingElement

__all__ = [
    "SRAM_ABOUT",
    "SRAM_LAYOUT_ABOUT",
    "SRAM_LAYOUT_UM2",
    "SRAM_UM2",
    "equivalent_bits",
    "memory_bits",
]

SRAM_UM2 = 0.69
"""um2 per bit of a small SRAM in a 45 nm process, by a model; see `SRAM_ABOUT`."""

SRAM_ABOUT = (
    "0.69 um2 per bit: the black box of 64 words of 15 bits for Nangate45 in OpenROAD-flow-scripts "
    "(flow/platforms/nangate45/lef/fakeram45_64x15.lef, 11.21 x 58.8 um), whose size the generator "
    "bsg_fakeram takes from CACTI; 64 words of 32 bits are 0.61 there. A model, of one port where "
    "ours read and write at once: a kind figure"
)

SRAM_LAYOUT_UM2 = 4.59
"""um2 per bit of a small SRAM that an open compiler has laid out; see `SRAM_LAYOUT_ABOUT`."""

SRAM_LAYOUT_ABOUT = (
    "4.59 um2 per bit: a layout by OpenRAM in FreePDK45, one port, 64 words of 32 bits, with all that "
    "is around the cells (121.82 x 77.215 um: sram_32b_64_1rw_freepdk45.lef in "
    "youss2017/NG-ICDesign); 2048 words are 1.43 um2 per bit there, and OpenRAM's own page of results "
    "has 0.826 Mb/mm2, which is 1.2"
)

_MODULE = re.compile(r"^module (\S+?)\(.*?^endmodule", re.M | re.S)
_MEMORY = re.compile(r"^  reg \[(\d+):0\] \S+ \[(\d+):0\];", re.M)
_INSTANCE = re.compile(r"^  (\w+) (?:\\\S+ |\w+ )\($", re.M)


def memory_bits(verilog: str, top: str) -> int:
    """Bits of all memories of module `top`, every instance counted."""
    own: dict[str, int] = {}
    uses: dict[str, Counter[str]] = {}
    for module in _MODULE.finditer(verilog):
        name, text = module[1], module[0]
        own[name] = sum((int(w) + 1) * (int(d) + 1) for w, d in _MEMORY.findall(text))
        uses[name] = Counter(_INSTANCE.findall(text))

    def total(name: str) -> int:
        return own.get(name, 0) + sum(n * total(m) for m, n in uses.get(name, {}).items())

    return total(top)


def equivalent_bits(pe: ProcessingElement, *, rows: int, cols: int, segment: int) -> int:
    """Bits of a double buffer of `segment` elements of K for every row and column of a dense array."""
    return 2 * segment * (rows * pe.activation.bits + cols * pe.weight.bits)
