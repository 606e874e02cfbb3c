"""Recoding of an operand into radix-4 digits: one of {-2, -1, 0, 1, 2} at weight ``4**i``.

Both recodings have the same number of digits; they differ in how many of them are zero.

Modified Booth (MBE): digit i of a two's complement number ``a`` is
``-2*a[2i+1] + a[2i] + a[2i-1]`` with ``a[-1] = 0``.

EN-T: the magnitude is written with digits {-1, 0, 1, 2}, least significant first; a 3, or a 2 that
receives a carry, becomes -1 with a carry into the next digit. Then the sign is applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from amaranth import Cat, Const, Mux

from hw.operand import Operand

__all__ = [
    "BoothSelect",
    "Recoding",
    "booth_digit_count",
    "booth_digits",
    "booth_select",
    "digits",
    "ent_digits",
    "ent_select",
    "select_digits",
]

Recoding = Literal["booth", "ent"]
"""Name of a recoding in a spec."""


@dataclass(frozen=True)
class BoothSelect:
    """Select lines of one Booth digit: the digit is ``(-1)**neg * (one + 2*two)``.

    `neg` may be set while `one` and `two` are not (digit -0, from the bit triple 111).
    """

    one: Any
    two: Any
    neg: Any


def booth_digit_count(operand: Operand) -> int:
    """Number of radix-4 digits that represent every value of `operand`."""
    return (operand.signed_bits + 1) // 2


def booth_digits(value: int, operand: Operand) -> list[int]:
    """Booth digits of `value`, least significant first: ``value == sum(d * 4**i)``.

    Raises
    ------
    ValueError
        `value` is not a value of `operand`.
    """
    if not operand.min <= value <= operand.max:
        raise ValueError(f"value must be of format {operand}, not {value}")
    doubled = value << 1
    digits = []
    for i in range(booth_digit_count(operand)):
        triple = (doubled >> (2 * i)) & 0b111
        digits.append((triple & 1) + ((triple >> 1) & 1) - 2 * (triple >> 2))
    return digits


def booth_select(value: Any, operand: Operand) -> list[BoothSelect]:
    """Select lines for every Booth digit of the Amaranth `value`, least significant first."""
    count = booth_digit_count(operand)
    top = value[operand.bits - 1] if operand.signed else Const(0, 1)
    extension = [top] * (2 * count - operand.bits)
    bits = Cat(Const(0, 1), value, *extension)
    selects = []
    for i in range(count):
        low, middle, high = (bits[2 * i + j] for j in range(3))
        one = low ^ middle
        selects.append(BoothSelect(one=one, two=~one & (middle ^ high), neg=high))
    return selects


def ent_digits(value: int, operand: Operand) -> list[int]:
    """EN-T digits of `value`, least significant first: ``value == sum(d * 4**i)``.

    Raises
    ------
    ValueError
        `value` is not a value of `operand`.
    """
    if not operand.min <= value <= operand.max:
        raise ValueError(f"value must be of format {operand}, not {value}")
    sign, magnitude, found = (-1 if value < 0 else 1), abs(value), []
    for _ in range(booth_digit_count(operand)):
        digit = magnitude % 4
        digit = -1 if digit == 3 else digit
        found.append(sign * digit)
        magnitude = (magnitude - digit) // 4
    return found


def ent_select(value: Any, operand: Operand) -> list[BoothSelect]:
    """Select lines for every EN-T digit of the Amaranth `value`, least significant first."""
    count = booth_digit_count(operand)
    sign = value[operand.bits - 1] if operand.signed else Const(0, 1)
    magnitude = Mux(sign, -value, value)[: operand.bits]
    bits = Cat(magnitude, Const(0, 2 * count - operand.bits))
    selects, carry = [], Const(0, 1)
    for i in range(count):
        low, high = bits[2 * i], bits[2 * i + 1]
        one = low ^ carry
        # Two, or one plus a carry.
        two = Mux(carry, low & ~high, high & ~low)
        # Three, or two plus a carry.
        minus = high & one
        carry = high & (low | carry)
        selects.append(BoothSelect(one=one, two=two, neg=sign ^ minus))
    return selects


def digits(value: int, operand: Operand, recoding: Recoding) -> list[int]:
    """Digits of `value` in either recoding; see `booth_digits`."""
    return (ent_digits if recoding == "ent" else booth_digits)(value, operand)


def select_digits(value: Any, operand: Operand, recoding: Recoding) -> list[BoothSelect]:
    """Select lines of either recoding."""
    return (ent_select if recoding == "ent" else booth_select)(value, operand)
