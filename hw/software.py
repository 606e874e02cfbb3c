"""What software needs to know of an accelerator: its register map, in Markdown and in C.

Both are made from the definitions that the hardware is made from, so they cannot disagree with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hw.bus.registers import IDENTITY, REGISTERS
from hw.control.dispatch import ErrorCode
from hw.driver import ADDRESS, PROGRAM_ALIGNMENT
from hw.isa import INSTRUCTION_BYTES, ISA_VERSION
from hw.spec import Spec

__all__ = ["BITS", "ERRORS", "Bits", "software_values"]


@dataclass(frozen=True)
class Bits:
    """A field of a register, for the C header: `mask` shifted left by `shift`."""

    register: str
    name: str
    shift: int
    mask: int = 1


BITS = (
    Bits("control", "start", 0),
    Bits("control", "clear", 1),
    Bits("status", "busy", 0),
    Bits("status", "done", 1),
    Bits("status", "error", 8, 0xFF),
    Bits("interrupt_enable", "enable", 0),
)

_MEANINGS = {
    "NONE": "no error",
    "VERSION": "the program does not begin with Begin of this version of the instruction set",
    "OPCODE": "an opcode is unknown, or Begin is not the first instruction",
    "ADDRESS": "an address is beyond the end of the scratchpad or of the weight memory",
    "BUS": "the memory answered SLVERR or DECERR",
    "CONFLICT": "two units used one port of a bank of the scratchpad in one cycle; the tokens let them",
    "LENGTH": "the length of the program or of a transfer is wrong: "
    "End is not the last instruction, or there is nothing to transfer",
    "DEADLOCK": "the instructions in hand wait for others that can never finish",
    "ALIGNMENT": "the address of the program is no multiple of the alignment, "
    "or that of a transfer no multiple of a word",
    "REDUCTION": "the parts of a reduction differ in path or pixels, have more pixels than sums are "
    "kept of, or have no end",
}

ERRORS = {code: _MEANINGS[code.name] for code in ErrorCode}
"""What each error code means."""


def software_values(spec: Spec) -> dict[str, Any]:
    """Everything that the register map and the C header say."""
    return {
        "registers": [(ADDRESS[r.name], r) for r in REGISTERS],
        "bits": BITS,
        "errors": ERRORS,
        "identity": IDENTITY,
        "isa_version": ISA_VERSION,
        "instruction_bytes": INSTRUCTION_BYTES,
        "alignment": PROGRAM_ALIGNMENT,
        "word_bytes": spec.word_bytes,
        "scratchpad_words": spec.scratchpad.bytes // spec.word_bytes,
        "weight_words": spec.weight_buffer.bytes // spec.word_bytes,
    }
