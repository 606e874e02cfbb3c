"""Programs of one network on the simulated hardware."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bitweft.run_figures import Traffic
from bitweft.run_program import RunProgram
from hw.control.dispatch import ErrorCode
from hw.spec import Spec
from sim.runner.accelerator import MemoryModel, NativeAccelerator, Waves
from sim.runner.library import SimulationError

__all__ = ["Counted", "Hardware", "Progress"]

Progress = Callable[[str, float | None], object]
"""Receives what is being done, and how much of it is done, 0 to 1, where that is known."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Counted:
    """One run as the hardware saw it.

    Attributes
    ----------
    memory : (bytes,) uint8
        Afterwards.
    cycles : int
        From start to done.
    finishes : (computations,)
        How many cycles had passed when each computation was finished.
    traffic : Traffic
    traced : (int, int), optional
        Cycles in the waveform, half-open, where one was asked for.
    """

    memory: Bytes
    cycles: int
    finishes: npt.NDArray[np.int64]
    traffic: Traffic
    traced: tuple[int, int] | None = None


@dataclass(frozen=True)
class Hardware:
    """Runs programs of one network, each on an accelerator fresh from reset."""

    spec: Spec
    stalls: float
    seed: int
    report: Progress

    def run(self, program: RunProgram, waves: Waves | None = None) -> Counted:
        """Runs a program whose inputs are in place.

        Raises
        ------
        SimulationError
            It stopped with an error or did not end.
        """
        self.report("building the hardware model", None)
        size, timing = len(program.image), program.timing
        memory = replace(MemoryModel.of(self.spec, size), stalls=self.stalls, seed=self.seed)
        # More than any memory of these stalls makes of it: what takes as long hangs.
        limit = round(10 * (timing.cycles + 1000) / (1 - self.stalls) ** 2)
        expected = (0, *timing.computes)
        with NativeAccelerator(self.spec, memory, waves) as accelerator:
            accelerator.memory[:] = program.image
            self.report("simulating", 0.0)
            error = accelerator.run(
                program=program.address,
                length=len(program.instructions),
                limit=limit,
                slice_cycles=1 << 16,
                on_slice=lambda _, n: self.report("simulating", expected[n] / timing.cycles),
            )
            if error:
                raise SimulationError(
                    f"the accelerator must run the program, not stop with {ErrorCode(error).name}"
                )
            traffic = Traffic(*(accelerator.read(f"bytes_{name}") for name in Traffic._fields))
            cycles, finishes = accelerator.read("cycles"), accelerator.finish_cycles()
            traced = accelerator.traced() if waves is not None else None
            return Counted(accelerator.memory.copy(), cycles, finishes, traffic, traced)
