"""Packing instances drawn from a seed, and judges of packings that share no code with any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from random import Random

from ortools.sat.python import cp_model

from mapper.pack import Buffer


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


def cut_memory(random: Random, count: int, capacity: int, slack: float = 0.0) -> list[Buffer]:
    """A memory of `count` steps cut into `count` buffers, some made smaller by up to 4 * `slack`.

    A fifth of the cuts is a pinwheel, which no straight line divides.
    """
    pieces = [(0, count, 0, capacity)]
    while len(pieces) < count:
        areas = [((b - a) * (d - c)) ** 0.7 for a, b, c, d in pieces]
        (i,) = random.choices(range(len(pieces)), areas)
        a, b, c, d = pieces[i]
        if random.random() < 0.2 and min(b - a, d - c) >= 3 and len(pieces) + 4 <= count:
            (s, t), (u, v) = (
                sorted(random.sample(range(x + 1, y), 2)) for x, y in ((a, b), (c, d))
            )
            pieces[i : i + 1] = [
                (a, t, c, u),
                (t, b, c, v),
                (s, b, v, d),
                (a, s, u, d),
                (s, t, u, v),
            ]
        elif random.random() < 0.6:
            if b - a > 1:
                s = random.randint(a + 1, b - 1)
                pieces[i : i + 1] = [(a, s, c, d), (s, b, c, d)]
        elif d - c > 1:
            u = random.randint(c + 1, d - 1)
            pieces[i : i + 1] = [(a, b, c, u), (a, b, u, d)]
    random.shuffle(pieces)
    sizes = [d - c for _, _, c, d in pieces]
    sizes = [
        s - random.randint(0, int(4 * slack * s)) if random.random() < 0.5 else s for s in sizes
    ]
    return [Buffer(a, b, size) for (a, b, _, _), size in zip(pieces, sizes, strict=True)]


def _halves(random: Random, total: int) -> list[int]:
    sizes = []
    while total:
        sizes.append(random.randint(1, max(1, total // 2)))
        total -= sizes[-1]
    return sizes
