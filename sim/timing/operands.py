"""What every computation of a program takes, its operands included where they decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hw.isa import Compute, Instruction
from hw.spec import Spec
from sim.functional import Machine
from sim.reference import Integers
from sim.timing.execute import ComputeTiming, compute_timing, follows_operands

__all__ = ["OperandTimings", "compute_timings"]


def compute_timings(
    program: Sequence[Instruction], spec: Spec, memory: npt.NDArray[np.uint8] | None
) -> list[ComputeTiming]:
    """Timing of each `Compute` of a program, in order.

    Parameters
    ----------
    memory : (bytes,) uint8 or None
        Off-chip memory before the run; needed where `follows_operands`: the program is then run in
        the functional simulator to see what each computation works on.

    Raises
    ------
    ValueError
        It is needed and missing, or the program cannot be run.
    """
    if not follows_operands(spec):
        return [compute_timing(i, spec) for i in program if isinstance(i, Compute)]
    if memory is None:
        raise ValueError(f"memory must be given for {spec.pe.kind}: operands set its pace")
    timings = OperandTimings(spec)
    machine = Machine(
        memory.copy(),
        word_bytes=spec.word_bytes,
        scratchpad_words=spec.scratchpad.bytes // spec.word_bytes,
        weight_words=spec.weight_buffer.bytes // spec.word_bytes,
        on_compute=timings,
    )
    machine.run(program)
    return timings.found


class OperandTimings:
    """Timing of computations as `sim.functional.Machine` runs them: its `on_compute`.

    Attributes
    ----------
    found : list of ComputeTiming
    """

    def __init__(self, spec: Spec) -> None:
        self.found: list[ComputeTiming] = []
        self._spec = spec
        self._parts: list[Integers] = []  # activations of a reduction that has not ended

    def __call__(self, compute: Compute, operands: Integers | None) -> None:
        before = np.hstack(self._parts) if self._parts else None
        self.found.append(compute_timing(compute, self._spec, operands, before))
        if not compute.keep:
            self._parts = []
        elif operands is not None and follows_operands(self._spec):
            rows = np.full((self._spec.engine.rows, operands.shape[1]), compute.pad_value, np.int64)
            rows[: len(operands)] = operands
            self._parts.append(rows)
