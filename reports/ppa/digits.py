"""Cycles that PEs with zero-skipping need for given operands, simulated group by group.

Written from the mathematics: a digit-serial column takes, for one bit weight, the groups of its
reduction one after another, one cycle per nonzero digit and one for a group of zeros only; columns
that share a tile wait for the slowest. Nothing here is an average of digit counts: the operands are
drawn (or read), recoded, grouped and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from hw.errors import InputError

__all__ = ["Cycles", "Distribution", "Recoding", "count", "digits", "parse_distribution"]

Recoding = Literal["booth", "en-t"]
Values = npt.NDArray[np.int64]

_BITS = 8
_DIGITS = _BITS // 2


@dataclass(frozen=True)
class Distribution:
    """Where operands come from.

    Attributes
    ----------
    name : str
        As the user gave it.
    rule : str
        What the name means, for the report.
    table : tuple of float
        Probability of each of -128 .. 127.
    values : array or None
        The operands themselves, where they were read from a file.
    """

    name: str
    rule: str
    table: tuple[float, ...]
    values: Values | None = None

    def draw(self, rows: int, k: int, seed: int) -> Values:
        """Operands of `rows` reductions of length `k`.

        Those of a file are taken in its order, row after row, and again from the start when they
        are used up; others are drawn with the generator of `seed`.
        """
        if self.values is not None:
            flat = self.values.reshape(-1)
            return np.resize(flat, (rows, k))
        generator = np.random.default_rng(seed)
        drawn = generator.choice(np.arange(-128, 128), size=(rows, k), p=np.array(self.table))
        return drawn.astype(np.int64)


def parse_distribution(text: str) -> Distribution:
    """``uniform``, ``normal:SIGMA``, ``normal:SIGMA:clip``, or the path of an int8 ``.npy`` file.

    A normal distribution is the density at each integer, cut to -128 .. 127 and scaled to a sum of
    1; with ``clip`` all that lies outside counts as -128 or 127 instead.

    Raises
    ------
    InputError
        The text is none of these, or the file holds something else.
    """
    if text == "uniform":
        return Distribution(text, "all 256 values equally likely", (1 / 256,) * 256)
    if text.startswith("normal:"):
        return _normal(text)
    if text.endswith(".npy"):
        return _from_file(Path(text))
    raise InputError(
        f"--distribution must be uniform, normal:SIGMA, normal:SIGMA:clip or a .npy file, not {text!r}."
    )


def _normal(text: str) -> Distribution:
    _, _, rest = text.partition(":")
    number, _, rule = rest.partition(":")
    try:
        sigma = float(number)
    except ValueError:
        sigma = 0.0
    if not 0 < sigma < 1e6 or rule not in ("", "clip"):
        raise InputError(
            f"--distribution must be normal:SIGMA or normal:SIGMA:clip with a positive SIGMA, not {text!r}."
        )
    span = max(256, int(8 * sigma)) if rule else 128
    points = np.arange(-span, span + 1 if rule else span)
    density = np.exp(-0.5 * (points / sigma) ** 2)
    table = np.zeros(256)
    np.add.at(table, np.clip(points, -128, 127) + 128, density)
    told = "clipped to" if rule else "truncated to"
    return Distribution(
        text, f"N(0, {sigma:g}) {told} -128 .. 127", tuple(float(p) for p in table / table.sum())
    )


def _from_file(path: Path) -> Distribution:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--distribution must name a readable .npy file, not {str(path)!r}."
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype != np.int8 or values.size == 0:
        raise InputError(f"--distribution file must hold int8 values, not {path.name!r}.")
    wide = values.astype(np.int64)
    table = np.bincount(wide.reshape(-1) + 128, minlength=256) / wide.size
    rule = f"{wide.size} operands of {path.name}"
    return Distribution(path.name, rule, tuple(float(p) for p in table), wide)


def digits(values: Values, recoding: Recoding) -> Values:
    """Radix-4 digits of int8 values, least significant first, in a new last axis of 4."""
    if recoding == "booth":
        doubled = values << 1
        triples = np.stack([(doubled >> (2 * i)) & 7 for i in range(_DIGITS)], axis=-1)
        return np.asarray((triples & 1) + ((triples >> 1) & 1) - 2 * (triples >> 2))
    # EN-T: the magnitude in digits -1 .. 2 (a 3 becomes -1 and carries), then the sign.
    rest, sign = np.abs(values), np.sign(values)
    found = []
    for i in range(_DIGITS):
        digit = rest & 3 if i < _DIGITS - 1 else rest
        digit = np.where((digit == 3) & (i < _DIGITS - 1), -1, digit)
        found.append(digit * sign)
        rest = (rest - digit) >> 2
    return np.stack(found, axis=-1)


@dataclass(frozen=True)
class Cycles:
    """What was counted.

    Attributes
    ----------
    digits_per_operand : float
        Nonzero digits: the cycles if zeros cost nothing.
    per_mac : float
        Cycles of a column by itself: with a cycle for every group of zeros.
    per_mac_synchronised : float
        The same when columns (and lanes) wait for the slowest of a tile.
    """

    digits_per_operand: float
    per_mac: float
    per_mac_synchronised: float


def count(
    values: Values, *, recoding: Recoding, group: int = 4, lanes: int = 1, columns: int = 1
) -> Cycles:
    """Cycles for reductions of `values`, one row per output row of A.

    Parameters
    ----------
    values : array of shape (rows, K)
        Consecutive rows are the columns of one tile; `rows` must be a multiple of `columns`, and K
        of ``group * lanes``.
    group : int
        Operands whose digits of one bit weight are queued together.
    lanes : int
        Groups of one reduction that run side by side into one accumulator; they meet again at the
        end of each bit weight.
    columns : int
        Columns that start each tile together.
    """
    rows, k = values.shape
    if rows % columns or k % (group * lanes):
        raise ValueError(f"operands must fill tiles and groups, not {rows} x {k}")
    nonzero = digits(values, recoding) != 0
    # rows, groups, operand of the group, digit -> nonzero digits of each group and digit
    per_group = nonzero.reshape(rows, k // group, group, _DIGITS).sum(axis=2)
    cost = np.maximum(per_group, 1)
    # Lane l takes groups l, l + lanes, ...; lanes meet at the end of a bit weight.
    per_lane = cost.reshape(rows, k // (group * lanes), lanes, _DIGITS).sum(axis=1)
    per_row = per_lane.max(axis=1).sum(axis=1)
    per_tile = per_row.reshape(rows // columns, columns).max(axis=1)
    alone = per_lane.sum() / lanes
    return Cycles(
        digits_per_operand=float(nonzero.sum() / values.size),
        per_mac=float(alone / values.size),
        per_mac_synchronised=float(per_tile.sum() * columns / values.size),
    )
