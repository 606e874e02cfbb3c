"""hw.driver: what software writes and reads, on registers that are a dictionary."""

from __future__ import annotations

import pytest

from hw.bus.registers import IDENTITY, REGISTERS
from hw.control.dispatch import ErrorCode
from hw.driver import ADDRESS, COUNTERS, AcceleratorError, Driver, Status


class Registers:
    """A bus that remembers, and records what is written."""

    def __init__(self, **values: int) -> None:
        self.values = {ADDRESS[name]: value for name, value in values.items()}
        self.written: list[tuple[int, int]] = []

    def read(self, address: int) -> int:
        return self.values.get(address, 0)

    def write(self, address: int, value: int) -> None:
        self.written.append((address, value))


def device(**values: int) -> tuple[Driver, Registers]:
    registers = Registers(identity=IDENTITY, **values)
    return Driver(registers), registers


@pytest.mark.parametrize(
    ("identity", "message"),
    [
        (0, r"^identity must be 0xB17E0002, not 0x00000000: no bitweft accelerator answers at"),
        (IDENTITY + 1, r"^instruction set must be version 2, not 3: use the bitweft that gener"),
    ],
)
def test_another_device_or_version_is_refused(identity: int, message: str) -> None:
    with pytest.raises(AcceleratorError, match=message) as caught:
        Driver(Registers(identity=identity))
    assert caught.value.code is None


def test_start_clears_configures_and_starts_in_this_order() -> None:
    driver, registers = device()
    driver.start(1024, 17)
    assert registers.written == [(0x04, 2), (0x0C, 1), (0x10, 1024), (0x14, 17), (0x04, 1)]


def test_a_run_without_interrupt() -> None:
    driver, registers = device()
    driver.start(0, 2, interrupt=False)
    assert (ADDRESS["interrupt_enable"], 0) in registers.written


@pytest.mark.parametrize(
    ("program", "length", "message"),
    [
        (64, 1, r"^program must start at a multiple of 512 bytes below 4 GiB, not 64$"),
        (
            1 << 32,
            1,
            r"^program must start at a multiple of 512 bytes below 4 GiB, not 4294967296$",
        ),
        (0, 1 << 24, r"^length must be at most 16777215 instructions, not 16777216$"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(program: int, length: int, message: str) -> None:
    driver, registers = device()
    with pytest.raises(ValueError, match=message):
        driver.start(program, length)
    assert registers.written == []


def test_a_busy_accelerator_is_not_started() -> None:
    driver, registers = device(status=1)
    with pytest.raises(AcceleratorError, match=r"^accelerator must be idle to start a program"):
        driver.start(0, 2)
    assert registers.written == []


def test_outcomes() -> None:
    device(status=2)[0].wait()
    with pytest.raises(AcceleratorError, match=r"^program was stopped by error BUS$") as caught:
        device(status=ErrorCode.BUS << 8)[0].wait()
    assert caught.value.code is ErrorCode.BUS
    with pytest.raises(AcceleratorError, match=r"^program was stopped by error 200$"):
        device(status=200 << 8)[0].check()
    with pytest.raises(AcceleratorError, match=r"^program must end within 3 polls of the status"):
        device(status=1)[0].wait(polls=3)
    with pytest.raises(AcceleratorError, match=r"^program must have ended, not be under way or"):
        device(status=0)[0].check()


def test_status_and_clear() -> None:
    assert Status.of(0x0302) == Status(busy=False, done=True, error=ErrorCode.ADDRESS)
    driver, registers = device(status=1)
    assert driver.status() == Status(busy=True, done=False, error=ErrorCode.NONE)
    driver.clear()
    assert registers.written == [(ADDRESS["control"], 2)]


def test_counters_are_the_read_only_registers_of_a_run() -> None:
    driver, _ = device(cycles=12, bytes_stored=34)
    counters = driver.counters()
    assert tuple(counters) == COUNTERS
    assert {"cycles": 12, "bytes_stored": 34}.items() <= counters.items()
    assert {r.name for r in REGISTERS} - set(counters) == {
        "identity", "control", "status", "interrupt_enable", "program_address", "program_length",
    }  # fmt: skip
