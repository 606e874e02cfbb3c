"""The whole problem by trying everything: every order, residency and address, byte by byte.

Written from the definition alone: it shares no code with the rest of the mapper, nor with
`mapper.brute_force`. For some seven operators and a few dozen bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import combinations

from mapper.graph import Graph

__all__ = ["least_traffic_with_addresses"]

Names = frozenset[str]
Chip = frozenset[tuple[str, int]]  # what is on chip, and where
_NEVER = 1 << 30


def least_traffic_with_addresses(graph: Graph, capacity: int) -> tuple[int, int]:
    """Least non-compulsory bytes without and with addresses.

    A tensor may change its address by leaving and coming back, within one step too.
    """
    size = {t.name: t.bytes for t in graph.tensors}
    inputs = frozenset(t.name for t in graph.tensors if t.network_input)
    outputs = frozenset(t.name for t in graph.tensors if t.network_output)
    rows = {o.name: (frozenset(o.inputs), frozenset(o.outputs), o.after) for o in graph.operators}

    def needed(ran: Names) -> Names:
        return frozenset(a for name, row in rows.items() if name not in ran for a in row[0])

    def steps(
        ran: Names, chip: Names, copies: Names
    ) -> Iterator[tuple[str, Names, Names, int, Names, Names]]:
        """Every next operator and set that stays, and what that costs and leaves behind.

        An input is among the copies once it was read; its first load costs nothing.
        """
        for name, (reads, writes, after) in rows.items():
            if name in ran or not ran.issuperset(after):
                continue
            if not reads <= chip | copies | inputs:
                continue
            then = ran | {name}
            later = needed(then)
            for stays in _subsets(chip):
                operands = reads | writes
                if sum(size[a] for a in stays | operands) > capacity:
                    continue
                leaves = {a for a in chip - stays if a in needed(ran)}
                written = {a for a in leaves if a not in copies}
                fetched = {a for a in reads - stays if a not in inputs or a in copies}
                cost = sum(size[a] for a in written) + sum(size[a] for a in fetched)
                had = copies | written | (writes & outputs) | (reads & inputs)
                yield name, stays, operands - stays, cost, then, had & later

    @cache
    def without(ran: Names, chip: Names, copies: Names) -> int:
        if len(ran) == len(rows):
            return 0
        best = _NEVER
        for _, stays, fresh, cost, then, had in steps(ran, chip, copies):
            # To leave and come back in one step makes no sense without addresses.
            if not fresh & chip and cost < best:
                best = min(best, cost + without(then, (stays | fresh) & needed(then), had))
        return best

    failed: dict[tuple[Names, Chip, Names], int] = {}

    def within(ran: Names, chip: Chip, copies: Names, budget: int) -> bool:
        if len(ran) == len(rows):
            return True
        names = frozenset(a for a, _ in chip)
        if without(ran, names, copies) > budget:
            return False
        key = ran, chip, copies
        if failed.get(key, -1) >= budget:
            return False
        for _, stays, fresh, cost, then, had in steps(ran, names, copies):
            if cost > budget:
                continue
            later = needed(then)
            kept = frozenset((a, at) for a, at in chip if a in stays)
            for placed in _placed(kept, sorted(fresh, key=lambda a: -size[a]), size, capacity):
                left = frozenset((a, at) for a, at in placed if a in later)
                if within(then, left, had, budget - cost):
                    return True
        failed[key] = max(failed.get(key, -1), budget)
        return False

    least = without(frozenset(), frozenset(), frozenset())
    budget = least
    while not within(frozenset(), frozenset(), frozenset(), budget):
        budget += 1
    return least, budget


def _placed(chip: Chip, fresh: list[str], size: dict[str, int], capacity: int) -> Iterator[Chip]:
    """Every way to put more tensors beside those that are there."""
    if not fresh:
        yield chip
        return
    a, rest = fresh[0], fresh[1:]
    for at in range(capacity - size[a] + 1):
        if all(at + size[a] <= low or low + size[b] <= at for b, low in chip):
            yield from _placed(chip | {(a, at)}, rest, size, capacity)


def _subsets(items: Names) -> Iterator[Names]:
    for count in range(len(items), -1, -1):
        for chosen in combinations(sorted(items), count):
            yield frozenset(chosen)
