"""Engines with their memories: performance per area by what a bit of memory takes on silicon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.ppa.designs import SEGMENT
from reports.ppa.explore import Row
from reports.ppa.flow import Job, measure
from reports.ppa.memories import SRAM_ABOUT, SRAM_LAYOUT_ABOUT, SRAM_LAYOUT_UM2, SRAM_UM2
from reports.ppa.target import Target

__all__ = ["buffers_of", "flip_flop_um2"]

_WORDS, _WIDTH = 64, 16


def flip_flop_um2(target: Target) -> float:
    """um2 per bit of a memory of 64 words of 16 bits with one write and one read port, mapped."""
    verilog = (
        "module unit(input clk, input we, input [5:0] wa, input [5:0] ra, "
        f"input [{_WIDTH - 1}:0] d, output reg [{_WIDTH - 1}:0] q);\n"
        f"  reg [{_WIDTH - 1}:0] words [{_WORDS - 1}:0];\n"
        "  always @(posedge clk) begin if (we) words[wa] <= d; q <= words[ra]; end\n"
        "endmodule\n"
    )
    area = measure(Job(verilog=verilog, top="unit"), target).area
    return area / (_WORDS * _WIDTH)


def buffers_of(rows: Sequence[Row], baselines: Mapping[str, Row], target: Target) -> dict[str, Any]:
    """Bits, and performance per area over the baseline's of each, of every row at its best point.

    Parameters
    ----------
    baselines : dict of str to Row
        By name of the design that a row is compared with.
    """
    costs = {
        "logic": 0.0,
        "sram": SRAM_UM2,
        "sram_layout": SRAM_LAYOUT_UM2,
        "flip_flops": round(flip_flop_um2(target), 3),
    }
    return {
        "segment": SEGMENT,
        "um2_per_bit": costs,
        "about": {"sram": SRAM_ABOUT, "sram_layout": SRAM_LAYOUT_ABOUT},
        "designs": [_entry(row, baselines[row.design.baseline], costs) for row in rows],
    }


def _entry(row: Row, baseline: Row, costs: Mapping[str, float]) -> dict[str, Any]:
    own, theirs = _Cost.of(row), _Cost.of(baseline)
    return {
        "name": row.design.name,
        "operand_bits": row.design.operand_bits,
        "inside": row.design.holds_operands,
        "sum_bits": row.design.sum_bits,
        "relative": {
            name: round(theirs.at(cost) / own.at(cost), 4) for name, cost in costs.items()
        },
        "break_even": own.break_even(theirs),
    }


@dataclass(frozen=True)
class _Cost:
    """um2 ns per MAC: of the logic, and of each um2 that a bit of memory takes."""

    logic: float
    memory: float

    @classmethod
    def of(cls, row: Row) -> _Cost:
        best, design = row.best().measurement, row.design
        time = best.period / design.macs
        return cls(best.area * time, (design.operand_bits + design.sum_bits) * time)

    def at(self, um2_per_bit: float) -> float:
        return self.logic + um2_per_bit * self.memory

    def break_even(self, other: _Cost) -> float | None:
        """um2 per bit below which `self` is the cheaper; None where there is no such limit."""
        gain, loss = other.logic - self.logic, self.memory - other.memory
        return round(gain / loss, 3) if gain > 0 and loss > 0 else None
