"""The accelerator's instructions: fields, encoding and decoding.

An instruction is 64 bytes. Three units run their instructions in program order and side by side:
*load* (memory to chip), *execute* and *store* (chip to memory). An instruction may start when each
unit has finished as many instructions as its `after_*` fields say, counted from the start of the
program, modulo 2**16 (see `hw.tokens`): these are its dependency tokens.

Addresses on chip are in words, a word being as wide as the memory bus; the word holds one byte per
engine column. In memory they are bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, ClassVar

from amaranth.lib import data

__all__ = [
    "INSTRUCTION_BYTES",
    "ISA_VERSION",
    "Begin",
    "Compute",
    "End",
    "Instruction",
    "Load",
    "Opcode",
    "Path",
    "Store",
    "Target",
    "decode",
    "encode",
]

ISA_VERSION = 2
INSTRUCTION_BYTES = 64


class Opcode(IntEnum):
    """First byte of an instruction."""

    END = 0
    LOAD = 1
    STORE = 2
    COMPUTE = 3
    BEGIN = 4


class Target(IntEnum):
    """On-chip memory that a load fills."""

    SCRATCHPAD = 0
    WEIGHTS = 1


class Path(IntEnum):
    """Datapath of a computation.

    ARRAY multiplies on the engine: tiles of `rows` pixels, K = taps × words × word bytes.
    TAPS weighs each tap with a word of byte weights, per channel: depthwise convolution.
    SCALARS weighs even taps with `scalar_0` and odd ones with `scalar_1`: addition, average.
    MAXIMUM takes the greatest tap per channel: pooling.
    """

    ARRAY = 0
    TAPS = 1
    SCALARS = 2
    MAXIMUM = 3


_HEADER = {"opcode": 8, "after_load": 16, "after_execute": 16, "after_store": 16}

_BEGIN = {**_HEADER, "version": 16}

_TRANSFER = {
    **_HEADER,
    "target": 2,
    "memory": 32,
    "local": 24,
    "words": 24,
}

_COMPUTE = {
    **_HEADER,
    "path": 2,
    "source": 24,
    "pixels": 24,
    "out_width": 16,
    "step_x": 24,
    "step_y": 24,
    "tap_x": 24,
    "tap_y": 24,
    "in_height": 16,
    "in_width": 16,
    "stride_y": 4,
    "stride_x": 4,
    "dilation_y": 4,
    "dilation_x": 4,
    "pad_top": 16,
    "pad_left": 16,
    "kernel_y": 8,
    "kernel_x": 8,
    "words": 10,
    "pad_value": 8,
    "weights": 20,
    "scalar_0": 23,
    "scalar_1": 23,
    "destination": 24,
    "destination_step": 12,
    "mask": 32,
    "zero_point": 8,
    "low": 8,
    "high": 8,
    "keep": 1,
}


def _layout(widths: dict[str, int]) -> data.StructLayout:
    used = sum(widths.values())
    if used > 8 * INSTRUCTION_BYTES:
        raise ValueError(f"instruction must fit {8 * INSTRUCTION_BYTES} bits, not need {used}")
    return data.StructLayout({**widths, "reserved": 8 * INSTRUCTION_BYTES - used})


HEADER_LAYOUT = _layout(_HEADER)
BEGIN_LAYOUT = _layout(_BEGIN)
TRANSFER_LAYOUT = _layout(_TRANSFER)
COMPUTE_LAYOUT = _layout(_COMPUTE)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """What all instructions have: how many instructions of each unit must be finished first."""

    opcode: ClassVar[Opcode]
    widths: ClassVar[dict[str, int]]

    after_load: int = 0
    after_execute: int = 0
    after_store: int = 0


@dataclass(frozen=True, kw_only=True)
class Begin(Instruction):
    """The first instruction; the accelerator refuses another version than its own."""

    opcode = Opcode.BEGIN
    widths = _BEGIN

    version: int = ISA_VERSION


@dataclass(frozen=True, kw_only=True)
class End(Instruction):
    """The program is over when all units are idle."""

    opcode = Opcode.END
    widths = _HEADER


@dataclass(frozen=True, kw_only=True)
class Load(Instruction):
    """Copies `words` words from byte address `memory` to word address `local` of `target`."""

    opcode = Opcode.LOAD
    widths = _TRANSFER

    target: int
    memory: int
    local: int
    words: int


@dataclass(frozen=True, kw_only=True)
class Store(Instruction):
    """Copies `words` words of the scratchpad at `local` to byte address `memory`."""

    opcode = Opcode.STORE
    widths = _TRANSFER

    target: int = Target.SCRATCHPAD
    memory: int
    local: int
    words: int


@dataclass(frozen=True, kw_only=True)
class Compute(Instruction):
    """Computes one word of output channels for every output pixel.

    Output pixel p (row y, column x, `out_width` columns) reads, for each tap (ky, kx), `words`
    consecutive words at ``source + y*pitch_y + x*step_x + ky*... + kx*tap_x``; the increments are:

    Attributes
    ----------
    path : Path
    source : int
        Word address of the first tap of output pixel 0, as if nothing were padded.
    pixels, out_width : int
        Output pixels in all, and per row.
    step_x, step_y : int
        Words from one output pixel's input to the next, within a row, and from the last of a row to
        the first of the next. Signed, like the two below.
    tap_x, tap_y : int
        Words from one tap to the next, and from the last of a kernel row to the first of the next.
    in_height, in_width : int
        A tap outside reads `pad_value` in every byte.
    pad_top, pad_left : int
        Rows above and columns left of the input that tap (0, 0) of output pixel 0 lies outside;
        negative when it lies inside.
    words : int
        Consecutive words (channels) per tap; 1 on all paths but ARRAY.
    weights : int
        Word address in the weight memory of the parameter block, which the weight words follow.
    mask : int
        Bytes of the output word that are written.
    zero_point, low, high : int
        Of the output, signed bytes: added after requantisation, then clamped.
    keep : int
        1: a part of a reduction. Nothing is written; the sums stay in the accumulators, and the
        next computation, of the same path and as many pixels, adds to them instead of beginning
        anew. There is one accumulator per element of a tile, so the pixels are one tile at most on
        ARRAY, and one on the other paths. Addresses, weights and taps are each part's own.
    """

    opcode = Opcode.COMPUTE
    widths = _COMPUTE

    path: int
    source: int
    pixels: int
    out_width: int
    step_x: int
    step_y: int
    tap_x: int
    tap_y: int
    in_height: int
    in_width: int
    stride_y: int
    stride_x: int
    dilation_y: int
    dilation_x: int
    pad_top: int
    pad_left: int
    kernel_y: int
    kernel_x: int
    words: int
    pad_value: int
    weights: int
    scalar_0: int = 0
    scalar_1: int = 0
    destination: int
    destination_step: int
    mask: int
    zero_point: int
    low: int
    high: int
    keep: int = 0


_SIGNED = frozenset(
    "step_x step_y tap_x tap_y pad_top pad_left pad_value scalar_0 scalar_1 zero_point low high".split()
)
_CLASSES: dict[int, type[Instruction]] = {c.opcode: c for c in (Begin, End, Load, Store, Compute)}


def encode(program: Sequence[Instruction]) -> bytes:
    """The program as it lies in memory.

    Raises
    ------
    ValueError
        A field does not fit its width.
    """
    return b"".join(_encode(instruction) for instruction in program)


def _encode(instruction: Instruction) -> bytes:
    word, offset = 0, 0
    for name, bits in instruction.widths.items():
        value = instruction.opcode if name == "opcode" else int(getattr(instruction, name))
        low = -(1 << (bits - 1)) if name in _SIGNED else 0
        high = (1 << (bits - 1)) - 1 if name in _SIGNED else (1 << bits) - 1
        if not low <= value <= high:
            raise ValueError(
                f"{name} of {type(instruction).__name__} must be {low} to {high}, not {value}"
            )
        word |= (value & ((1 << bits) - 1)) << offset
        offset += bits
    return word.to_bytes(INSTRUCTION_BYTES, "little")


def decode(code: bytes) -> list[Instruction]:
    """The instructions in `code`; the inverse of `encode`.

    Raises
    ------
    ValueError
        `code` is no whole number of instructions, or an opcode is unknown.
    """
    if len(code) % INSTRUCTION_BYTES:
        raise ValueError(f"code must be a multiple of {INSTRUCTION_BYTES} bytes, not {len(code)}")
    return [
        _decode(code[start : start + INSTRUCTION_BYTES])
        for start in range(0, len(code), INSTRUCTION_BYTES)
    ]


def _decode(code: bytes) -> Instruction:
    word = int.from_bytes(code, "little")
    kind = _CLASSES.get(word & 0xFF)
    if kind is None:
        raise ValueError(f"opcode must be one of {sorted(map(int, _CLASSES))}, not {word & 0xFF}")
    values: dict[str, Any] = {}
    offset = 0
    for name, bits in kind.widths.items():
        value = (word >> offset) & ((1 << bits) - 1)
        if name in _SIGNED and value >> (bits - 1):
            value -= 1 << bits
        values[name] = value
        offset += bits
    del values["opcode"]
    known = {field.name for field in fields(kind)}
    return kind(**{name: value for name, value in values.items() if name in known})
