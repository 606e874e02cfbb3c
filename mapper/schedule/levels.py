"""Beam and threshold search over the states of a part, level by level.

A state is a down-set, the tensors on chip, and those with a copy off chip; a level has one operator
more than the one before. The table of the down-sets bounds what a state still has to pay. States
that can end within a threshold are kept: if none can, every schedule exceeds it; if one does, the
cheapest is optimal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mapper.schedule.compiled.dominance import prune
from mapper.schedule.compiled.successors import expand, index_states
from mapper.schedule.downsets import LARGEST_SUM, TIES, Downsets
from mapper.schedule.solver import Limits

__all__ = ["Searched", "Way", "least", "search"]

Array = Any
_CHUNK = 400_000  # successors between two looks at the clock
_DEPTH = 400  # states that each is compared with for dominance
_NONE = 1 << 62
_expand: Any = expand  # its type knows too few arguments


@dataclass(frozen=True)
class Way:
    """A way through a part: its operators in order, and per step the tensors on chip at its end.

    Attributes
    ----------
    cost : int
        Bytes.
    order : tuple of int
        Operators of the part.
    resident : tuple of int
        Mask of the part's tensors that are on chip and needed after each step.
    """

    cost: int
    order: tuple[int, ...]
    resident: tuple[int, ...]


@dataclass(frozen=True)
class Searched:
    """What one search gave.

    Attributes
    ----------
    way : Way or None
    bound : int
        No way through the part costs less.
    complete : bool
        Whether everything within the threshold was looked at.
    states : int
        States generated.
    """

    way: Way | None
    bound: int
    complete: bool
    states: int


def search(
    downsets: Downsets,
    limits: Limits,
    *,
    threshold: int,
    width: int,
    budget: int,
    transfers: int = TIES - 1,
    room: int = 6_000_000,
) -> Searched:
    """Searches level by level for the cheapest way of at most `threshold`.

    Parameters
    ----------
    limits : Limits
        Only its clock.
    threshold : int
        Bytes; dearer states are dropped.
    transfers : int
        Of those of as many bytes, states of more transfers are dropped, too.
    width : int
        States to keep per level, those of least bound; when it drops any, or `budget` ends,
        the result proves nothing.
    budget : int
        Successors to look at.
    room : int
        States to hold in all.
    """
    n = len(downsets.part.reads)
    sets, states = np.zeros(1, dtype=np.int32), downsets.start()
    costs = np.zeros(1, dtype=np.int64)
    history: list[tuple[Array, Array, Array]] = []
    least, spent, complete, total = _NONE, 0, True, 0
    limit = min(threshold, LARGEST_SUM << 8) * TIES + transfers
    for _ in range(n):
        result = _level(downsets, sets, states, costs, limit, budget - spent, room - total, limits)
        if result is None:
            return Searched(None, 0, False, spent)
        sets, states, costs, bounds, parents, moves, cut, used = result
        least, spent = min(least, cut), spent + used
        if not sets.size:
            break
        if sets.size > width:
            complete = False
            best = np.lexsort((np.arange(sets.size), costs, bounds))[:width]
            sets, states, costs = sets[best], states[best], costs[best]
            parents, moves = parents[best], moves[best]
        total += sets.size
        history.append((states, parents, moves))
    else:
        last = int(np.argmin(costs))
        cost = int(costs[last]) // TIES
        way = _path(history, last, cost)
        return Searched(way, cost if complete else 0, complete, spent)
    return Searched(None, downsets.rounded(least) if complete else 0, complete, spent)


def least(
    downsets: Downsets,
    limits: Limits,
    *,
    upper: int,
    budget: int,
    lower: int = 0,
    width: int = 300,
    widest: int = 3000,
) -> Searched:
    """The cheapest way, or a bound: beams for a way, then thresholds that rise towards it.

    Parameters
    ----------
    limits : Limits
        Only its clock.
    upper : int
        Bytes; dearer ways are of no interest.
    budget : int
        Successors to look at in all.
    lower : int
        A bound that is known.
    width, widest : int
        Of the first and the last beam; each is ten times as wide as the one before.
    """
    bound, way, spent = max(lower, downsets.bound_at_start()), None, 0
    while width <= widest and bound <= upper and spent < budget:
        beam = search(downsets, limits, threshold=upper, width=width, budget=budget // 4)
        spent += beam.states
        if beam.way is not None:
            way, upper = beam.way, beam.way.cost
        if beam.complete:
            return Searched(way, max(bound, beam.bound), True, spent)
        width *= 10
    threshold = bound
    while spent < budget and bound <= upper:
        result = search(downsets, limits, threshold=threshold, width=_NONE, budget=budget - spent)
        spent += result.states
        if not result.complete:
            return Searched(way, bound, False, spent)
        bound = max(bound, result.bound)
        if result.way is not None:
            return Searched(result.way, bound, True, spent)
        # Below `bound` there is nothing; a quarter of the rest at a time costs little more.
        threshold = min(upper, max(bound, threshold + (upper - threshold) // 4))
    return Searched(way, bound, bound > upper, spent)


def _level(
    downsets: Downsets,
    sets: Array,
    states: Array,
    costs: Array,
    threshold: int,
    budget: int,
    most: int,
    limits: Limits,
) -> Any:
    """Successors of a level, superfluous ones pruned; None when a limit is reached."""
    room = min(max(4096, 8 * sets.size), max(most, 4096))
    slots = np.full(_power(2 * room), -1, dtype=np.int32)
    out = _arrays(room)
    at, count, least, spent = 0, 0, _NONE, 0
    while at < sets.size:
        if limits.exhausted() or spent > budget:
            return None
        began, filled = at, count
        at, count, cut, used = _expand(
            at,
            sets,
            states,
            costs,
            downsets.sets,
            downsets.readers,
            downsets.users,
            downsets.after,
            downsets.live,
            downsets.first,
            downsets.moves,
            downsets.targets,
            downsets.operands,
            downsets.outputs,
            downsets.free,
            downsets.size,
            downsets.fetch,
            downsets.write,
            downsets.unit,
            downsets.load,
            downsets.part.capacity,
            downsets.where,
            downsets.width,
            downsets.table,
            downsets.rate,
            *downsets.chip.arguments(downsets.quantum, TIES),
            threshold,
            min(_CHUNK, budget - spent + 1),
            slots,
            *out,
            count,
        )
        least, spent = min(least, int(cut)), spent + int(used)
        if count < 0:
            if room >= most:
                return None
            # More room, and this chunk again: what it left behind is found and kept.
            del began
            room = min(4 * room, most)
            filled = out[0].size
            old, out = out, _arrays(room)
            for before, after in zip(old, out, strict=True):
                after[:filled] = before[:filled]
            count = filled
            slots = np.full(_power(2 * room), -1, dtype=np.int32)
            index_states(out[0], out[1], count, slots)
    found, state, cost, bound, parent, move = (x[:count] for x in out)
    order = np.lexsort((cost, found))
    keep = prune(
        order,
        found,
        state,
        cost,
        downsets.sets,
        downsets.live,
        downsets.readers,
        downsets.users,
        downsets.after,
        downsets.size,
        downsets.fetch,
        downsets.write,
        _DEPTH,
    )
    return (
        found[keep],
        state[keep],
        cost[keep],
        bound[keep],
        parent[keep],
        move[keep],
        least,
        spent,
    )


def _arrays(room: int) -> tuple[Array, ...]:
    return (
        np.zeros(room, dtype=np.int32),
        np.zeros((room, 4), dtype=np.uint64),
        np.zeros(room, dtype=np.int64),
        np.zeros(room, dtype=np.int64),
        np.zeros(room, dtype=np.int32),
        np.zeros(room, dtype=np.int16),
    )


def _path(history: list[tuple[Array, Array, Array]], at: int, cost: int) -> Way:
    order: list[int] = []
    resident: list[int] = []
    for states, parents, moves in reversed(history):
        order.append(int(moves[at]))
        resident.append(int(states[at, 0]) | int(states[at, 1]) << 64)
        at = int(parents[at])
    return Way(cost, tuple(reversed(order)), tuple(reversed(resident)))


def _power(least: int) -> int:
    return 1 << max(6, (least - 1).bit_length())
