"""hw.notation.derive: each PE's nest follows from the traditional one.

The nests below are written down as the literature prints them, and not made by the package.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from hw.errors import InputError
from hw.notation.derive import DERIVATIONS, Sizes, derive, traditional
from hw.notation.evaluate import evaluate
from hw.notation.parse import parse
from hw.notation.rewrite import IllegalRewrite
from hw.notation.scope import same
from hw.operand import Operand
from tests.notation_moves import product

SIZES = Sizes(m=8, n=8, k=32, rows=4, cols=4, group=4, lanes=4)

HEAD = """
nest {name}: C[8,8] = A[8,32] int8 * B[32,8] int8, mbe
where m = 4*mt + mp, n = 4*nt + np{where}
bits {bits}
"""

MAC = """
for mt < 2, nt < 2, k < 32:
  parfor mp < 4, np < 4:
    parfor bw < 4:
      pp[bw] = shift(map(encode(A[m,k])[bw], B[k,n]), bw)
    (s, c) = half_reduce(pp[*])
    p = add((s, c))
    C[m,n] = accumulate(C[m,n], p)
"""

OPT1 = """
for mt < 2, nt < 2:
  for k < 32:
    parfor mp < 4, np < 4:
      parfor bw < 4:
        pp[bw] = shift(map(encode(A[m,k])[bw], B[k,n]), bw)
      (as, ac)[mp,np] = half_reduce(pp[*], (as, ac)[mp,np])
  parfor mp < 4, np < 4:
    C[m,n] = add((as, ac)[mp,np])
"""

OPT1X = OPT1.replace("map(", "biased(").replace("add(", "unbias(")

OPT2 = """
for mt < 2, nt < 2:
  for bw < 4:
    for kt < 8:
      parfor mp < 4, np < 4:
        parfor kp < 4:
          pp[kp] = map(encode(A[m,k])[bw], B[k,n])
        (as, ac)[mp,np] = half_reduce(pp[*], (as, ac)[mp,np])
    parfor mp < 4, np < 4:
      C[m,n] += shift(add((as, ac)[mp,np]), bw)
"""

OPT2_SHARED = """
for mt < 2, nt < 2:
  for bw < 4:
    for kt < 8:
      parfor mp < 4:
        parfor kp < 4:
          sel[kp] = encode(A[m,k])[bw]        # one set per column
        parfor np < 4:
          parfor kp < 4:
            pp[kp] = map(sel[kp], B[k,n])
          (as, ac)[mp,np] = half_reduce(pp[*], (as, ac)[mp,np])
    parfor mp < 4, np < 4:
      C[m,n] += shift(add((as, ac)[mp,np]), bw)
"""

OPT3 = """
for mt < 2, nt < 2:
  parfor mp < 4, np < 4:
    for bw < 4:
      for kt < 8:
        parfor kp < 4:
          sel[kp] = encode(A[m,k])[bw]
        idx = sparse(sel[*])
        for kp < 4 in idx:
          (as, ac) = half_reduce(map(sel[kp], B[k,n]), (as, ac))
      C[m,n] += shift(add((as, ac)), bw)
      sync(mp)
"""

OPT4C = """
for mt < 2, nt < 2:
  parfor mp < 4:
    for bw < 4:
      for kt < 8:
        parfor kp < 4:
          sel[kp] = encode(A[m,k])[bw]
        idx = sparse(sel[*])                  # one per column
        for kp < 4 in idx:
          parfor np < 4:
            (as, ac)[np] = half_reduce(map(sel[kp], B[k,n]), (as, ac)[np])
      parfor np < 4:
        C[m,n] += shift(add((as, ac)[np]), bw)
      sync(mp)
"""

OPT4E = """
for mt < 2, nt < 2:
  parfor mp < 4:
    for bw < 4:
      parfor kl < 4:                          # four streams into one accumulator: 6:2
        for kt < 2:
          parfor kp < 4:
            sel[kp] = encode(A[m,k])[bw]
          idx = sparse(sel[*])
          for kp < 4 in idx:
            parfor np < 4:
              (as, ac)[np] = half_reduce(map(sel[kp], B[k,n]), (as, ac)[np])
      parfor np < 4:
        C[m,n] += shift(add((as, ac)[np]), bw)
      sync(mp)
"""

FIP_MAC = """
for mt < 2, nt < 2:
  for h < 16:
    parfor mp < 4, np < 4:
      x = presum(A[m,2*h], B[2*h+1,n]) @1
      y = presum(A[m,2*h+1], B[2*h,n]) @1
      parfor bw < 5:
        pp[bw] = shift(map(encode(x)[bw], y), bw)
      (s, c) = half_reduce(pp[*])
      p = add((s, c))
      C[m,n] += p
    parfor mp < 4:
      q = alpha(A[m,2*h], A[m,2*h+1]) @1
      al[mp] += q
  parfor mp < 4, np < 4:
    C[m,n] = correct(C[m,n], al[mp], beta()[n])
