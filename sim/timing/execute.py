"""How long the execute unit takes for an instruction."""

from __future__ import annotations

from hw.control.execute import PARAMETER_WORDS
from hw.engine.feeder import early_release
from hw.isa import Compute, Path
from hw.pe.base import ProcessingElement
from hw.post import POST_LATENCY
from hw.spec import Spec
from sim.timing.systolic import SystolicTiming

__all__ = ["compute_cycles"]

# Taking the instruction, its parameters, and the start of the address pattern.
_START = 1 + PARAMETER_WORDS + 1
# From the acceptance of the last word by the post-processing pipe to the end of the instruction.
_FINISH = POST_LATENCY + 1
# From the read of a vector path's last word to the post-processing pipe: memory, accumulator.
_VECTOR = 2
# From a block's last read to the first of its channels on the way: memory, bank, bank is full.
_GATHERED = 2
# From a channel leaving its bank to its operand beat on the stream.
_STAGED = 1


def compute_cycles(instruction: Compute, spec: Spec) -> int:
    """Cycles from the acceptance of an instruction to the cycle that ends it, that one included."""
    taps = instruction.kernel_y * instruction.kernel_x
    if instruction.path != Path.ARRAY:
        reads = instruction.pixels * taps
        return _START + (reads - 1) + _VECTOR + _FINISH + 1
    rows, cols = spec.engine.rows, spec.word_bytes
    tiles = -(-instruction.pixels // rows)
    last = _last_beat(tiles, taps * instruction.words, rows, cols)
    return _START + last + _drain(spec.pe, rows, spec.engine.cols) + _FINISH + 1


def _drain(pe: ProcessingElement, rows: int, cols: int) -> int:
    """From the last operand beat to the acceptance of the last result row."""
    return SystolicTiming.of(pe, rows, cols).latency + rows - 1


def _last_beat(tiles: int, blocks: int, rows: int, cols: int) -> int:
    """Cycle of the last operand beat, counted from the first read; `blocks` per tile.

    A block is gathered in `rows` cycles and streamed in `cols`. There are two banks: block b is
    gathered when block b - 2 has (all but) left its bank, and streamed when it is whole and block
    b - 1 has left.
    """
    early = early_release(rows, cols)
    gather = [-rows, -rows]  # when the reads of the last two blocks began
    stream = [-2 * cols, -2 * cols]  # when their first channels left
    accepted = -rows  # the last beat of the tile before
    steady = 0
    total = tiles * blocks
    b = 0
    while b < total:
        begin = max(0, gather[1] + rows, stream[0] + cols - early)
        leave = max(begin + rows - 1 + _GATHERED, stream[1] + cols)
        if (b % blocks) == 0 and b and stream[1] + cols - 1 + _STAGED < accepted:
            # The array made the last beat wait, and all behind it.
            leave = max(leave, accepted)
        end = leave + cols - 1 + _STAGED
        if b % blocks == blocks - 1:
            end = max(end, accepted + rows)
            accepted = end
        # Once two blocks in a row take `cols` cycles each, all later ones do.
        regular = leave - stream[1] == cols and begin - gather[1] == max(rows, cols)
        steady = steady + 1 if regular and rows <= cols else 0
        gather, stream = [gather[1], begin], [stream[1], leave]
        b += 1
        if steady > 4:
            return end + (total - b) * cols
    return accepted
