"""reports.ppa.boolean: functions as cell libraries write them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest

from hw.errors import InputError
from reports.ppa.boolean import parse_function

CASES: list[tuple[str, Callable[[bool, bool, bool], bool]]] = [
    ("!((A1 A2) | B)", lambda a, b, c: not ((a and b) or c)),
    ("(A1 ^ A2) ^ B", lambda a, b, c: a ^ b ^ c),
    ("A1' + A2*B", lambda a, b, c: (not a) or (b and c)),
    ("!A1 & !(A2 | B)'", lambda a, b, c: (not a) and (b or c)),
    ("A1 & A2 ^ B", lambda a, b, c: a and (b ^ c)),
    ("1 & (A1 | 0)", lambda a, b, c: a),
]


@pytest.mark.parametrize(("text", "function"), CASES, ids=[text for text, _ in CASES])
def test_every_combination(text: str, function: Callable[[bool, bool, bool], bool]) -> None:
    rows = list(product((False, True), repeat=3))
    pins = {
        name: np.uint64(sum(1 << n for n, row in enumerate(rows) if row[i]))
        for i, name in enumerate(("A1", "A2", "B"))
    }
    value = int(parse_function(text)(pins))
    assert [bool(value >> n & 1) for n in range(8)] == [bool(function(*row)) for row in rows]


@pytest.mark.parametrize("text", ["", "A &", "(A", "A B)", "A % B", "!", "A ? B"])
def test_refuses_what_is_no_function(text: str) -> None:
    with pytest.raises(InputError, match="Function must be Liberty's"):
        parse_function(text)
