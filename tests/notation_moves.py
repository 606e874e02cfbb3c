"""Random problems and random rewrites for the tests of `hw.notation`."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from hw.notation.derive import DERIVATIONS, Sizes, traditional
from hw.notation.nest import Assign, Kind, Loop, Nest
from hw.notation.recode import RECODINGS
from hw.notation.rewrite import IllegalRewrite, Step, rewrite
from hw.operand import Operand

FORMATS = [Operand(3), Operand(4), Operand(8), Operand(4, signed=False)]

Matrix = list[list[int]]


@st.composite
def problems(draw: st.DrawFn) -> tuple[Sizes, Matrix, Matrix]:
    """Sizes, and matrices that often hold zeros and extreme values."""
    sizes = Sizes(
        m=draw(st.integers(1, 3)),
        n=draw(st.integers(1, 3)),
        k=draw(st.integers(1, 7)),
        rows=draw(st.integers(1, 2)),
        cols=draw(st.integers(1, 2)),
        group=draw(st.integers(2, 4)),
        lanes=draw(st.integers(2, 3)),
        a=draw(st.sampled_from(FORMATS)),
        b=draw(st.sampled_from(FORMATS)),
        recoding=draw(st.sampled_from(RECODINGS)),
        accumulator_bits=draw(st.sampled_from([20, 32])),
    )
    return (
        sizes,
        draw(matrices(sizes.m, sizes.k, sizes.a)),
        draw(matrices(sizes.k, sizes.n, sizes.b)),
    )


def matrices(rows: int, columns: int, operand: Operand) -> st.SearchStrategy[Matrix]:
    """Matrices of one format."""
    element = st.one_of(
        st.integers(operand.min, operand.max), st.sampled_from([operand.min, operand.max, 0])
    )
    row = st.lists(element, min_size=columns, max_size=columns)
    return st.lists(row, min_size=rows, max_size=rows)


def product(a: Matrix, b: Matrix) -> Matrix:
    """The matrix product in Python integers."""
    columns = list(zip(*b, strict=True))
    return [[sum(x * y for x, y in zip(row, c, strict=True)) for c in columns] for row in a]


def walk(data: st.DataObject, sizes: Sizes, length: int) -> list[Step]:
    """The legal ones of some rewrites: the head of a derivation, then any moves at all."""
    nest = traditional(sizes)
    recipe = DERIVATIONS[data.draw(st.sampled_from(sorted(DERIVATIONS)))](sizes)
    known = recipe[: data.draw(st.integers(0, len(recipe)))]
    steps = []
    for i in range(len(known) + length):
        rule, options = known[i] if i < len(known) else _move(data, nest)
        try:
            step = rewrite(nest, rule, **options)
        except IllegalRewrite:
            continue
        steps.append(step)
        nest = step.nest
    return steps


def _move(data: st.DataObject, nest: Nest) -> tuple[str, dict[str, Any]]:
    loops = [node for _, _, node in nest.walk() if isinstance(node, Loop)]
    names = sorted({node.target.name for _, _, node in nest.walk() if isinstance(node, Assign)})

    def one(kind: Kind) -> str:
        found = sorted({node.var for node in loops if node.kind is kind})
        return data.draw(st.sampled_from(found or sorted({node.var for node in loops})))

    def any_loop() -> str:
        return data.draw(st.sampled_from(sorted({node.var for node in loops})))

    rule = data.draw(st.sampled_from(["R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10"]))
    match rule:
        case "R2":
            return rule, {"outer": any_loop(), "inner": one(Kind.TEMPORAL)}
        case "R4" | "R9":
            return rule, {"loop": one(Kind.SPATIAL)}
        case "R5":
            return rule, {
                "loop": one(Kind.TEMPORAL),
                "factor": data.draw(st.integers(2, 3)),
                "inner": data.draw(st.sampled_from("xyz")),
                "unroll": data.draw(st.booleans()),
            }
        case "R6":
            sync = data.draw(st.sampled_from([None, one(Kind.TEMPORAL)]))
            return rule, {"loop": one(Kind.TEMPORAL), "sync": sync}
        case "R7":
            return rule, {"names": tuple(data.draw(st.sets(st.sampled_from(names), min_size=1)))}
        case "R8":
            return rule, {"loop": one(Kind.TEMPORAL), "pad": data.draw(st.booleans())}
        case "R10":
            return rule, {}
    return rule, {"loop": any_loop()}
