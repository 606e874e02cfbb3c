"""Packing where every buffer has an alignment of its own.

What the compiled search rests on, that buffers start where others end, no longer holds: they start
at the next multiple of their own alignment. So first fit looks for offsets, and CP-SAT for the
rest, with proofs of infeasibility and of the least capacity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import gcd

from ortools.sat.python import cp_model

from hw.errors import InputError
from mapper.limits import Limits
from mapper.pack.arrays import Window
from mapper.pack.buffers import Buffer, meetings, neighbours_of, peak_load, rounded
from mapper.pack.greedy import orders
from mapper.pack.least import Least
from mapper.pack.question import Piece, check_question, pieces_of
from mapper.pack.solve import MOST_MEETINGS, Packing
from mapper.schedule.solver import Outcome, solve

__all__ = ["least_mixed", "pack_mixed"]

# Deterministic time of CP-SAT for one unit of effort.
_TIME_PER_EFFORT = 1 / 30
# Larger parts have no model: up to a literal per pair in each section, sums that do not overflow.
_MOST_PAIRS, _HIGHEST = 2_000_000, 1 << 40


def pack_mixed(
    buffers: Sequence[Buffer],
    capacity: int,
    alignments: Sequence[int],
    *,
    fixed: Mapping[int, int] | None = None,
    limits: Limits | None = None,
) -> Packing:
    """`mapper.pack.pack` with an alignment per buffer.

    Raises
    ------
    InputError
        As there, or there are not as many alignments as buffers.
    """
    given = dict(fixed or {})
    _check(buffers, capacity, alignments, given)
    limits = limits or Limits()
    load, at = peak_load(buffers)
    if load > capacity:
        living = tuple(i for i, b in enumerate(buffers) if b.lower <= at < b.upper)
        return Packing("infeasible", (), load, at, living)
    if meetings(buffers) > MOST_MEETINGS:
        return Packing("unknown", (), load, at)
    offsets = [0] * len(buffers)
    for piece in pieces_of(buffers):
        part = _Part(buffers, alignments, given, piece)
        found = part.first_fit(limits)
        if found is None or part.height(found) > capacity:
            outcome = part.solve(capacity, limits.share(0.9))
            if not outcome.solved:
                conflict = tuple(piece.members) if outcome.status == "infeasible" else ()
                return Packing(outcome.status, (), load, at, conflict)
            found = part.offsets_of(outcome)
        for b, offset in zip(piece.members, found, strict=True):
            offsets[b] = offset
    return Packing("packed", tuple(offsets), load, at)


def least_mixed(
    buffers: Sequence[Buffer], alignments: Sequence[int], *, limits: Limits | None = None
) -> Least:
    """`mapper.pack.least_capacity` with an alignment per buffer.

    Raises
    ------
    InputError
        As there, or there are not as many alignments as buffers.
    """
    _check(buffers, 1, alignments, {})
    limits = limits or Limits()
    load, at = peak_load(buffers)
    height, bound, offsets = 0, load, [0] * len(buffers)
    pieces = pieces_of(buffers) if meetings(buffers) <= MOST_MEETINGS else []
    if buffers and not pieces:
        raise InputError(
            f"Buffers with alignments of their own must meet in at most {MOST_MEETINGS:,} pairs, "
            "not more: use --alignment for all."
        )
    for piece in pieces:
        part = _Part(buffers, alignments, {}, piece)
        found = part.first_fit(limits) or part.stacked()
        least = peak_load([buffers[b] for b in piece.members])[0]
        if part.height(found) > max(least, bound):
            outcome = part.solve(part.height(found), limits.share(0.9), hint=found)
            least = max(least, outcome.bound * part.unit)
            if outcome.solved:
                found = part.offsets_of(outcome)
        height, bound = max(height, part.height(found)), max(bound, least)
        for b, offset in zip(piece.members, found, strict=True):
            offsets[b] = offset
    status = "optimal" if height == bound else "feasible"
    return Least(status, height, bound, tuple(offsets), load, at)


def _check(
    buffers: Sequence[Buffer],
    capacity: int,
    alignments: Sequence[int],
    fixed: Mapping[int, int],
) -> None:
    check_question(buffers, capacity, 1, fixed)
    if len(alignments) != len(buffers):
        raise InputError(
            f"There must be an alignment for each of {len(buffers)} buffers, not {len(alignments)}."
        )
    for i, alignment in enumerate(alignments):
        if alignment < 1 or fixed.get(i, 0) % alignment:
            raise InputError(
                f"Alignment of buffer {i} must be positive and divide its fixed offset, "
                f"not {alignment}: correct its row."
            )


class _Part:
    """Buffers that no others meet, in bytes; the model counts in units."""

    def __init__(
        self,
        buffers: Sequence[Buffer],
        alignments: Sequence[int],
        fixed: Mapping[int, int],
        piece: Piece,
    ) -> None:
        self._buffers = [buffers[b] for b in piece.members]
        self._steps = [alignments[b] for b in piece.members]
        self._fixed = {i: fixed[b] for i, b in enumerate(piece.members) if b in fixed}
        self._sections = piece.sections
        # Pushed down, offsets are sums of sizes and fixed offsets, rounded up to alignments.
        self.unit = gcd(*(b.size for b in self._buffers), *self._steps, *self._fixed.values())
        self._bottoms: list[cp_model.IntVar] = []

    def height(self, offsets: Sequence[int]) -> int:
        return max(o + b.size for o, b in zip(offsets, self._buffers, strict=True))

    def stacked(self) -> list[int]:
        """All on top of each other."""
        offsets, top = [], 0
        for buffer, step in zip(self._buffers, self._steps, strict=True):
            offsets.append(rounded(top, step))
            top = offsets[-1] + buffer.size
        return offsets

    def first_fit(self, limits: Limits) -> list[int] | None:
        """The lowest of several orders; None where the clock ends it, or a fixed offset is taken."""
        windows = [Window(*b, self._fixed.get(i, 0), 1 << 62) for i, b in enumerate(self._buffers)]
        neighbours = neighbours_of(windows)
        best: list[int] | None = None
        for order in orders(windows):
            if limits.exhausted():
                break
            first = [i for i in order if i in self._fixed]
            found = self._along([*first, *(i for i in order if i not in self._fixed)], neighbours)
            if any(found[i] != offset for i, offset in self._fixed.items()):
                return None
            if best is None or self.height(found) < self.height(best):
                best = found
        return best

    def _along(self, order: Sequence[int], neighbours: Sequence[Sequence[int]]) -> list[int]:
        offsets = [-1] * len(self._buffers)
        for b in order:
            size, step = self._buffers[b].size, self._steps[b]
            offset = self._fixed.get(b, 0)
            for low, high in sorted(
                (offsets[c], offsets[c] + self._buffers[c].size)
                for c in neighbours[b]
                if offsets[c] >= 0
            ):
                if low - offset >= size:
                    break
                offset = max(offset, rounded(high, step))
            offsets[b] = offset
        return offsets

    def solve(self, capacity: int, limits: Limits, *, hint: Sequence[int] | None = None) -> Outcome:
        """Offsets below `capacity`; the least height, in units, where there is a hint."""
        pairs = sum(len(together) ** 2 for together in self._sections)
        top = capacity // self.unit
        if pairs > _MOST_PAIRS or top > _HIGHEST:
            return Outcome("unknown", 0, int)
        model = cp_model.CpModel()
        self._bottoms = []
        spaces = []
        height = model.new_int_var(0, top, "") if hint is not None else None
        for i, (buffer, step) in enumerate(zip(self._buffers, self._steps, strict=True)):
            size, step = buffer.size // self.unit, step // self.unit
            last = (top - size) // step
            if last < 0:
                return Outcome("infeasible", 0, int)
            bottom = model.new_int_var(0, last, "")
            if i in self._fixed:
                model.add(bottom == self._fixed[i] // self.unit // step)
            spaces.append(model.new_fixed_size_interval_var(step * bottom, size, ""))
            self._bottoms.append(bottom)
            if height is not None and hint is not None:
                model.add(height >= step * bottom + size)
                model.add_hint(bottom, hint[i] // self.unit // step)
        for together in self._sections:
            model.add_no_overlap([spaces[b] for b in together])
        if height is not None:
            model.minimize(height)
        return solve(model, replace(limits, workers=1), effort=limits.effort * _TIME_PER_EFFORT)

    def offsets_of(self, outcome: Outcome) -> list[int]:
        """Bytes; of the model that was solved last."""
        return [
            outcome.value(bottom) * step
            for bottom, step in zip(self._bottoms, self._steps, strict=True)
        ]
