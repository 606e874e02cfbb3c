"""Testbench of the accelerator: AXI ports in Python, values against the functional simulator.

Test plan (the rules of AXI4 are checked in every cycle of every test; the registers are used through
`hw.driver.Driver`, as software does):

========================  ==========================================================================
registers                 identity, byte strobes, read-only registers, SLVERR of unmapped addresses
short_program             every datapath once; the whole memory, the counters, the interrupt, and
                          the exact cycles
stalled_program           the same without the cycles, with random waits on all eight channels
transfers                 lengths and addresses around words, bursts and 4 KiB boundaries
illegal_programs          version, opcode, on-chip address, length and reductions: error code, then a
                          good run
bus_errors                SLVERR on each burst of a program: error code, then a good run
stop_while_offering       an error while an address waits: it stays until it is taken, then a good run
reset_in_mid_run          a reset at random times, then a good run
========================  ==========================================================================
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import cocotb
import numpy as np
from cocotb.clock import Clock
from cocotb.task import bridge
from cocotb.triggers import ClockCycles, First, RisingEdge

from hw.bus.registers import REGISTERS
from hw.control.dispatch import ErrorCode
from hw.driver import ADDRESS, AcceleratorError, Driver
from hw.isa import INSTRUCTION_BYTES, Begin, Compute, End, Load, Store, Target
from sim.timing.program import program_timing
from tb.axi import MemoryPort, RegisterError, RegisterPort
from tb.programs import Case, copy, layers
from tb.suite import Bench

LIMIT = 30_000


class AcceleratorBench:
    """Owns clock, reset, both ports and the driver of the accelerator under test."""

    def __init__(self, dut: Any) -> None:
        bench = Bench.from_json(os.environ["BITWEFT_BENCH"])
        assert bench.spec is not None
        self.dut, self.spec = dut, bench.spec
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.port = MemoryPort(dut, seed=int(self.rng.integers(1 << 32)))
        self.registers = RegisterPort(dut, seed=int(self.rng.integers(1 << 32)))

    async def start(self) -> None:
        """Starts clock and memory, resets, and meets the device."""
        self.dut.rst.value = 1
        Clock(self.dut.clk, 10, unit="ns").start()
        cocotb.start_soon(self.port.run())
        await self.reset()
        self.driver: Driver = await bridge(Driver)(self.registers)

    async def reset(self) -> None:
        self.dut.rst.value = 1
        await ClockCycles(self.dut.clk, 2)
        self.dut.rst.value = 0
        await RisingEdge(self.dut.clk)

    async def launch(self, case: Case) -> None:
        """Puts memory in place and starts the program."""
        self.port.memory = case.memory.copy()
        await bridge(self.driver.start)(0, len(case.program))

    async def finish(self) -> None:
        """Waits for the interrupt; raises what stopped the program."""
        if not int(self.dut.irq.value):
            late = ClockCycles(self.dut.clk, LIMIT)
            assert await First(RisingEdge(self.dut.irq), late) is not late, (
                f"no interrupt came within {LIMIT} cycles"
            )
        await bridge(self.driver.check)()

    async def check(self, case: Case, after: str = "reset") -> None:
        """Runs a program that must succeed, and compares memory, counters and state."""
        before = list(self.port.bursts)
        await self.launch(case)
        await self.finish()
        for address in np.flatnonzero(self.port.memory != case.expected)[:1]:
            raise AssertionError(
                f"memory at {address:#x} is {self.port.memory[address]}, "
                f"not {case.expected[address]}, after {after}"
            )
        assert self.port.idle, f"bursts are under way when all is done, after {after}"
        counters = await bridge(self.driver.counters)()
        word = self.spec.word_bytes
        loads = [i for i in case.program if isinstance(i, Load)]
        expected = {
            "bytes_instructions": len(case.program) * INSTRUCTION_BYTES,
            "bytes_weights": word * sum(i.words for i in loads if i.target == Target.WEIGHTS),
            "bytes_activations": word * sum(i.words for i in loads if i.target != Target.WEIGHTS),
            "bytes_stored": word * sum(i.words for i in case.program if isinstance(i, Store)),
            "computes": sum(isinstance(i, Compute) for i in case.program),
        }
        if self.port.stalls == 0:
            expected["cycles"] = program_timing(
                case.program,
                self.spec,
                latency=self.port.latency,
                interval=1,
                image=case.memory,
            ).cycles
        for name, value in expected.items():
            assert counters[name] == value, (
                f"{name} is {counters[name]}, not {value}, after {after}"
            )
        assert self.port.bursts > before
        await bridge(self.driver.clear)()
        assert not int(self.dut.irq.value), "the interrupt must fall when it is cleared"

    async def check_error(self, case: Case, code: ErrorCode, what: str) -> None:
        """Runs a program that must be stopped by `code`."""
        await self.launch(case)
        try:
            await self.finish()
        except AcceleratorError as error:
            assert error.code == code, f"{what}: {error}, not {code.name}"
            assert code.name in str(error)
        else:
            raise AssertionError(f"{what} must be stopped by {code.name}, not succeed")
        status = await bridge(self.driver.status)()
        assert not status.busy and not status.done, f"{what}: {status}"
        assert self.port.idle, f"{what}: bursts are under way when the units have stopped"

    def short_copy(self) -> Case:
        return copy(self.spec, self.rng, 9, 0x4FF0, 0x6FF8)


@cocotb.test()
async def registers(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    port = bench.registers
    for stalls in (0.0, 0.6):
        port.stalls = stalls
        for register in REGISTERS:
            address = ADDRESS[register.name]
            if register.access != "RW":
                before = await port.load(address)
                await port.store(address, 0xFFFFFFFC)
                assert await port.load(address) == before, register.name
                continue
            value = 0
            for _ in range(12):
                new, strobe = int(bench.rng.integers(1 << 32)), int(bench.rng.integers(16))
                mask = sum(0xFF << 8 * byte for byte in range(4) if strobe >> byte & 1)
                value = (await port.load(address)) & ~mask | new & mask
                await port.store(address, new, strobe)
                assert await port.load(address) == value, (register.name, strobe)
        for address in (4 * len(REGISTERS), 0x80, 0xFC):
            for access in (port.load(address), port.store(address, 1)):
                try:
                    await access
                except RegisterError as error:
                    assert str(error) == f"register {address:#04x} answered 2"
                else:
                    raise AssertionError(f"register {address:#04x} must answer SLVERR")
    assert not int(dut.irq.value)


@cocotb.test()
async def short_program(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    await bench.check(layers(bench.spec, bench.rng))
    await bench.check(layers(bench.spec, bench.rng), after="another program")


@cocotb.test()
async def stalled_program(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    for stalls in (0.2, 0.5, 0.8):
        bench.port.stalls = bench.registers.stalls = stalls
        await bench.check(layers(bench.spec, bench.rng), after=f"stalls of {stalls}")


@cocotb.test()
async def transfers(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    word = bench.spec.word_bytes
    for words in (1, 2, 255, 256, 257, 700):
        for offset in (0, word, 255 * word):
            bench.port.stalls = float(bench.rng.choice([0.0, 0.3]))
            case = copy(bench.spec, bench.rng, words, 0x4000 - offset, 0xB000 - 3 * offset)
            await bench.check(case, after=f"{words} words, {offset} bytes before 4 KiB")


@cocotb.test()
async def illegal_programs(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    good = bench.short_copy()
    words = bench.spec.scratchpad.bytes // bench.spec.word_bytes

    def changed(what: str, position: int, **fields: Any) -> tuple[str, Case]:
        program = list(good.program)
        program[position] = type(program[position])(**{**vars(program[position]), **fields})
        return what, Case(program, good.memory.copy())

    opcode = Case(list(good.program), good.memory.copy())
    opcode.memory[2 * INSTRUCTION_BYTES] = 0x55
    unversioned = Case([End(), End()], good.memory.copy())
    compute = next(i for i in layers(bench.spec, bench.rng).program if isinstance(i, Compute))
    part = replace(compute, pixels=1, keep=1)
    other = replace(part, pixels=2, keep=0)
    cases = [
        (ErrorCode.VERSION, changed("a program of another version", 0, version=99)),
        (ErrorCode.VERSION, ("a program without Begin", unversioned)),
        (ErrorCode.OPCODE, ("an unknown opcode", opcode)),
        (ErrorCode.ADDRESS, changed("a load past the scratchpad", 1, local=words - 4)),
        (ErrorCode.ADDRESS, changed("a store past the scratchpad", 2, local=words - 4)),
        (
            ErrorCode.ADDRESS,
            changed("a load past the weights", 1, target=Target.WEIGHTS, local=(1 << 20) - 4),
        ),
        (ErrorCode.LENGTH, ("an early End", Case([Begin(), End(), End()], good.memory.copy()))),
        (
            ErrorCode.REDUCTION,
            ("a reduction without an end", Case([Begin(), part, End()], good.memory.copy())),
        ),
        (
            ErrorCode.REDUCTION,
            ("a part of another one", Case([Begin(), part, other, End()], good.memory.copy())),
        ),
    ]
    for stalls in (0.0, 0.5):
        bench.port.stalls = stalls
        for code, (what, case) in cases:
            await bench.check_error(case, code, what)
            await bench.check(good, after=what)


@cocotb.test()
async def bus_errors(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    case = layers(bench.spec, bench.rng)
    await bench.check(case)
    reads, writes = bench.port.bursts
    assert reads > 4 and writes > 1
    for stalls in (0.0, 0.5):
        bench.port.stalls = stalls
        for kind, count in (("read", reads), ("write", writes)):
            for burst in range(count):
                setattr(bench.port, f"fail_{kind}", burst)
                await bench.check_error(case, ErrorCode.BUS, f"SLVERR on {kind} burst {burst}")
                assert getattr(bench.port, f"fail_{kind}") is None
                await bench.check(bench.short_copy(), after=f"an error on {kind} burst {burst}")


@cocotb.test()
async def stop_while_offering(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    good = bench.short_copy()
    word = bench.spec.word_bytes
    outside = len(good.memory)
    first = Load(target=Target.SCRATCHPAD, memory=0x4000, local=0, words=9)
    store = Store(memory=0x6000, local=0, words=9, after_load=1)
    # A load that ends outside of the memory; and short ones, whose addresses come again and again.
    failing = Load(target=Target.SCRATCHPAD, memory=outside - 64 * word, local=64, words=128)
    short = Load(target=Target.SCRATCHPAD, memory=0x4000, local=64, words=2)
    cases = [
        ("aw", [Begin(), first, failing, store, End()]),
        ("ar", [Begin(), first, replace(store, memory=outside), *[short] * 8, End()]),
    ]
    for channel, program in cases:
        offer = getattr(dut, f"m_axi_{channel}valid")
        bench.port.held = {"aw"} if channel == "aw" else {"w"}
        await bench.launch(Case(program, good.memory.copy()))
        await RisingEdge(dut.m_axi_awvalid)
        if channel == "ar":
            # The store fails when its data are taken: not before an address of a load waits.
            bench.port.held = {"ar", "w"}
            await ClockCycles(dut.clk, 200)
            bench.port.held = {"ar"}
        # Long enough for the error to come, and for a withdrawal to be seen.
        await ClockCycles(dut.clk, 400)
        assert int(offer.value), f"m_axi_{channel}valid must wait"
        bench.port.held = set()
        try:
            await bench.finish()
        except AcceleratorError as error:
            assert error.code == ErrorCode.BUS, f"while {channel} waits: {error}, not BUS"
        else:
            raise AssertionError(f"an error while {channel} waits must stop the program")
        assert bench.port.idle, f"bursts are under way after an error while {channel} waited"
        await bench.check(good, after=f"an error while {channel} waited")


@cocotb.test()
async def reset_in_mid_run(dut: Any) -> None:
    bench = AcceleratorBench(dut)
    await bench.start()
    for _ in range(12):
        bench.port.stalls = float(bench.rng.choice([0.0, 0.4]))
        await bench.launch(layers(bench.spec, bench.rng))
        cut = int(bench.rng.integers(1, 1500))
        await ClockCycles(dut.clk, cut)
        await bench.reset()
        await bench.check(bench.short_copy(), after=f"a reset after {cut} cycles")
