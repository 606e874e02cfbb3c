"""Packing instances of a folder and drawn ones, as a table that anyone can make again."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from random import Random
from statistics import median
from typing import Any

from bitweft.pack_draws import UNIT, cut_memory
from bitweft.pack_instances import Instance
from mapper.limits import Limits
from mapper.pack import Buffer, pack

__all__ = ["overlaps", "page", "run_packing", "versions"]


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
    pack(cut_memory(Random(3), 100, UNIT), UNIT)
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
                    "family": instance.family,
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
    """The results as a page: one row per family of drawn instances, and one per instance.

    Where the first result of an instance has ``minimalloc``, what that made of it stands beside.
    """
    first: dict[str, Mapping[str, Any]] = {}
    for r in results:
        first.setdefault(r["instance"], r)
    compared = any("minimalloc" in r for r in results)
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
    ]
    if compared:
        lines += [
            (
                "Beside it google/minimalloc as it is, once per instance, stopped after as many CPU "
                "seconds; its packings are checked in the same way."
            ),
            "",
        ]
    lines += _families(list(first.values()), compared)
    head = (
        "| instance | buffers | packed | CPU s, median | CPU s, worst | wall s, worst "
        "| nodes, median | nodes, worst | wrong pairs |"
    )
    lines += [
        head + (" minimalloc, CPU s |" if compared else ""),
        "|---" * (10 if compared else 9) + "|",
    ]
    for name in first:
        rows = [r for r in results if r["instance"] == name]
        cpu, nodes = [r["cpu_seconds"] for r in rows], [r["nodes"] for r in rows]
        lines.append(
            f"| {name} | {rows[0]['buffers']} | {_packed(rows)} of "
            f"{len(rows)} | {median(cpu):.2f} | {max(cpu):.2f} "
            f"| {max(r['wall_seconds'] for r in rows):.2f} "
            f"| {median(nodes):,.0f} | {max(nodes):,} | {sum(r['wrong'] for r in rows)} |"
        )
        if compared:
            other = rows[0]["minimalloc"]
            missed = "" if other["packed"] else "not packed, "
            lines[-1] += f" {missed}{other['cpu_seconds']:.2f} |"
    published = [r for r in results if not r["family"]]
    totals = [
        sum(r["cpu_seconds"] for r in published if r["seed"] == seed)
        for seed in sorted({r["seed"] for r in published})
    ]
    if totals:
        sentence = (
            f"All instances of the folder together, per seed: {min(totals):.2f} to "
            f"{max(totals):.2f} CPU seconds, median {median(totals):.2f}"
        )
        if compared:
            others = [r["minimalloc"] for r in first.values() if not r["family"]]
            sentence += f"; minimalloc {sum(o['cpu_seconds'] for o in others):.2f}"
        lines += ["", f"{sentence}."]
    made = ", ".join(f"{name} {version}" for name, version in made_with.items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])


_FAMILIES = {
    "warped": "addresses of a packed instance of the folder stretched, time reversed or not",
    "stacked": "two of those, each in half of the memory",
    "resampled": "each buffer with the life of one and the size of another; may have no packing",
    "allocations": "what an allocator sees whose holes are filled as they open",
    "cut": "a memory cut into buffers, some then made smaller",
    "network": "tensors of a network along an order, capacity the peak load",
}


def _families(drawn: Sequence[Mapping[str, Any]], compared: bool) -> list[str]:
    """A table of the families, empty where nothing was drawn."""
    rows = []
    groups = {f: [r for r in drawn if r["family"] == f] for f in _FAMILIES}
    groups["all"] = [r for r in drawn if r["family"]]
    for family, members in groups.items():
        if members:
            seconds = sum(r["cpu_seconds"] for r in members)
            what = _FAMILIES.get(family, "")
            rows.append(
                f"| {family} | {what} | {_packed(members)} of {len(members)} | {seconds:.1f} |"
            )
            if compared:
                others = [r["minimalloc"] for r in members]
                seconds = sum(o["cpu_seconds"] for o in others)
                rows[-1] += f" {sum(o['packed'] for o in others)} | {seconds:.1f} |"
    if not rows:
        return []
    head = "| drawn | what | packed | CPU s |"
    return [
        head + (" minimalloc packed | its CPU s |" if compared else ""),
        "|---" * (6 if compared else 4) + "|",
        *rows,
        "",
    ]


def _packed(results: Sequence[Mapping[str, Any]]) -> int:
    return sum(r["status"] == "packed" for r in results)
