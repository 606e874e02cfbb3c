"""What an instruction touches: words of the on-chip memories, ports of their banks, bytes off chip."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from hw.control.execute import PARAMETER_WORDS
from hw.isa import Compute, Instruction, Load, Path, Store, Target
from hw.spec import Spec

__all__ = ["Extent", "Footprint", "Space", "footprint"]

_ADDRESSES = 1 << 24


class Space(IntEnum):
    """What extents lie in; those of different spaces never overlap.

    SCRATCHPAD and WEIGHTS count words, MEMORY bytes. READ_PORTS and WRITE_PORTS count the banks of
    the scratchpad: to use a bank's port is to write there, since nobody shares one.
    """

    SCRATCHPAD = 0
    WEIGHTS = 1
    MEMORY = 2
    READ_PORTS = 3
    WRITE_PORTS = 4


class Extent(NamedTuple):
    """``[start, end)`` of a space."""

    space: Space
    start: int
    end: int


class Footprint(NamedTuple):
    """Everything that an instruction may read, and everything that it may write or use alone."""

    reads: tuple[Extent, ...] = ()
    writes: tuple[Extent, ...] = ()


def footprint(instruction: Instruction, spec: Spec) -> Footprint:
    """The extents of an instruction.

    Transfers are exact. Of a computation they are hulls, so they may be larger than what it
    touches: its destination from the first word to the last, and for each kernel column the input
    from the first word to the last that is inside the image; columns that overlap are one.
    """
    word_bytes = spec.word_bytes
    bank = spec.scratchpad.bytes // word_bytes // spec.scratchpad.banks

    def ports(space: Space, extents: list[Extent]) -> list[Extent]:
        return [Extent(space, e.start // bank, (e.end - 1) // bank + 1) for e in extents]

    match instruction:
        case Load():
            memory = instruction.memory
            source = Extent(Space.MEMORY, memory, memory + instruction.words * word_bytes)
            weights = instruction.target == Target.WEIGHTS
            space = Space.WEIGHTS if weights else Space.SCRATCHPAD
            written = [Extent(space, instruction.local, instruction.local + instruction.words)]
            if not weights:
                written += ports(Space.WRITE_PORTS, written)
            return Footprint((source,), tuple(written))
        case Store():
            memory = instruction.memory
            home = Extent(Space.MEMORY, memory, memory + instruction.words * word_bytes)
            local = instruction.local
            read = Extent(Space.SCRATCHPAD, local, local + instruction.words)
            return Footprint((read,), (home, *ports(Space.READ_PORTS, [read])))
        case Compute():
            inputs = _inputs(instruction)
            output = [] if instruction.keep else _output(instruction)
            block = instruction.weights, instruction.weights + _block_words(instruction, word_bytes)
            return Footprint(
                (*inputs, Extent(Space.WEIGHTS, *block)),
                (
                    *output,
                    *ports(Space.READ_PORTS, inputs),
                    *ports(Space.WRITE_PORTS, output),
                ),
            )
    return Footprint()


def _block_words(c: Compute, word_bytes: int) -> int:
    taps = c.kernel_y * c.kernel_x
    match c.path:
        case Path.ARRAY:
            return PARAMETER_WORDS + taps * c.words * word_bytes
        case Path.TAPS:
            return PARAMETER_WORDS + taps
        case _:
            return PARAMETER_WORDS


def _output(c: Compute) -> list[Extent]:
    span = c.destination_step * (max(c.pixels, 1) - 1) + 1
    return _wrapped(c.destination, span)


def _inputs(c: Compute) -> list[Extent]:
    """Where it reads, one hull per kernel column: an addition's two taps are two tensors."""
    pitch = c.step_y + (c.out_width - 1) * c.step_x
    tap_pitch = c.tap_y + (c.kernel_x - 1) * c.tap_x
    width = max(c.out_width, 1)
    rows, columns = -(-max(c.pixels, 1) // width), min(width, max(c.pixels, 1))
    down = []
    for ky in range(c.kernel_y):
        inside = _inside(rows, c.stride_y, ky * c.dilation_y - c.pad_top, c.in_height)
        down += [row * pitch + ky * tap_pitch for row in inside]
    found: list[Extent] = []
    for kx in range(c.kernel_x if down else 0):
        inside = _inside(columns, c.stride_x, kx * c.dilation_x - c.pad_left, c.in_width)
        across = [column * c.step_x + kx * c.tap_x for column in inside]
        if across:
            low, high = min(down) + min(across), max(down) + max(across)
            found += _wrapped(c.source + low, high - low + max(c.words, 1))
    return _merged(found)


def _inside(count: int, stride: int, offset: int, size: int) -> tuple[int, ...]:
    """First and last of `count` positions whose ``position * stride + offset`` is in the image.

    The addresses are linear in between, so these two suffice for a hull.
    """
    if stride == 0:
        return (0, count - 1) if 0 <= offset < size else ()
    first, last = max(0, -(offset // stride)), min(count - 1, (size - 1 - offset) // stride)
    return (first, last) if first <= last else ()


def _wrapped(start: int, words: int) -> list[Extent]:
    """Addresses have 24 bits; what wraps around is out of range, and everything for safety."""
    start %= _ADDRESSES
    if start + words > _ADDRESSES:
        return [Extent(Space.SCRATCHPAD, 0, _ADDRESSES)]
    return [Extent(Space.SCRATCHPAD, start, start + words)]


def _merged(extents: list[Extent]) -> list[Extent]:
    merged: list[Extent] = []
    for extent in sorted(extents):
        if merged and extent.start <= merged[-1].end:
            end = max(merged[-1].end, extent.end)
            merged[-1] = Extent(extent.space, merged[-1].start, end)
        else:
            merged.append(extent)
    return merged
