"""Short random starts of eight ways to search, taken in turns.

Search times are heavy-tailed: a start that succeeds often does so nearly without backtracking,
and no way to search wins everywhere. Starts are limited by nodes, so that the answer depends on
the seed only; the clock is looked at between slices of work, where Ctrl-C takes effect, too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from mapper.clock import now
from mapper.pack import kernel
from mapper.pack.arrays import Part, Rules, state_of

__all__ = ["ARMS", "Arm", "Budget", "Search", "luby"]

# Nodes of the shortest start.
SHORTEST = 300
# Work between two looks at the clock: a few hundredths of a second.
SLICE = 3_000_000
# Work that a start costs beside its nodes, per entry of the part's arrays.
OVERHEAD = 10
# Searches that run out of rows get twice as many for the next start, up to so many times.
LARGEST_SCALE = 64


class Arm(NamedTuple):
    """A way to search: the key that orders buffers, and the rules of the kernel."""

    key: str
    rule: int
    weighted: bool = False
    two_sided: bool = False


ARMS = (
    Arm("span", 0, weighted=True),
    Arm("span", 3),
    Arm("size", 0),
    Arm("span", 1),
    Arm("area", 1),
    Arm("area", 0),
    Arm("span", 1, weighted=True),
    Arm("span", 0, two_sided=True),
)


@dataclass
class Budget:
    """What may still be spent.

    Attributes
    ----------
    work : int
        Steps of the innermost loops, about 10 ns each; the same on every computer.
    deadline : float or None
        Reading of `mapper.clock.now`.
    on_tick : callable, optional
        Called between slices.
    """

    work: int
    deadline: float | None = None
    on_tick: Callable[[], None] | None = None

    def spent(self) -> bool:
        """Whether nothing is left."""
        if self.on_tick is not None:
            self.on_tick()
        return self.work <= 0 or (self.deadline is not None and now() >= self.deadline)


class Search:
    """The starts of one part.

    Parameters
    ----------
    part : Part
    seed : int
        With the number of starts so far it decides every random choice.
    arms : sequence of Arm

    Attributes
    ----------
    starts, nodes : int
        So far.
    """

    def __init__(self, part: Part, seed: int, arms: Sequence[Arm] = ARMS) -> None:
        self._part, self._seed, self._arms, self._scale = part, seed, arms, 1
        self._state = state_of(part)
        span, size = np.log(part.end - part.begin), np.log(part.size)
        self._keys = {"span": span, "size": size, "area": span + size}
        self.starts = self.nodes = 0

    def offsets(self) -> list[int]:
        """In units; of the start that found them, which must be the last."""
        return [int(offset) for offset in self._state.offset]

    def start(self, budget: Budget) -> str:
        """Makes one more start: ``packed``, ``infeasible`` (proven) or ``unknown``."""
        turn, position = divmod(self.starts, len(self._arms))
        arm, limit = self._arms[position], SHORTEST * luby(1 + turn)
        # RandomState, because its stream is the same in every version of NumPy.
        random = np.random.RandomState([self._seed % (1 << 32), self.starts])
        key = self._keys[arm.key] + 0.2 * random.standard_normal(self._part.size.size)
        rank = np.empty(key.size, np.int64)
        rank[np.argsort(-key, kind="stable")] = np.arange(key.size)
        rules = Rules(rank, arm.rule, int(arm.weighted), int(arm.two_sided))
        state = self._state
        # Weights carry over, so that a weighted arm begins where earlier ones failed.
        np.maximum(state.weight / 2, 1.0, out=state.weight)
        self.starts += 1
        fits = kernel.reset(self._part, state, int(random.randint(1, 1 << 31)))
        budget.work -= OVERHEAD * (rank.size + state.spot.size)
        scalars, done = state.scalars, 0
        outcome = kernel.PAUSED if fits else kernel.EXHAUSTED
        if scalars[kernel.FULL]:
            outcome = kernel.ABORTED
        while outcome == kernel.PAUSED and not budget.spent():
            until = done + min(SLICE, budget.work)
            outcome = kernel.advance(self._part, state, rules, limit, until)
            budget.work -= int(scalars[kernel.WORK]) - done
            done = int(scalars[kernel.WORK])
        self.nodes += int(scalars[kernel.NODES])
        if outcome == kernel.ABORTED and self._scale < LARGEST_SCALE:
            self._scale *= 2
            self._state = state_of(self._part, scale=self._scale)
            self._state.weight[:] = state.weight
        return {kernel.SOLVED: "packed", kernel.EXHAUSTED: "infeasible"}.get(outcome, "unknown")


def luby(i: int) -> int:
    """The restart sequence 1 1 2 1 1 2 4 ..., counted from 1."""
    while True:
        k = i.bit_length()
        if i == (1 << k) - 1:
            return 1 << (k - 1)
        i -= (1 << (k - 1)) - 1
