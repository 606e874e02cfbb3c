"""How long the execute unit takes for an instruction."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from hw.control.execute import PARAMETER_WORDS
from hw.engine.feeder import STAGES, early_release
from hw.engine.vector import VECTOR_LATENCY
from hw.isa import Compute, Path
from hw.memory.scratchpad import READ_LATENCY
from hw.pe.sparse_digit import DigitElement
from hw.post import POST_LATENCY
from hw.spec import Spec
from sim.reference import Integers
from sim.timing.digit_array import DigitTiming
from sim.timing.digit_compute import GATHERED, last_result
from sim.timing.engine import spec_timing
from sim.timing.matrix_compute import last_beat
from sim.timing.weight_compute import last_row
from sim.timing.weight_stationary import WeightStationaryTiming

__all__ = [
    "READ_AHEAD",
    "ComputeTiming",
    "compute_timing",
    "follows_operands",
    "operand_cycles",
]

READ_AHEAD = PARAMETER_WORDS - 1
"""Cycles from the first read of an instruction's parameters to its acceptance, at the earliest."""

# From the acceptance of an instruction to the first read of its address pattern.
_START = 2
# From the acceptance of the last word by the post-processing pipe to the end of the instruction.
_FINISH = POST_LATENCY + 1
# From the read of a vector path's last word to the post-processing pipe.
_VECTOR = READ_LATENCY + VECTOR_LATENCY


class ComputeTiming(NamedTuple):
    """What an instruction takes, counted from the cycle of its acceptance.

    Attributes
    ----------
    cycles : int
        To the cycle that ends it, both included.
    weights : int
        The first cycle in which the weight memory is free for the parameters of the next one.
    """

    cycles: int
    weights: int


def follows_operands(spec: Spec) -> bool:
    """Whether what the array computes decides how long it takes."""
    return isinstance(spec.element, DigitElement)


def compute_timing(
    instruction: Compute,
    spec: Spec,
    operands: Integers | None = None,
    before: Integers | None = None,
) -> ComputeTiming:
    """Exact timing of an instruction in the execute unit.

    Parameters
    ----------
    operands : (pixels, K), optional
        Activations of a computation on the array, in the order of streaming; needed where
        `follows_operands`.
    before : (rows, K'), optional
        Those of the parts that it goes on with, for every row of the array; needed there too.

    Raises
    ------
    ValueError
        They are missing.
    """
    taps = instruction.kernel_y * instruction.kernel_x
    if instruction.path != Path.ARRAY:
        reads = instruction.pixels * taps
        cycles = _START + (reads - 1) + _VECTOR + (0 if instruction.keep else _FINISH) + 1
        return ComputeTiming(cycles, _START + reads if instruction.path == Path.TAPS else 1)
    timing = spec_timing(spec)
    rows = spec.engine.rows
    if isinstance(timing, DigitTiming):
        if operands is None:
            raise ValueError(f"operands must be given for {spec.pe.kind}: they set its pace")
        taken, leave = last_result(
            timing.pe,
            operands,
            rows=rows,
            cols=spec.engine.cols,
            pad=instruction.pad_value,
            before=before,
            keep=bool(instruction.keep),
        )
        return _ending(instruction, taken, leave)
    if isinstance(timing, WeightStationaryTiming):
        assert spec.engine.tile_rows is not None
        beat, leave = last_row(
            spec.pe, instruction.pixels, taps * instruction.words, spec.engine.tile_rows, rows
        )
        return _ending(instruction, beat + (1 if instruction.keep else timing.latency), leave)
    tiles = -(-instruction.pixels // rows)
    steps = spec.word_bytes // timing.k_granularity
    # With one row, nothing waits for results.
    walk = last_beat if timing.first_waits and rows > 1 else _last_beat
    beat, leave = walk(tiles, taps * instruction.words, rows, steps)
    return _ending(
        instruction, beat + (1 if instruction.keep else timing.latency + rows - 1), leave
    )


def _ending(instruction: Compute, at: int, leave: int) -> ComputeTiming:
    """Of a computation whose last result is taken, or whose sums are kept, in cycle `at`.

    Cycles from the first read; in cycle `leave` the weight memory is read last.
    """
    finish = 0 if instruction.keep else _FINISH
    return ComputeTiming(_START + at + finish + 1, _START + leave + 1)


def operand_cycles(instruction: Compute, spec: Spec) -> int:
    """Those of its cycles in which operands enter: a beat of a tile, or one tap.

    The rest is start, gathering of words for the array where it is no faster, and drain.
    """
    taps = instruction.kernel_y * instruction.kernel_x
    if instruction.path != Path.ARRAY:
        return instruction.pixels * taps
    if spec.engine.tile_rows is not None:
        return instruction.pixels * taps * instruction.words
    steps = spec.word_bytes // spec.element.k_granularity
    return -(-instruction.pixels // spec.engine.rows) * taps * instruction.words * steps


@lru_cache(maxsize=1 << 16)
def _last_beat(tiles: int, blocks: int, rows: int, steps: int) -> tuple[int, int]:
    """When the last operand beat is accepted, and when its channels left the feeder's bank.

    Cycles from the first read; there are `blocks` per tile.

    A block is gathered in `rows` cycles and streamed in `steps`. There are two banks: block b is
    gathered when block b - 2 has (all but) left its bank, and streamed when it is whole and block
    b - 1 has left.
    """
    early = early_release(rows, steps)
    gather = [-rows, -rows]  # when the reads of the last two blocks began
    stream = [-2 * steps, -2 * steps]  # when their first channels left
    accepted = -rows  # the last beat of the tile before
    before: list[tuple[int, int]] = []  # where the blocks before were, relative to each other
    total = tiles * blocks
    b = 0
    while b < total:
        begin = max(0, gather[1] + rows, stream[0] + steps - early)
        leave = max(begin + rows - 1 + GATHERED, stream[1] + steps)
        if b % blocks == 0 and b:
            # From its arrival on the array may make the last beat wait, and all behind it stand
            # still, but for the channels that have left until then.
            arrival = stream[1] + steps - 1 + STAGES
            leave = max(leave, accepted - max(0, arrival - leave))
        end = leave + steps - 1 + STAGES
        if b % blocks == blocks - 1:
            end = max(end, accepted + rows)
            accepted = end
        # Where the array never makes anything wait, what happens twice goes on for ever.
        place = (leave - begin, leave - stream[1])
        pairs = (total - b - 1) // 2 if rows <= steps and before[-2:-1] == [place] else 0
        forward = pairs * (leave - stream[0])
        before = [*before[-1:], place]
        gather = [gather[1] + forward, begin + forward]
        stream = [stream[1] + forward, leave + forward]
        accepted = end + forward if pairs else accepted
        b += 1 + 2 * pairs
    return accepted, stream[1] + steps - 1
