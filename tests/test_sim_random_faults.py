"""sim.random_faults: each fault is one that the functional simulator or the format refuses, too."""

from __future__ import annotations

import numpy as np
import pytest

from hw.control.dispatch import ErrorCode
from hw.isa import INSTRUCTION_BYTES, Begin, End, Load, Target, decode, encode
from hw.spec import load_spec
from sim.functional import Machine, ProgramError
from sim.random_faults import MALFORMATIONS, fewest_bursts, malformed
from sim.random_programs import MEMORY_BYTES, random_program

SPEC = load_spec("tiny")
WORD = SPEC.word_bytes


@pytest.mark.parametrize("what", MALFORMATIONS)
def test_no_faulty_program_is_sound(what: str) -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        case = random_program(rng, SPEC)
        bad = malformed(what, rng, case.instructions, SPEC, MEMORY_BYTES)
        assert len(bad.code) == bad.length * INSTRUCTION_BYTES
        assert bad.error is not ErrorCode.NONE
        machine = Machine(
            case.memory,
            word_bytes=WORD,
            scratchpad_words=SPEC.scratchpad.bytes // WORD,
            weight_words=SPEC.weight_buffer.bytes // WORD,
            tile=SPEC.engine.tile,
        )
        with pytest.raises((ProgramError, ValueError)):
            machine.run(decode(bad.code))


def test_bursts_of_a_program_by_hand() -> None:
    load = Load(target=Target.SCRATCHPAD, memory=0, local=0, words=4)
    # Ten instructions are fetched in two bursts of eight.
    assert fewest_bursts([Begin(), *[load] * 8, End()]) == 2 + 8
    assert len(encode([Begin(), End()])) == 2 * INSTRUCTION_BYTES
