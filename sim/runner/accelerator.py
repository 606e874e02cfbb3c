"""A whole accelerator as native code, with a memory on its bus."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.accelerator import Accelerator
from hw.driver import Driver
from hw.emit import to_verilog
from hw.spec import Spec
from sim.runner.library import SimulationError, native_library

__all__ = ["MemoryModel", "NativeAccelerator", "Waves"]


@dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """The memory on the accelerator's bus.

    Attributes
    ----------
    size : int
        Bytes.
    latency : int
        Cycles from a read address to its first data, and from a burst's last word to its response.
    interval : int
        Cycles per beat.
    stalls : float
        Probability that a channel is not ready, or a beat not there, in a cycle.
    seed : int
        Of the stalls.
    fail_burst : int, optional
        The burst of this number answers SLVERR.
    """

    size: int
    latency: int = 64
    interval: int = 1
    stalls: float = 0.0
    seed: int = 1
    fail_burst: int | None = None

    @classmethod
    def of(cls, spec: Spec, size: int) -> MemoryModel:
        """The memory that a spec describes."""
        return cls(
            size=size,
            latency=spec.memory.latency_cycles,
            interval=-(-spec.word_bytes // spec.memory.bytes_per_cycle),
        )


@dataclass(frozen=True)
class Waves:
    """A waveform to be written: all signals in a part of a run.

    Attributes
    ----------
    file : Path
        VCD, 10 ns per cycle; time 0 is the first cycle that is written.
    first, last : int
        From when `first` computations are finished until `last` are.
    """

    file: Path
    first: int
    last: int


class NativeAccelerator:
    """A Verilated accelerator; a context manager, since its memory lives outside Python.

    Parameters
    ----------
    spec : Spec
    memory : MemoryModel
    waves : Waves, optional
        Of the first run; this takes another model, which is slower.

    Raises
    ------
    InputError
        A program that simulation needs is missing.
    """

    def __init__(self, spec: Spec, memory: MemoryModel, waves: Waves | None = None) -> None:
        self._library = _library(spec, waves is not None)
        self._waves = waves
        self._size = memory.size
        self._ended = 0
        self._handle = self._library.bitweft_open(
            memory.size,
            memory.latency,
            memory.interval,
            round(1000 * memory.stalls),
            memory.seed,
            -1 if memory.fail_burst is None else memory.fail_burst,
        )

        self._driver = Driver(_Registers(self._library, self._handle))

    def __enter__(self) -> NativeAccelerator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._library.bitweft_close(self._handle)
        self._handle = None

    @property
    def memory(self) -> npt.NDArray[np.uint8]:
        """The memory itself, not a copy: (size,) uint8."""
        pointer = self._library.bitweft_memory(self._handle)
        return np.ctypeslib.as_array(pointer, (self._size,))

    def write(self, register: str, value: int) -> None:
        """Writes a register over AXI4-Lite."""
        self._driver.write(register, value)

    def read(self, register: str) -> int:
        """Reads a register over AXI4-Lite."""
        return self._driver.read(register)

    def counters(self) -> dict[str, int]:
        """What happened in the last run: every counter by its name."""
        return self._driver.counters()

    def fail(self, burst: int | None) -> None:
        """Lets the burst that comes after `burst` others answer SLVERR; None: no further one."""
        self._library.bitweft_fail(self._handle, -1 if burst is None else burst)

    def reset(self) -> None:
        """Resets accelerator and bus, in the middle of a run or after it; memory stays."""
        self._library.bitweft_reset(self._handle)

    def start(self, *, program: int, length: int) -> None:
        """Starts the program at byte address `program`; `advance` lets it run."""
        self._library.bitweft_forget(self._handle)
        self._driver.start(program, length)
        if self._waves is not None:
            path, first, last = os.fsencode(self._waves.file), self._waves.first, self._waves.last
            if not self._library.bitweft_trace(self._handle, path, first, last):
                raise SimulationError(f"waveform {self._waves.file} must be writable")
            self._waves = None

    def advance(self, cycles: int) -> bool:
        """Runs for so many cycles or until the interrupt; whether the accelerator is still busy."""
        self._library.bitweft_wait(self._handle, cycles)
        self._ended = int(self._library.bitweft_cycle(self._handle))
        return self._driver.status().busy

    @property
    def error(self) -> int:
        """The error code of the last run, 0 for none."""
        return int(self._driver.status().error)

    def run(
        self,
        *,
        program: int,
        length: int,
        limit: int,
        slice_cycles: int = 1 << 20,
        on_slice: Callable[[int, int], object] | None = None,
    ) -> int:
        """Runs the program at byte address `program`; returns the error code, 0 for none.

        Parameters
        ----------
        program, length : int
            Byte address, and instructions.
        limit : int
            Cycles.
        slice_cycles : int
            Cycles between calls of `on_slice`.
        on_slice : callable, optional
            Receives the cycles that passed and the computations that are finished.

        Raises
        ------
        SimulationError
            There was no interrupt within `limit` cycles.
        """
        begin = int(self._library.bitweft_cycle(self._handle))
        self.start(program=program, length=length)
        passed = 0
        while self.advance(min(slice_cycles, limit - passed)):
            passed = int(self._library.bitweft_cycle(self._handle)) - begin
            if passed >= limit:
                raise SimulationError(
                    f"the accelerator must be done within {limit} cycles, not busy after {passed}"
                )
            if on_slice is not None:
                on_slice(passed, len(self._finishes()))
        return self.error

    def finish_cycles(self) -> npt.NDArray[np.int64]:
        """Of the last run, which must have ended without an error: how many cycles had passed,
        as the register `cycles` counts them, when each computation was finished."""
        # The interrupt rose when the last cycle had been counted.
        begin = self._ended - self.read("cycles")
        return self._finishes() - begin

    def traced(self) -> tuple[int, int]:
        """The cycles of the last run, which must have ended without an error, whose signals were
        written: half-open, as the register `cycles` counts."""
        begin = self._ended - self.read("cycles")
        first, end = ctypes.c_int64(), ctypes.c_int64()
        self._library.bitweft_traced(self._handle, ctypes.byref(first), ctypes.byref(end))
        return first.value - begin, end.value - begin

    def _finishes(self) -> npt.NDArray[np.int64]:
        pointer = ctypes.POINTER(ctypes.c_int64)()
        count = self._library.bitweft_finishes(self._handle, ctypes.byref(pointer))
        if not count:
            return np.zeros(0, np.int64)
        return np.ctypeslib.as_array(pointer, (count,)).copy()


class _Registers:
    """The `hw.driver.Bus` of a model."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library = library
        self._handle = handle

    def read(self, address: int) -> int:
        value = ctypes.c_uint32()
        code = self._library.bitweft_read(self._handle, address, ctypes.byref(value))
        if code != 0:
            raise SimulationError(f"register {address:#04x} must answer a read, not with {code}")
        return value.value

    def write(self, address: int, value: int) -> None:
        code = self._library.bitweft_write(self._handle, address, value)
        if code != 0:
            raise SimulationError(f"register {address:#04x} must accept a write, not answer {code}")


