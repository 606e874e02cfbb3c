"""hw.operand: number formats of operands."""

from __future__ import annotations

import pytest
from amaranth import signed, unsigned

from hw.operand import Operand


@pytest.mark.parametrize(
    ("name", "low", "high", "shape", "signed_bits"),
    [
        ("int8", -128, 127, signed(8), 8),
        ("uint8", 0, 255, unsigned(8), 9),
        ("int2", -2, 1, signed(2), 2),
        ("uint16", 0, 65535, unsigned(16), 17),
    ],
)
def test_formats(name: str, low: int, high: int, shape: object, signed_bits: int) -> None:
    operand = Operand.parse(name)
    assert (operand.min, operand.max) == (low, high)
    assert operand.shape == shape
    assert operand.signed_bits == signed_bits
    assert str(operand) == name


@pytest.mark.parametrize("name", ["int1", "int17", "uint0", "float8", "int", "INT8", "", 8, None])
def test_refuses_other_names(name: object) -> None:
    with pytest.raises(ValueError, match=r"^must be 'int2' to 'int16' or 'uint2' to 'uint16'$"):
        Operand.parse(name)


def test_refuses_widths_out_of_range() -> None:
    with pytest.raises(ValueError, match=r"^operand must be 2 to 18 bits wide, not 1$"):
        Operand(1)
