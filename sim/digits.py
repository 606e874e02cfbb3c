"""Digits of operands and what they cost a digit PE, written from the definitions in NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hw.digits import Recoding
from hw.operand import Operand
from sim.reference import Integers

__all__ = ["lane_groups", "pass_cycles", "recode"]


def recode(values: npt.ArrayLike, operand: Operand, recoding: Recoding) -> Integers:
    """Radix-4 digits of `values` on a new last axis, least significant first.

    ``booth``: digit i is ``-2*v[2i+1] + v[2i] + v[2i-1]``. ``ent``: the magnitude in digits
    {-1, 0, 1, 2}, times the sign.
    """
    numbers = np.asarray(values, np.int64)
    count = (operand.signed_bits + 1) // 2
    if recoding == "booth":
        bits = [(numbers >> max(n, 0)) & 1 if n >= 0 else 0 * numbers for n in range(-1, 2 * count)]
        digits = [bits[2 * i] + bits[2 * i + 1] - 2 * bits[2 * i + 2] for i in range(count)]
        return np.stack(digits, axis=-1)
    rest, found = np.abs(numbers), []
    for _ in range(count):
        digit = np.where(rest % 4 == 3, -1, rest % 4)
        found.append(np.sign(numbers) * digit)
        rest = (rest - digit) // 4
    return np.stack(found, axis=-1)


def lane_groups(digits: Integers, group: int, lanes: int) -> Integers:
    """Digits of a reduction as the lanes take them.

    Group g of `group` consecutive elements goes to lane ``g % lanes``; what is missing is zero.

    Parameters
    ----------
    digits : (..., K, BW)

    Returns
    -------
    (..., lanes, groups of a lane, group, BW)
    """
    *outer, k, weights = digits.shape
    per_lane = max(1, -(-k // (group * lanes)))
    padding = [(0, 0)] * len(outer) + [(0, per_lane * lanes * group - k), (0, 0)]
    whole = np.pad(digits, padding).reshape(*outer, per_lane, lanes, group, weights)
    return np.moveaxis(whole, -3, -4)


def pass_cycles(digits: Integers, group: int, lanes: int) -> Integers:
    """Cycles in which the digits of each bit weight of a reduction are issued.

    A group takes ``max(1, nonzero digits)`` cycles; the longest lane counts. Lanes without any
    element have no groups, except that an empty one costs the cycle that every pass has at least.

    Parameters
    ----------
    digits : (..., K, BW)

    Returns
    -------
    (..., BW)
    """
    k = digits.shape[-2]
    groups = lane_groups(digits, group, lanes)
    cycles = np.maximum(1, (groups != 0).sum(axis=-2))
    # Groups that lie wholly past the end are never read.
    lane, place = np.indices(groups.shape[-4:-2])
    cycles[..., ((place * lanes + lane) * group >= k) & (place > 0), :] = 0
    longest: Integers = cycles.sum(axis=-2).max(axis=-2)
    return longest
