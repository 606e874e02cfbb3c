"""How long a computation takes in the execute unit where weights stand still.

Cycles count from the first in which a word may be read. A block is one word of every pixel of a
tile, with a word of weights for each of its channels. Once a block's first activations are accepted
the others follow without a gap, and so do its weights, since both are read ahead; so what is left
is a recurrence over blocks, which repeats itself while tiles have the same number of rows.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from hw.engine.weight_feeder import BUFFERED
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.base import ProcessingElement
from sim.timing.weight_stationary import WeightStationaryTiming

__all__ = ["last_row"]

_LONG_AGO = -(1 << 40)


class _Block(NamedTuple):
    """Cycles in which things happen to one block.

    Attributes
    ----------
    read, read_last : int
        Its first, its last word of activations is read.
    weights : int
        Its last word of weights is accepted by the array.
    moved : int
        Its last word of weights moves into the cells.
    begin : int
        Its first activations are accepted.
    accepted : tuple of int
        The latest beats of activations, as many as the feeder has places.
    """

    read: int
    read_last: int
    weights: int
    moved: int
    begin: int
    accepted: tuple[int, ...]

    def later(self, cycles: int) -> _Block:
        """The same so many cycles later."""
        return _Block(
            read=self.read + cycles,
            read_last=self.read_last + cycles,
            weights=self.weights + cycles,
            moved=self.moved + cycles,
            begin=self.begin + cycles,
            accepted=tuple(time + cycles for time in self.accepted),
        )


@lru_cache(maxsize=1 << 16)
def last_row(
    pe: ProcessingElement, pixels: int, blocks: int, tile_rows: int, size: int
) -> tuple[int, int]:
    """When the last activations are accepted, and when the feeder needs the weight memory no more.

    Parameters
    ----------
    pixels, blocks : int
        Rows of the computation, and blocks of each of its tiles.
    tile_rows : int
        Rows of a tile; the last may have fewer.
    size : int
        Rows and columns of the array.
    """
    timing = WeightStationaryTiming.of(pe, size, size)
    full, rest = divmod(pixels, tile_rows)
    block: _Block | None = None
    for rows, count in ((tile_rows, full * blocks), (rest, blocks if rest else 0)):
        done = 0
        while done < count:
            after = _next(block, rows, size, timing.revisit)
            done += 1
            if block is not None:
                shift = after.begin - block.begin
                if block.later(shift) == after:
                    after = after.later((count - done) * shift)
                    done = count
            block = after
    assert block is not None
    return block.accepted[-1], max(block.read_last, block.weights)


def _next(before: _Block | None, rows: int, size: int, revisit: int) -> _Block:
    """The block of `rows` rows after `before`."""
    if before is None:
        never = (_LONG_AGO,) * BUFFERED
        before = _Block(-1, -1, _LONG_AGO, _LONG_AGO, _LONG_AGO, never)
    # Its weights may be read once the first word of the block before is, and the weights of that
    # have left; the first of them waits in front of the cells until that block has begun.
    fetched = max(before.read + 1, before.weights)
    in_front = max(fetched + 1, before.moved)
    moves = max(in_front + 1, before.begin + 1)
    moved = moves + size - 1
    # With one word of weights there is no second one that the first makes room for.
    weights = in_front if size == 1 else moves + size - 2

    accepted = list(before.accepted)
    read = max(before.read_last + 1, fetched + 1, accepted[-BUFFERED] + 1)
    begin = max(
        read + READ_LATENCY + 1, accepted[-1] + 1, moved, before.begin + revisit,
    )  # fmt: skip
    first = read
    for row in range(rows):
        if row >= BUFFERED:
            # From here on each word waits for the place that the one of four rows before leaves.
            read = begin + rows - BUFFERED
            accepted = [begin + rows - n for n in range(BUFFERED, 0, -1)]
            break
        if row:
            read = max(read + 1, accepted[-BUFFERED] + 1)
        accepted.append(max(read + READ_LATENCY + 1, accepted[-1] + 1, begin + row))
    return _Block(first, read, weights, moved, begin, tuple(accepted[-BUFFERED:]))
