"""Random programs for the accelerator: some that it can run as they are, some that need tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.isa import Begin, Compute, End, Instruction, Load, Path, Store, Target
from hw.spec import Spec

__all__ = [
    "MEMORY_BYTES",
    "PROGRAM",
    "RandomProgram",
    "conflict",
    "fits_unordered",
    "one_after_another",
    "random_program",
    "unordered_program",
]

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


def fits_unordered(spec: Spec) -> bool:
    """Whether the memories of a machine hold an `unordered_program`."""
    word = spec.word_bytes
    bank = spec.scratchpad.bytes // word // spec.scratchpad.banks
    room = bank >= 300 if spec.scratchpad.banks > 1 else bank >= 500
    return room and _BLOCKS + spec.weight_buffer.bytes <= MEMORY_BYTES


def unordered_program(rng: np.random.Generator, spec: Spec) -> RandomProgram:
    """Up to 40 loads, computations and stores in any order, in two parts of the scratchpad.

    It has no tokens, and needs some: loads overwrite what is in use and read what stores have
    written, weights replace weights. The second part lies across the border of the first two banks,
    if there are two. All that was touched is stored at last.
    """
    word = spec.word_bytes
    memory = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
    bank = spec.scratchpad.bytes // word // spec.scratchpad.banks
    parts = [(0, 200), (bank - 100, bank + 150) if spec.scratchpad.banks > 1 else (250, 500)]
    weight_words = spec.weight_buffer.bytes // word

    def draw(low: int, high: int) -> int:
        return int(rng.integers(low, high))

    def somewhere(words: int) -> int:
        low, high = parts[draw(0, 2)]
        return draw(low, high - words + 1)

    program: list[Instruction] = [Begin()]
    for low, high in parts:
        source = _IMAGE + word * draw(0, 100)
        program.append(Load(target=Target.SCRATCHPAD, memory=source, local=low, words=high - low))
    program.append(Load(target=Target.WEIGHTS, memory=_BLOCKS, local=0, words=weight_words))
    for _ in range(draw(5, 41)):
        words, home = draw(1, 60), _RESULTS + word * draw(0, 300)
        match draw(0, 6):
            case 0 | 1:
                memory_address = home if rng.random() < 0.5 else _IMAGE + word * draw(0, 500)
                program.append(
                    Load(
                        target=Target.SCRATCHPAD,
                        memory=memory_address,
                        local=somewhere(words),
                        words=words,
                    )
                )
            case 2:
                program.append(Store(memory=home, local=somewhere(words), words=words))
            case 3:
                place = draw(0, weight_words - words)
                block = _BLOCKS + word * draw(0, 1000)
                program.append(Load(target=Target.WEIGHTS, memory=block, local=place, words=words))
            case _:
                program.append(_computation(rng, spec, somewhere))
    for n, (low, high) in enumerate(parts):
        home = _RESULTS + 0x1800 + 0x800 * n
        program.append(Store(memory=home, local=low, words=high - low))
    return RandomProgram([*program, End()], memory)


def one_after_another(program: list[Instruction]) -> list[Instruction]:
    """The program with tokens that let no two units run at once."""
    return [replace(i, **after) for i, after in zip(program, _counts(program), strict=True)]


def _counts(program: list[Instruction]) -> Iterator[dict[str, int]]:
    names: dict[type[Instruction], str] = {
        Load: "after_load",
        Compute: "after_execute",
        Store: "after_store",
    }
    counts = dict.fromkeys(names.values(), 0)
    for instruction in program:
        yield dict(counts)
        if (name := names.get(type(instruction))) is not None:
            counts[name] += 1


def _computation(rng: np.random.Generator, spec: Spec, somewhere: Callable[[int], int]) -> Compute:
    """One that does not read what it writes."""
    word = spec.word_bytes
    weight_words = spec.weight_buffer.bytes // word
    fields = _compute(rng, Path(int(rng.integers(0, 4))), word)
    steps = fields["kernel_y"] * fields["kernel_x"] * fields["words"] * word
    words = _HEIGHT * _WIDTH * fields["words"]
    while True:
        image, destination = somewhere(words), somewhere(fields["pixels"])
        if image + words <= destination or destination + fields["pixels"] <= image:
            break
    fields["source"] = (image + fields["source"]) % (1 << 24)
    weights = int(rng.integers(0, weight_words - 9 - steps))
    return Compute(**fields, weights=weights, destination=destination)


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
