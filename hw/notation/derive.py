"""From the traditional loop nest to each processing element, by rewrites."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hw.errors import InputError
from hw.notation.index import Affine
from hw.notation.nest import Assign as Set
from hw.notation.nest import Nest, call, loop, var
from hw.notation.recode import RECODINGS, digit_count
from hw.notation.rewrite import Step, rewrite
from hw.notation.validate import validate
from hw.notation.widths import required_bits
from hw.operand import Operand

__all__ = ["ABOUT", "DERIVATIONS", "Sizes", "derive", "traditional"]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The problem, and the hardware that it is for.

    Attributes
    ----------
    m, n, k : int
        A is (m, k), B is (k, n).
    rows, cols : int
        Passes in space of M and of N.
    group : int
        Operands in space (opt2), or in a sparse group (opt3, opt4c, opt4e).
    lanes : int
        Streams into one accumulator (opt4e).
    a, b : Operand
    recoding : str
        ``mbe``, ``ent`` or ``radix2``.
    accumulator_bits : int

    Raises
    ------
    InputError
        A size is out of range.
    """

    m: int = 4
    n: int = 4
    k: int = 64
    rows: int = 4
    cols: int = 4
    group: int = 4
    lanes: int = 4
    a: Operand = Operand(8)
    b: Operand = Operand(8)
    recoding: str = "mbe"
    accumulator_bits: int = 32

    def __post_init__(self) -> None:
        for name in ("m", "n", "k", "rows", "cols"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)}.")
        for name in ("group", "lanes"):
            if getattr(self, name) < 2:
                raise InputError(f"{name} must be at least 2, not {getattr(self, name)}.")
        if self.recoding not in RECODINGS:
            raise InputError(
                f"recoding must be one of {', '.join(RECODINGS)}, not {self.recoding!r}."
            )


