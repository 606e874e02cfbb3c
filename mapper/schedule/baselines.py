"""The four baselines of the literature: replacement along an order, then an arena allocator.

Orders: the file's, and that of least peak. Replacement: Belady, or the cheapest set to drop at each
step, which is a small integer programme (a knapsack). Addresses: TensorFlow Lite's greedy-by-size
allocation (arXiv 2001.03288): largest tensor first, each at the lowest address that is free all its
life. Where that ends above the scratchpad, the tensor leaves between its uses.
"""

from __future__ import annotations

from collections.abc import Callable

from mapper.schedule.greedy import belady, cheapest_set
from mapper.schedule.problem import Interval, Placed, Problem, Schedule, use_steps

__all__ = ["METHODS", "arena", "baseline"]

_REPLACEMENT: dict[str, Callable[[Problem, tuple[int, ...], int], Schedule]] = {
    "belady": lambda problem, order, capacity: belady(problem, order, capacity, write_aware=False),
    "greedy_ilp": cheapest_set,
}
_ORDERS = ("file_order", "least_peak_order")

# Names of the baselines, as plans report them: allocator, replacement, order.
METHODS = tuple(f"tflite_{rule}_{order}" for order in _ORDERS for rule in _REPLACEMENT)


def baseline(
    problem: Problem, name: str, orders: dict[str, tuple[int, ...]], capacity: int
) -> Placed:
    """A plan as one of `METHODS` makes it.

    Parameters
    ----------
    orders : dict of str to tuple of int
        ``file_order`` and ``least_peak_order``.
    capacity : int
        Bytes, enough for every single operator.
    """
    _, _, rest = name.partition("_")
    rule = next(r for r in _REPLACEMENT if rest.startswith(r))
    order = orders[rest.removeprefix(rule + "_")]
    return arena(problem, _REPLACEMENT[rule](problem, order, capacity), capacity)


def arena(problem: Problem, schedule: Schedule, capacity: int) -> Placed:
    """Greedy-by-size addresses for a schedule; what does not fit leaves between its uses."""
    uses = use_steps(problem, schedule.order)
    pieces = [
        [(i, [t for t in uses[a] if i.first <= t < i.last]) for i in intervals]
        for a, intervals in enumerate(schedule.residency)
    ]
    while True:
        rows = [
            (problem.sizes[a], i.first, i.last, a) for a, own in enumerate(pieces) for i, _ in own
        ]
        rows.sort(key=lambda r: (-r[0], r[1], r[3]))
        addresses, misfits = _greedy_by_size(rows, capacity)
        if not misfits:
            break
        for size, first, last, a in misfits:
            del size
            if last - first > 1:
                pieces[a] = _cut(pieces[a], first)
                continue
            # One step alone: whoever else is there and stays longer makes room.
            for b, own in enumerate(pieces):
                for i, _ in own:
                    if i.first <= first < i.last and i.last - i.first > 1:
                        pieces[b] = _cut(pieces[b], i.first)
                        break
    residency = tuple(tuple(i for i, _ in own) for own in pieces)
    return Placed(
        Schedule(schedule.order, residency),
        tuple(tuple(addresses[a, i.first] for i in own) for a, own in enumerate(residency)),
    )


Piece = tuple[Interval, list[int]]


def _cut(own: list[Piece], first: int) -> list[Piece]:
    """The intervals of a tensor with the one from `first` on cut into its single uses."""
    result: list[Piece] = []
    for interval, steps in own:
        if interval.first == first:
            result += [(Interval(t, t + 1), [t]) for t in steps]
        else:
            result.append((interval, steps))
    return result


Row = tuple[int, int, int, int]


def _greedy_by_size(rows: list[Row], capacity: int) -> tuple[dict[tuple[int, int], int], list[Row]]:
    """Addresses by (tensor, first step), and the rows that would end above `capacity`."""
    addresses: dict[tuple[int, int], int] = {}
    misfits: list[Row] = []
    by_step: dict[int, list[tuple[int, int]]] = {}
    for size, first, last, a in rows:
        taken = {span for t in range(first, last) for span in by_step.get(t, ())}
        at = 0
        for low, high in sorted(taken):
            if low - at >= size:
                break
            at = max(at, high)
        if at + size > capacity:
            misfits.append((size, first, last, a))
            continue
        addresses[a, first] = at
        for t in range(first, last):
            by_step.setdefault(t, []).append((at, at + size))
    return addresses, misfits
