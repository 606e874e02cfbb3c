"""bitweft.random_checks: sound hardware passes, and each kind of disagreement is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bitweft import random_checks
from bitweft.random_checks import Check, check_fault, check_network, check_program, fault_of
from bitweft.run_figures import planned_traffic
from hw.spec import Engine, load_spec
from mapper.budget import Budget
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Source
from sim.functional import Machine
from sim.quantised_run import run as run_reference
from sim.random_faults import MALFORMATIONS
from sim.random_networks import deep_network
from sim.runner.accelerator import NativeAccelerator
from sim.runner.library import SimulationError
from sim.timing.program import program_timing

SPEC = load_spec("tiny")
EACH_FAULT = 3 * len(MALFORMATIONS)


def _rng(*words: int) -> np.random.Generator:
    return np.random.default_rng([7, *words])


def _calm(check: Callable[[np.random.Generator], Check]) -> Check:
    """The outcome of the first case whose memory does not stall."""
    return next(c for c in (check(_rng(n)) for n in range(30)) if not c.stalled)


def test_programs_networks_and_faults_agree() -> None:
    checks = [check_program(_rng(n), SPEC) for n in range(12)]
    checks += [check_network(_rng(n), SPEC, n) for n in range(6)]
    assert {check.stalled for check in checks} == {True, False}
    assert all(check.cycles > 0 and check.compared > 0 for check in checks)
    checks += [check_fault(_rng(n), SPEC, n) for n in range(EACH_FAULT)]
    assert [check.wrong for check in checks if check.wrong] == []


def test_programs_networks_and_faults_agree_where_weights_stand_still() -> None:
    # Tiles that are no multiple of the array, so that the last one is often short.
    engine = {**SPEC.engine.model_dump(), "dataflow": "weight-stationary", "tile_rows": 6}
    spec = SPEC.model_copy(update={"engine": Engine.model_validate(engine)})
    checks = [check_program(_rng(n), spec) for n in range(12)]
    checks += [check_network(_rng(n), spec, n) for n in range(6)]
    assert {check.stalled for check in checks} == {True, False}
    assert all(check.cycles > 0 and check.compared > 0 for check in checks)
    checks += [check_fault(_rng(n), spec, n) for n in range(0, EACH_FAULT, 3)]
    assert [check.wrong for check in checks if check.wrong] == []


def test_every_fault_has_its_turn() -> None:
    assert {fault_of(n) for n in range(EACH_FAULT)} == {"a bus error", "a reset", *MALFORMATIONS}
    # Also on each of four accelerators that take turns.
    for start in range(4):
        assert {fault_of(n) for n in range(start, 20 * EACH_FAULT, 4)} >= set(MALFORMATIONS)


def test_a_cycle_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    timing = program_timing

    def late(*words: Any, **more: Any) -> Any:
        exact = timing(*words, **more)
        return replace(exact, cycles=exact.cycles + 1)

    monkeypatch.setattr(random_checks, "program_timing", late)
    for check in (
        _calm(lambda rng: check_program(rng, SPEC)),
        _calm(lambda rng: check_network(rng, SPEC, 0)),
    ):
        (problem,) = check.wrong
        found = re.fullmatch(r"cycles must be (\d+), not (\d+)", problem)
        assert found is not None
        assert int(found[1]) == int(found[2]) + 1


def test_a_wrong_byte_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Machine.run

    def wrong(self: Machine, program: Any) -> None:
        run(self, program)
        self.memory[0xFFFF] ^= 1

    monkeypatch.setattr(Machine, "run", wrong)
    (problem,) = check_program(_rng(0), SPEC).wrong
    assert problem.startswith("1 differ, the first is byte 65535, which must be ")
    (problem,) = check_fault(_rng(0), SPEC, 0).wrong
    assert problem.startswith("after a bus error: 1 differ, the first is byte 65535")


def test_a_wrong_element_of_a_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_reference

    def wrong(*words: Any) -> Any:
        values = run(*words)
        (output,) = words[0].outputs
        values[output][0, 0, 0, 0] ^= 1
        return values

    monkeypatch.setattr(random_checks, "run_reference", wrong)
    (problem,) = check_network(_rng(0), SPEC, 0).wrong
    assert " at (0, 0, 0, 0), which must be " in problem


def test_bytes_that_no_plan_has(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = planned_traffic
    monkeypatch.setattr(
        random_checks,
        "planned_traffic",
        lambda plan, program: planned(plan, program)._replace(weights=1),
    )
    (problem,) = check_network(_rng(0), SPEC, 0).wrong
    assert problem.startswith("bytes must be {'instructions': ")


def test_an_error_that_does_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeAccelerator, "fail", lambda self, burst: None)
    (problem,) = check_fault(_rng(0), SPEC, 0).wrong
    assert problem == "after a bus error: error by a bus error must be BUS, not NONE"


def test_a_reset_that_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(NativeAccelerator, "reset", lambda self: None)
    monkeypatch.setattr(random_checks, "_good_program", lambda *words: None)
    (problem,) = check_fault(_rng(0), SPEC, 1).wrong
    assert problem == "after a reset: busy after a reset must be False, not True"


def test_a_program_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(self: NativeAccelerator, **words: int) -> int:
        raise SimulationError(f"busy after {words['limit']}")

    monkeypatch.setattr(NativeAccelerator, "run", hang)
    for check in (
        check_program(_rng(0), SPEC),
        check_network(_rng(0), SPEC, 0),
        check_fault(_rng(0), SPEC, 2),
    ):
        (problem,) = check.wrong
        assert "busy after" in problem


def test_patches_that_the_splitting_did_not_sample() -> None:
    # Found by the benchmark: a patch in the middle needed more than 3000 bytes.
    graph = network_graph(deep_network(1070226743), SPEC)
    source = Source("x", "0" * 64, 8, 8, SPEC.word_bytes, "bytes")
    weights = SPEC.weight_buffer.bytes
    mapped = map_graph(graph, Budget("bytes", 3000), source, weight_memory=weights)
    assert mapped.plan is not None
    assert mapped.plan.scratchpad_bytes == 3000
