"""hw.tokens: counts modulo 2**16 as whole numbers."""

from __future__ import annotations

import pytest

from hw.isa import Begin, End, Instruction, Load, Store
from hw.tokens import HORIZON, TOKEN_BITS, absolute_tokens

_PERIOD = 1 << TOKEN_BITS


def _load(after_store: int) -> Load:
    return Load(target=0, memory=0, local=0, words=1, after_store=after_store)


@pytest.mark.parametrize(
    ("stores", "field", "count"),
    [
        (0, 0, 0),
        (3, 2, 2),
        (3, 5, 5),  # of stores that come later: such a program waits for ever
        (_PERIOD + 7, 7, _PERIOD + 7),
        (_PERIOD + 7, 0, _PERIOD),
        (_PERIOD + 7, _PERIOD - 1, _PERIOD - 1),
        (_PERIOD - 1, 2, _PERIOD + 2),
        (2 * _PERIOD + 20_000, 20_000 - (_PERIOD // 2 - 1) + _PERIOD, 2 * _PERIOD - 12_767),
    ],
)
def test_a_field_means_the_nearest_count(stores: int, field: int, count: int) -> None:
    program: list[Instruction] = [
        Begin(),
        *[Store(memory=0, local=0, words=1)] * stores,
        _load(field),
        End(),
    ]
    tokens = absolute_tokens(program)
    assert len(tokens) == len(program)
    assert tokens[-2] == (0, 0, count)


def test_counts_that_are_compared_are_never_half_a_period_apart() -> None:
    assert 2 * HORIZON <= 1 << (TOKEN_BITS - 1)
