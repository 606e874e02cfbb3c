"""A lowered program that also stores results of layers which never leave the chip."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.isa import INSTRUCTION_BYTES, Compute, End, Instruction, Store, encode
from hw.spec import Spec
from mapper.hazards import with_tokens
from mapper.layout import slice_runs, tensor_bytes
from mapper.lowered import Computed, Lowered
from mapper.pieces import words_per_pixel
from mapper.stage import Slice
from sim.quantised import Network

__all__ = ["Observed", "observe"]

_ALIGNMENT = 4096


@dataclass(frozen=True)
class Observed:
    """A program with stores added.

    Attributes
    ----------
    program : tuple of Instruction
    image : (bytes,) uint8
        Memory before the run. The program is at `address`, behind what was there.
    address : int
    results : dict of str to int
        Byte address of each observed operator's result.
    """

    program: tuple[Instruction, ...]
    image: npt.NDArray[np.uint8]
    address: int
    results: Mapping[str, int]


def observe(
    lowered: Lowered,
    network: Network,
    spec: Spec,
    *,
    operators: Collection[str],
    stop: bool = False,
) -> Observed:
    """Adds a store after each of `operators`; with `stop` the program ends after the last of them.

    The computations are the same, at the same addresses; only their time changes. What a stage
    makes in patches is stored patch by patch.

    Raises
    ------
    ValueError
        An operator is not in the network.
    """
    known = {o.name: o.output for o in network.operators}
    if not operators or not known.keys() >= set(operators):
        unknown = sorted(set(operators) - set(known))
        raise ValueError(f"operators must be some of the network's, not {unknown}")
    wanted: dict[int, list[Computed]] = {}
    for made in lowered.results:
        if made.operator in operators:
            wanted.setdefault(made.computes, []).append(made)
    end = -(-len(lowered.image) // _ALIGNMENT) * _ALIGNMENT
    results = {}
    for name in operators:
        results[name] = end
        end += tensor_bytes(network.tensor(known[name]).shape, spec.word_bytes)
    program: list[Instruction] = []
    computes = 0
    for instruction in lowered.program:
        program.append(instruction)
        computes += isinstance(instruction, Compute)
        if not isinstance(instruction, Compute) or computes not in wanted:
            continue
        for made in wanted.pop(computes):
            shape = network.tensor(known[made.operator]).shape
            pixel_words = words_per_pixel(shape[3], spec.word_bytes)
            x = Slice(known[made.operator], *made.part[1:])
            for offset, words in slice_runs(shape, made.axis, x, spec.word_bytes):
                pixel, word = divmod(offset, pixel_words)
                program.append(
                    Store(
                        memory=results[made.operator] + offset * spec.word_bytes,
                        local=made.place.at(*divmod(pixel, shape[2])) + word,
                        words=words,
                    )
                )
        if stop and not wanted:
            program.append(End())
            break
    program = with_tokens(program, spec)
    start = -(-end // _ALIGNMENT) * _ALIGNMENT
    image = np.zeros(start + len(program) * INSTRUCTION_BYTES, np.uint8)
    image[: len(lowered.image)] = lowered.image
    image[start:] = np.frombuffer(encode(program), np.uint8)
    return Observed(tuple(program), image, start, results)
