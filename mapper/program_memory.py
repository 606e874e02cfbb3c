"""A program as it grows, and the memory that it will run in: itself, weights, homes of tensors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from hw.control.dispatch import FETCH_INSTRUCTIONS
from hw.isa import INSTRUCTION_BYTES, Begin, Compute, End, Instruction, Load, Store, Target, encode
from hw.spec import Spec
from mapper.interleave import interleaved
from mapper.lowered import Computed, Lowered, Purpose

__all__ = ["ProgramMemory"]

_ALIGNMENT = INSTRUCTION_BYTES * FETCH_INSTRUCTIONS


class ProgramMemory:
    """Collects instructions; addresses in memory are filled in when their number is known.

    Parameters
    ----------
    spec : Spec
    tensors : mapping of str to int
        Bytes of every tensor that is ever off chip, in the order in which they lie.
    """

    def __init__(self, spec: Spec, tensors: Mapping[str, int]) -> None:
        self._spec = spec
        self._program: list[Instruction] = [Begin()]
        self._purposes = [Purpose("", "")]
        self._blocks: dict[bytes, int] = {}  # where each block lies behind the program
        self._block_bytes = 0
        self._loaded = 0
        self._homes: dict[str, int] = {}
        self._home_bytes = 0
        for name, count in tensors.items():
            self._homes[name] = self._home_bytes
            self._home_bytes += count
        # Place in the program, what it moves (nothing for weights), offset.
        self._unaddressed: list[tuple[int, str, int]] = []

    def compute(self, instruction: Compute, operator: str, tensor: str) -> None:
        """An operator makes some of a tensor."""
        self._emit(instruction, Purpose(operator, tensor))

    def move(
        self,
        kind: type[Load] | type[Store],
        operator: str,
        tensor: str,
        at: int,
        local: int,
        words: int,
    ) -> None:
        """Words of a tensor from byte `at` on come to, or leave, word address `local`."""
        self._unaddressed.append((len(self._program), tensor, self._homes[tensor] + at))
        instruction = kind(target=Target.SCRATCHPAD, memory=0, local=local, words=words)
        self._emit(instruction, Purpose(operator, tensor))

    def load_block(self, operator: str, block: bytes, local: int) -> None:
        """Weights come to word address `local` of their memory; equal ones lie in memory once."""
        if block not in self._blocks:
            self._blocks[block] = self._block_bytes
            self._block_bytes += len(block)
        self._loaded += len(block)
        self._unaddressed.append((len(self._program), "", self._blocks[block]))
        words = len(block) // self._spec.word_bytes
        load = Load(target=Target.WEIGHTS, memory=0, local=local, words=words)
        self._emit(load, Purpose(operator, ""))

    def finish(self, results: Sequence[Computed]) -> Lowered:
        """The whole, in the order in which its instructions can begin."""
        self._emit(End(), Purpose("", ""))
        code = -(-len(self._program) * INSTRUCTION_BYTES // _ALIGNMENT) * _ALIGNMENT
        homes = code + self._block_bytes
        for index, tensor, offset in self._unaddressed:
            instruction = self._program[index]
            values = {**vars(instruction), "memory": (homes if tensor else code) + offset}
            self._program[index] = type(instruction)(**values)
        # Each unit keeps its own order.
        queues = defaultdict(list)
        for instruction, purpose in zip(self._program, self._purposes, strict=True):
            queues[type(instruction)].append(purpose)
        taken = {kind: iter(purposes) for kind, purposes in queues.items()}
        program = interleaved(self._program, self._spec)
        image = np.zeros(homes + self._home_bytes, np.uint8)
        text = encode(program)
        image[: len(text)] = np.frombuffer(text, np.uint8)
        image[code:homes] = np.frombuffer(b"".join(self._blocks), np.uint8)
        word_bytes = self._spec.word_bytes
        moved = [i for i in program if isinstance(i, Load) and i.target == Target.SCRATCHPAD]
        stored = [i for i in program if isinstance(i, Store)]
        return Lowered(
            program=tuple(program),
            image=image,
            tensors={name: homes + offset for name, offset in self._homes.items()},
            results=tuple(results),
            purposes=tuple(next(taken[type(instruction)]) for instruction in program),
            weight_bytes=self._loaded,
            activation_bytes=sum(i.words for i in moved) * word_bytes,
            stored_bytes=sum(i.words for i in stored) * word_bytes,
        )

    def _emit(self, instruction: Instruction, purpose: Purpose) -> None:
        self._program.append(instruction)
        self._purposes.append(purpose)
