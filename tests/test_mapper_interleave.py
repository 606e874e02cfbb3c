"""mapper.interleave: the order of a program's instructions, and that nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from hw.isa import Begin, Compute, End, Instruction, Load, Path, Store, Target
from hw.spec import load_spec
from hw.tokens import UNITS
from mapper.hazards import needs, unit_of, with_tokens
from mapper.interleave import interleave, interleaved
from sim.functional import Machine
from sim.random_programs import MEMORY_BYTES, unordered_program
from sim.timing.program import program_timing

SPEC = load_spec("tiny")


@pytest.mark.parametrize("seed", range(25))
def test_random_programs_in_another_order_compute_the_same(seed: int) -> None:
    case = unordered_program(np.random.default_rng(seed), SPEC)
    program = case.instructions
    waits = needs(program, SPEC)
    order = interleave(program, waits, SPEC)
    assert sorted(order) == list(range(len(program)))
    assert (order[0], order[-1]) == (0, len(program) - 1)
    counts = [0] * len(UNITS)
    for n in order:
        # Behind everything that it waits for; and the order says the same about what that is.
        assert all(count >= after for count, after in zip(counts, waits[n], strict=True))
        unit = unit_of(program[n])
        if unit is not None:
            counts[unit] += 1
    for unit in range(len(UNITS)):
        own = [n for n in order if unit_of(program[n]) == unit]
        assert own == sorted(own)
    assert needs([program[n] for n in order], SPEC) == [waits[n] for n in order]

    results = []
    for instructions in (program, interleaved(program, SPEC)):
        machine = Machine(
            case.memory.copy(),
            word_bytes=SPEC.word_bytes,
            scratchpad_words=SPEC.scratchpad.bytes // SPEC.word_bytes,
            weight_words=SPEC.weight_buffer.bytes // SPEC.word_bytes,
        )
        for instruction in instructions:
            machine.step(instruction)
        results.append(machine.memory)
    assert np.array_equal(results[0], results[1])
    assert results[0].size == MEMORY_BYTES


def _compute(pixels: int, source: int, weights: int, destination: int) -> Compute:
    fields = {name: 0 for name in Compute.widths if name != "opcode"}
    fields |= {
        "path": Path.TAPS, "source": source, "pixels": pixels, "out_width": pixels, "step_x": 1,
        "in_height": 1, "in_width": pixels, "stride_y": 1, "stride_x": 1, "kernel_y": 1,
        "kernel_x": 1, "words": 1, "weights": weights, "destination": destination,
        "destination_step": 1, "mask": 15,
    }  # fmt: skip
    return Compute(**fields)


def test_the_input_of_the_next_step_comes_before_the_computations_of_this_one() -> None:
    bank = SPEC.scratchpad.bytes // SPEC.word_bytes // SPEC.scratchpad.banks
    first = Load(target=Target.SCRATCHPAD, memory=0x1000, local=0, words=200)
    weights = Load(target=Target.WEIGHTS, memory=0x2000, local=0, words=20)
    computes = [_compute(200, 0, 0, 200 + 200 * n) for n in range(6)]
    second = Load(target=Target.SCRATCHPAD, memory=0x3000, local=bank, words=200)
    more = _compute(200, bank, 0, bank + 200)
    result = Store(memory=0x4000, local=bank + 200, words=200)
    program: list[Instruction] = [
        Begin(), first, weights, *computes, second, more, result, End(),
    ]  # fmt: skip
    ordered = interleaved(program, SPEC)
    assert [type(i) for i in ordered[:4]] == [Begin, Load, Load, Load]
    in_place = program_timing(with_tokens(program, SPEC), SPEC).cycles
    # Most of the 200 cycles of the second load run beside the first computations.
    assert program_timing(ordered, SPEC).cycles <= in_place
    # In the first bank, which the computations write, it can only wait for them.
    beside = [i for i in program if i is not second]
    blocked = Load(target=Target.SCRATCHPAD, memory=0x3000, local=1800, words=200)
    beside.insert(-3, blocked)
    later = interleaved(beside, SPEC)
    loads = [n for n, i in enumerate(later) if isinstance(i, Load)]
    assert sum(isinstance(i, Compute) for i in later[: loads[-1]]) == len(computes)


def test_an_instruction_that_waits_for_a_later_one_is_refused() -> None:
    program: list[Instruction] = [Begin(), Store(memory=0, local=0, words=1), End()]
    with pytest.raises(ValueError, match=r"^an instruction must wait for earlier ones, not for"):
        interleave(program, [(0, 0, 0), (1, 0, 0), (0, 0, 0)], SPEC)
