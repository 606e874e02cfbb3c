"""hw.notation.parse and show: a nest as text; hw.notation.nest: the same written in Python."""

from __future__ import annotations

import pytest

from hw.errors import InputError
from hw.notation.derive import DERIVATIONS, Sizes, derive
from hw.notation.index import Affine
from hw.notation.nest import Assign, Nest, call, loop, var
from hw.notation.parse import parse, parse_expression
from hw.notation.show import show, show_expression
from hw.notation.validate import validate
from hw.operand import Operand

TEXT = """\
nest tiny: C[1,1] = A[1,8] int8 * B[8,1] uint4, ent
where k = 4*kt + kp
bits (s, c) = 20, C = 32
for kt < 2, kp < 4:
  parfor bw < 4:
    pp[bw] = shift(map(encode(A[0,k])[bw], B[k,0]), bw) @2
  (s, c) = half_reduce(pp[*])
  C[0,0] += add((s, c))
"""


def test_text_and_python_say_the_same() -> None:
    a, b, c, pp, pair = (var(name) for name in ("A", "B", "C", "pp", "(s, c)"))
    digit = call("encode", a[0, "k"], at="bw")
    product = call("shift", call("map", digit, b["k", 0]), at="bw")
    written = Nest(
        name="tiny",
        a=Operand(8),
        b=Operand(4, signed=False),
        recoding="ent",
        m=1,
        n=1,
        k=8,
        where=(("k", Affine.of([("kt", 4), ("kp", 1)])),),
        widths=(("(s, c)", 20), ("C", 32)),
        body=(
            loop(
                "for",
                loop("parfor", Assign(pp["bw"], product, delay=2), bw=4),
                Assign(pair(), call("half_reduce", pp["*"])),
                Assign(c[0, 0], call("accumulate", c[0, 0], call("add", pair()))),
                kt=2,
                kp=4,
            ),
        ),
    )
    assert parse(TEXT) == written
    assert show(written) == TEXT


@pytest.mark.parametrize("name", DERIVATIONS)
def test_text_reads_back(name: str) -> None:
    for step in derive(name, Sizes(m=5, n=3, k=9, rows=2, cols=3, lanes=2)):
        assert parse(show(step.nest)) == step.nest


def test_notes_are_comments() -> None:
    nest = parse(TEXT)
    noted = show(nest, {(0, 0, 1): "4:2", (0,): "time"})
    assert "(s, c) = half_reduce(pp[*])" in noted
    assert noted.count("# ") == 2
    assert parse(noted) == nest


@pytest.mark.parametrize(
    "text",
    [
        "map(encode(A[m,k])[bw], B[k,n])",
        "presum(neighbour(g[np-1], A[m,2*h]), difference(B[2*h+1,n])[np])",
        "half_reduce(pp[*,kp], (s, c)[mp])",
        "correct(add((s, c)), alpha, beta()[n])",
        "shift(x[3], 4*kt + kp - 2)",
    ],
)
def test_expressions(text: str) -> None:
    assert show_expression(parse_expression(text)) == text


def swapped(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "A nest must start with 'nest NAME: C[m,n] = ...', not be empty."),
        (
            swapped("A[1,8]", "A[1,9]"),
            (
                "Line 1: a nest must start like 'nest mac: C[4,4] = A[4,8] int8 * B[8,4] int8, mbe', "
                "not 'nest tiny: C[1,1] = A[1,9] int8 * B[8,1] uint4, ent'."
            ),
        ),
        (
            swapped("ent\n", "naf\n"),
            (
                "Line 1: recoding must be one of mbe, ent, radix2, not 'nest tiny: C[1,1] = A[1,8] "
                "int8 * B[8,1] uint4, naf'."
            ),
        ),
        (
            swapped("4*kt + kp", "4*kt kp"),
            "Line 2: 'the end of the line' must follow where 'kp' stands, not 'where k = 4*kt kp'.",
        ),
        (
            swapped("= 20,", "20,"),
            (
                "Line 3: widths must be written like 'bits (s, c) = 16, C = 32', not "
                "'bits (s, c) 20, C = 32'."
            ),
        ),
        (
            swapped("kp < 4:", "kp < 0:"),
            "Line 4: a loop must have at least one pass, not 'for kt < 2, kp < 0:'.",
        ),
        (
            swapped("shift(", "shirt("),
            (
                "Line 6: primitive must be one of encode, map, biased, shift, half_reduce, add, unbias, "
                "accumulate, sparse, presum, alpha, beta, correct, neighbour, difference, not "
                "'pp[bw] = shirt(map(encode(A[0,k])[bw], B[k,0]), bw) @2'."
            ),
        ),
        (
            swapped("add((s, c))", "add()"),
            "Line 8: add must have 1 arguments, not 0, not 'C[0,0] += add()'.",
        ),
        (
            swapped("  C[0,0] +=", "   C[0,0] +="),
            "Line 8: indentation must fit the loop above, not 'C[0,0] += add((s, c))'.",
        ),
    ],
)
def test_what_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (swapped(", C = 32", ""), "C must have a width, such as 'bits C = 32'."),
        (swapped("(s, c) = 20, ", ""), "pair (s, c) must have a width."),
        (swapped("bw < 4", "bw < 5"), "loop over bw must have 4 digits, not 5."),
        (swapped("kt < 2, kp < 4", "kt < 2"), "k must be made of loop variables, not of 'kp'."),
        (swapped("B[k,0]", "B[k,n]"), "B must be inside a loop over 'n'."),
        (
            swapped("C[0,0] += add((s, c))", "C[0,0] += (s, c)"),
            "accumulate must have a number, not the pair (s, c): add its two words first.",
        ),
        (
            swapped("pp[bw] =", "pp ="),
            "pp must have bw in its index: its passes run at once.",
        ),
        (
            swapped("for kt < 2, kp < 4", "for kt < 2, kt < 4"),
            "k must be made of loop variables, not of 'kp'.",
        ),
        (
            swapped("(s, c) = half_reduce(pp[*])", "q = half_reduce(pp[*])"),
            "half_reduce must be assigned to a pair, and a pair to it: q.",
        ),
        (swapped("C[0,0] += add((s, c))", "sync(kt)"), ("sync must name a spatial loop around it, "
         "not 'kt'.")),
    ],
)  # fmt: skip
def test_what_has_no_meaning(text: str, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        validate(parse(text))
    assert str(refusal.value) == f"Nest tiny: {message}"


def test_pairs_of_two_widths_do_not_meet() -> None:
    text = swapped("(s, c) = 20, ", "(s, c) = 20, (t, d) = 24, ").replace(
        "  C[0,0]", "  (t, d) = half_reduce((s, c), (t, d))\n  C[0,0]"
    )
    with pytest.raises(InputError, match="one width: a pair cannot be extended word by word"):
        validate(parse(text))


def test_primitives_are_checked_in_python_too() -> None:
    x = var("x")()
    with pytest.raises(ValueError, match=r"^primitive must be one of encode, .*, not 'mul'$"):
        call("mul", x, x)
    with pytest.raises(ValueError, match=r"^map must have 2 arguments, not 1$"):
        call("map", x)
    with pytest.raises(ValueError, match=r"^half_reduce must have at least 1 arguments, not 0$"):
        call("half_reduce")
    with pytest.raises(ValueError, match=r"^shift must have 1 index arguments, not 0$"):
        call("shift", x)
