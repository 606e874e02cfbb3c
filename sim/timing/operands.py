"""What every computation of a program takes, its operands included where they decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hw.isa import Compute, Instruction
from hw.spec import Spec
from sim.functional import Machine
from sim.timing.execute import ComputeTiming, compute_timing, follows_operands

__all__ = ["compute_timings"]


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
    timings: list[ComputeTiming] = []
    machine = Machine(
        memory.copy(),
        word_bytes=spec.word_bytes,
        scratchpad_words=spec.scratchpad.bytes // spec.word_bytes,
        weight_words=spec.weight_buffer.bytes // spec.word_bytes,
        on_compute=lambda compute, operands: timings.append(
            compute_timing(compute, spec, operands)
        ),
    )
    machine.run(program)
    return timings
