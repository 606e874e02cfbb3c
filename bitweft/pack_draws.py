"""Drawn packing instances: in the likeness of given ones, or with a packing by construction."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from random import Random

from mapper.pack import Buffer, peak_load

__all__ = ["UNIT", "allocations", "cut_memory", "resampled", "warped"]

# Sizes are multiples of it, as in the published instances.
UNIT = 1 << 10


def warped(
    random: Random,
    buffers: Sequence[Buffer],
    offsets: Sequence[int],
    capacity: int,
    room: int | None = None,
) -> list[Buffer]:
    """Buffers that have a packing in `room`, because `buffers` have one in `capacity`.

    The addresses between two edges of that packing are stretched or shrunk, each by a factor of
    its own, and time runs backwards in half of the cases: what touches keeps touching.
    """
    room = capacity if room is None else room
    edges = sorted(
        {0, capacity}.union(*({o, o + b.size} for o, b in zip(offsets, buffers, strict=True)))
    )
    gaps = [random.lognormvariate(0.0, 0.4) * (high - low) for low, high in pairwise(edges)]
    # Each gap keeps at least one unit.
    unit = UNIT if len(gaps) <= room // UNIT else 1
    units = (room // unit - len(gaps)) / sum(gaps)
    total, moved = 0.0, {edges[0]: 0}
    for count, (edge, gap) in enumerate(zip(edges[1:], gaps, strict=True), 1):
        total += gap
        moved[edge] = count + round(units * total)
    last, backwards = max(b.upper for b in buffers), random.random() < 0.5
    result = []
    for b, o in zip(buffers, offsets, strict=True):
        lower, upper = (last - b.upper, last - b.lower) if backwards else (b.lower, b.upper)
        result.append(Buffer(lower, upper, (moved[o + b.size] - moved[o]) * unit))
    return random.sample(result, len(result))


def resampled(random: Random, buffers: Sequence[Buffer], capacity: int) -> list[Buffer]:
    """As many buffers, each with the life of one and the size of another, as tight as before.

    A buffer is drawn again while its times would hold more than the largest load of `buffers`.
    """
    most, _ = peak_load(buffers)
    times = sorted({b.lower for b in buffers} | {b.upper for b in buffers})
    step = {time: at for at, time in enumerate(times)}
    load = [0] * len(times)
    result: list[Buffer] = []
    for _ in range(200 * len(buffers)):
        life, size = random.choice(buffers), random.choice(buffers).size
        lives = range(step[life.lower], step[life.upper])
        if max(load[t] for t in lives) + size <= min(most, capacity):
            result.append(Buffer(life.lower, life.upper, size))
            for t in lives:
                load[t] += size
        if len(result) == len(buffers):
            break
    return result


def allocations(random: Random, count: int, capacity: int) -> list[Buffer]:
    """What an allocator with a full memory would see: each hole is filled as it opens.

    Sizes are mostly small multiples of powers of two, lives are short with a long tail.
    """
    live: list[tuple[int, int, int]] = []  # offset, size, end
    result: list[Buffer] = []
    time = 0
    while len(result) < count:
        at, holes = 0, []
        for offset, size, _ in sorted(live):
            holes += [(at, offset - at)] if offset > at else []
            at = offset + size
        holes += [(at, capacity - at)] if at < capacity else []
        for at, hole in holes:
            while hole >= 16 * UNIT and random.random() > 0.05:
                size = 16 * UNIT * random.choice((1, 1, 2, 2, 3, 4, 4, 6, 8, 8, 12, 16, 16, 24, 32))
                size = hole if size > hole or random.random() < 0.35 else size
                end = time + 1 + int(random.lognormvariate(0.9, 1.1))
                live.append((at, size, end))
                result.append(Buffer(time, end, size))
                at, hole = at + size, hole - size
        time += 1
        live = [held for held in live if held[2] > time]
    return random.sample(result, len(result))


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
