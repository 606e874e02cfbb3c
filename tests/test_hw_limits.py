"""hw.limits: which specs are an accelerator, and what the others are told."""

from __future__ import annotations

import pytest

from hw.accelerator import Accelerator
from hw.limits import accelerator_conflict
from hw.spec import Spec, load_spec, parse_spec, shipped_specs
from tests.support import refuses

TEXT = """
engine = {{ rows = 3, cols = {cols}, max_k = 1000 }}
pe = {{ kind = "mac" {pe} }}
scratchpad = {{ bytes = {scratchpad}, banks = 1 }}
weight_buffer = {{ bytes = {weights} }}
memory = {{ bus_bits = {bus}, latency_cycles = 1, bytes_per_cycle = 1 }}
"""


def stationary(rows: int) -> Spec:
    text = TEXT.format(cols=4, pe="", scratchpad=4096, weights=4096, bus=32)
    engine = f'dataflow = "weight-stationary", rows = {rows}'
    return parse_spec(text.replace("rows = 3", engine), "test", "test")


def spec(
    cols: int = 4, pe: str = "", scratchpad: int = 4096, weights: int = 4096, bus: int = 32
) -> Spec:
    text = TEXT.format(cols=cols, pe=pe, scratchpad=scratchpad, weights=weights, bus=bus)
    return parse_spec(text, "test", "test")


def test_shipped_specs_and_rectangles_are_accelerators() -> None:
    assert all(accelerator_conflict(load_spec(name)) is None for name in shipped_specs())
    for cols in (2, 4, 8, 16, 32):
        assert accelerator_conflict(spec(cols=cols, bus=8 * cols)) is None


def test_weights_may_stand_still_in_a_square_array() -> None:
    assert accelerator_conflict(stationary(rows=4)) is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (spec(pe=', activation = "uint8"'), r"^pe\.activation must be int8, not uint8: change it$"),
        (spec(pe=', weight = "int4"'), r"^pe\.weight must be int8, not int4: change it$"),
        (
            spec(pe=", accumulator_bits = 40"),
            r"^pe\.accumulator_bits must be 32, not 40: change it$",
        ),
        (
            spec(cols=1, bus=8),
            r"^engine\.cols must be a power of two from 2 to 32, not 1: change it, and memory\.bu",
        ),
        (spec(cols=6), r"^engine\.cols must be a power of two from 2 to 32, not 6: change it, and"),
        (
            stationary(rows=3),
            r"^engine\.rows must be 4 where weights stand still \(one per channel of a word\), not 3",
        ),
        (spec(cols=64, bus=512), r"^engine\.cols must be a power of two from 2 to 32, not 64: ch"),
        (
            spec(bus=64),
            r"^memory\.bus_bits must be 32 \(one byte per engine column\), not 64: change it or e",
        ),
        (
            spec(scratchpad=1 << 27),
            r"^scratchpad\.bytes must be at most 67108864 \(16777216 words of 4 bytes can be addr",
        ),
        (
            spec(weights=1 << 23),
            r"^weight_buffer\.bytes must be at most 4194304 \(1048576 words of 4 bytes can be ad",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_specs_are_refused(wrong: Spec, message: str) -> None:
    refuses(lambda: Accelerator(wrong), message)
