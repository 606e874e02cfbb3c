"""sim.digits: recodings by their definitions, and the cycles that follow from them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from hw.digits import Recoding, digits
from hw.operand import Operand
from sim.digits import lane_groups, pass_cycles, recode

INT8 = np.arange(-128, 128)


@pytest.mark.parametrize("recoding", ["booth", "ent"])
@pytest.mark.parametrize("name", ["int8", "uint8", "int4", "uint5"])
def test_arrays_are_recoded_like_single_values(name: str, recoding: Recoding) -> None:
    operand = Operand.parse(name)
    values = np.arange(operand.min, operand.max + 1)
    found = recode(values, operand, recoding)
    assert found.tolist() == [digits(int(v), operand, recoding) for v in values]


def gaussian(deviation: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Probabilities of int8 values: a normal distribution, cut off at the ends of the range."""
    edges = [0.5 * math.erf((v - 0.5) / (deviation * math.sqrt(2))) for v in range(-128, 129)]
    weights = np.diff(np.array(edges))
    result: np.ndarray[tuple[int], np.dtype[np.float64]] = weights / weights.sum()
    return result


@pytest.mark.parametrize(
    ("recoding", "deviation", "mean", "grouped"),
    [
        ("booth", 0, 3.000, 3.004),
        ("ent", 0, 2.918, 2.924),
        ("booth", 20, 2.29, 2.456),
        ("ent", 20, 2.11, 2.342),
        ("ent", 10, 1.76, 2.076),
        ("ent", 50, 2.60, 2.643),
    ],
)
def test_cycles_per_product_of_known_distributions(
    recoding: Recoding, deviation: int, mean: float, grouped: float
) -> None:
    weights = gaussian(deviation) if deviation else np.full(256, 1 / 256)
    nonzero = weights @ (recode(INT8, Operand(8), recoding) != 0)
    assert nonzero.sum() == pytest.approx(mean, abs=0.006)
    # An empty group of four costs a cycle too.
    cycles = (4 * nonzero + (1 - nonzero) ** 4).sum() / 4
    assert cycles == pytest.approx(grouped, abs=0.002)


def test_groups_go_to_the_lanes_in_turn() -> None:
    values = np.arange(11).reshape(11, 1)
    assert lane_groups(values, 2, 2)[..., 0].tolist() == [
        [[0, 1], [4, 5], [8, 9]],
        [[2, 3], [6, 7], [10, 0]],
    ]


def test_cycles_of_passes() -> None:
    #            lane 0: 3, 1 (empty), 2       lane 1: 1 (empty), 4
    ones = [1, 1, 1, 0] + [0, 0, 0, 0] + [0, 0, 0, 0] + [1, 1, 2, -1] + [1, 0, 1]
    column = np.array(ones).reshape(-1, 1)
    assert pass_cycles(column, 4, 1).tolist() == [3 + 1 + 1 + 4 + 2]
    assert pass_cycles(column, 4, 2).tolist() == [max(3 + 1 + 2, 1 + 4)]
    # Lanes beyond the last element have nothing to wait for.
    assert pass_cycles(column[:1], 4, 4).tolist() == [1]
    # Without groups every element takes a cycle.
    assert pass_cycles(column, 1, 4).tolist() == [math.ceil(len(ones) / 4)]
