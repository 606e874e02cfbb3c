"""Parts of the report with a method of their own: energy, buffers, published figures."""

from __future__ import annotations

from typing import Any

from reports.page import Section, Table
from reports.ppa.published import CLAIMS, figure

__all__ = ["buffers_sections", "energy_sections", "published_section"]

Result = dict[str, Any]

_PRICES = ("SRAM by a model", "SRAM by an open compiler", "flip-flops")


def energy_sections(result: Result) -> list[Section]:
    """Energy per MAC of PEs, in parts, where it was measured."""
    if "energy" not in result["pe"]["designs"][0]:
        return []
    rows = []
    for row in result["pe"]["designs"]:
        energy = row["energy"]
        rows.append(
            (
                row["name"],
                *(f"{energy[name] / 1000:.3f}" for name in ("total", "settled")),
                *(f"{energy[name] / 1000:.3f}" for name in ("cells", "nets", "clock", "leakage")),
                *(f"{1 / energy['relative'][name]:.2f}" for name in ("total", "settled")),
                f"{energy['cycles']:,}",
            )
        )
    section = Section(
        "Processing elements: energy, an indication",
        "The mapped netlist of each best point, simulated on operands of the distribution (activations "
        "and weights alike, 64 streams side by side, every result compared with NumPy's) with the "
        "delay of every gate on a grid of 10 ps, at which pulses shorter than a gate's delay vanish. "
        "Toggles are multiplied by the library's energy tables (means over inputs and edges), plus half C V squared of the pins of each net, plus leakage over the period of the table above. "
        "With glitches is the whole; without counts each net once per cycle at most, from the same "
        "run: the truth for a placed design lies nearer to the former, but gate delays without wires "
        "decide which pulses survive. In it: registers and both edges of the clock at their pins. Not "
        "in it: wires, the clock tree, what output ports drive, operand buffers, the additions "
        "outside the PE. More registers and less logic is what carry-save and digit PEs trade, and "
        "the clock column shows it.",
        Table(
            (
                "Design",
                "pJ/MAC",
                "without glitches",
                "cells",
                "nets",
                "clock",
                "leakage",
                "MACs per energy, over the MAC's",
                "without glitches ",
                "cycles simulated",
            ),
            rows,
        ),
    )
    return [section]


def buffers_sections(result: Result) -> list[Section]:
    """Engines with their operand buffers, where these were counted."""
    if "buffers" not in result["engine"]:
        return []
    content = result["engine"]["buffers"]
    cost, about = content["um2_per_bit"], content["about"]
    engines = {row["name"]: row for row in result["engine"]["designs"]}
    rows = [
        (
            row["name"],
            engines[row["name"]]["baseline"],
            f"{row['operand_bits']:,}",
            "its own" if row["inside"] else "beside it",
            f"{row['sum_bits']:,}",
            f"{engines[row['name']]['best']['area']:,.0f}",
            *(f"{row['relative'][name]:.2f}" for name in cost),
            "" if row["break_even"] is None else f"{row['break_even']:.2f}",
        )
        for row in content["designs"]
    ]
    section = Section(
        "Engines with their memories",
        "Operands: double buffers for "
        f"{content['segment']} elements of K per row and column. A digit array holds them inside, and "
        "the weights once per row, since its rows run at paces of their own; a dense array needs none "
        "inside, but its operands have to come from somewhere every cycle: it gets the equivalent "
        "ones beside it, one copy. Sums: the memory in which a weight-stationary array keeps them "
        "between blocks of K. Performance per area is over that of the engine under *over*, whose "
        f"memories count likewise, for the logic only and at three prices of a bit. {_PRICES[0]}: "
        f"{about['sram']}. {_PRICES[1]}: {about['sram_layout']}. {_PRICES[2]}: "
        f"{cost['flip_flops']:.2f} um2 per bit, measured on a memory of 64 words of 16 bits with "
        "its write enables and read multiplexers; nobody would build it so, it is an upper bound. "
        "The last column is the price of a bit, in um2, up to which an engine with more memory than "
        "its baseline is still ahead. "
        "Memories are taken to be as fast as a flip-flop at their ports: a real SRAM would need a "
        "pipeline stage more. Cycles are those of the exact timing model on the operands named "
        "above, waiting of rows for one another included.",
        Table(
            (
                "Design",
                "over",
                "bits of operands",
                "buffers",
                "bits of sums",
                "logic um2",
                "perf/area, logic only",
                *_PRICES,
                "ahead up to um2 per bit",
            ),
            rows,
        ),
    )
    return [section]


def published_section(result: Result) -> Section | None:
    rows = [
        (
            claim.what,
            claim.source,
            claim.quantity,
            f"{claim.theirs:.2f}",
            f"{claim.design} over {claim.baseline}, {claim.level}",
            f"{ours:.2f}",
        )
        for claim in CLAIMS
        if (ours := figure(claim, result)) is not None
    ]
    if not rows:
        return None
    return Section(
        "Beside the published figures",
        "All relative to MACs. Theirs are quoted: the paper is Wu et al., HPCA 2025 (arXiv "
        "2503.06342), 28 nm; RTL reports are those in the authors' repository, 32 nm educational "
        "library, Design Compiler with retiming and wire load, best points that met timing (the "
        "ratios are our arithmetic). Another "
        "process, other tools and another baseline: agreement in direction is what can be expected.",
        Table(("Their design", "source", "quantity", "theirs", "our rows", "ours"), rows),
    )
