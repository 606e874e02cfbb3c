"""Packing instances of a folder and drawn ones, as a table that anyone can make again."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from hw.errors import InputError
from mapper.limits import Limits
from mapper.pack import Buffer, pack
from mapper.pack_file import read_buffers

__all__ = [
    "Instance",
    "cut_memory",
    "drawn",
    "folder_of",
    "overlaps",
    "page",
    "run_packing",
    "versions",
]

_UNITS = 1024


@dataclass(frozen=True)
class Instance:
    """A packing question with a name; `drawn` is whether it comes from a seed, not from a file."""

    name: str
    buffers: list[Buffer]
    capacity: int
    drawn: bool = False


def folder_of(folder: Path) -> list[Instance]:
    """The files ``NAME.CAPACITY.csv`` of a folder.

    Raises
    ------
    InputError
        There is none, or one cannot be read.
    """
    named = [(path, re.fullmatch(r"(.+)\.([0-9]+)\.csv", path.name)) for path in _files(folder)]
    found = [
        Instance(match[1], read_buffers(path)[1], int(match[2])) for path, match in named if match
    ]
    if not found:
        raise InputError(
            f"--instances must be a folder with files NAME.CAPACITY.csv, not {str(folder)!r}."
        )
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def drawn(numbers: int) -> list[Instance]:
    """Memories cut into buffers, `numbers` of each size and slack."""
    return [
        Instance(
            f"{count} buffers, slack {100 * slack:.0f} %, {number}",
            cut_memory(Random(1000 * count + number), count, _UNITS, slack),
            _UNITS,
            drawn=True,
        )
        for count in (100, 200, 300, 450)
        for slack in (0.0, 0.02, 0.06)
        for number in range(numbers)
    ]


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


def overlaps(buffers: Sequence[Buffer], offsets: Sequence[int], capacity: int) -> int:
    """Pairs that overlap and buffers outside of the memory; compares every pair."""
    wrong = sum(o < 0 or o + b.size > capacity for b, o in zip(buffers, offsets, strict=True))
    for i, b in enumerate(buffers):
        for c, at in zip(buffers[:i], offsets[:i], strict=True):
            together = b.lower < c.upper and c.lower < b.upper
            wrong += together and offsets[i] < at + c.size and at < offsets[i] + b.size
    return wrong


def run_packing(
    instances: Sequence[Instance],
    seeds: int,
    seconds: float,
    progress: Callable[[str], object],
) -> list[dict[str, Any]]:
    """Packs each instance with seeds 0, 1, ...; the compiled search is loaded before.

    The limit is one of work that takes about so many CPU `seconds`, so that whether an instance
    is packed does not depend on the computer.
    """
    # One that first fit misses, so that nothing is compiled or loaded on the clock.
    pack(cut_memory(Random(3), 100, _UNITS), _UNITS)
    results = []
    for instance in instances:
        for seed in range(seeds):
            progress(f"{instance.name}, seed {seed}")
            limits = Limits(effort=seconds, seed=seed)
            wall, cpu = time.perf_counter(), time.process_time()
            packing = pack(instance.buffers, instance.capacity, limits=limits)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            results.append(
                {
                    "instance": instance.name,
                    "drawn": instance.drawn,
                    "buffers": len(instance.buffers),
                    "capacity": instance.capacity,
                    "seed": seed,
                    "status": packing.status,
                    "wrong": overlaps(instance.buffers, packing.offsets, instance.capacity)
                    if packing.offsets
                    else 0,
                    "starts": packing.starts,
                    "nodes": packing.nodes,
                    "wall_seconds": round(wall, 3),
                    "cpu_seconds": round(cpu, 3),
                }
            )
    return results


def versions(seconds: float) -> dict[str, str]:
    """What a result was made with."""
    return {
        **{package: metadata.version(package) for package in ("bitweft", "numba", "numpy")},
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "limit": f"{seconds:g} units of work each",
    }


def page(results: Sequence[Mapping[str, Any]], made_with: Mapping[str, str]) -> str:
    """The results as a page: one row per instance."""
    lines = [
        "# Static memory allocation",
        "",
        (
            "Made by `bitweft bench pack`, one thread, compiled code in the cache and loaded. Every "
            "packing is checked pair by pair. The limit is one of work, a unit of which takes about a "
            "CPU second, so that whether an instance is packed does not depend on the computer. CPU "
            "seconds include preparation and first fit; they and wall seconds depend on what else "
            "the computer does."
        ),
        "",
        (
            "| instance | buffers | packed | CPU s, median | CPU s, worst | wall s, worst "
            "| nodes, median | nodes, worst | wrong pairs |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(r["instance"] for r in results):
        rows = [r for r in results if r["instance"] == name]
        cpu, nodes = [r["cpu_seconds"] for r in rows], [r["nodes"] for r in rows]
        lines.append(
            f"| {name} | {rows[0]['buffers']} | {sum(r['status'] == 'packed' for r in rows)} of "
            f"{len(rows)} | {median(cpu):.2f} | {max(cpu):.2f} "
            f"| {max(r['wall_seconds'] for r in rows):.2f} "
            f"| {median(nodes):,.0f} | {max(nodes):,} | {sum(r['wrong'] for r in rows)} |"
        )
    published = [r for r in results if not r["drawn"]]
    drawn_ones = [r for r in results if r["drawn"]]
    totals = [
        sum(r["cpu_seconds"] for r in published if r["seed"] == seed)
        for seed in sorted({r["seed"] for r in published})
    ]
    if totals:
        lines += [
            "",
            (
                f"All instances of the folder together, per seed: {min(totals):.2f} to "
                f"{max(totals):.2f} CPU seconds, median {median(totals):.2f}."
            ),
        ]
    if drawn_ones:
        packed = sum(r["status"] == "packed" for r in drawn_ones)
        lines += ["", f"Of the drawn instances {packed} of {len(drawn_ones)} are packed."]
    made = ", ".join(f"{name} {version}" for name, version in made_with.items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])
