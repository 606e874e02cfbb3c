"""hw.notation.rewrite: legal rewrites keep the value, illegal ones say why."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.errors import InputError
from hw.notation.cycles import cycles
from hw.notation.derive import Sizes, derive, traditional
from hw.notation.evaluate import evaluate
from hw.notation.nest import Nest
from hw.notation.parse import parse
from hw.notation.rewrite import RULES, IllegalRewrite, rewrite
from hw.notation.show import show
from tests.notation_moves import Matrix, problems, product, walk

SIZES = Sizes(m=2, n=2, k=6, rows=2, cols=2, lanes=2)


@given(problem=problems(), data=st.data())
@settings(max_examples=120)
def test_every_legal_rewrite_keeps_the_value(
    problem: tuple[Sizes, Matrix, Matrix], data: st.DataObject
) -> None:
    sizes, a, b = problem
    for step in walk(data, sizes, 6):
        result = evaluate(step.nest, a, b)
        assert result.c == product(a, b)
        assert parse(show(step.nest)) == step.nest
        try:
            formula = cycles(step.nest, a)
        except InputError as error:
            assert "sync must stand at the end of a loop" in str(error)
        else:
            assert formula == result.cycles


def after(*rules: tuple[str, dict[str, Any]], sizes: Sizes = SIZES) -> Nest:
    nest = traditional(sizes)
    for rule, options in rules:
        nest = rewrite(nest, rule, **options).nest
    return nest


R1 = ("R1", {"loop": "k"})
R2 = ("R2", {"outer": "bw", "inner": "k"})
R3 = ("R3", {"loop": "bw"})
GROUP = ("R5", {"loop": "k", "factor": 4, "inner": "kp", "unroll": False})
R6 = ("R6", {"loop": "kp", "sync": "bw"})
R8 = ("R8", {"loop": "k"})
ODD = replace(SIZES, k=5)


@pytest.mark.parametrize(
    ("nest", "rule", "options", "reason"),
    [
        (after(), "R1", {"loop": "mt"}, "R1 finds no addition in loop mt .*"),
        (after(), "R1", {"loop": "mp"}, "R1 hoists over a loop in time, but mp runs in space: .*"),
        (
            after(R1, R2, R3),
            "R1",
            {"loop": "bw"},
            "R1 cannot hoist over bw: each of its passes shifts its sum by another weight.",
        ),
        (after(R1, R2), "R2", {"outer": "bw", "inner": "k"}, "R2 finds bw outside k already."),
        (
            after(R8),
            "R2",
            {"outer": "bw", "inner": "h"},
            r"R2 would add to alpha\[mp\] once per pass of bw.",
        ),
        (
            after(R1, R2, R3, GROUP),
            "R2",
            {"outer": "kp", "inner": "bw"},
            "R2 finds statements between bw and kp: they need the sum of each pass of bw.",
        ),
        (
            after(R1),
            "R3",
            {"loop": "bw"},
            "R3 needs one bit weight at a time, but bw runs in space: .*",
        ),
        (
            after(R1, R2, ("R2", {"outer": "k", "inner": "bw"})),
            "R3",
            {"loop": "bw"},
            (
                r"R3 must hoist inside the loop over bit weights, but \(s, c\) sums over loops around "
                r"bw: interchange them first \(R2\)."
            ),
        ),
        (after(R1, R2, R3), "R3", {"loop": "bw"}, ".* holds a single bit weight already."),
        (
            after(R1),
            "R4",
            {"loop": "mp"},
            (
                r"R4 finds no encoder to share over mp: A\[m,k\] depends on it, so each pass has "
                "digits of its own."
            ),
        ),
        (after(R1), "R4", {"loop": "k"}, "R4 shares encoders among passes in space, but k .*"),
        (
            after(),
            "R5",
            {"loop": "k", "factor": 2, "inner": "kp"},
            (
                "R5 cannot unroll k: C is accumulated with carry propagation, one number per cycle, "
                r"so it must be made redundant first \(R1\)."
            ),
        ),
        (
            after(R1, GROUP),
            "R5",
            {"loop": "kp", "factor": 3, "inner": "x", "unroll": False},
            "R5 must pad outside the matrices, but 4 passes of kp are no multiple of 3 .*",
        ),
        (
            after(R1, R2),
            "R5",
            {"loop": "bw", "factor": 2, "inner": "x", "unroll": False},
            "R5 splits rows, columns and K, but bw counts digits.",
        ),
        (
            after(R1).with_width("(s, c)", 12),
            "R5",
            {"loop": "k", "factor": 2, "inner": "kp"},
            r"R5 needs 18 bits in \(s, c\) for 2 lanes, not 12: the accumulator must be widened.",
        ),
        (
            after(R1, GROUP),
            "R6",
            {"loop": "kp"},
            r"R6 needs loop kp to add one product per pass, but pp\[bw\] is made in it.",
        ),
        (after(R1, R2, R3, GROUP), "R6", {"loop": "bw"}, "R6 thins out an innermost loop, .*"),
        (after(), "R6", {"loop": "bw"}, "R6 thins out a loop in time, but bw is not one."),
        (
            after(R1, R2, R3, GROUP),
            "R6",
            {"loop": "kp", "sync": "mt"},
            "R6 cannot let mp meet in mt: it must be a loop in time inside it.",
        ),
        (
            after(R1),
            "R7",
            {"names": ("(s, c)",)},
            (
                r"R7 cannot delay \(s, c\): it feeds itself, and would take a new addend only every 2 "
                "cycles."
            ),
        ),
        (
            after(R1, R2, R3, GROUP, R6),
            "R7",
            {"names": ("idx",)},
            r"R7 would let \(s, c\) take idx of one cycle with sel of another: delay both.",
        ),
        (
            after(sizes=ODD),
            "R8",
            {"loop": "k"},
            "R8 takes the elements of a row in pairs, but K = 5 is odd: pad it with a zero.",
        ),
        (
            after(R1, R2),
            "R8",
            {"loop": "k"},
            "R8 corrects a sum once, but bw around k takes part in it.",
        ),
        (
            after(R1, ("R4", {"loop": "np"})),
            "R8",
            {"loop": "k"},
            r"R8 needs products map\(encode\(A\[m,k\]\)\[..\], B\[k,n\]\): .*",
        ),
        (after(R1, GROUP), "R8", {"loop": "kp"}, "R8 needs kp itself as the index of A and B: .*"),
        (after(R1), "R9", {"loop": "np"}, "Nest mac must have one loop over 'np' with presum .*"),
        (
            after(R8),
            "R9",
            {"loop": "mp"},
            r"R9 needs an element that all passes of mp share, and one of their own, not .*",
        ),
        (after(), "R10", {}, r"R10 needs a redundant accumulator, not \(s, c\): R1 makes one."),
        (
            after(R1, R2, R3, GROUP, R6),
            "R10",
            {},
            "R10 needs a known number of rows, but loop kp is sparse.",
        ),
        (
            after(R1, R2),
            "R10",
            {},
            (
                "R10 needs all digits of a product in one compressor: rows of one weight have no "
                "vacant slots."
            ),
        ),
        (
            after(R1, ("R7", {"names": ("C",)})),
            "R10",
            {},
            r"R10 must come before retiming \(R7\), not after it.",
        ),
    ],
)
def test_an_illegal_rewrite_says_why(
    nest: Nest, rule: str, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(IllegalRewrite) as refusal:
        rewrite(nest, rule, **options)
    assert re.fullmatch(reason, str(refusal.value)), str(refusal.value)


def test_an_accumulator_that_cannot_hold_the_result_is_refused() -> None:
    narrow = traditional(SIZES).with_width("C", 17)
    with pytest.raises(IllegalRewrite, match="^R1 needs an accumulator .* 18 bits, but C has 17.$"):
        rewrite(narrow, "R1", loop="k")


def test_every_rule_is_used_by_some_derivation() -> None:
    used = {
        step.rule
        for name in ("opt4e", "ffip", "opt1x")
        for step in derive(name, Sizes(m=2, n=2, k=8, rows=2, cols=2, lanes=2))
    }
    assert used - {""} == set(RULES)


def test_an_unknown_rule() -> None:
    with pytest.raises(IllegalRewrite, match=r"^Rule must be one of R1, .*, not 'R0'\.$"):
        rewrite(after(), "R0")


def test_addends_that_no_digit_makes_zero_are_not_left_out() -> None:
    nest = parse("""
