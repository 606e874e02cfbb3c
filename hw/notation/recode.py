"""Digits of an operand, in each of the recodings that a nest may name.

From the definitions, in Python integers: modified Booth (MBE, radix 4, digits -2 to 2), EN-T (radix
4: the magnitude in digits -1 to 2, then the sign), and the bits of two's complement (radix 2, the
top one of negative weight).
"""

from __future__ import annotations

from hw.digits import booth_digit_count, booth_digits
from hw.operand import Operand

__all__ = ["RECODINGS", "digit_count", "digit_range", "digits_of", "radix_of"]

RECODINGS = ("mbe", "ent", "radix2")


def radix_of(recoding: str) -> int:
    """Ratio of the weights of neighbouring digits."""
    return 2 if recoding == "radix2" else 4


def digit_count(recoding: str, operand: Operand) -> int:
    """Number of digits that represent every value of `operand`."""
    if recoding == "mbe":
        return booth_digit_count(operand)
    if recoding == "radix2":
        return operand.signed_bits
    # The largest digits without a carry out of the top are 2, 2, ..., 2.
    magnitude = max(operand.max, -operand.min)
    count = 1
    while 2 * (4**count - 1) // 3 < magnitude:
        count += 1
    return count


def digit_range(recoding: str) -> tuple[int, int]:
    """Least and greatest digit."""
    return (-1, 1) if recoding == "radix2" else (-2, 2)


def digits_of(value: int, recoding: str, operand: Operand) -> list[int]:
    """Digits of `value`, least significant first: ``value == sum(d * radix**i)``.

    Raises
    ------
    ValueError
        `value` is not a value of `operand`.
    """
    if not operand.min <= value <= operand.max:
        raise ValueError(f"value must be of format {operand}, not {value}")
    if recoding == "mbe":
        return booth_digits(value, operand)
    count = digit_count(recoding, operand)
    if recoding == "radix2":
        bits = [(value >> i) & 1 for i in range(count)]
        return [*bits[:-1], -bits[-1]]
    sign, rest, digits = (-1 if value < 0 else 1), abs(value), []
    for _ in range(count):
        digit = (0, 1, 2, -1)[rest % 4]
        digits.append(sign * digit)
        rest = (rest - digit) // 4
    return digits
