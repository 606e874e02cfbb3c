"""A second opinion on one part: CP-SAT, asked between the starts of the search.

Each section is a schedule of one machine on which buffers take turns by offset. What it learns
from failures helps where every section is full, above all in perfect packings, which the search
meets only by luck; on most traces of real networks the search is far ahead. So it is asked when
the search has had some time, briefly at first, and never for more than a third of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ortools.sat.python import cp_model

from mapper.limits import Limits
from mapper.pack.arrays import Window
from mapper.schedule.solver import Outcome, solve

__all__ = ["FIRST", "Opinion"]

# Work of the search before the first question.
FIRST = 50_000_000
# Deterministic time of the first question; it doubles with each.
_SHORTEST = 0.01
# Steps of the search that take as long as a unit of deterministic time (some 30 seconds), and as
# long as preparing the model for a pair of buffers in a section.
_WORK, _WORK_PER_PAIR = 3_000_000_000, 50
# The search gets that much more of the time.
_SHARE = 2
# Larger parts are not asked about: the model has up to a literal per pair in each section, and
# its sums must not overflow.
_MOST_PAIRS, _HIGHEST = 2_000_000, 1 << 40


class Opinion:
    """The questions about one part.

    Parameters
    ----------
    windows : sequence of Window
    sections : sequence of sequence of int
        The maximal live sets; positions in `windows`.
    seed : int
    """

    def __init__(
        self, windows: Sequence[Window], sections: Sequence[Sequence[int]], seed: int
    ) -> None:
        self._windows, self._sections, self._seed = windows, sections, seed
        self._outcome: Outcome | None = None
        self._bottoms: list[cp_model.IntVar] = []
        self._wait, self._effort, self._asked = FIRST, _SHORTEST, 0
        self._pairs = sum(len(together) ** 2 for together in sections)
        self._able = self._pairs <= _MOST_PAIRS and max(w.top for w in windows) <= _HIGHEST

    def due(self, work: int) -> bool:
        """Whether it is its turn, when the search has done so much more `work`."""
        self._wait -= work
        return self._able and self._wait <= 0

    def ask(self, limits: Limits, work: int) -> tuple[str, int]:
        """Asks once within `limits` and `work`: ``packed``, ``infeasible`` or ``unknown``.

        Returns
        -------
        tuple of str and int
            The answer, and the work that it is charged as.
        """
        effort = min(self._effort, work / _WORK)
        seed = self._seed + self._asked
        self._outcome = solve(self._model(), replace(limits, seed=seed, workers=1), effort=effort)
        self._asked += 1
        self._effort *= 2
        self._wait = max(FIRST, _SHARE * self._charge(self._effort))
        status = "packed" if self._outcome.solved else self._outcome.status
        return status, self._charge(effort)

    def offsets(self) -> list[int]:
        """In units; of the question that was answered ``packed``, which must be the last."""
        assert self._outcome is not None
        return [self._outcome.value(bottom) for bottom in self._bottoms]

    def _charge(self, effort: float) -> int:
        return int(effort * _WORK) + self._pairs * _WORK_PER_PAIR

    def _model(self) -> cp_model.CpModel:
        model = cp_model.CpModel()
        self._bottoms = [model.new_int_var(w.bottom, w.top - w.size, "") for w in self._windows]
        spaces = [
            model.new_fixed_size_interval_var(bottom, w.size, "")
            for bottom, w in zip(self._bottoms, self._windows, strict=True)
        ]
        for together in self._sections:
            model.add_no_overlap([spaces[b] for b in together])
        return model
