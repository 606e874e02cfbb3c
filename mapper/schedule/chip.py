"""A table over (down-set, tensors on chip), as the searches take it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["NO_CHIP", "ChipTable"]

Array = Any


@dataclass(frozen=True)
class ChipTable:
    """Entries of `mapper.schedule.compiled.chip`, and what they count in.

    Attributes
    ----------
    rank, where, before, chip : array
        See there.
    bytes_per_unit : float
        What an entry counts in.
    """

    rank: Array
    where: Array
    before: Array
    chip: Array
    bytes_per_unit: float

    def arguments(self, quantum: int, ties: int) -> tuple[Any, ...]:
        """What `expand` takes, where costs are multiples of `quantum` bytes, each `ties`."""
        rate = self.bytes_per_unit / quantum
        return self.rank, self.before, self.where, self.chip, rate, quantum * ties


NO_CHIP = ChipTable(
    np.zeros(1, dtype=np.int32),
    np.zeros(1, dtype=np.int64),
    np.zeros((1, 1), dtype=np.int64),
    np.zeros(0, dtype=np.uint16),
    0.0,
)
