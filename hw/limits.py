"""Which specs can be built as a whole accelerator, said in one place."""

from __future__ import annotations

from hw.isa import INSTRUCTION_BYTES
from hw.operand import Operand
from hw.spec import Spec

__all__ = ["accelerator_conflict", "require_accelerator"]

# Widths of fields of the instruction set: a word's bytes are enabled by `mask`, scratchpad words
# have 24-bit and weight words 20-bit addresses.
_MAX_COLS = 32
_PES = ("mac", "opt1", "fip", "ffip", "opt2", "opt4c", "opt4e")
_SCRATCHPAD_WORDS = 1 << 24
_WEIGHT_WORDS = 1 << 20


def accelerator_conflict(spec: Spec) -> str | None:
    """Why `spec` describes an engine but no accelerator: field, requirement, value and remedy.

    None when it describes an accelerator. The instruction set fixes these limits: operands and
    results are signed bytes, accumulators have 32 bits, and a word is one byte per column.
    """
    pe, cols, word = spec.pe, spec.engine.cols, spec.word_bytes
    for field, operand in (("pe.activation", pe.activation), ("pe.weight", pe.weight)):
        if operand != Operand(8):
            return f"{field} must be int8, not {operand}: change it"
    if pe.kind not in _PES:
        return f"pe.kind must be {' or '.join(_PES)}, not {pe.kind}: change it"
    if cols % spec.element.k_granularity:
        return (
            f"engine.depth must divide engine.cols, since a word of {cols} channels is fed in whole "
            f"beats, not {spec.engine.depth}: change it"
        )
    if pe.accumulator_bits != 32:
        return f"pe.accumulator_bits must be 32, not {pe.accumulator_bits}: change it"
    # One-byte words would need instruction bursts of 512 beats; AXI4 allows 256.
    if not 2 <= cols <= _MAX_COLS or cols & (cols - 1):
        return (
            f"engine.cols must be a power of two from 2 to {_MAX_COLS}, not {cols}: "
            "change it, and memory.bus_bits to 8 times as much"
        )
    if word != cols or INSTRUCTION_BYTES % word:
        return (
            f"memory.bus_bits must be {8 * cols} (one byte per engine column), "
            f"not {spec.memory.bus_bits}: change it or engine.cols"
        )
    if spec.engine.tile_rows is not None and spec.engine.rows != cols:
        return (
            f"engine.rows must be {cols} where weights stand still (one per channel of a word), "
            f"not {spec.engine.rows}: change it or engine.cols"
        )
    for field, size, words in (
        ("scratchpad.bytes", spec.scratchpad.bytes, _SCRATCHPAD_WORDS),
        ("weight_buffer.bytes", spec.weight_buffer.bytes, _WEIGHT_WORDS),
    ):
        if size > words * word:
            return (
                f"{field} must be at most {words * word} ({words} words of {word} bytes can be "
                f"addressed), not {size}: lower it"
            )
    return None


def require_accelerator(spec: Spec) -> None:
    """Refuses a spec that describes no accelerator.

    Raises
    ------
    ValueError
        As `accelerator_conflict` says.
    """
    if conflict := accelerator_conflict(spec):
        raise ValueError(conflict)
