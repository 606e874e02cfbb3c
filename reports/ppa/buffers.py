"""Engines with their operand buffers: performance per area under three ways to build memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reports.ppa.designs import SEGMENT
from reports.ppa.explore import Row
from reports.ppa.flow import Job, measure
from reports.ppa.memories import SRAM_ABOUT, SRAM_UM2
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


def buffers_of(rows: Sequence[Row], baseline: Row, target: Target) -> dict[str, Any]:
    """Bits, um2 and performance per area over the baseline's, of every row at its best point."""
    costs = {"logic": 0.0, "sram": SRAM_UM2, "flip_flops": round(flip_flop_um2(target), 3)}

    def per_mac(row: Row, cost: float) -> float:
        best = row.best().measurement
        area = best.area + cost * row.design.buffer_bits
        return area * best.period / row.design.macs

    return {
        "segment": SEGMENT,
        "um2_per_bit": costs,
        "sram_about": SRAM_ABOUT,
        "designs": [
            {
                "name": row.design.name,
                "bits": row.design.buffer_bits,
                "inside": bool(row.design.memory_bits),
                "relative": {
                    name: round(per_mac(baseline, cost) / per_mac(row, cost), 4)
                    for name, cost in costs.items()
                },
            }
            for row in rows
        ],
    }
