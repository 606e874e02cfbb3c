"""Dependency tokens of a program, from what its instructions touch.

The units run side by side; each runs its own instructions in order. Two instructions of different
units must not overlap in time when one writes what the other touches, or when both use a port of the
same bank of the scratchpad. The later one then waits for the earlier: for the last such one of each
unit, since all before it are finished by then.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import replace

from hw.isa import Instruction
from hw.spec import Spec
from hw.tokens import HORIZON, TOKEN_BITS, UNITS
from mapper.footprint import Footprint, Space, footprint

__all__ = ["hazards", "needs", "tokened", "unit_of", "with_tokens"]


def with_tokens(program: Sequence[Instruction], spec: Spec) -> list[Instruction]:
    """The program with the tokens that it needs; the ones that it has do not matter."""
    return tokened(program, needs(program, spec))


def needs(program: Sequence[Instruction], spec: Spec) -> list[tuple[int, ...]]:
    """What `hazards` says of every instruction of a program; zeros for what belongs to no unit."""
    units = [unit_of(instruction) for instruction in program]
    own = [n for n, unit in enumerate(units) if unit is not None]
    found = hazards(
        [unit for unit in units if unit is not None], (footprint(program[n], spec) for n in own)
    )
    waits: list[tuple[int, ...]] = [(0,) * len(UNITS)] * len(program)
    for n, after in zip(own, found, strict=True):
        waits[n] = after
    return waits


def unit_of(instruction: Instruction) -> int | None:
    """Index of the instruction's unit in `UNITS`."""
    return next((n for n, unit in enumerate(UNITS) if isinstance(instruction, unit)), None)


def tokened(program: Sequence[Instruction], waits: Sequence[tuple[int, ...]]) -> list[Instruction]:
    """The program with tokens for `waits`, which are whole counts of earlier instructions.

    Since they are earlier ones, the program never waits for ever. The fields hold counts modulo
    ``2**TOKEN_BITS``, so every instruction also waits for those `HORIZON` or more before it.
    """
    done: list[Instruction] = []
    recent: deque[int] = deque()
    long_ago = [0] * len(UNITS)
    for instruction, after in zip(program, waits, strict=True):
        unit = unit_of(instruction)
        if unit is None:
            done.append(instruction)
            continue
        if len(recent) == HORIZON:
            long_ago[recent.popleft()] += 1
        recent.append(unit)
        load, execute, store = (
            max(a, b) % (1 << TOKEN_BITS) for a, b in zip(after, long_ago, strict=True)
        )
        done.append(replace(instruction, after_load=load, after_execute=execute, after_store=store))
    return done


def hazards(
    units: Sequence[int], footprints: Iterable[Footprint], *, count: int = len(UNITS)
) -> list[tuple[int, ...]]:
    """How many instructions of each unit must be finished before each instruction.

    Parameters
    ----------
    units : sequence of int
        Of each instruction in program order, below `count`.
    footprints : iterable of Footprint
        What each touches.

    Returns
    -------
    list of tuple of int
        `count` numbers per instruction: the least ones that keep apart all pairs that must not
        overlap. An instruction waits for none of its own unit.
    """
    read: dict[tuple[int, Space], _Latest] = defaultdict(_Latest)
    written: dict[tuple[int, Space], _Latest] = defaultdict(_Latest)
    counts = [0] * count
    waits = []
    for unit, (reads, writes) in zip(units, footprints, strict=True):
        after = [0] * count
        for other in range(count):
            if other == unit:
                continue
            for extent in reads:
                latest = written.get((other, extent.space))
                if latest is not None:
                    after[other] = max(after[other], latest.within(extent.start, extent.end))
            for extent in writes:
                for map_ in (read, written):
                    latest = map_.get((other, extent.space))
                    if latest is not None:
                        after[other] = max(after[other], latest.within(extent.start, extent.end))
        waits.append(tuple(after))
        counts[unit] += 1
        for extent in reads:
            read[unit, extent.space].mark(extent.start, extent.end, counts[unit])
        for extent in writes:
            written[unit, extent.space].mark(extent.start, extent.end, counts[unit])
    return waits


class _Latest:
    """The latest mark on every number from 0 on, as runs of equal ones; 0 where there is none.

    Marks only grow, so a new one replaces all that it covers, and the runs stay few: a run costs at
    most two others when it is made, and vanishes once.
    """

    def __init__(self) -> None:
        self._starts = [0]
        self._marks = [0]

    def within(self, start: int, end: int) -> int:
        """The greatest mark in ``[start, end)``."""
        if start >= end:
            return 0
        first = bisect_right(self._starts, start) - 1
        last = bisect_left(self._starts, end)
        return max(self._marks[first:last])

    def mark(self, start: int, end: int, mark: int) -> None:
        """Marks ``[start, end)``; `mark` is no less than any before."""
        if start >= end:
            return
        starts, marks = self._starts, self._marks
        first = bisect_left(starts, start)
        last = bisect_left(starts, end)
        # What lay at `end` goes on behind the new run.
        rest = marks[last - 1] if last else 0
        tail = last == len(starts) or starts[last] != end
        starts[first:last] = [start, end] if tail else [start]
        marks[first:last] = [mark, rest] if tail else [mark]