@lru_cache(maxsize=8)
def _library(spec: Spec, waves: bool) -> Any:
    """Writing the Verilog takes seconds, even when the compiled model is in the cache."""
    verilog = to_verilog(Accelerator(spec), "top")
    return _typed(native_library(verilog, "top", "accelerator.cpp", waves=waves))


def _typed(library: Any) -> Any:
    """Declares the functions of ``accelerator.cpp``."""
    handle, word, count = ctypes.c_void_p, ctypes.c_uint32, ctypes.c_int64
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "open": (handle, [ctypes.c_uint64, count, count, word, ctypes.c_uint64, count]),
        "close": (None, [handle]),
        "reset": (None, [handle]),
        "memory": (ctypes.POINTER(ctypes.c_uint8), [handle]),
        "fail": (None, [handle, count]),
        "write": (ctypes.c_int32, [handle, word, word]),
        "read": (ctypes.c_int32, [handle, word, ctypes.POINTER(word)]),
        "wait": (count, [handle, count]),
        "cycle": (count, [handle]),
        "finishes": (count, [handle, ctypes.POINTER(ctypes.POINTER(count))]),
        "forget": (None, [handle]),
        "trace": (ctypes.c_int32, [handle, ctypes.c_char_p, word, word]),
        "traced": (None, [handle, ctypes.POINTER(count), ctypes.POINTER(count)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"bitweft_{name}")
        function.restype, function.argtypes = result, arguments
    return library
