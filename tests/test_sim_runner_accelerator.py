"""The accelerator's Verilog, with its memory, against the functional simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from hw.control.dispatch import ErrorCode
from hw.isa import (
    INSTRUCTION_BYTES,
    ISA_VERSION,
    Begin,
    Compute,
    End,
    Instruction,
    Load,
    Path,
    Store,
    Target,
    encode,
)
from hw.spec import load_spec
from mapper.hazards import with_tokens
from sim.functional import Machine
from sim.random_programs import MEMORY_BYTES, PROGRAM, RandomProgram, random_program
from sim.runner.accelerator import MemoryModel, NativeAccelerator
from sim.runner.library import SimulationError
from tests.overlapping_programs import overlapping_program

SPEC = load_spec("tiny")
WORD = SPEC.word_bytes
PAD_WORDS = SPEC.scratchpad.bytes // WORD
BANK_WORDS = PAD_WORDS // SPEC.scratchpad.banks
WEIGHT_WORDS = SPEC.weight_buffer.bytes // WORD
LIMIT = 200_000


def _accelerator(**more: float) -> NativeAccelerator:
    memory = replace(MemoryModel.of(SPEC, MEMORY_BYTES), **more)  # type: ignore[arg-type]
    return NativeAccelerator(SPEC, memory)


@pytest.fixture(scope="module")
def accelerator() -> Iterator[NativeAccelerator]:
    with _accelerator() as opened:
        yield opened


def _image(case: RandomProgram) -> npt.NDArray[np.uint8]:
    image = case.memory.copy()
    code = encode(case.instructions)
    image[PROGRAM : PROGRAM + len(code)] = np.frombuffer(code, np.uint8)
    return image


def _expected(case: RandomProgram) -> npt.NDArray[np.uint8]:
    machine = Machine(
        _image(case),
        word_bytes=WORD,
        scratchpad_words=PAD_WORDS,
        weight_words=WEIGHT_WORDS,
    )
    machine.run(case.instructions)
    return machine.memory


def _run(accelerator: NativeAccelerator, case: RandomProgram) -> ErrorCode:
    accelerator.memory[:] = _image(case)
    length = len(case.instructions)
    return ErrorCode(accelerator.run(program=PROGRAM, length=length, limit=LIMIT))


def _check(accelerator: NativeAccelerator, case: RandomProgram) -> None:
    """A run without an error: every byte of the memory, and every counter of bytes."""
    assert _run(accelerator, case) is ErrorCode.NONE
    assert np.array_equal(accelerator.memory, _expected(case))
    loads = [i for i in case.instructions if isinstance(i, Load)]
    words = {
        "weights": sum(i.words for i in loads if i.target == Target.WEIGHTS),
        "activations": sum(i.words for i in loads if i.target == Target.SCRATCHPAD),
        "stored": sum(i.words for i in case.instructions if isinstance(i, Store)),
        "instructions": len(case.instructions) * INSTRUCTION_BYTES // WORD,
    }
    counted = {name: accelerator.read(f"bytes_{name}") for name in words}
    assert counted == {name: WORD * count for name, count in words.items()}
    computes = sum(isinstance(i, Compute) for i in case.instructions)
    assert accelerator.read("computes") == computes
    finishes = accelerator.finish_cycles().tolist()
    assert len(finishes) == computes
    assert finishes == sorted(finishes)
    assert all(0 < cycle < accelerator.read("cycles") for cycle in finishes)


@pytest.mark.parametrize("stalls", [0.0, 0.3, 0.8])
def test_random_programs(stalls: float) -> None:
    rng = np.random.default_rng(7)
    with _accelerator(stalls=stalls, seed=5) as accelerator:
        for _ in range(100):
            _check(accelerator, random_program(rng, SPEC))


@pytest.mark.parametrize("stalls", [0.0, 0.5])
def test_random_programs_whose_transfers_overlap_computations(stalls: float) -> None:
    rng = np.random.default_rng(17)
    with _accelerator(stalls=stalls, seed=5) as accelerator:
        for _ in range(40):
            case = overlapping_program(rng, SPEC)
            # Whatever runs beside what: the result is that of the program's order.
            machine = Machine(
                _image(case),
                word_bytes=WORD,
                scratchpad_words=PAD_WORDS,
                weight_words=WEIGHT_WORDS,
            )
            for instruction in case.instructions:
                machine.step(instruction)
            assert np.array_equal(_expected(case), machine.memory)
            _check(accelerator, case)


def test_a_slow_memory_changes_the_time_only() -> None:
    case = random_program(np.random.default_rng(1), SPEC)
    cycles = []
    for latency, interval in ((1, 1), (64, 1), (200, 4)):
        with _accelerator(latency=latency, interval=interval) as accelerator:
            _check(accelerator, case)
            cycles.append(accelerator.read("cycles"))
    assert cycles == sorted(cycles)
    assert cycles[0] < cycles[2]


def test_a_run_in_slices_is_the_same_run(accelerator: NativeAccelerator) -> None:
    case = random_program(np.random.default_rng(2), SPEC)
    _check(accelerator, case)
    cycles, finishes = accelerator.read("cycles"), accelerator.finish_cycles()
    seen: list[tuple[int, int]] = []
    accelerator.memory[:] = _image(case)
    accelerator.run(
        program=PROGRAM,
        length=len(case.instructions),
        limit=LIMIT,
        slice_cycles=50,
        on_slice=lambda passed, computes: seen.append((passed, computes)),
    )
    assert np.array_equal(accelerator.memory, _expected(case))
    assert accelerator.read("cycles") == cycles
    assert np.array_equal(accelerator.finish_cycles(), finishes)
    assert len(seen) > 2
    assert seen == sorted(seen)
    assert seen[0][1] == 0


def test_a_bus_error_anywhere_stops_the_program_and_the_next_run_is_right() -> None:
    rng = np.random.default_rng(11)
    codes = []
    with _accelerator(stalls=0.2) as accelerator:
        for _ in range(60):
            case = random_program(rng, SPEC)
            accelerator.fail(int(rng.integers(0, 12)))
            codes.append(_run(accelerator, case))
            accelerator.fail(None)
            _check(accelerator, case)
    # A burst of a number that the program does not reach fails nothing.
    assert set(codes) <= {ErrorCode.BUS, ErrorCode.NONE}
    assert codes.count(ErrorCode.BUS) > 30


_LOAD = Load(target=Target.SCRATCHPAD, memory=0x2000, local=0, words=4)
_COMPUTE = next(
    i for i in random_program(np.random.default_rng(0), SPEC).instructions if isinstance(i, Compute)
)
# Two rows and three columns of 200 pixels without padding: 1200 reads.
_TAPS = replace(
    _COMPUTE, path=Path.TAPS, after_load=0, source=0, pixels=200, out_width=200, step_x=1, step_y=1,
    tap_x=1, tap_y=1, in_height=2, in_width=202, stride_y=1, stride_x=1, pad_top=0, pad_left=0,
    kernel_y=2, kernel_x=3, words=1, weights=0, destination=300, mask=15,
)  # fmt: skip

_PART = replace(_TAPS, pixels=1, out_width=1, keep=1)


@pytest.mark.parametrize(
    ("program", "code"),
    [
        ([Begin(version=ISA_VERSION + 1), End()], ErrorCode.VERSION),
        ([End()], ErrorCode.VERSION),
        ([_LOAD, End()], ErrorCode.VERSION),
        ([Begin(), Begin(), End()], ErrorCode.OPCODE),
        ([Begin(), replace(_LOAD, local=PAD_WORDS - 3), End()], ErrorCode.ADDRESS),
        (
            [Begin(), replace(_LOAD, target=1, local=WEIGHT_WORDS), End()],
            ErrorCode.ADDRESS,
        ),
        ([Begin(), Store(memory=0, local=PAD_WORDS, words=1), End()], ErrorCode.ADDRESS),
        (
            [Begin(), replace(_COMPUTE, after_load=0, destination=PAD_WORDS, mask=15), End()],
            ErrorCode.ADDRESS,
        ),
        ([Begin(), replace(_LOAD, memory=MEMORY_BYTES - WORD), End()], ErrorCode.BUS),
        ([Begin(), Store(memory=MEMORY_BYTES, local=0, words=1), End()], ErrorCode.BUS),
        (
            [Begin(), replace(_COMPUTE, after_load=0, weights=WEIGHT_WORDS - 8), End()],
            ErrorCode.ADDRESS,
        ),
        (
            [Begin(), replace(_COMPUTE, after_load=0, weights=(1 << 20) - 1), End()],
            ErrorCode.ADDRESS,
        ),
        ([Begin(), replace(_TAPS, weights=WEIGHT_WORDS - 9 - 5), End()], ErrorCode.ADDRESS),
        ([Begin(), replace(_LOAD, memory=0x2001), End()], ErrorCode.ALIGNMENT),
        ([Begin(), Store(memory=0x2002, local=0, words=1), End()], ErrorCode.ALIGNMENT),
        ([Begin()], ErrorCode.LENGTH),
        ([Begin(), _LOAD], ErrorCode.LENGTH),
        ([Begin(), End(), _LOAD, End()], ErrorCode.LENGTH),
        ([Begin(), End(), *[_LOAD] * 30, End()], ErrorCode.LENGTH),
        ([Begin(), replace(_LOAD, words=0), End()], ErrorCode.LENGTH),
        ([Begin(), Store(memory=0, local=0, words=0), End()], ErrorCode.LENGTH),
        ([Begin(), replace(_LOAD, after_store=1), End()], ErrorCode.DEADLOCK),
        ([Begin(), replace(_LOAD, after_load=1), *[_LOAD] * 5, End()], ErrorCode.DEADLOCK),
        (
            [
                Begin(),
                replace(_LOAD, after_store=1),
                Store(memory=0x3000, local=0, words=1, after_load=1),
                End(),
            ],
            ErrorCode.DEADLOCK,
        ),
        ([Begin(), _PART, End()], ErrorCode.REDUCTION),
        ([Begin(), _PART, _LOAD, _PART, End()], ErrorCode.REDUCTION),
        ([Begin(), _PART, replace(_PART, pixels=2, keep=0), End()], ErrorCode.REDUCTION),
        ([Begin(), _PART, replace(_PART, path=Path.SCALARS, keep=0), End()], ErrorCode.REDUCTION),
        ([Begin(), replace(_PART, pixels=2), End()], ErrorCode.REDUCTION),
        (
            [Begin(), replace(_PART, path=Path.ARRAY, pixels=SPEC.engine.tile + 1), End()],
            ErrorCode.REDUCTION,
        ),
    ],
)
def test_a_malformed_program_is_an_error_code_and_the_next_run_is_right(
    accelerator: NativeAccelerator, program: list[Instruction], code: ErrorCode
) -> None:
    case = random_program(np.random.default_rng(3), SPEC)
    accelerator.memory[:] = _image(replace(case, instructions=program))
    length = len(program)
    assert ErrorCode(accelerator.run(program=PROGRAM, length=length, limit=LIMIT)) is code
    assert accelerator.error == code
    _check(accelerator, case)


@pytest.mark.parametrize(
    ("transfer", "fails"),
    [
        # The computation reads and writes the first bank.
        (Load(target=Target.SCRATCHPAD, memory=0x2000, local=1000, words=400), True),
        (Load(target=Target.SCRATCHPAD, memory=0x2000, local=BANK_WORDS, words=400), False),
        (Load(target=Target.WEIGHTS, memory=0x2000, local=100, words=400), False),
        (Store(memory=0xC000, local=1000, words=400), True),
        (Store(memory=0xC000, local=BANK_WORDS, words=400), False),
    ],
    ids=["load", "load in another bank", "load of weights", "store", "store in another bank"],
)
def test_two_units_in_one_port_of_a_bank_are_an_error(
    accelerator: NativeAccelerator, transfer: Load | Store, fails: bool
) -> None:
    whole = Load(target=Target.SCRATCHPAD, memory=0x2000, local=0, words=2 * BANK_WORDS)
    weights = Load(target=Target.WEIGHTS, memory=0x2000, local=0, words=100)
    after = replace(transfer, after_load=2)
    result = Store(memory=0xE000, local=300, words=200, after_execute=1)
    compute = replace(_TAPS, after_load=2)
    program: list[Instruction] = [Begin(), whole, weights, compute, after, result, End()]
    case = replace(random_program(np.random.default_rng(3), SPEC), instructions=program)
    code = _run(accelerator, case)
    assert code is (ErrorCode.CONFLICT if fails else ErrorCode.NONE)
    if not fails:
        _check(accelerator, case)
    # With the tokens that it needs every one of them is right.
    _check(accelerator, replace(case, instructions=with_tokens(program, SPEC)))


@pytest.mark.parametrize("address", [4, 64, 256, 1 << 30 | 8])
def test_a_program_at_a_misaligned_address_is_refused(
    accelerator: NativeAccelerator, address: int
) -> None:
    case = random_program(np.random.default_rng(3), SPEC)
    accelerator.memory[:] = _image(case)
    # The driver would not: this is for software that writes the registers itself.
    for name, value in {
        "control": 2, "interrupt_enable": 1, "program_address": address, "program_length": 5,
    }.items():  # fmt: skip
        accelerator.write(name, value)
    accelerator.write("control", 1)
    assert not accelerator.advance(LIMIT)
    assert accelerator.error == ErrorCode.ALIGNMENT
    assert accelerator.read("bytes_instructions") == 0
    _check(accelerator, case)


@pytest.mark.parametrize("opcode", [5, 100, 255])
def test_an_unknown_opcode(accelerator: NativeAccelerator, opcode: int) -> None:
    case = random_program(np.random.default_rng(3), SPEC)
    accelerator.memory[:] = _image(case)
    accelerator.memory[PROGRAM + 2 * INSTRUCTION_BYTES] = opcode
    length = len(case.instructions)
    found = accelerator.run(program=PROGRAM, length=length, limit=LIMIT)
    assert ErrorCode(found) is ErrorCode.OPCODE
    _check(accelerator, case)


def test_an_empty_program(accelerator: NativeAccelerator) -> None:
    assert accelerator.run(program=PROGRAM, length=0, limit=LIMIT) == ErrorCode.LENGTH


def test_random_bytes_as_a_program_never_hang(accelerator: NativeAccelerator) -> None:
    rng = np.random.default_rng(13)
    case = random_program(rng, SPEC)
    for _ in range(40):
        accelerator.memory[:] = rng.integers(0, 256, MEMORY_BYTES, np.uint8)
        code = np.frombuffer(encode([Begin()]), np.uint8)
        accelerator.memory[: len(code)] = code
        for n in range(1, 20):
            accelerator.memory[n * INSTRUCTION_BYTES] = rng.integers(0, 5)
        # Tokens of zero, so that some of the instructions run.
        accelerator.memory[INSTRUCTION_BYTES + 1 : INSTRUCTION_BYTES + 7] = 0
        # A transfer of 2**24 words that the memory accepts would be sound, and take long.
        assert accelerator.run(program=PROGRAM, length=20, limit=100 * LIMIT) != ErrorCode.NONE
        _check(accelerator, case)


def test_a_run_that_is_too_long_is_reported(accelerator: NativeAccelerator) -> None:
    case = random_program(np.random.default_rng(4), SPEC)
    accelerator.memory[:] = _image(case)
    length = len(case.instructions)
    with pytest.raises(
        SimulationError,
        match=r"^the accelerator must be done within 100 cycles, not busy after \d+$",
    ):
        accelerator.run(program=PROGRAM, length=length, limit=100)
