"""Runs an engine in Amaranth's own simulator and notes every transfer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from amaranth.sim import Simulator

from hw.engine.catalogue import AnyEngine
from sim.streams import Stalls
from sim.tiles import grouped_steps

__all__ = ["Transfers", "run_engine"]


@dataclass
class Transfers:
    """Cycles of all transfers, and the result rows, as numbers without a sign."""

    accepted: list[int] = field(default_factory=list)
    emitted: list[int] = field(default_factory=list)
    rows: list[list[int]] = field(default_factory=list)


def run_engine(
    dut: AnyEngine,
    a: npt.NDArray[np.int64],
    b: npt.NDArray[np.int64],
    lengths: Sequence[int],
    stalls: Stalls,
    *,
    cycles: int,
) -> Transfers:
    """Streams tiles (a and b: one row per element of K) through `dut` for so many cycles."""
    step, rows, cols = dut.elements, dut.rows, dut.cols
    left, steps = grouped_steps(a, lengths, step)
    right, _ = grouped_steps(b, lengths, step)
    ends = set((np.cumsum(steps) - 1).tolist())
    done = Transfers()

    def grouped(values: Any) -> list[Any]:
        return list(values.tolist() if step == 1 else values.reshape(-1, step).tolist())

    async def run(ctx: Any) -> None:
        offered_at = int(stalls.gaps[0])
        for cycle in range(cycles):
            beat = len(done.accepted)
            offer = beat < len(left) and cycle >= offered_at
            ctx.set(dut.operands.valid, offer)
            if offer:
                fields = {"a": grouped(left[beat]), "b": grouped(right[beat]), "last": beat in ends}
                ctx.set(dut.operands.payload, fields)
            willing = not stalls.ready or stalls.ready[cycle % len(stalls.ready)]
            ctx.set(dut.results.ready, willing)
            if offer and ctx.get(dut.operands.ready):
                done.accepted.append(cycle)
                if beat + 1 < len(left):
                    offered_at = cycle + 1 + int(stalls.gaps[beat + 1])
            if willing and ctx.get(dut.results.valid):
                payload = ctx.get(dut.results.payload)
                assert payload.last == (len(done.emitted) % rows == rows - 1)
                done.emitted.append(cycle)
                done.rows.append([payload.c[j] for j in range(cols)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()
    return done
