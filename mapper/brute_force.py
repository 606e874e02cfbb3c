"""The mapper's problems solved by trying everything, written from their definition alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import combinations, permutations

from mapper.graph import Graph

__all__ = ["least_peak", "least_traffic"]

State = tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]


def least_traffic(graph: Graph, capacity: int) -> int:
    """Least non-compulsory bytes, addresses left out.

    Dijkstra over (operators that ran, tensors on chip, tensors with a copy off chip, network
    inputs that were read). Exponential: for some seven operators.
    """
    done_before = {o.name: frozenset(o.after) for o in graph.operators}
    size = {t.name: t.bytes for t in graph.tensors}
    inputs = frozenset(t.name for t in graph.tensors if t.network_input)
    outputs = {t.name for t in graph.tensors if t.network_output}
    start: State = (frozenset(), frozenset(), inputs, frozenset())
    best = {start: 0}
    queue: list[tuple[int, int, State]] = [(0, 0, start)]
    ties = 0
    while queue:
        cost, _, state = heapq.heappop(queue)
        if cost > best[state]:
            continue
        ran, chip, copies, seen = state
        if len(ran) == len(graph.operators):
            return cost
        for operator in graph.operators:
            reads, writes = frozenset(operator.inputs), frozenset(operator.outputs)
            if operator.name in ran or not reads <= chip | copies:
                continue
            if not done_before[operator.name] <= ran:
                continue
            now = cost + sum(size[a] for a in reads - chip if a in seen or a not in inputs)
            after = ran | {operator.name}
            needed = {a for o in graph.operators if o.name not in after for a in o.inputs}
            room = capacity - sum(size[a] for a in reads | writes)
            for kept in _subsets(chip - reads):
                if sum(size[a] for a in kept) > room:
                    continue
                # What was dropped and is needed again must have a copy, or get one first.
                lost = {a for a in chip - reads - kept if a in needed and a not in copies}
                total = now + sum(size[a] for a in lost)
                held = frozenset(a for a in kept | reads | writes if a in needed)
                new: State = (
                    after,
                    held,
                    frozenset(a for a in copies | lost | (writes & outputs) if a in needed),
                    seen | (reads & inputs),
                )
                # After its step an operand may be dropped, too: the next step decides, because
                # it may keep any subset of what is held.
                if total < best.get(new, total + 1):
                    best[new] = total
                    ties += 1
                    heapq.heappush(queue, (total, ties, new))
    raise AssertionError("an operator does not fit")


def least_peak(graph: Graph) -> int:
    """Least peak of live bytes over all orders, each tried."""
    names = [o.name for o in graph.operators]
    maker = {a: o.name for o in graph.operators for a in o.outputs}
    best = None
    for order in permutations(names):
        at = {name: t for t, name in enumerate(order)}
        if any(a in maker and at[maker[a]] > at[o.name] for o in graph.operators for a in o.inputs):
            continue
        if any(at[name] > at[o.name] for o in graph.operators for name in o.after):
            continue
        loads = [0] * len(order)
        for tensor in graph.tensors:
            uses = [
                at[o.name]
                for o in graph.operators
                if tensor.name in o.inputs or tensor.name in o.outputs
            ]
            for t in range(min(uses), max(uses) + 1):
                loads[t] += tensor.bytes
        best = max(loads) if best is None else min(best, max(loads))
    assert best is not None
    return best


def _subsets(items: frozenset[str]) -> Iterator[frozenset[str]]:
    for count in range(len(items) + 1):
        for chosen in combinations(sorted(items), count):
            yield frozenset(chosen)
