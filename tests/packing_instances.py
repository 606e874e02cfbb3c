"""Packing instances drawn from a seed, and judges of packings that share no code with any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random

from ortools.sat.python import cp_model

from bitweft.pack_draws import cut_memory
from mapper.pack import Buffer

__all__ = ["cut_memory", "exchanges", "packable", "valid"]


def valid(
    buffers: Sequence[Buffer], offsets: Sequence[int], capacity: int, alignment: int = 1
) -> bool:
    """Every pair that lives together is apart, and all is aligned and within the memory."""
    if len(offsets) != len(buffers):
        return False
    for buffer, offset in zip(buffers, offsets, strict=True):
        if offset < 0 or offset % alignment or offset + buffer.size > capacity:
            return False
    for (b, at), (c, to) in combinations(zip(buffers, offsets, strict=True), 2):
        if b.lower < c.upper and c.lower < b.upper and at < to + c.size and to < at + b.size:
            return False
    return True


def packable(
    buffers: Sequence[Buffer],
    capacity: int,
    alignment: int = 1,
    fixed: Mapping[int, int] | None = None,
) -> bool:
    """What CP-SAT says about rectangles that must not overlap."""
    if any(b.size > capacity for b in buffers):
        return False
    model = cp_model.CpModel()
    lives, places = [], []
    for i, b in enumerate(buffers):
        last = (capacity - b.size) // alignment
        turn = model.new_int_var(0, last, "")
        if fixed and i in fixed:
            model.add(alignment * turn == fixed[i])
        lives.append(model.new_fixed_size_interval_var(b.lower, b.upper - b.lower, ""))
        places.append(model.new_fixed_size_interval_var(alignment * turn, b.size, ""))
    model.add_no_overlap_2d(lives, places)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    status = solver.solve(model)
    assert status in (cp_model.OPTIMAL, cp_model.INFEASIBLE)
    return status == cp_model.OPTIMAL


def exchanges(random: Random, capacity: int, steps: int) -> list[Buffer]:
    """Every time is full to the capacity: what ends is replaced by as much.

    Two that end become one, which does not always fit where they were: some of these instances
    have no packing, for reasons that span several times.
    """
    alive, buffers = [(0, size) for size in _halves(random, capacity)], []
    for time in range(1, steps + 1):
        random.shuffle(alive)
        ending = random.choice((1, 2, 2, 3))
        gone, alive = alive[:ending], alive[ending:]
        buffers += [Buffer(lower, time, size) for lower, size in gone]
        total = sum(size for _, size in gone)
        first = random.randint(1, total - 1) if len(gone) != 2 and total > 1 else total
        alive += [(time, size) for size in (first, total - first) if size]
    return buffers + [Buffer(lower, steps + 1, size) for lower, size in alive]


def _halves(random: Random, total: int) -> list[int]:
    sizes = []
    while total:
        sizes.append(random.randint(1, max(1, total // 2)))
        total -= sizes[-1]
    return sizes
