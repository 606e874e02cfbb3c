"""How long a computation takes on an array of broadcast operands, fed by the feeder.

The first beat of a tile waits until the results of the tile before have left the cells. While it
does, everything behind it stands still, as far as it has left its bank (see
`sim.timing.digit_compute`, whose recurrences of gathering and streaming these are).
"""

from __future__ import annotations

from functools import lru_cache

from numba import njit

from hw.engine.feeder import STAGES
from sim.timing.digit_compute import GATHERED

__all__ = ["last_beat"]

_LONG_AGO = -(1 << 40)

assert STAGES == 2, "the recurrence below has two registers between bank and array"


@lru_cache(maxsize=1 << 16)
def last_beat(tiles: int, blocks: int, rows: int, steps: int) -> tuple[int, int]:
    """When the last operand beat is accepted, and when its channels left the feeder's bank.

    Cycles from the first read; there are `blocks` of `steps` beats per tile.
    """
    accepted, left = _walk(tiles, blocks, rows, steps, GATHERED)
    return int(accepted), int(left)


@njit(cache=True)
def _walk(tiles: int, blocks: int, rows: int, steps: int, gathered: int) -> tuple[int, int]:
    begun = -rows  # the reads of the block before
    released, older = 0, 0  # when the banks were free; a block takes the older one
    left = entered = accepted = _LONG_AGO
    for _ in range(tiles):
        free = accepted + rows  # the cells
        for block in range(blocks):
            begun = max(begun + rows, older)
            full = begun + rows - 1 + gathered
            for step in range(steps):
                # It leaves its bank in a cycle in which the registers move on.
                leaves = max(full, left + 1, entered)
                if entered < leaves < accepted:
                    leaves = accepted
                left = leaves
                before = accepted
                entered = max(left + 1, before)
                accepted = entered + 1
                if block == 0 and step == 0:
                    accepted = max(accepted, free)
            older, released = released, left + 1
    return accepted, left
