"""hw.control.execute: every path, against the functional simulator and the timing model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from amaranth import Module, Signal
from amaranth.lib.wiring import connect
from amaranth.sim import Simulator

from hw.control.execute import ExecuteUnit
from hw.engine.catalogue import Dataflow, EngineKind
from hw.isa import Compute, Path, encode
from hw.memory.ram import Ram
from hw.memory.scratchpad import READ_LATENCY, ScratchpadMemory
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2, Opt4c, Opt4e
from hw.spec import Engine, Memory, Scratchpad, Spec, WeightBuffer
from sim.functional import Machine
from sim.timing.execute import READ_AHEAD, ComputeTiming
from sim.timing.operands import OperandTimings
from tests.random_computes import (
    SCRATCHPAD_WORDS,
    WEIGHT_WORDS,
    random_compute,
    write_parameters,
)

SIZES = [(4, 4), (1, 4), (2, 2), (1, 2), (3, 2), (6, 4), (5, 2)]
CASES: list[tuple[int, int, ProcessingElement, EngineKind, int | None]] = [
    *((*size, Mac(), "systolic", None) for size in SIZES),
    *((*size, CarrySave(), "systolic", None) for size in [(4, 4), (5, 2)]),
    *((*size, FreePipeline(), "systolic", None) for size in [(2, 4), (5, 2), (3, 8)]),
    (2, 4, FastInner(), "systolic", None),
    (2, 4, Opt4c(segment=16), "columns", None),
    (3, 2, Opt4c(segment=8, recoding="booth", cells_per_adder=1), "columns", None),
    (4, 4, Opt4e(segment=32), "columns", None),
    (1, 8, Opt2(segment=32), "columns", None),
    *((*size, Mac(), "matrix", None) for size in [(1, 2), (2, 2), (3, 2), (4, 4)]),
    (5, 2, CarrySave(), "matrix", None),
    (2, 4, FastInner(), "matrix", None),
    (4, 4, Mac(), "tree", 4),
    (3, 4, CarrySave(), "tree", 2),
    (2, 8, Opt2(products=4), "tree", 4),
    (1, 4, Mac(), "cube", 2),
    (4, 4, CarrySave(), "cube", 4),
]


STATIONARY = [
    *((size, Mac(), tile_rows) for size, tile_rows in [(2, 1), (2, 2), (2, 3), (4, 5), (4, 40)]),
    (4, CarrySave(), 3),
    (8, CarrySave(), 11),
]


def spec_of(
    pe: ProcessingElement,
    rows: int,
    cols: int,
    kind: EngineKind = "systolic",
    *,
    depth: int | None = None,
    tile_rows: int | None = None,
) -> Spec:
    dataflow: Dataflow = "output-stationary" if tile_rows is None else "weight-stationary"
    return Spec.model_construct(
        name="test",
        engine=Engine(
            kind=kind, rows=rows, cols=cols, depth=depth, dataflow=dataflow, tile_rows=tile_rows
        ),
        pe=pe,
        scratchpad=Scratchpad(bytes=SCRATCHPAD_WORDS * cols, banks=1),
        weight_buffer=WeightBuffer(bytes=WEIGHT_WORDS * cols),
        memory=Memory(bus_bits=8 * cols, latency_cycles=1, bytes_per_cycle=1),
    )


class Bench:
    """An execute unit with its two memories; the testbench fills them through their write ports."""

    def __init__(self, spec: Spec) -> None:
        self.module = m = Module()
        engine = spec.engine
        cols = engine.cols
        self.unit = unit = ExecuteUnit(
            spec.pe,
            rows=engine.rows,
            cols=cols,
            kind=engine.kind,
            depth=engine.depth,
            tile_rows=engine.tile_rows,
        )
        self.pad = pad = ScratchpadMemory(depth=SCRATCHPAD_WORDS, banks=1, lanes=cols)
        self.weights = weights = Ram(depth=WEIGHT_WORDS, lanes=cols, wide=unit.elements)
        m.submodules += [unit, pad, weights]
        self.filling = Signal(init=1)
        self.data = Signal(8 * cols)
        self.address = Signal(24)
        self.fill = Signal(2)
        # The testbench fills and reads the scratchpad through the ports of the other units.
        connect(m, unit.read, pad.execute_read)
        connect(m, unit.write, pad.execute_write)
        m.d.comb += [
            weights.read_enable.eq(unit.weight_enable),
            weights.read_address.eq(unit.weight_address),
            unit.weight_data.eq(weights.read_data),
            weights.write_enable.eq(self.fill[1].replicate(cols)),
            weights.write_address.eq(self.address),
            weights.write_data.eq(self.data),
        ]
        with m.If(self.filling):
            m.d.comb += [
                pad.load_write.enable.eq(self.fill[0].replicate(cols)),
                pad.load_write.address.eq(self.address),
                pad.load_write.data.eq(self.data),
                pad.store_read.enable.eq(1),
                pad.store_read.address.eq(self.address),
            ]

    async def store(self, ctx: Any, which: int, words: Any) -> None:
        ctx.set(self.filling, 1)
        ctx.set(self.fill, which)
        for address, word in enumerate(words):
            ctx.set(self.address, address)
            ctx.set(self.data, int.from_bytes(word.tobytes(), "little"))
            await ctx.tick()
        ctx.set(self.fill, 0)

    async def contents(self, ctx: Any, lanes: int) -> list[list[int]]:
        ctx.set(self.filling, 1)
        found = []
        for address in range(SCRATCHPAD_WORDS + READ_LATENCY - 1):
            ctx.set(self.address, address)
            await ctx.tick()
            if address >= READ_LATENCY - 1:
                word = int(ctx.get(self.pad.store_read.data))
                found.append(list(word.to_bytes(lanes, "little")))
        return found


def _case(rows: int, cols: int) -> tuple[Machine, list[Compute], np.random.Generator]:
    """Memories with random contents, and computations on them."""
    rng = np.random.default_rng(100 * rows + cols)
    machine = Machine(
        np.zeros(0, np.uint8),
        word_bytes=cols,
        scratchpad_words=SCRATCHPAD_WORDS,
        weight_words=WEIGHT_WORDS,
    )
    machine.scratchpad[:] = rng.integers(0, 256, machine.scratchpad.shape)
    machine.weights[:] = rng.integers(0, 256, machine.weights.shape)
    paths = [Path.ARRAY, Path.TAPS, Path.MAXIMUM, Path.SCALARS, Path.ARRAY, Path.ARRAY]
    program = [random_compute(rng, path, cols) for path in paths]
    for compute in program:
        write_parameters(machine.weights, compute.weights, rng)
    return machine, program, rng


def _step(machine: Machine, compute: Compute, spec: Spec) -> ComputeTiming:
    """Computes, and says how long the hardware takes for just these operands."""
    if machine.on_compute is None:
        machine.on_compute = OperandTimings(spec)
    machine.step(compute)
    assert isinstance(machine.on_compute, OperandTimings)
    return machine.on_compute.found[-1]


async def _offer(ctx: Any, unit: ExecuteUnit, compute: Compute) -> None:
    word = int.from_bytes(encode([compute]), "little")
    ctx.set(unit.instructions.payload.as_value(), word)
    ctx.set(unit.instructions.valid, 1)


def _simulate(bench: Bench, testbench: Any) -> None:
    simulator = Simulator(bench.module)
    simulator.add_clock(1e-6)
    simulator.add_testbench(testbench)
    simulator.run()


@pytest.mark.parametrize(
    ("rows", "cols", "pe", "kind", "depth"), CASES, ids=lambda v: getattr(v, "kind", v)
)
def test_results_and_cycles_of_random_instructions(
    rows: int, cols: int, pe: ProcessingElement, kind: EngineKind, depth: int | None
) -> None:
    _run_apart(spec_of(pe, rows, cols, kind, depth=depth))


@pytest.mark.parametrize(
    ("size", "pe", "tile_rows"), STATIONARY, ids=lambda v: getattr(v, "kind", v)
)
def test_results_and_cycles_where_weights_stand_still(
    size: int, pe: ProcessingElement, tile_rows: int
) -> None:
    _run_apart(spec_of(pe, size, size, tile_rows=tile_rows))


def _run_apart(spec: Spec) -> None:
    """Runs random instructions, each when the one before has ended, and compares."""
    machine, program, _ = _case(spec.engine.rows, spec.engine.cols)
    _compare_apart(spec, machine, program)


def _compare_apart(spec: Spec, machine: Machine, program: list[Compute]) -> None:
    """Compares cycles, and what is in the scratchpad when a reduction has ended."""
    cols = spec.engine.cols
    bench = Bench(spec)
    cycles: list[int] = []
    timings: list[ComputeTiming] = []

    async def run(ctx: Any) -> None:
        await bench.store(ctx, 0b01, machine.scratchpad)
        await bench.store(ctx, 0b10, machine.weights)
        unit = bench.unit
        for compute in program:
            timings.append(_step(machine, compute, spec))
            ctx.set(bench.filling, 0)
            await _offer(ctx, unit, compute)
            count = 0
            while not ctx.get(unit.finished):
                taken = ctx.get(unit.instructions.ready)
                await ctx.tick()
                if taken:
                    ctx.set(unit.instructions.valid, 0)
                count += 1
                assert count < 20_000, compute
            await ctx.tick()
            cycles.append(count + 1)
            if compute.keep:
                continue
            assert await bench.contents(ctx, cols) == machine.scratchpad.tolist(), compute

    _simulate(bench, run)
    assert cycles == [READ_AHEAD + timing.cycles for timing in timings]


# Shifts that leave sums of random operands about int8.
_SHIFTS = {Path.ARRAY: 38, Path.TAPS: 38, Path.SCALARS: 50, Path.MAXIMUM: 30}


def _in_parts(
    rng: np.random.Generator, weights: npt.NDArray[np.uint8], path: Path, tile: int, address: int
) -> list[Compute]:
    """A reduction in two or three parts with windows of their own; all but the last keep the sums.

    The parameters of the last lie at an address, so that the result depends on every part.
    """
    cols = weights.shape[1]
    pixels = int(rng.integers(1, tile + 1)) if path == Path.ARRAY else 1
    parts = []
    for _ in range(int(rng.integers(2, 4))):
        part = random_compute(rng, path, cols)
        # One column of output pixels, so that there may be any number of them.
        pitch = part.step_y + (part.out_width - 1) * part.step_x
        part = replace(part, pixels=pixels, out_width=1, step_y=pitch, keep=1)
        parts.append(replace(part, mask=2**cols - 1, zero_point=0, low=-128, high=127))
    parameters = (
        rng.integers(-50, 50, cols).astype("<i4").tobytes()
        + np.full(cols, 1 << 30, "<u4").tobytes()
        + np.full(cols, _SHIFTS[path], np.uint8).tobytes()
    )
    weights[address : address + 9] = np.frombuffer(parameters, np.uint8).reshape(9, cols)
    return [*parts[:-1], replace(parts[-1], keep=0, weights=address)]


@pytest.mark.parametrize(
    ("rows", "cols", "pe", "kind", "depth", "tile_rows"),
    [
        (5, 2, CarrySave(), "systolic", None, None),
        (2, 4, FreePipeline(), "systolic", None, None),
        (3, 2, Opt4c(segment=8, recoding="booth", cells_per_adder=1), "columns", None, None),
        (3, 2, Mac(), "matrix", None, None),
        (3, 4, CarrySave(), "tree", 2, None),
        (1, 4, Mac(), "cube", 2, None),
        (2, 2, Mac(), "systolic", None, 3),
    ],
    ids=lambda v: getattr(v, "kind", v),
)
def test_a_reduction_in_parts(
    rows: int,
    cols: int,
    pe: ProcessingElement,
    kind: EngineKind,
    depth: int | None,
    tile_rows: int | None,
) -> None:
    machine, _, rng = _case(rows, cols)
    paths = [Path.ARRAY, Path.TAPS, Path.ARRAY, Path.MAXIMUM, Path.SCALARS]
    program = [
        part
        for n, path in enumerate(paths)
        for part in _in_parts(rng, machine.weights, path, tile_rows or rows, 300 + 12 * n)
    ]
    spec = spec_of(pe, rows, cols, kind, depth=depth, tile_rows=tile_rows)
    _compare_apart(spec, machine, program)


@pytest.mark.parametrize(
    ("rows", "cols", "pe", "kind", "tile_rows"),
    [
        (4, 4, Mac(), "systolic", None),
        (2, 2, Mac(), "systolic", None),
        (6, 4, Mac(), "systolic", None),
        (3, 4, Opt4c(segment=8), "columns", None),
        (6, 4, Mac(), "matrix", None),
        (2, 2, Mac(), "systolic", 1),
        (4, 4, CarrySave(), "systolic", 9),
    ],
    ids=lambda v: getattr(v, "kind", v),
)
@pytest.mark.parametrize("longest", [0, 60])
def test_instructions_one_after_another(
    rows: int,
    cols: int,
    pe: ProcessingElement,
    kind: EngineKind,
    tile_rows: int | None,
    longest: int,
) -> None:
    machine, program, rng = _case(rows, cols)
    # Not in order of the paths only, so that each follows each.
    program = [program[n] for n in rng.integers(0, len(program), 14)]
    pauses = rng.integers(0, longest + 1, len(program)).tolist()
    spec = spec_of(pe, rows, cols, kind, tile_rows=tile_rows)
    bench = Bench(spec)
    offered: list[int] = []
    accepted: list[int] = []
    finished: list[int] = []
    timings: list[ComputeTiming] = []

    async def run(ctx: Any) -> None:
        await bench.store(ctx, 0b01, machine.scratchpad)
        await bench.store(ctx, 0b10, machine.weights)
        unit = bench.unit
        ctx.set(bench.filling, 0)
        cycle, pause = 0, pauses[0]
        while len(finished) < len(program):
            if pause == 0 and len(offered) == len(accepted) < len(program):
                await _offer(ctx, unit, program[len(offered)])
                offered.append(cycle)
            if ctx.get(unit.finished):
                finished.append(cycle)
            taken = ctx.get(unit.instructions.valid) and ctx.get(unit.instructions.ready)
            if taken:
                accepted.append(cycle)
            await ctx.tick()
            pause = max(0, pause - 1)
            if taken:
                ctx.set(unit.instructions.valid, 0)
                pause = pauses[len(accepted)] if len(accepted) < len(program) else 0
            cycle += 1
            assert cycle < 40_000
        timings.extend(_step(machine, compute, spec) for compute in program)
        assert await bench.contents(ctx, cols) == machine.scratchpad.tolist()

    _simulate(bench, run)
    weights_free = ends = 0
    for n, timing in enumerate(timings):
        assert accepted[n] == max(ends, max(offered[n], weights_free) + READ_AHEAD), n
        weights_free = accepted[n] + timing.weights
        ends = accepted[n] + timing.cycles - 1
        assert finished[n] == ends, n
