"""Prices that make the table of what is on chip a sharp bound, and the search with it.

The write of a tensor is shared out over the occasions at which it can leave, each between two reads:
Lagrange multipliers of "written once". Any shares give a bound, a concave function of them; each
table says on which occasions tensors leave on its cheapest way, and that is a direction in which the
bound rises (B. T. Polyak, "Minimization of unsmooth functionals", 1969).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from mapper.schedule.downsets import Downsets
from mapper.schedule.levels import Searched, Way, least, search
from mapper.schedule.priced import Leaving, Priced, entries_of, priced, readers_of
from mapper.schedule.problem import bits
from mapper.schedule.solver import Limits

__all__ = ["Prices", "affordable", "ascend", "entries_within", "least_priced", "leavings_of"]

Array = Any
_ENTRIES = 650_000_000  # of one table, two bytes each
_PER_STATE = 12  # entries that take as long as one state of a search
_PER_SECOND = 12_000_000  # and per second of one worker
_TURNS = 16  # tables that are made for one part, at most
_STALLED = 2  # turns without a bound that is better by more than a little: steps get shorter
_SHORTEST = 0.2  # of steps, in steps that would close the gap if the bound were linear
_LITTLE = 0.001  # of the upper bound


class Prices:
    """What a tensor pays when it leaves, as a share of one write, by the readers to come.

    At first the shares of a tensor are equal, or those that it has in `like`, prices of a part with
    other chains made one.
    """

    def __init__(self, downsets: Downsets, like: Prices | None = None) -> None:
        part = downsets.part
        held = {a for own in part.held for a in own}
        readers = [sum(a in own for own in part.reads) for a in range(len(part.sizes))]
        self.share = np.zeros((len(part.sizes), 1 + max(readers, default=0)))
        for a, last in enumerate(readers):
            first = 0 if a in held else 1
            if last >= first:
                self.share[a, first : last + 1] = 1 / (last + 1 - first)
        self._possible = self.share > 0
        self._row = {a: row for row, a in enumerate(part.tensors)}
        if like is not None:
            for a in self._row.keys() & like._row.keys():
                row, then = self._row[a], like._row[a]
                if np.array_equal(self._possible[row], like._possible[then]):
                    self.share[row] = like.share[then]
        self._write = [0 if a in part.copied else cost for a, cost in enumerate(part.write)]

    def follow(self, leavings: list[Leaving]) -> None:
        """Moves all shares to the occasions at which tensors leave on some way."""
        occasions: dict[int, set[int]] = {}
        for a, to_come in leavings:
            occasions.setdefault(a, set()).add(to_come)
        for a, own in occasions.items():
            self.share[a] = 0.0
            for to_come in own:
                self.share[a, to_come] = 1 / len(own)

    def climb(self, leavings: list[Leaving], by: float) -> bool:
        """Changes the shares so that the bound would rise `by` bytes if it were linear.

        Parameters
        ----------
        leavings : list of Leaving
            On the cheapest way with these shares.

        Returns
        -------
        bool
            Whether there is such a direction. Without one, no shares have a higher bound.
        """
        paid = np.zeros_like(self.share)
        for a, to_come in leavings:
            paid[a, to_come] += self._write[a]
        number = np.maximum(self._possible.sum(axis=1, keepdims=True), 1)
        slope = np.where(self._possible, paid - paid.sum(axis=1, keepdims=True) / number, 0.0)
        steepness = float((slope**2).sum())
        if not steepness:
            return False
        for a in {a for a, _ in leavings}:
            own = self._possible[a]
            self.share[a, own] = _projected(self.share[a, own] + by / steepness * slope[a, own])
        return True


def _projected(x: Array) -> Array:
    """The nearest shares that are at least 0 and add up to 1."""
    falling = np.sort(x)[::-1]
    excess = (np.cumsum(falling) - 1) / np.arange(1, x.size + 1)
    return np.maximum(x - excess[falling > excess][-1], 0.0)


def ascend(
    downsets: Downsets,
    prices: Prices,
    *,
    upper: int,
    limits: Limits,
    entries: int,
    on_better: Callable[[int], None] | None = None,
) -> tuple[Priced | None, int]:
    """The table of the best bound on the way up from some prices, and entries filled in all.

    Parameters
    ----------
    upper : int
        Bytes, more than 0; where the bound gets there, it is done with.
    limits : Limits
        Its clock and its workers.
    entries : int
        Of all tables together, after the first.
    on_better : callable, optional
        Receives each better bound.
    """
    turns = max(1, min(_TURNS, entries // entries_of(downsets, upper)))
    best: Priced | None = None
    spent, stalled, step = 0, 0, 1.0
    for turn in range(turns):
        found = priced(downsets, prices.share, upper=upper, limits=limits, most=_ENTRIES)
        if found is None:
            break
        spent += found.entries
        stalled += 1
        if best is None or found.bound > best.bound:
            if best is None or found.bound - best.bound > upper * _LITTLE:
                stalled = 0
            best = found
            if on_better is not None:
                on_better(min(upper, found.bound))
        if found.bound >= upper or turn + 1 == turns:
            break
        if stalled == _STALLED:
            stalled, step = 0, step / 2
            if step < _SHORTEST:
                break
        short = max(upper - found.bound, upper * _LITTLE)
        if not prices.climb(found.leavings, step * short):
            break
    return best, spent


def least_priced(
    downsets: Downsets,
    limits: Limits,
    *,
    upper: int,
    budget: int,
    lower: int = 0,
    widest: int = 3000,
) -> Searched:
    """`mapper.schedule.levels.least`; where that takes long, with a table with prices.

    Parameters as there. Where the table cannot have entries for all down-sets, it is left out: what
    passes through others costs nothing.
    """
    entries = entries_of(downsets, upper)
    # As long without a table as it takes to make one.
    trial = limits.share(0.15)
    allowed = min(budget // 8, budget // 40 + entries // _PER_STATE)
    first = least(downsets, trial, upper=upper, lower=lower, budget=allowed, widest=widest)
    spent = first.states
    if first.way is None and not first.complete:
        # What is known of costs decides how finely the table tells them apart.
        beam = search(downsets, trial, threshold=upper, width=300, budget=budget // 8)
        first, spent = replace(beam, bound=max(first.bound, beam.bound)), spent + beam.states
    way, bound = first.way, max(lower, first.bound)
    upper = min(upper, way.cost) if way is not None else upper
    if first.complete or bound >= upper:
        return first
    if affordable(downsets, upper, limits, budget - spent):
        prices = Prices(downsets)
        if way is not None:
            prices.follow(leavings_of(downsets, way))
        half = entries_within(limits, budget - spent) // 2
        found, filled = ascend(downsets, prices, upper=upper, limits=limits, entries=half)
        spent += filled // _PER_STATE
        if found is not None:
            downsets.chip = found.table
            bound = max(bound, min(upper, found.bound))
            if bound >= upper:
                return Searched(way, bound, True, spent)
    last = least(
        downsets, limits, upper=upper, lower=bound, budget=max(0, budget - spent), widest=widest
    )
    return Searched(last.way or way, max(bound, last.bound), last.complete, spent + last.states)


def affordable(
    downsets: Downsets, upper: int, limits: Limits, budget: int, *, tables: int = 1
) -> bool:
    """Whether there is room for a table below `upper` bytes, and time for so many."""
    entries = entries_of(downsets, upper)
    return entries <= min(_ENTRIES, entries_within(limits, budget) // tables)


def entries_within(limits: Limits, budget: int) -> int:
    """Entries of tables that three quarters of the time, or of so many states, are enough for."""
    most, remaining = budget * 3 // 4 * _PER_STATE, limits.remaining()
    if remaining is None:
        return most
    return min(most, int(0.75 * remaining * _PER_SECOND * min(2, limits.workers)))


def leavings_of(downsets: Downsets, way: Way) -> list[Leaving]:
    """Where tensors leave on a way through the part."""
    part, found = downsets.part, []
    done, before = 0, sum(1 << a for a in part.resident)
    reads = readers_of(downsets)
    for o, after in zip(way.order, way.resident, strict=True):
        operands = sum(1 << a for a in {*part.reads[o], *part.makes[o]})
        now = done | 1 << o
        for a in bits((before | operands) & ~after):
            if part.users[a] & ~now:
                # What the step uses leaves after it; what it does not use, before.
                found.append((a, (reads[a] & ~(now if operands >> a & 1 else done)).bit_count()))
        done, before = now, after
    return found