"""

FIP = """
for mt < 2, nt < 2:
  for h < 16:
    parfor mp < 4, np < 4:
      x = presum(A[m,2*h], B[2*h+1,n]) @1
      y = presum(A[m,2*h+1], B[2*h,n]) @1
      parfor bw < 5:
        pp[bw] = shift(biased(encode(x)[bw], y), bw)
      (as, ac)[mp,np] = half_reduce(pp[*], (as, ac)[mp,np])
    parfor mp < 4:
      q = alpha(A[m,2*h], A[m,2*h+1]) @1
      al[mp] += q
  parfor mp < 4, np < 4:
    C[m,n] = correct(unbias((as, ac)[mp,np]), al[mp], beta()[n])
"""


def pipelined(text: str) -> str:
    """The same with sums that pass from column to column."""
    for name, a, b in (("x", "A[m,2*h]", "B[2*h+1,n]"), ("y", "A[m,2*h+1]", "B[2*h,n]")):
        chain = f"presum(neighbour({name}[np-1], {a}), difference({b})[np])"
        text = text.replace(f"{name} = presum({a}, {b})", f"{name}[np] = {chain}")
    return text.replace("encode(x)", "encode(x[np])").replace("y), bw)", "y[np]), bw)")


K4 = ", k = 4*kt + kp"
WIDE = "(as, ac) = 32, C = 32"
NARROW = "(as, ac) = 15, C = 32"  # 32 products of one weight: 32 * 256 = 8192 needs 15 bits.

WRITTEN = {
    "mac": (MAC, "", "(s, c) = 16, C = 32"),
    "opt1": (OPT1, "", WIDE),
    "opt1x": (OPT1X, "", WIDE),
    "opt2": (OPT2, K4, NARROW),
    "opt2-shared": (OPT2_SHARED, K4, NARROW),
    "opt3": (OPT3, K4, NARROW),
    "opt4c": (OPT4C, K4, NARROW),
    "opt4e": (OPT4E, ", k = 16*kt + 4*kl + kp", NARROW),
    "fip-mac": (FIP_MAC, "", "(s, c) = 18, C = 32, al = 32, x = 9, y = 9"),
    "fip": (FIP, "", f"{WIDE}, al = 32, x = 9, y = 9"),
    "ffip-mac": (pipelined(FIP_MAC), "", "(s, c) = 18, C = 32, al = 32, x = 9, y = 9"),
    "ffip": (pipelined(FIP), "", f"{WIDE}, al = 32, x = 9, y = 9"),
}


@pytest.mark.parametrize("name", DERIVATIONS)
def test_rewrites_lead_to_the_written_nest(name: str) -> None:
    body, where, bits = WRITTEN[name]
    written = parse(HEAD.format(name=name, where=where, bits=bits) + body)
    derived = derive(name, SIZES)[-1].nest
    assert derived.name == name
    assert same(derived, written)


def test_a_nest_that_differs_is_not_the_same() -> None:
    derived = derive("opt4c", SIZES)[-1].nest
    assert not same(derived, derived.with_width("(s, c)", 16))
    assert not same(derived, derive("opt3", SIZES)[-1].nest)


@pytest.mark.parametrize("name", DERIVATIONS)
@pytest.mark.parametrize("recoding", ["mbe", "ent"])
@pytest.mark.parametrize("value", [(-128, -128), (-2, -128), (127, 127), (0, -128)])
def test_extreme_operands(name: str, recoding: str, value: tuple[int, int]) -> None:
    sizes = Sizes(m=2, n=3, k=17, rows=2, cols=2, lanes=2, recoding=recoding, accumulator_bits=20)
    a, b = [[value[0]] * 17] * 2, [[value[1]] * 3] * 17
    for step in derive(name, sizes):
        assert evaluate(step.nest, a, b).c == product(a, b)


def test_only_the_name_of_the_last_nest_is_that_of_the_pe() -> None:
    steps = derive("opt4c", SIZES)
    assert [step.rule for step in steps] == ["", "R1", "R2", "R3", "R5", "R6", "R4"]
    assert [step.nest.name for step in steps] == ["mac"] * 6 + ["opt4c"]


def test_refusals() -> None:
    with pytest.raises(InputError, match=r"^PE must be one of mac, opt1, .*, not 'opt9'\.$"):
        derive("opt9", SIZES)
    with pytest.raises(InputError, match=r"^accumulator_bits must be at least 21 .*, not 20\.$"):
        traditional(replace(SIZES, accumulator_bits=20))
    with pytest.raises(InputError, match=r"^k must be at least 1, not 0\.$"):
        Sizes(k=0)
    with pytest.raises(InputError, match=r"^group must be at least 2, not 1\.$"):
        Sizes(group=1)
    with pytest.raises(
        InputError, match=r"^recoding must be one of mbe, ent, radix2, not 'naf'\.$"
    ):
        Sizes(recoding="naf")
    with pytest.raises(IllegalRewrite, match="at radix 2 no slot is vacant"):
        derive("opt1x", replace(SIZES, recoding="radix2"))


def test_operands_of_other_formats() -> None:
    sizes = Sizes(m=1, n=1, k=3, a=Operand(16), b=Operand(4, signed=False), accumulator_bits=24)
    a, b = [[-32768, 32767, -1]], [[15], [15], [0]]
    for name in DERIVATIONS:
        assert evaluate(derive(name, sizes)[-1].nest, a, b).c == product(a, b)
