"""Random programs that the accelerator must refuse, and the error code with which it must."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from hw.control.dispatch import FETCH_INSTRUCTIONS, ErrorCode
from hw.isa import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    Begin,
    Compute,
    End,
    Instruction,
    Load,
    Opcode,
    Path,
    Store,
    Target,
    encode,
)
from hw.spec import Spec

__all__ = ["MALFORMATIONS", "Malformed", "fewest_bursts", "malformed"]


@dataclass(frozen=True)
class Malformed:
    """A program with one fault.

    Attributes
    ----------
    code : bytes
        As it lies in memory.
    length : int
        Instructions.
    error : ErrorCode
        What must stop it.
    """

    code: bytes
    length: int
    error: ErrorCode


@dataclass(frozen=True)
class _Good:
    rng: np.random.Generator
    program: list[Instruction]
    spec: Spec
    memory_bytes: int

    def place(self, *kinds: type[Instruction]) -> int:
        """Position of one of the instructions of these kinds."""
        return int(self.rng.choice([n for n, i in enumerate(self.program) if type(i) in kinds]))

    def changed(self, place: int, error: ErrorCode, **fields: int) -> Malformed:
        return self.with_one(place, replace(self.program[place], **fields), error)

    def computation(self) -> tuple[int, Compute]:
        """One of the computations, and its position."""
        place = self.place(Compute)
        compute = self.program[place]
        assert isinstance(compute, Compute)
        return place, compute

    def with_one(self, place: int, instruction: Instruction, error: ErrorCode) -> Malformed:
        program = [*self.program[:place], instruction, *self.program[place + 1 :]]
        return _malformed(program, error)


def _malformed(program: Sequence[Instruction], error: ErrorCode) -> Malformed:
    return Malformed(encode(program), len(program), error)


def _version(good: _Good) -> Malformed:
    other = (ISA_VERSION + int(good.rng.integers(1, 256))) % 256
    return good.changed(0, ErrorCode.VERSION, version=other)


def _no_begin(good: _Good) -> Malformed:
    return _malformed(good.program[1:], ErrorCode.VERSION)


def _second_begin(good: _Good) -> Malformed:
    place = int(good.rng.integers(1, len(good.program)))
    return good.with_one(place, Begin(), ErrorCode.OPCODE)


def _opcode(good: _Good) -> Malformed:
    place = int(good.rng.integers(1, len(good.program)))
    code = bytearray(encode(good.program))
    code[place * INSTRUCTION_BYTES] = int(good.rng.integers(max(Opcode) + 1, 256))
    return Malformed(bytes(code), len(good.program), ErrorCode.OPCODE)


def _load_address(good: _Good) -> Malformed:
    place = good.place(Load)
    load = good.program[place]
    assert isinstance(load, Load)
    memory = good.spec.weight_buffer if load.target == Target.WEIGHTS else good.spec.scratchpad
    words = memory.bytes // good.spec.word_bytes
    local = words - int(good.rng.integers(0, load.words))
    return good.changed(place, ErrorCode.ADDRESS, local=local)


def _store_address(good: _Good) -> Malformed:
    words = good.spec.scratchpad.bytes // good.spec.word_bytes
    loads, computes = (sum(type(i) is kind for i in good.program) for kind in (Load, Compute))
    # It waits for all, because two units must not use the scratchpad at once.
    store = Store(
        memory=0x8000,
        local=words - 2,
        words=int(good.rng.integers(3, 30)),
        after_load=loads,
        after_execute=computes,
    )
    return _malformed([*good.program[:-1], store, End()], ErrorCode.ADDRESS)


def _result_address(good: _Good) -> Malformed:
    words = good.spec.scratchpad.bytes // good.spec.word_bytes
    place = good.place(Compute)
    return good.changed(place, ErrorCode.ADDRESS, destination=words, mask=1)


def _memory_address(good: _Good) -> Malformed:
    place = good.place(Load, Store)
    return good.changed(place, ErrorCode.BUS, memory=good.memory_bytes)


def _no_end(good: _Good) -> Malformed:
    return _malformed(good.program[:-1], ErrorCode.LENGTH)


def _early_end(good: _Good) -> Malformed:
    place = int(good.rng.integers(1, len(good.program)))
    program = [*good.program[:place], End(), *good.program[place:]]
    return _malformed(program, ErrorCode.LENGTH)


def _no_words(good: _Good) -> Malformed:
    return good.changed(good.place(Load, Store), ErrorCode.LENGTH, words=0)


def _deadlock(good: _Good) -> Malformed:
    field = str(good.rng.choice(["after_load", "after_execute", "after_store"]))
    more_than_there_are = len(good.program) + int(good.rng.integers(0, 1000))
    place = good.place(Load, Compute, Store)
    return good.changed(place, ErrorCode.DEADLOCK, **{field: more_than_there_are})


def _no_last_part(good: _Good) -> Malformed:
    place = max(n for n, i in enumerate(good.program) if isinstance(i, Compute))
    return good.changed(place, ErrorCode.REDUCTION, pixels=1, keep=1)


def _other_part(good: _Good) -> Malformed:
    place, compute = good.computation()
    part = replace(compute, pixels=1, keep=1)
    path = (compute.path + int(good.rng.integers(1, len(Path)))) % len(Path)
    other = replace(part, keep=0, **{"path": path} if good.rng.random() < 0.5 else {"pixels": 2})
    return _malformed(
        [*good.program[:place], part, other, *good.program[place + 1 :]], ErrorCode.REDUCTION
    )


def _many_pixels(good: _Good) -> Malformed:
    place, compute = good.computation()
    most = good.spec.engine.tile if compute.path == Path.ARRAY else 1
    pixels = most + int(good.rng.integers(1, 20))
    return good.changed(place, ErrorCode.REDUCTION, pixels=pixels, keep=1)


MALFORMATIONS: dict[str, Callable[[_Good], Malformed]] = {
    "another version": _version,
    "no Begin": _no_begin,
    "a second Begin": _second_begin,
    "an unknown opcode": _opcode,
    "a load past its memory": _load_address,
    "a store past the scratchpad": _store_address,
    "a result past the scratchpad": _result_address,
    "an address that no memory has": _memory_address,
    "no End": _no_end,
    "an early End": _early_end,
    "a transfer of no words": _no_words,
    "a token that never comes": _deadlock,
    "a reduction without a last part": _no_last_part,
    "a part that does not belong to its reduction": _other_part,
    "a part of too many pixels": _many_pixels,
}
"""What may be wrong with a program."""


def malformed(
    what: str,
    rng: np.random.Generator,
    program: Sequence[Instruction],
    spec: Spec,
    memory_bytes: int,
) -> Malformed:
    """A sound program with the fault `what` at a random place."""
    return MALFORMATIONS[what](_Good(rng, list(program), spec, memory_bytes))


def fewest_bursts(program: Sequence[Instruction]) -> int:
    """How many bursts a program takes at least: of its fetch, and one per transfer."""
    transfers = sum(isinstance(i, Load | Store) for i in program)
    return -(-len(program) // FETCH_INSTRUCTIONS) + transfers