def traditional(sizes: Sizes) -> Nest:
    """The multiply-accumulate nest: one product per cell and cycle, every carry propagated."""
    s = sizes
    a, b, c, pp, p, pair = (var(x) for x in ("A", "B", "C", "pp", "p", "(s, c)"))
    digit = call("encode", a["m", "k"], at="bw")
    product = call("shift", call("map", digit, b["k", "n"]), at="bw")
    nest = Nest(
        name="mac",
        a=s.a,
        b=s.b,
        recoding=s.recoding,
        m=s.m,
        n=s.n,
        k=s.k,
        where=(
            ("m", Affine.of([("mt", s.rows), ("mp", 1)])),
            ("n", Affine.of([("nt", s.cols), ("np", 1)])),
        ),
        widths=(("(s, c)", 1), ("C", s.accumulator_bits)),
        body=(
            loop(
                "for",
                loop(
                    "parfor",
                    loop("parfor", Set(pp["bw"], product), bw=digit_count(s.recoding, s.a)),
                    Set(pair(), call("half_reduce", pp["*"])),
                    Set(p(), call("add", pair())),
                    Set(c["m", "n"], call("accumulate", c["m", "n"], p())),
                    mp=s.rows,
                    np=s.cols,
                ),
                mt=-(-s.m // s.rows),
                nt=-(-s.n // s.cols),
                k=s.k,
            ),
        ),
    )
    nest = nest.with_width("(s, c)", required_bits(nest, "(s, c)"))
    needed = required_bits(nest, "C")
    if needed > s.accumulator_bits:
        raise InputError(
            f"accumulator_bits must be at least {needed} for {s.k} products of {s.a} by {s.b}, "
            f"not {s.accumulator_bits}."
        )
    validate(nest)
    return nest


Recipe = Callable[[Sizes], list[tuple[str, dict[str, Any]]]]

_OPT1: list[tuple[str, dict[str, Any]]] = [("R1", {"loop": "k"})]
_SERIAL = [*_OPT1, ("R2", {"outer": "bw", "inner": "k"}), ("R3", {"loop": "bw"})]


def _opt2(s: Sizes) -> list[tuple[str, dict[str, Any]]]:
    return [*_SERIAL, ("R5", {"loop": "k", "factor": s.group, "inner": "kp"})]


def _opt3(s: Sizes) -> list[tuple[str, dict[str, Any]]]:
    return [
        *_SERIAL,
        ("R5", {"loop": "k", "factor": s.group, "inner": "kp", "unroll": False}),
        ("R6", {"loop": "kp", "sync": "bw"}),
    ]


def _opt4c(s: Sizes) -> list[tuple[str, dict[str, Any]]]:
    return [*_opt3(s), ("R4", {"loop": "np"})]


def _opt4e(s: Sizes) -> list[tuple[str, dict[str, Any]]]:
    return [*_opt4c(s), ("R5", {"loop": "kt", "factor": s.lanes, "inner": "kl"})]


_FIP: list[tuple[str, dict[str, Any]]] = [("R8", {"loop": "k", "pad": True})]
_REGISTERS: list[tuple[str, dict[str, Any]]] = [("R7", {"names": ("u", "v", "q")})]
_DEFERRED: list[tuple[str, dict[str, Any]]] = [("R10", {})]
_PASSED: list[tuple[str, dict[str, Any]]] = [("R9", {"loop": "np"})]


DERIVATIONS: dict[str, Recipe] = {
    "mac": lambda s: [],
    "opt1": lambda s: _OPT1,
    "opt1x": lambda s: [*_OPT1, *_DEFERRED],
    "opt2": _opt2,
    "opt2-shared": lambda s: [*_opt2(s), ("R4", {"loop": "np"})],
    "opt3": _opt3,
    "opt4c": _opt4c,
    "opt4e": _opt4e,
    "fip": lambda s: [*_OPT1, *_FIP, *_DEFERRED, *_REGISTERS],
    "fip-mac": lambda s: [*_FIP, *_REGISTERS],
    "ffip": lambda s: [*_OPT1, *_FIP, *_PASSED, *_DEFERRED, *_REGISTERS],
    "ffip-mac": lambda s: [*_FIP, *_PASSED, *_REGISTERS],
}
"""Which rewrites, with which options, lead from the traditional nest to a PE."""


ABOUT: dict[str, str] = {
    "mac": "multiply, then add to the accumulator: the baseline",
    "opt1": "the accumulator is a carry-save pair; one carry chain per sum",
    "opt1x": "opt1 without sign extension: rows in one's complement, a known excess",
    "opt2": "one bit weight at a time; a narrow pair, shifted once per sum",
    "opt2-shared": "opt2 with one set of encoders per column of cells",
    "opt3": "zero digits are left out; each cell has a sparse encoder",
    "opt4c": "opt3 with one sparse encoder per column of cells",
    "opt4e": "opt4c with several streams of digits into one pair",
    "fip": "Winograd's inner product: half the passes, carry-save as opt1x",
    "fip-mac": "Winograd's inner product with a plain accumulator",
    "ffip": "fip whose pre-sums travel from column to column",
    "ffip-mac": "ffip with a plain accumulator",
}
"""What each derivation leads to, in a line."""


def derive(name: str, sizes: Sizes) -> list[Step]:
    """The steps from the traditional nest to the PE `name`; the first has no rule.

    Raises
    ------
    InputError
        There is no derivation of that name.
    IllegalRewrite
        A rewrite is not legal for these sizes.
    """
    if name not in DERIVATIONS:
        raise InputError(f"PE must be one of {', '.join(DERIVATIONS)}, not {name!r}.")
    start = traditional(sizes)
    steps = [
        Step(
            "", "traditional nest", "one product per cell and cycle; every carry propagates.", start
        )
    ]
    for rule, options in DERIVATIONS[name](sizes):
        steps.append(rewrite(steps[-1].nest, rule, **options))
    last = steps[-1]
    return [*steps[:-1], replace(last, nest=replace(last.nest, name=name))]