nest sum: C[1,1] = A[1,4] int8 * B[4,1] int8, mbe
bits (s, c) = 16, C = 32
for k < 4:
  (s, c) = half_reduce(B[k,0], (s, c))
C[0,0] = add((s, c))
""")
    with pytest.raises(IllegalRewrite) as refusal:
        rewrite(nest, "R6", loop="k")
    assert str(refusal.value) == "R6 needs every addend to be the map of a digit, not B[k,0]."


def test_columns_with_digits_of_their_own_do_not_wait_for_each_other() -> None:
    # They share a digit of A, but to hoist it they would have to meet at every bit weight.
    text = """
nest columns: C[1,2] = A[1,3] int4 * B[3,2] int4, mbe
bits (s, c) = 16, C = 32
parfor n < 2:
  for bw < 2:
    parfor k < 3:
      sel[k] = encode(B[k,n])[bw]
    idx = sparse(sel[*])
    for k < 3 in idx:
      (s, c) = half_reduce(map(sel[k], A[0,k]), (s, c))
    C[0,n] += shift(add((s, c)), bw)
"""
    with pytest.raises(IllegalRewrite) as refusal:
        rewrite(parse(text + "    C[0,n] += shift(encode(A[0,0])[bw], bw)\n"), "R4", loop="n")
    assert str(refusal.value) == (
        "R4 finds no encoder to share over n: B[k,n] depends on it, so each pass has digits of "
        "its own."
    )
    # Outside the loop over bit weights it can be shared, and the columns stay apart.
    nest = parse(text + "  parfor d < 2:\n    x[d] = encode(A[0,0])[d]\n  C[0,n] += x[1]\n")
    a, b = [[5, -8, 7]], [[0, 3], [-2, 0], [7, -8]]
    shared = rewrite(nest, "R4", loop="n").nest
    before, after_it = evaluate(nest, a, b), evaluate(shared, a, b)
    assert before.c == after_it.c == [[x + 1 for x in product(a, b)[0]]]
    assert before.cycles == after_it.cycles == 3
