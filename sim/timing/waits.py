"""What the execute unit waits for in every cycle in which it computes nothing.

A cycle before a computation is charged to one cause: to what has to end, or to arrive, before that
computation can begin. Of several such things it is the one that ends last, and where that one waits
in its turn, what it waits for. All follows from the cycles in `sim.timing.program.Span`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from hw.isa import Compute, Instruction, Load, Store, Target
from hw.tokens import UNITS, absolute_tokens
from sim.timing.program import ProgramTiming

__all__ = ["Cause", "Wait", "execute_waits"]


class Cause(Enum):
    """Why nothing is computed in a cycle.

    WEIGHTS, ACTIVATIONS: a load of weights or of activations is under way that must end first.
    STORES: a store is. DISPATCH: the instruction that must begin first is not there yet: it is
    being fetched, put together, or handed over. Fetch that waits for the memory port counts here.
    START: the execute unit has all that it needs; it reads the computation's parameters.
    """

    WEIGHTS = "weights"
    ACTIVATIONS = "activations"
    STORES = "stores"
    DISPATCH = "dispatch"
    START = "start"


class Wait(NamedTuple):
    """Cycles ``[first, end)`` before a computation, counted from 0; `None`: after the last one."""

    compute: int | None
    cause: Cause
    first: int
    end: int


def execute_waits(program: Sequence[Instruction], timing: ProgramTiming) -> list[Wait]:
    """All cycles in which nothing is computed, in order; neighbours differ in cause or computation.

    Parameters
    ----------
    program : sequence of Instruction
    timing : ProgramTiming
        Of that program.
    """
    causes = _Causes(program, timing)
    waits: list[Wait] = []
    free = 0
    places = [n for n, instruction in enumerate(program) if isinstance(instruction, Compute)]
    gaps = [(n, place, timing.spans[place].begin) for n, place in enumerate(places)]
    for compute, place, begin in (*gaps, (None, len(program) - 1, timing.cycles)):
        for cause, first, end in causes.between(place, free, begin):
            if waits and waits[-1][:2] == (compute, cause):
                waits[-1] = waits[-1]._replace(end=end)
            else:
                waits.append(Wait(compute, cause, first, end))
        free = timing.spans[place].end
    return waits


class _Causes:
    def __init__(self, program: Sequence[Instruction], timing: ProgramTiming) -> None:
        self._program = program
        self._spans = timing.spans
        self._tokens = absolute_tokens(program)
        self._handed_out = [span.handed_out for span in timing.spans]
        self._places = [
            [n for n, instruction in enumerate(program) if isinstance(instruction, unit)]
            for unit in UNITS
        ]
        # Units begin and end their instructions in order, so that both are sorted.
        self._begins = [[timing.spans[n].begin for n in own] for own in self._places]
        self._ends = [[timing.spans[n].end for n in own] for own in self._places]

    def between(self, place: int, first: int, end: int) -> Iterator[tuple[Cause, int, int]]:
        """Causes of the cycles ``[first, end)`` in which the instruction at `place` is waited for."""
        while first < end:
            cause, seen = self._cause(place, first)
            # Nothing changes before one of the instructions on the way does something.
            until = min(
                cycle
                for n in seen
                for cycle in (*self._changes(n), end)
                if cycle > first
            )  # fmt: skip
            yield cause, first, until
            first = until

    def _changes(self, place: int) -> tuple[int, ...]:
        span = self._spans[place]
        return span.in_hand, span.handed_out, span.handed_out + 1, span.begin, span.end

    def _cause(self, place: int, now: int) -> tuple[Cause, list[int]]:
        """Why the instruction at `place` has not begun in cycle `now`, and those that it hangs on.

        Each step leads to an earlier instruction, so there is an end.
        """
        seen = [place]
        while True:
            waiting = place
            if self._handed_out[place] >= now:
                waiting = bisect_left(self._handed_out, now)  # what the dispatcher holds
                seen.append(waiting)
                if self._spans[waiting].in_hand > now or self._handed_out[waiting] == now:
                    return Cause.DISPATCH, seen
            # Not at the head of its unit's queue, or not even in it since that is full?
            head = self._head(waiting, now)
            blocker = self._unfinished(place, now) if head == place else head
            if blocker is None:
                starts = isinstance(self._program[place], Compute)
                return Cause.START if starts else Cause.DISPATCH, seen
            seen.append(blocker)
            if self._spans[blocker].begin <= now:
                return self._kind(blocker), seen
            place = blocker

    def _unfinished(self, place: int, now: int) -> int | None:
        """The first instruction under way, or still to begin, that the head of a queue waits for.

        It is of the unit whose instructions make it wait longest.
        """
        needs: Sequence[int] = self._tokens[place]
        if place == len(self._program) - 1:
            needs = [len(own) for own in self._places]
        last = [
            (self._ends[unit][need - 1], unit)
            for unit, need in enumerate(needs)
            if need > 0 and self._ends[unit][need - 1] > now
        ]
        if last:
            _, unit = max(last)
        elif place < len(self._program) - 1:
            unit = self._unit(place)  # which has no room
        else:
            return None
        first = self._places[unit][bisect_right(self._ends[unit], now)]
        return None if first == place else first

    def _head(self, place: int, now: int) -> int:
        """First instruction of the same unit that has not begun before cycle `now`."""
        if place == len(self._program) - 1:
            return place
        unit = self._unit(place)
        return self._places[unit][bisect_left(self._begins[unit], now)]

    def _unit(self, place: int) -> int:
        return next(n for n, unit in enumerate(UNITS) if isinstance(self._program[place], unit))

    def _kind(self, place: int) -> Cause:
        instruction = self._program[place]
        if isinstance(instruction, Load):
            weights = instruction.target == Target.WEIGHTS
            return Cause.WEIGHTS if weights else Cause.ACTIVATIONS
        if isinstance(instruction, Store):
            return Cause.STORES
        raise ValueError(f"instruction {place} must not compute while nothing is computed")
