"""hw.notation.cycles: the cycle law of a nest, against formulas written here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings

from hw.errors import InputError
from hw.notation.cycles import cycle_law, cycles
from hw.notation.derive import Sizes, derive
from hw.notation.evaluate import evaluate
from hw.notation.nest import Nest
from hw.notation.recode import digits_of
from hw.operand import Operand
from tests.notation_moves import Matrix, problems


def nonzero(sizes: Sizes, a: Matrix, m: int, bw: int, ks: range) -> int:
    """Nonzero digits of one weight; rows and columns beyond A are zero."""
    return sum(
        digits_of(a[m][k], sizes.recoding, sizes.a)[bw] != 0
        for k in ks
        if m < sizes.m and k < sizes.k
    )


def expected(name: str, sizes: Sizes, a: Matrix) -> int:
    s, g = sizes, sizes.group
    row_tiles, col_tiles = math.ceil(s.m / s.rows), math.ceil(s.n / s.cols)
    weights = len(digits_of(0, s.recoding, s.a))
    if name in ("mac", "opt1"):
        return row_tiles * col_tiles * s.k
    if name == "opt2":
        return row_tiles * col_tiles * weights * math.ceil(s.k / g)
    if "fip" in name:
        return row_tiles * col_tiles * math.ceil(s.k / 2)
    lanes = s.lanes if name == "opt4e" else 1
    total = 0
    for tile in range(row_tiles):
        for bw in range(weights):
            # Columns meet after each bit weight; lanes of one accumulator run apart until then.
            total += max(
                sum(
                    max(1, nonzero(s, a, m, bw, range(start, start + g)))
                    for start in range(lane * g, s.k, lanes * g)
                )
                for m in range(tile * s.rows, (tile + 1) * s.rows)
                for lane in range(lanes)
            )
    return col_tiles * total


@pytest.mark.parametrize("name", ["mac", "opt1", "opt2", "opt3", "opt4c", "opt4e", "fip", "ffip"])
@given(problem=problems())
@settings(max_examples=12)
def test_the_law_the_evaluator_and_the_formula_agree(
    name: str, problem: tuple[Sizes, Matrix, Matrix]
) -> None:
    sizes, a, b = problem
    if name in ("fip", "ffip") and sizes.recoding == "radix2":
        name = f"{name}-mac"
    nest = derive(name, sizes)[-1].nest
    assert cycles(nest, a) == evaluate(nest, a, b).cycles == expected(name, sizes, a)


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("mac", "128"),
        ("opt2", "128"),
        ("ffip", "64"),
        (
            "opt3",
            (
                "sum(mt < 2) 2 * sum(bw < 4) max(mp < 2) sum(kt < 8) "
                "max(1, nnz(kp < 4: encode(A[m,k])[bw]))"
            ),
        ),
        (
            "opt4e",
            (
                "sum(mt < 2) 2 * sum(bw < 4) max(mp < 2) max(kl < 4) sum(kt < 2) "
                "max(1, nnz(kp < 4: encode(A[m,k])[bw]))"
            ),
        ),
    ],
)
def test_the_law_as_text(name: str, law: str) -> None:
    nest = derive(name, Sizes(m=4, n=4, k=32, rows=2, cols=2))[-1].nest
    assert str(cycle_law(nest)) == law


def sampled(recoding: str) -> tuple[Nest, Matrix]:
    """All int8 values as one long row, in an order without structure."""
    sizes = Sizes(m=1, n=1, k=4096, rows=1, cols=1, recoding=recoding)
    values = np.random.default_rng(3).permutation(np.arange(4096) % 256 - 128)
    return derive("opt4c", sizes)[-1].nest, [values.tolist()]


@pytest.mark.parametrize(("recoding", "mean"), [("ent", 2.924), ("mbe", 3.004)])
def test_mean_cycles_of_uniform_operands(recoding: str, mean: float) -> None:
    # (1/4) sum_b (4 p_b + (1 - p_b)^4): published means for groups of four operands.
    nest, a = sampled(recoding)
    assert cycles(nest, a) / 4096 == pytest.approx(mean, abs=0.01)


def test_the_mean_is_that_of_the_digit_probabilities() -> None:
    # Every group of two operands once: the law's mean is then the formula, exactly.
    operand = Operand(4)
    values = range(operand.min, operand.max + 1)
    pairs = [value for x in values for y in values for value in (x, y)]
    sizes = Sizes(m=1, n=1, k=len(pairs), rows=1, cols=1, group=2, a=operand)
    nest = derive("opt3", sizes)[-1].nest
    total = 0
    for bw in range(2):
        p = sum(digits_of(v, "mbe", operand)[bw] != 0 for v in values)
        # 2 p_b + (1 - p_b)^2 per group, with p_b in sixteenths and 256 groups.
        total += 2 * p * 16 + (16 - p) ** 2
    assert cycles(nest, [pairs]) == total


def test_data_are_needed_where_zeros_are_left_out() -> None:
    nest = derive("opt3", Sizes(m=1, n=1, k=4))[-1].nest
    with pytest.raises(InputError, match=r"cycles depend on A\[m,k\]: give its values\.$"):
        cycles(nest)
    assert cycles(derive("opt1", Sizes(m=1, n=1, k=4))[-1].nest) == 4
