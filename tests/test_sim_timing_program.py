"""sim.timing.program and sim.timing.store: whole programs, cycle by cycle, against the RTL."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw.isa import INSTRUCTION_BYTES, Begin, Compute, End, Load, Path, Store, Target, encode
from hw.spec import load_spec
from hw.tokens import absolute_tokens
from sim.random_programs import MEMORY_BYTES, PROGRAM, one_after_another, random_program
from sim.runner.accelerator import MemoryModel, NativeAccelerator
from sim.timing.execute import compute_timing
from sim.timing.program import Fetch, Span, program_timing
from sim.timing.store import store_cycles
from tests.overlapping_programs import overlapping_program

SPEC = load_spec("tiny")


@pytest.mark.parametrize(
    ("latency", "interval"), [(1, 1), (2, 4), (7, 1), (13, 3), (64, 1), (64, 2), (200, 1)]
)
def test_random_programs_take_the_predicted_cycles(latency: int, interval: int) -> None:
    rng = np.random.default_rng(latency * 10 + interval)
    memory = MemoryModel(size=MEMORY_BYTES, latency=latency, interval=interval)
    with NativeAccelerator(SPEC, memory) as hardware:
        for case in range(25):
            program = random_program(rng, SPEC)
            code = np.frombuffer(encode(program.instructions), np.uint8)
            hardware.memory[:] = program.memory
            hardware.memory[PROGRAM : PROGRAM + len(code)] = code
            length = len(program.instructions)
            assert hardware.run(program=PROGRAM, length=length, limit=10**6) == 0
            predicted = program_timing(
                program.instructions, SPEC, address=PROGRAM, latency=latency, interval=interval
            )
            assert predicted.cycles == hardware.read("cycles"), case


@pytest.mark.parametrize(("latency", "interval"), [(1, 1), (2, 4), (13, 3), (64, 1), (200, 1)])
def test_transfers_beside_computations_take_the_predicted_cycles(
    latency: int, interval: int
) -> None:
    rng = np.random.default_rng(latency * 10 + interval)
    memory = MemoryModel(size=MEMORY_BYTES, latency=latency, interval=interval)
    saved = 0
    with NativeAccelerator(SPEC, memory) as hardware:
        for case in range(15):
            program = overlapping_program(rng, SPEC)
            code = np.frombuffer(encode(program.instructions), np.uint8)
            hardware.memory[:] = program.memory
            hardware.memory[PROGRAM : PROGRAM + len(code)] = code
            length = len(program.instructions)
            assert hardware.run(program=PROGRAM, length=length, limit=10**6) == 0
            predicted, in_turn = (
                program_timing(p, SPEC, address=PROGRAM, latency=latency, interval=interval)
                for p in (program.instructions, one_after_another(program.instructions))
            )
            assert predicted.cycles == hardware.read("cycles"), case
            saved += in_turn.cycles - predicted.cycles
    assert saved > 0


def test_an_empty_program_by_hand() -> None:
    # Two instructions of 16 beats: the address in cycle 0, data in cycles 64 to 95, each word at
    # the buffer's output two cycles later. The first instruction is in hand in cycle 82; the second
    # enters the register from cycle 83 on, is in hand in cycle 99, and ends the program there.
    timing = program_timing([Begin(), End()], SPEC, latency=64, interval=1)
    assert timing.cycles == 100
    assert timing.computes == ()


def test_a_load_by_hand() -> None:
    # The load is in hand in cycle 99 and its unit takes it from the queue in cycle 100. The address
    # goes out in cycle 101, data come in cycles 165 to 167. `End`, in hand since cycle 116, finds
    # everything finished in cycle 168.
    load = Load(target=Target.SCRATCHPAD, memory=0x1000, local=0, words=3)
    timing = program_timing([Begin(), load, End()], SPEC, latency=64, interval=1)
    assert timing.spans == (
        Span(in_hand=82, handed_out=82, begin=82, first=82, end=83),
        Span(in_hand=99, handed_out=99, begin=100, first=165, end=168),
        Span(in_hand=116, handed_out=168, begin=168, first=168, end=169),
    )
    assert timing.fetches == (Fetch(3, 64, 64 + 3 * 16),)
    assert timing.cycles == 169


@pytest.mark.parametrize(("latency", "interval"), [(1, 1), (13, 3), (64, 2)])
def test_instructions_run_one_by_one_in_each_unit_and_after_what_they_wait_for(
    latency: int, interval: int
) -> None:
    rng = np.random.default_rng(latency)
    for _ in range(20):
        program = overlapping_program(rng, SPEC).instructions
        timing = program_timing(program, SPEC, latency=latency, interval=interval)
        ends: dict[type, list[int]] = {
            kind: [s.end for i, s in zip(program, timing.spans, strict=True) if isinstance(i, kind)]
            for kind in (Load, Compute, Store)
        }
        assert timing.computes == tuple(end - 1 for end in ends[Compute])
        free = dict.fromkeys(ends, 0)
        dispatched = -1
        tokens = absolute_tokens(program)
        for instruction, span, after in zip(program, timing.spans, tokens, strict=True):
            assert dispatched < span.in_hand <= span.handed_out <= span.begin <= span.first
            assert span.first < span.end <= timing.cycles
            dispatched = span.handed_out
            if isinstance(instruction, Begin | End):
                continue
            assert span.handed_out < span.begin
            waits = zip(ends.values(), after, strict=True)
            assert span.begin >= max((e[n - 1] for e, n in waits if n > 0), default=0)
            # Loads follow one another on the memory's port, the others in their unit.
            taken = span.first if isinstance(instruction, Load) else span.begin
            assert taken >= free[type(instruction)]
            free[type(instruction)] = span.end
        moved = sum(i.words for i in program if isinstance(i, Load))
        fetched = sum(f.instructions for f in timing.fetches)
        assert fetched == len(program)
        busy = interval * (moved + fetched * INSTRUCTION_BYTES // SPEC.word_bytes)
        assert busy <= timing.cycles


def test_a_vector_computation_by_hand() -> None:
    fields = {field: 0 for field in Compute.widths if field != "opcode"}
    compute = Compute(**{**fields, "path": Path.MAXIMUM, "pixels": 5, "kernel_y": 2, "kernel_x": 3})
    # The instruction is taken and starts, 30 reads, scratchpad 2, product and sum 2,
    # post-processing 6, and the cycle that finds nothing left. It reads no weights.
    assert compute_timing(compute, SPEC) == (1 + 1 + 30 + 2 + 2 + 6 + 1, 1)
    # With weights, one for each of the 30 reads.
    taps = replace(compute, path=Path.TAPS)
    assert compute_timing(taps, SPEC) == (1 + 1 + 30 + 2 + 2 + 6 + 1, 1 + 1 + 30)


def test_a_longer_store_waits_for_each_burst_and_one_response() -> None:
    short, long = store_cycles([1], 64, 1), store_cycles([4, 4], 64, 1)
    assert short > 64
    assert long - short >= 7
    assert store_cycles([4, 4], 64, 3) > long


def test_tokens_that_never_come() -> None:
    stuck = Load(after_execute=1, target=Target.SCRATCHPAD, memory=0, local=0, words=1)
    with pytest.raises(ValueError, match=r"^program must end, not wait for ever in cycle \d+$"):
        program_timing([Begin(), stuck, End()], SPEC)
    with pytest.raises(ValueError, match=r"^program must end"):
        program_timing([Begin(), Store(after_load=3, memory=0, local=0, words=1), End()], SPEC)
