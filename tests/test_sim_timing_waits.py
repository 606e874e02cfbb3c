"""sim.timing.waits: every cycle in which nothing is computed has one cause."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hw.control.execute import PARAMETER_WORDS
from hw.isa import Begin, Compute, End, Instruction, Load, Path, Store, Target
from hw.spec import load_spec
from sim.random_programs import one_after_another, random_program
from sim.timing.program import program_timing
from sim.timing.waits import Cause, Wait, execute_waits
from tests.overlapping_programs import overlapping_program

SPEC = load_spec("tiny")
_FIELDS = {field: 0 for field in Compute.widths if field != "opcode"}


def _compute(**changes: int) -> Compute:
    fields = {**_FIELDS, "path": Path.MAXIMUM, "pixels": 40, "kernel_y": 2, "kernel_x": 3}
    return Compute(**{**fields, **changes})


def _load(target: Target, words: int = 3, **changes: int) -> Load:
    return Load(target=target, memory=0x1000, local=0, words=words, **changes)


def _waits(program: list[Instruction], latency: int = 64) -> list[Wait]:
    return execute_waits(program, program_timing(program, SPEC, latency=latency, interval=1))


@pytest.mark.parametrize(
    ("target", "cause"),
    [(Target.WEIGHTS, Cause.WEIGHTS), (Target.SCRATCHPAD, Cause.ACTIVATIONS)],
)
def test_a_computation_that_waits_for_a_load_by_hand(target: Target, cause: Cause) -> None:
    # The load is finished in cycle 168 (see the test of the program's timing). The computation is
    # handed out in cycle 116, 17 after the load, and then hangs on it.
    program = [Begin(), _load(target), _compute(after_load=1), End()]
    timing = program_timing(program, SPEC, latency=64, interval=1)
    end = timing.spans[2].end
    # From then on its parameters are read, all but the last before it is taken.
    begin = 168 + PARAMETER_WORDS
    assert timing.spans[2].begin == begin
    assert execute_waits(program, timing) == [
        Wait(0, Cause.DISPATCH, 0, 117),
        Wait(0, cause, 117, 168),
        Wait(0, Cause.START, 168, begin),
        Wait(None, Cause.DISPATCH, end, end + 1),
    ]


def test_the_end_waits_for_a_store() -> None:
    program = [Begin(), _compute(), Store(after_execute=1, memory=0, local=0, words=50), End()]
    timing = program_timing(program, SPEC, latency=64, interval=1)
    computed, stored = timing.spans[1].end, timing.spans[2].end
    assert execute_waits(program, timing)[-2:] == [
        Wait(None, Cause.STORES, computed, stored),
        Wait(None, Cause.DISPATCH, stored, stored + 1),
    ]


def test_a_load_that_waits_for_a_store_makes_its_computation_wait_for_the_store() -> None:
    program = [
        Begin(),
        Store(memory=0, local=0, words=60),
        _load(Target.WEIGHTS, after_store=1),
        _compute(after_load=1),
        End(),
    ]
    timing = program_timing(program, SPEC, latency=64, interval=1)
    _, store, load, compute, _ = timing.spans
    assert execute_waits(program, timing)[:4] == [
        Wait(0, Cause.DISPATCH, 0, compute.handed_out + 1),
        Wait(0, Cause.STORES, compute.handed_out + 1, store.end),
        # In that cycle the load is taken, and it is under way.
        Wait(0, Cause.WEIGHTS, store.end, load.end),
        Wait(0, Cause.START, load.end, compute.begin),
    ]


def test_a_computation_behind_loads_that_wait_their_turn_waits_for_them() -> None:
    # It needs none of them, but cannot be handed out while the queue of loads is full.
    loads = [_load(Target.SCRATCHPAD, words=200) for _ in range(9)]
    program = [Begin(), *loads, _compute(), End()]
    timing = program_timing(program, SPEC, latency=64, interval=1)
    last = timing.spans[9]
    assert last.handed_out > last.in_hand + 100
    waits = execute_waits(program, timing)
    assert any(
        w.cause is Cause.ACTIVATIONS and w.first <= last.in_hand and w.end == last.handed_out
        for w in waits
    )
    assert {w.cause for w in waits if w.compute == 0} == {
        Cause.DISPATCH, Cause.ACTIVATIONS, Cause.START,
    }  # fmt: skip


@pytest.mark.parametrize("latency", [1, 13, 200])
def test_waits_and_computations_together_are_all_cycles(latency: int) -> None:
    rng = np.random.default_rng(latency)
    for _ in range(25):
        for case in (overlapping_program(rng, SPEC), random_program(rng, SPEC)):
            program = case.instructions
            for version in (program, one_after_another(program)):
                timing = program_timing(version, SPEC, latency=latency, interval=1)
                busy = np.zeros(timing.cycles, int)
                for instruction, span in zip(version, timing.spans, strict=True):
                    if isinstance(instruction, Compute):
                        busy[span.begin : span.end] += 1
                for wait in execute_waits(version, timing):
                    assert wait.first < wait.end
                    busy[wait.first : wait.end] += 1
                assert (busy == 1).all()


def test_what_is_not_in_a_program_is_not_waited_for() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        program = overlapping_program(rng, SPEC).instructions
        seen = Counter(w.cause for w in _waits(program))
        targets = {i.target for i in program if isinstance(i, Load)}
        assert (Cause.WEIGHTS in seen) <= (Target.WEIGHTS in targets)
        assert (Cause.ACTIVATIONS in seen) <= (Target.SCRATCHPAD in targets)
    only = [Begin(), _compute(), _compute(), End()]
    assert {w.cause for w in _waits(only)} <= {Cause.DISPATCH, Cause.START}


def test_a_program_without_computations_waits_at_its_end() -> None:
    program = [Begin(), _load(Target.SCRATCHPAD, words=100), End()]
    waits = _waits(program)
    assert {w.compute for w in waits} == {None}
    assert [w.cause for w in waits] == [Cause.DISPATCH, Cause.ACTIVATIONS, Cause.DISPATCH]
