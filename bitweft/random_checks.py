"""One random program, network or fault on the simulated hardware, and what is wrong with the outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from bitweft.run_figures import Traffic, planned_traffic, program_traffic
from hw.control.dispatch import ErrorCode
from hw.isa import Instruction, encode
from hw.spec import Spec
from mapper.budget import Budget, resolve_budget
from mapper.hazards import with_tokens
from mapper.layout import pack_tensor, unpack_tensor
from mapper.lower import lower
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Source
from sim.functional import Machine
from sim.quantised_run import run as run_reference
from sim.random_faults import MALFORMATIONS, fewest_bursts, malformed
from sim.random_networks import deep_network, random_input, random_network, skipping_network
from sim.random_programs import (
    MEMORY_BYTES,
    PROGRAM,
    RandomProgram,
    fits_unordered,
    random_program,
    unordered_program,
)
from sim.runner.accelerator import MemoryModel, NativeAccelerator
from sim.runner.library import SimulationError
from sim.timing.program import program_timing

__all__ = ["Check", "check_fault", "check_network", "check_program", "fault_of"]

Bytes = npt.NDArray[np.uint8]


@dataclass
class Check:
    """What one case has shown.

    Attributes
    ----------
    cycles : int
        Simulated, of all its runs.
    stalled : bool
        Cycles are compared only where the memory did not stall.
    compared : int
        Bytes of memory, or elements of tensors.
    wrong : list of str
        Every disagreement; empty when there is none.
    """

    cycles: int = 0
    stalled: bool = False
    compared: int = 0
    wrong: list[str] = field(default_factory=list)

    def same(self, what: str, expected: object, actual: object) -> None:
        """Notes a difference."""
        if expected != actual:
            self.wrong.append(f"{what} must be {expected}, not {actual}")


def _conditions(rng: np.random.Generator, size: int) -> MemoryModel:
    """A memory of random latency and bandwidth; it stalls in two cases of three."""
    stalls = float(rng.choice([0.0, rng.uniform(0.02, 0.4), rng.uniform(0.4, 0.8)]))
    return MemoryModel(
        size=size,
        latency=int(rng.choice([1, 7, 64, 150])),
        interval=int(rng.choice([1, 1, 2, 4])),
        stalls=stalls,
        seed=int(rng.integers(1, 1 << 32)),
    )


def _run(
    accelerator: NativeAccelerator,
    check: Check,
    program: Sequence[Instruction],
    spec: Spec,
    memory: MemoryModel,
    traffic: Traffic,
) -> bool:
    """Runs a program that must succeed, bounded by a watchdog; compares counters and cycles."""
    timing = program_timing(
        program,
        spec,
        latency=memory.latency,
        interval=memory.interval,
        image=accelerator.memory,
    )
    # More than any memory of these stalls makes of it: what takes as long hangs.
    limit = round(10 * (timing.cycles + 1000) / (1 - memory.stalls) ** 2)
    check.stalled = memory.stalls > 0
    try:
        error = accelerator.run(program=PROGRAM, length=len(program), limit=limit)
    except SimulationError as hang:
        check.wrong.append(str(hang))
        return False
    check.same("error", "NONE", ErrorCode(error).name)
    if error:
        return False
    cycles = accelerator.read("cycles")
    check.cycles += cycles
    counted = Traffic(*(accelerator.read(f"bytes_{name}") for name in Traffic._fields))
    check.same("bytes", traffic._asdict(), counted._asdict())
    check.same("computations", len(timing.computes), accelerator.read("computes"))
    if not check.stalled:
        check.same("cycles", timing.cycles, cycles)
        finishes = accelerator.finish_cycles().tolist()
        check.same("ends of computations", [c + 1 for c in timing.computes], finishes)
    return True


def _good_program(
    accelerator: NativeAccelerator,
    check: Check,
    case: RandomProgram,
    spec: Spec,
    memory: MemoryModel,
) -> None:
    """Runs a program and compares the whole memory with the functional simulator's."""
    image = _image(case.memory, encode(case.instructions))
    machine = Machine(
        image.copy(),
        word_bytes=spec.word_bytes,
        scratchpad_words=spec.scratchpad.bytes // spec.word_bytes,
        weight_words=spec.weight_buffer.bytes // spec.word_bytes,
    )
    machine.run(case.instructions)
    accelerator.memory[:] = image
    traffic = program_traffic(case.instructions, spec)
    if _run(accelerator, check, case.instructions, spec, memory, traffic):
        _compare(check, "byte", machine.memory, accelerator.memory)


def _image(memory: Bytes, code: bytes) -> Bytes:
    image = memory.copy()
    image[PROGRAM : PROGRAM + len(code)] = np.frombuffer(code, np.uint8)
    return image


def _compare(
    check: Check, what: str, expected: npt.NDArray[np.generic], actual: npt.NDArray[np.generic]
) -> None:
    check.compared += expected.size
    places = np.argwhere(expected != actual)
    if len(places):
        place = tuple(places[0].tolist())
        check.wrong.append(
            f"{len(places)} differ, the first is {what} {place if len(place) > 1 else place[0]}, "
            f"which must be {expected[place]}, not {actual[place]}"
        )


