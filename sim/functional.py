"""What programs compute: a functional simulator of the instruction set in NumPy.

It follows the instructions' definition, not the hardware: memory, scratchpad and weight memory are
byte arrays, and a program runs in order. Dependency tokens are checked for deadlock, not for races.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.isa import ISA_VERSION, Begin, Compute, End, Instruction, Load, Path, Store, Target
from hw.tokens import UNITS, absolute_tokens
from sim.reference import Integers, wrap

__all__ = ["Machine", "ProgramError"]

Bytes = npt.NDArray[np.uint8]

_PARAMETER_WORDS = 9


class ProgramError(ValueError):
    """A program asks for what the machine does not have."""


class _Kept(NamedTuple):
    """Sums that wait for the next part of their reduction."""

    path: int
    sums: Integers


class Machine:
    """The accelerator as software sees it.

    Parameters
    ----------
    memory : (bytes,) uint8
        Off-chip memory; stores change it.
    word_bytes : int
        Bytes of a word, one per engine column.
    scratchpad_words, weight_words : int
    tile : int, optional
        Output pixels whose sums the array keeps; without, as many as there are.
    on_compute : callable, optional
        Receives each computation when it is done, with its activations, (pixels, K) int64 in the
        order in which the array takes them; None with those that do not run on the array.
    """

    def __init__(
        self,
        memory: Bytes,
        *,
        word_bytes: int,
        scratchpad_words: int,
        weight_words: int,
        tile: int | None = None,
        on_compute: Callable[[Compute, Integers | None], object] | None = None,
    ) -> None:
        self.tile = tile
        self._kept: _Kept | None = None
        self.memory = memory
        self.on_compute = on_compute
        self.word_bytes = word_bytes
        self.scratchpad = np.zeros((scratchpad_words, word_bytes), np.uint8)
        self.weights = np.zeros((weight_words, word_bytes), np.uint8)

    def run(self, program: Sequence[Instruction]) -> None:
        """Runs a program to its `End`.

        Raises
        ------
        ProgramError
            An address is out of range, tokens wait for what never comes, a transfer has no words,
            `Begin` and `End` are not where they must be, or a reduction in parts does not end, has
            parts that do not match, or more pixels than sums can be kept of.
        """
        if not program or not isinstance(program[-1], End):
            raise ProgramError("program must end with End")
        if not isinstance(program[0], Begin) or program[0].version != ISA_VERSION:
            raise ProgramError(f"program must begin with Begin of version {ISA_VERSION}")
        if any(isinstance(i, Begin | End) for i in program[1:-1]):
            raise ProgramError("program must have Begin and End at its ends only")
        if any(isinstance(i, Load | Store) and not i.words for i in program):
            raise ProgramError("transfers must have words")
        tokens = list(zip(program, absolute_tokens(program), strict=True))
        queues = [[(i, t) for i, t in tokens if isinstance(i, unit)] for unit in UNITS]
        done = [0, 0, 0]
        while any(done[u] < len(queue) for u, queue in enumerate(queues)):
            progressed = False
            for unit, queue in enumerate(queues):
                if done[unit] == len(queue):
                    continue
                head, after = queue[done[unit]]
                if all(d >= a for d, a in zip(done, after, strict=True)):
                    self.step(head)
                    done[unit] += 1
                    progressed = True
            if not progressed:
                raise ProgramError(f"tokens must be reachable, not wait for ever after {done}")
        if self._kept is not None:
            raise ProgramError("program must end its reductions, not keep sums of the last one")

    def step(self, instruction: Instruction) -> None:
        """Runs one instruction."""
        match instruction:
            case Load():
                local = self.scratchpad if instruction.target == Target.SCRATCHPAD else self.weights
                data = self._memory(instruction.memory, instruction.words)
                self._local(local, instruction.local, instruction.words)[:] = data
            case Store():
                data = self._memory(instruction.memory, instruction.words)
                data[:] = self._local(self.scratchpad, instruction.local, instruction.words)
            case Compute():
                self._compute(instruction)

    def _memory(self, address: int, words: int) -> Bytes:
        end = address + words * self.word_bytes
        if end > len(self.memory):
            raise ProgramError(f"memory must reach byte {end}, not end at {len(self.memory)}")
        return self.memory[address:end].reshape(words, self.word_bytes)

    def _local(self, local: Bytes, address: int, words: int) -> Bytes:
        if address + words > len(local):
            raise ProgramError(
                f"on-chip memory must reach word {address + words}, not end at {len(local)}"
            )
        return local[address : address + words]

    def _compute(self, c: Compute) -> None:
        parameters = self._local(self.weights, c.weights, _PARAMETER_WORDS).tobytes()
        sums, operands = self._sums(c)
        sums = self._joined(c, sums)
        if c.keep:
            self._kept = _Kept(c.path, sums)
        else:
            self._kept = None
            self._write(c, sums, parameters)
        if self.on_compute is not None:
            self.on_compute(c, operands)

    def _joined(self, c: Compute, sums: Integers) -> Integers:
        """With the sums of the parts before."""
        most = self.tile if c.path == Path.ARRAY else 1
        if c.keep and most is not None and c.pixels > most:
            raise ProgramError(f"pixels whose sums stay must be at most {most}, not {c.pixels}")
        kept = self._kept
        if kept is None:
            return sums
        if (kept.path, kept.sums.shape) != (c.path, sums.shape):
            raise ProgramError(
                f"a part must have the path {kept.path} and the {len(kept.sums)} pixels of the one "
                f"before, not {c.path} and {c.pixels}"
            )
        return np.maximum(kept.sums, sums) if c.path == Path.MAXIMUM else kept.sums + sums

    def _sums(self, c: Compute) -> tuple[Integers, Integers | None]:
        """(pixels, lanes), and the activations of the array."""
        taps = self._taps(c)
        lanes = self.word_bytes
        operands: Integers | None = None
        steps = taps.shape[1] if c.path != Path.ARRAY else taps.shape[1] * lanes
        if c.path == Path.ARRAY:
            weights = self._local(self.weights, c.weights + _PARAMETER_WORDS, steps)
            operands = taps.reshape(len(taps), -1)
            sums = operands @ weights.view(np.int8).astype(np.int64)
        elif c.path == Path.TAPS:
            weights = self._local(self.weights, c.weights + _PARAMETER_WORDS, steps)
            sums = (taps * weights.view(np.int8).astype(np.int64)).sum(axis=1)
        elif c.path == Path.SCALARS:
            scalars = np.resize(np.array([c.scalar_0, c.scalar_1]), taps.shape[1])
            sums = (taps * scalars[:, None]).sum(axis=1)
        else:
            sums = taps.max(axis=1)
        return sums, operands

    def _write(self, c: Compute, sums: Integers, parameters: bytes) -> None:
        """Requantises and writes."""
        lanes = self.word_bytes
        bias = np.frombuffer(parameters, "<i4", lanes).astype(np.int64)
        multiplier = np.frombuffer(parameters, "<u4", lanes, 4 * lanes).astype(np.int64)
        shift = np.frombuffer(parameters, np.uint8, lanes, 8 * lanes).astype(np.int64)
        values = _requantise(wrap(wrap(sums, 32) + bias, 32), multiplier & 0x7FFFFFFF, shift & 63)
        result = np.clip(values + c.zero_point, c.low, c.high).astype(np.int8).view(np.uint8)
        rows = c.destination + c.destination_step * np.arange(c.pixels)
        if rows.max() >= len(self.scratchpad):
            raise ProgramError(f"scratchpad must reach word {rows.max()}")
        written = np.array([c.mask >> n & 1 == 1 for n in range(lanes)])
        self.scratchpad[rows] = np.where(written, result, self.scratchpad[rows])

    def _taps(self, c: Compute) -> Integers:
        """Bytes read by every output pixel: (pixels, taps × words, lanes)."""
        pixel = np.arange(c.pixels)
        row, column = pixel // c.out_width, pixel % c.out_width
        pitch = c.step_y + (c.out_width - 1) * c.step_x
        tap_pitch = c.tap_y + (c.kernel_x - 1) * c.tap_x
        reads = []
        for ky in range(c.kernel_y):
            for kx in range(c.kernel_x):
                y = row * c.stride_y - c.pad_top + ky * c.dilation_y
                x = column * c.stride_x - c.pad_left + kx * c.dilation_x
                inside = (y >= 0) & (y < c.in_height) & (x >= 0) & (x < c.in_width)
                base = c.source + row * pitch + column * c.step_x + ky * tap_pitch + kx * c.tap_x
                for word in range(c.words):
                    address = np.where(inside, (base + word) % (1 << 24), 0)
                    if address.max() >= len(self.scratchpad):
                        raise ProgramError(f"scratchpad must reach word {address.max()}")
                    data = self.scratchpad[address].view(np.int8).astype(np.int64)
                    reads.append(np.where(inside[:, None], data, c.pad_value))
        return np.stack(reads, axis=1).astype(np.int64)


def _requantise(values: Integers, multiplier: Integers, shift: Integers) -> Integers:
    """``round_half_even(values * multiplier * 2**-shift)``, exact: the product has 63 bits."""
    product = values * multiplier
    quotient = product >> shift
    rest = product - (quotient << shift)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    tie = (shift > 0) & (rest == half)
    up = (shift > 0) & ((rest > half) | (tie & (quotient % 2 == 1)))
    return np.asarray(quotient + up, np.int64)
