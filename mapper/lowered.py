"""What lowering gives: the program, its memory, and what each instruction is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.isa import INSTRUCTION_BYTES, Instruction
from mapper.stage import Axis, Part

__all__ = ["Computed", "Lowered", "Place", "Purpose"]


class Place(NamedTuple):
    """Where a tensor, or what there is of it, lies in the scratchpad, in words.

    Word `w` of the pixel in row `y` and column `x` is at ``base + y * row + x * pixel + w``; of a
    slice, only those that it has.
    """

    base: int
    pixel: int
    row: int

    def at(self, y: int, x: int) -> int:
        """Of the first word of a pixel."""
        return self.base + y * self.row + x * self.pixel


class Computed(NamedTuple):
    """A part of a result that is in the scratchpad once `computes` are finished."""

    computes: int
    part: Part
    axis: Axis
    place: Place

    @property
    def operator(self) -> str:
        return self.part.operator


class Purpose(NamedTuple):
    """What an instruction is for.

    `operator` is that of the network which needs what is loaded, or has made what is stored.
    `tensor` is what is moved or computed; empty when an operator's weights are loaded. Both are
    empty for `Begin` and `End`.
    """

    operator: str
    tensor: str


@dataclass(frozen=True)
class Lowered:
    """A program and its memory.

    Attributes
    ----------
    program : tuple of Instruction
    image : (bytes,) uint8
        Memory before the run: the program, the weights, and room for tensors.
    tensors : dict of str to int
        Byte address in memory of every tensor that is ever off chip.
    results : tuple of Computed
        When and where each operator of the network has made which rows, in the order of the
        program.
    purposes : tuple of Purpose
        Of each instruction of the program.
    weight_bytes, activation_bytes, stored_bytes : int
        What the program loads into the weight memory, into the scratchpad, and stores.
    """

    program: tuple[Instruction, ...]
    image: npt.NDArray[np.uint8]
    tensors: Mapping[str, int]
    results: tuple[Computed, ...]
    purposes: tuple[Purpose, ...]
    weight_bytes: int
    activation_bytes: int
    stored_bytes: int

    @property
    def program_bytes(self) -> int:
        return len(self.program) * INSTRUCTION_BYTES

    @property
    def operators(self) -> tuple[str, ...]:
        """The network's operators in the order in which they are finished."""
        return tuple(dict.fromkeys(r.operator for r in reversed(self.results)))[::-1]

    def span(self, operator: str) -> tuple[int, int]:
        """Computations that are finished when an operator's first begins and its last ends.

        Within a stage, those of other members lie between them.
        """
        own = [n for n, r in enumerate(self.results) if r.operator == operator]
        first = self.results[own[0] - 1].computes if own[0] else 0
        return first, self.results[own[-1]].computes
