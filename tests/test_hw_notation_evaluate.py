"""hw.notation.evaluate: values with real carry-save words, and cycles with real waiting."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.errors import InputError
from hw.notation.derive import Sizes, derive
from hw.notation.evaluate import Result, compress, evaluate
from hw.notation.nest import Nest
from hw.notation.parse import parse


@given(st.lists(st.integers(-(2**40), 2**40), max_size=12), st.integers(1, 32))
def test_a_pair_is_the_sum_modulo_its_width(words: list[int], width: int) -> None:
    s, c = compress(words, width)
    assert 0 <= s < 2**width
    assert 0 <= c < 2**width
    assert (s + c - sum(words)) % 2**width == 0


def one_weight(k: int, bits: int) -> Nest:
    """`k` products of one digit in one pass: the compressor of a bit weight."""
    return parse(
        f"""
nest weight: C[1,1] = A[1,{k}] int8 * B[{k},1] int8, mbe
bits (s, c) = {bits}, C = 32
for bw < 4:
  parfor k < {k}:
    pp[k] = map(encode(A[0,k])[bw], B[k,0])
  (s, c) = half_reduce(pp[*])
  C[0,0] += shift(add((s, c)), bw)
"""
    )


@pytest.mark.parametrize(
    ("a", "bits", "value"),
    [
        # Sixteen partial products of +256 make 4096, which 13 signed bits read as -4096.
        (-2, 13, -4096),
        (-2, 14, 4096),
        (-128, 13, -262144),
        (-128, 14, 262144),
        (127, 14, -260096),
    ],
)
def test_sixteen_products_of_one_bit_weight_need_14_bits(a: int, bits: int, value: int) -> None:
    assert evaluate(one_weight(16, bits), [[a] * 16], [[-128]] * 16).c == [[value]]


def test_the_result_wraps_at_its_width() -> None:
    nest = derive("opt1", Sizes(m=1, n=1, k=3, accumulator_bits=20))[-1].nest
    narrow = nest.with_width("(s, c)", 16).with_width("C", 16)
    assert evaluate(narrow, [[-128] * 3], [[-128]] * 3).c == [[3 * 16384 - 65536]]


COLUMNS = """
nest columns: C[2,1] = A[2,4] int8 * B[4,1] int8, mbe
bits (s, c) = 16, C = 32
parfor m < 2:
  for bw < 4:
    parfor k < 4:
      sel[k] = encode(A[m,k])[bw]
    idx = sparse(sel[*])
    for k < 4 in idx:
      (s, c) = half_reduce(map(sel[k], B[k,0]), (s, c))
    C[m,0] += shift(add((s, c)), bw)
    sync(m)
"""

APART = COLUMNS.replace("    sync(m)\n", "")


def run(text: str, a: list[list[int]]) -> Result:
    b = [[1], [-1], [2], [3]]
    result = evaluate(parse(text), a, b)
    assert result.c == [[sum(x * y[0] for x, y in zip(row, b, strict=True))] for row in a]
    return result


def test_a_column_without_digits_waits_for_a_full_one() -> None:
    # 85 = 1 + 4 + 16 + 64: every digit is 1. The other column takes its one cycle per group.
    full, empty = [85] * 4, [0] * 4
    for text in (COLUMNS, APART):
        result = run(text, [full, empty])
        assert result.cycles == 16
        assert result.idle == {"m": 12}


def test_columns_wait_at_every_sync_or_only_at_the_end() -> None:
    # Digits at weights 0 and 2 here, at 1 and 3 there: apart, nobody waits.
    rows = [[17] * 4, [68] * 4]
    assert (run(APART, rows).cycles, run(APART, rows).idle) == (10, {})
    assert (run(COLUMNS, rows).cycles, run(COLUMNS, rows).idle) == (16, {"m": 12})


def test_a_group_of_zeros_takes_a_cycle() -> None:
    assert run(APART, [[0] * 4, [0] * 4]).cycles == 4
    assert run(APART, [[1, 0, 0, 0], [0] * 4]).cycles == 4
    assert run(APART, [[1, 0, 0, 1], [0] * 4]).cycles == 5


def test_passes_that_do_not_all_sync_are_refused() -> None:
    # One pass only of the inner loop reaches the barrier of the outer one.
    text = """
nest odd: C[2,1] = A[2,4] int8 * B[4,1] int8, mbe
bits C = 32
parfor m < 2:
  parfor bw < 4:
    sel[bw] = encode(A[m,0])[bw]
  idx = sparse(sel[*])
  for bw < 4 in idx:
    sync(m)
"""
    with pytest.raises(InputError, match=r"^Nest odd: passes of m must all sync\.$"):
        evaluate(parse(text), [[1] * 4, [5] * 4], [[1]] * 4)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ([[1, 2]], [[1]] * 4, "A must be 2 by 4."),
        ([[1] * 4] * 2, [[1]] * 3, "B must be 4 by 1."),
        ([[1] * 4, [128] * 4], [[1]] * 4, "A must have elements of format int8, not 128."),
    ],
)
def test_matrices_that_do_not_fit(a: list[list[int]], b: list[list[int]], message: str) -> None:
    with pytest.raises(InputError) as refusal:
        evaluate(parse(COLUMNS), a, b)
    assert str(refusal.value) == message
