"""Random programs whose units run side by side as far as the banks allow."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from hw.spec import Spec
from mapper.hazards import with_tokens
from sim.random_programs import RandomProgram, unordered_program

__all__ = ["overlapping_program"]


def overlapping_program(rng: np.random.Generator, spec: Spec) -> RandomProgram:
    """An `unordered_program` with the tokens that it needs."""
    case = unordered_program(rng, spec)
    return replace(case, instructions=with_tokens(case.instructions, spec))
