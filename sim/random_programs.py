"""Random programs for the accelerator, that a machine can run without a conflict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.isa import Begin, Compute, End, Instruction, Load, Path, Store, Target
from hw.spec import Spec

__all__ = ["MEMORY_BYTES", "PROGRAM", "RandomProgram", "conflict", "random_program"]

MEMORY_BYTES = 1 << 16
PROGRAM = 0
_IMAGE, _BLOCKS, _RESULTS = 0x2000, 0x4000, 0xC000
_HEIGHT = _WIDTH = 6
_IMAGE_WORDS, _RESULT = 380, 220


@dataclass(frozen=True)
class RandomProgram:
    """A program and the memory that it finds, in which it does not lie yet."""

    instructions: list[Instruction]
    memory: npt.NDArray[np.uint8]


def conflict(spec: Spec) -> str | None:
    """Why the programs do not fit a machine: field, requirement, value; None when they do."""
    word = spec.word_bytes
    # The largest block is of 3 × 3 taps of two words; each half of the memory holds one.
    needs = {
        "scratchpad": _IMAGE_WORDS * word,
        "weight_buffer": 2 * word * (9 + 9 * 2 * word),
    }
    for field, needed in needs.items():
        found = getattr(spec, field).bytes
        if found < needed:
            return f"{field}.bytes must be at least {needed} for the random programs, not {found}"
    return None


def random_program(rng: np.random.Generator, spec: Spec) -> RandomProgram:
    """Fills what it uses of the scratchpad; then up to five times loads weights, computes, and stores.

    Not every result is stored.
    """
    word = spec.word_bytes
    memory = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
    # An address that lets a burst cross a 4 KiB boundary.
    image = _IMAGE + 4096 - word * int(rng.integers(1, _IMAGE_WORDS))
    program: list[Instruction] = [
        Begin(),
        Load(target=Target.SCRATCHPAD, memory=image, local=0, words=_IMAGE_WORDS),
    ]
    loads, stores = 1, 0
    half = spec.weight_buffer.bytes // word // 2
    for n in range(int(rng.integers(1, 6))):
        path = Path(int(rng.integers(0, 4)))
        compute = _compute(rng, path, word)
        steps = compute["kernel_y"] * compute["kernel_x"] * compute["words"]
        steps *= word if path == Path.ARRAY else 1
        block = _BLOCKS + word * int(rng.integers(0, 1000))
        parameters = _parameters(rng, word)
        memory[block : block + len(parameters)] = parameters
        program.append(
            Load(
                target=Target.WEIGHTS,
                memory=block,
                local=n % 2 * half,
                words=9 + steps,
                # The half is free once the computation before the last one is finished.
                after_execute=max(0, n - 1),
            )
        )
        loads += 1
        result = _RESULT + 30 * n
        program.append(
            Compute(
                **compute,
                after_load=loads,
                after_store=stores,
                weights=n % 2 * half,
                destination=result,
            )
        )
        if rng.random() < 0.7:
            home = _RESULTS + 0x800 * n + word * int(rng.integers(0, 200))
            words = compute["pixels"]
            program.append(Store(memory=home, local=result, words=words, after_execute=n + 1))
            stores += 1
    return RandomProgram([*program, End()], memory)


def _compute(rng: np.random.Generator, path: Path, word: int) -> dict[str, Any]:
    """A window of up to 3 × 3 over the image, with a padding of one."""
    words = int(rng.integers(1, 3)) if path == Path.ARRAY else 1
    rows, cols, kernel_y, kernel_x = (int(n) for n in rng.integers(1, (6, 6, 4, 4)))
    stride = int(rng.integers(1, 3))
    row = _WIDTH * words
    return {
        "path": path,
        "source": (-row - words) % (1 << 24),
        "pixels": rows * cols,
        "out_width": cols,
        "step_x": stride * words,
        "step_y": stride * (row - (cols - 1) * words),
        "tap_x": words,
        "tap_y": row - (kernel_x - 1) * words,
        "in_height": _HEIGHT,
        "in_width": _WIDTH,
        "stride_y": stride,
        "stride_x": stride,
        "dilation_y": 1,
        "dilation_x": 1,
        "pad_top": 1,
        "pad_left": 1,
        "kernel_y": kernel_y,
        "kernel_x": kernel_x,
        "words": words,
        "pad_value": int(rng.integers(-128, 128)),
        "scalar_0": int(rng.integers(-(2**15), 2**15)),
        "scalar_1": int(rng.integers(-(2**15), 2**15)),
        "destination_step": 1,
        "mask": int(rng.integers(0, 1 << word)),
        "zero_point": int(rng.integers(-20, 20)),
        "low": int(rng.integers(-128, 0)),
        "high": int(rng.integers(0, 128)),
    }


def _parameters(rng: np.random.Generator, word: int) -> npt.NDArray[np.uint8]:
    block = (
        rng.integers(-5000, 5000, word).astype("<i4").tobytes()
        + rng.integers(2**30, 2**31, word).astype("<u4").tobytes()
        + rng.integers(30, 46, word).astype(np.uint8).tobytes()
    )
    return np.frombuffer(block, np.uint8)
