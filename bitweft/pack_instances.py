"""Packing instances: the files of a folder, and drawn ones that are like them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from bitweft.bench_mapper import Case, graph_of_case
from bitweft.pack_draws import UNIT, allocations, cut_memory, resampled, warped
from hw.errors import InputError
from mapper.pack import Buffer, pack, peak_load
from mapper.pack_file import read_buffers
from mapper.schedule.orders import random_orders
from mapper.schedule.problem import Problem, use_steps

__all__ = [
    "Instance",
    "draw",
    "folder_of",
    "like",
    "network_lives",
]

_CAPACITY = 1 << 20
# Buffers of an instance whose likeness is of interest.
_FEWEST = 100
# Networks of 300 to 630 tensors whose branches leave the order of operators much freedom.
_NETWORKS = ("nasnet_a_mobile", "darts", "randwire")


@dataclass(frozen=True)
class Instance:
    """A packing question with a name; `family` says how it was drawn, empty for a file."""

    name: str
    buffers: list[Buffer]
    capacity: int
    family: str = ""


def folder_of(folder: Path) -> list[Instance]:
    """The files ``NAME.CAPACITY.csv`` of a folder.

    Raises
    ------
    InputError
        There is none, or one cannot be read.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    named = [(path, re.fullmatch(r"(.+)\.([0-9]+)\.csv", path.name)) for path in files]
    found = [
        Instance(match[1], read_buffers(path)[1], int(match[2])) for path, match in named if match
    ]
    if not found:
        raise InputError(
            f"--instances must be a folder with files NAME.CAPACITY.csv, not {str(folder)!r}."
        )
    return found


def draw(number: int) -> list[Instance]:
    """Instance `number` of each size and tightness of the families that need no file."""
    found = []
    for count in (150, 300, 450):
        for slack in (0.0, 0.03):
            seed = Random(f"{count} {slack} {number}")
            cut = cut_memory(seed, count, _CAPACITY // UNIT, slack)
            name = f"{count} buffers, slack {100 * slack:.0f} %, {number}"
            found.append(Instance(name, cut, _CAPACITY // UNIT, "cut"))
        name = f"allocations of {count} buffers, {number}"
        buffers = allocations(Random(f"{count} {number}"), count, _CAPACITY)
        found.append(Instance(name, buffers, _CAPACITY, "allocations"))
    for network in _NETWORKS:
        buffers = network_lives(network, number)
        load, _ = peak_load(buffers)
        found.append(Instance(f"{network} in order {number}", buffers, load, "network"))
    return found


def like(instances: Sequence[Instance], number: int) -> list[Instance]:
    """Instance `number` in the likeness of each of `instances`; of tiny ones there is none.

    ``warped`` and ``stacked`` ones have a packing by construction, ``resampled`` ones need not.
    """
    found, packings = [], []
    for i in instances:
        if len(i.buffers) < _FEWEST:
            continue
        seed = Random(f"{i.name} {number}")
        buffers = resampled(seed, i.buffers, i.capacity)
        found.append(Instance(f"{i.name} resampled, {number}", buffers, i.capacity, "resampled"))
        packing = pack(i.buffers, i.capacity)
        if packing.offsets:
            packings.append((i, packing.offsets))
    for i, offsets in packings:
        buffers = warped(Random(f"{i.name} {number}"), i.buffers, offsets, i.capacity)
        found.append(Instance(f"{i.name} warped, {number}", buffers, i.capacity, "warped"))
    for (i, lower), (j, upper) in zip(packings[::2], packings[1::2], strict=False):
        seed = Random(f"{i.name} {j.name} {number}")
        halves = [
            warped(seed, one.buffers, offsets, one.capacity, one.capacity // 2)
            for one, offsets in ((i, lower), (j, upper))
        ]
        buffers = seed.sample(sum(halves, []), sum(map(len, halves)))
        found.append(
            Instance(f"{i.name} and {j.name} stacked, {number}", buffers, i.capacity, "stacked")
        )
    return found


def network_lives(network: str, seed: int) -> list[Buffer]:
    """The tensors of a network along an order of its operators that needs little, up to chance."""
    graph, _ = graph_of_case(Case(network))
    problem = Problem.of(graph)
    *_, order = random_orders(problem, 4, seed)
    return [
        Buffer(steps[0], steps[-1] + 1, problem.sizes[a])
        for a, steps in enumerate(use_steps(problem, order))
        if steps
    ]