def check_program(rng: np.random.Generator, spec: Spec) -> Check:
    """A random program: memory, bytes and, without stalls, cycles.

    Half of them are ones whose units run side by side, with the tokens that the mapper gives them,
    where the accelerator's memories hold such programs.
    """
    check, memory = Check(), _conditions(rng, MEMORY_BYTES)
    if rng.random() < 0.5 and fits_unordered(spec):
        case = unordered_program(rng, spec)
        case = replace(case, instructions=with_tokens(case.instructions, spec))
    else:
        case = random_program(rng, spec)
    with NativeAccelerator(spec, memory) as accelerator:
        _good_program(accelerator, check, case, spec, memory)
    return check


def check_network(rng: np.random.Generator, spec: Spec, number: int) -> Check:
    """A random quantised network: every tensor in memory, the plan's bytes, and cycles.

    Every third is planned for less than its largest operator, where that can be split.
    """
    make = (random_network, skipping_network, deep_network)[number % 3]
    seed = int(rng.integers(1 << 32))
    network = make(seed)
    feeds = random_input(network, seed)
    graph = network_graph(network, spec)
    budget = resolve_budget(graph, "MR")
    less = budget.bytes * int(rng.integers(3, 8)) // 8 // spec.word_bytes * spec.word_bytes
    budgets = [Budget("bytes", less), budget] if make is deep_network else [budget]
    check, plan = Check(), None
    for attempt in budgets:
        source = Source(network.name, "0" * 64, 8, 8, spec.word_bytes, attempt.name)
        weights = spec.weight_buffer.bytes
        try:
            plan = map_graph(graph, attempt, source, weight_memory=weights).plan
        except ValueError as error:
            check.wrong.append(
                f"{network.name}: {attempt.bytes} B must be planned for, not {error}"
            )
        if plan is not None:
            break
    if plan is None:
        check.wrong.append(f"{network.name} must have a plan for its largest operator's size")
        return check
    lowered = lower(network, plan, spec)
    expected = run_reference(network, feeds)
    memory = _conditions(rng, len(lowered.image))
    with NativeAccelerator(spec, memory) as accelerator:
        accelerator.memory[:] = lowered.image
        _put(accelerator.memory, feeds, lowered.tensors, spec)
        traffic = planned_traffic(plan, lowered.program)
        if _run(accelerator, check, lowered.program, spec, memory, traffic):
            for name, home in lowered.tensors.items():
                shape = network.tensor(name).shape
                actual = unpack_tensor(accelerator.memory[home:], shape, spec.word_bytes)
                _compare(check, f"{name} at", expected[name], actual)
    return check


def _put(
    memory: Bytes,
    feeds: Mapping[str, npt.NDArray[np.int8]],
    homes: Mapping[str, int],
    spec: Spec,
) -> None:
    for name, values in feeds.items():
        packed = pack_tensor(values, spec.word_bytes)
        memory[homes[name] : homes[name] + len(packed)] = packed


def fault_of(number: int) -> str:
    """Every third case is an error on the bus, a reset in mid-run, and a malformed program."""
    turn = number // 3
    # Each round begins with another one, so that accelerators in turn all get all of them.
    kinds = tuple(MALFORMATIONS)
    bad = kinds[(turn + turn // len(kinds)) % len(kinds)]
    return ("a bus error", "a reset", bad)[number % 3]


def check_fault(rng: np.random.Generator, spec: Spec, number: int) -> Check:
    """Something goes wrong: the error code is the right one, and the run after it is right.

    A reset gives no code; the accelerator is idle after it.
    """
    check, memory = Check(), _conditions(rng, MEMORY_BYTES)
    case, what = random_program(rng, spec), fault_of(number)
    code, length, expected = encode(case.instructions), len(case.instructions), ErrorCode.BUS
    timing = program_timing(
        case.instructions,
        spec,
        latency=memory.latency,
        interval=memory.interval,
        image=case.memory,
    )
    limit = round(10 * (timing.cycles + 1000) / (1 - memory.stalls) ** 2)
    if what in MALFORMATIONS:
        bad = malformed(what, rng, case.instructions, spec, MEMORY_BYTES)
        code, length, expected = bad.code, bad.length, bad.error
    with NativeAccelerator(spec, memory) as accelerator:
        accelerator.memory[:] = _image(case.memory, code)
        if what == "a reset":
            accelerator.start(program=PROGRAM, length=length)
            check.same("busy", True, accelerator.advance(int(rng.integers(1, timing.cycles - 50))))
            accelerator.reset()
            check.same("busy after a reset", False, accelerator.advance(1))
            check.same("error after a reset", 0, accelerator.error)
        else:
            if what == "a bus error":
                accelerator.fail(int(rng.integers(0, fewest_bursts(case.instructions))))
            try:
                error = accelerator.run(program=PROGRAM, length=length, limit=limit)
                check.same(f"error by {what}", expected.name, ErrorCode(error).name)
            except SimulationError as hang:
                check.wrong.append(f"{what}: {hang}")
                return check
            accelerator.fail(None)
        _good_program(accelerator, check, random_program(rng, spec), spec, memory)
    check.wrong = [f"after {what}: {text}" for text in check.wrong]
    return check
