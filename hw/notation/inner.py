"""R8 and R9: Winograd's inner product, and its free pipeline."""

from __future__ import annotations

from dataclasses import replace

from hw.notation.index import Affine, affine
from hw.notation.nest import (
    Assign,
    Call,
    Expression,
    Kind,
    Loop,
    Nest,
    Node,
    Ref,
    call,
    calls,
    is_pair,
    map_expression,
    refs,
)
from hw.notation.recode import digit_count
from hw.notation.show import show_expression
from hw.notation.tree import (
    IllegalRewrite,
    Step,
    add_index,
    assignments,
    fresh,
    node_at,
    only_loop,
    rebuild,
    replace_at,
    step,
    under,
)
from hw.notation.widths import encoded_format, interval, required_bits, signed_bits

__all__ = ["fast_inner_product", "free_pipeline"]


def fast_inner_product(nest: Nest, *, loop: str = "k", half: str = "h", pad: bool = False) -> Step:
    """R8: two products become one of sums, less corrections (Winograd 1968).

    ``a0*b0 + a1*b1 == (a0 + b1) * (a1 + b0) - a0*a1 - b0*b1``, so the loop has half the passes. The
    correction of A is one more product per row and pass, shared by all columns; that of B depends
    on B alone and is known beforehand.

    Raises
    ------
    IllegalRewrite
        K is odd and `pad` is not given, or products are not of one element of A and one of B.
    """
    path, around, node = only_loop(nest, loop)
    if node.kind is not Kind.TEMPORAL:
        raise IllegalRewrite(f"R8 pairs passes of a loop in time, but {loop} is not one.")
    if nest.k % 2 and not pad:
        raise IllegalRewrite(
            f"R8 takes the elements of a row in pairs, but K = {nest.k} is odd: pad it with a zero."
        )
    if nest.loops(half) or half in dict(nest.where):
        raise IllegalRewrite(f"R8 needs a new name for the halved loop, not {half!r}.")
    places = {
        ref
        for _, _, old in nest.walk()
        if isinstance(old, Assign)
        for ref in refs(old.value)
        if ref.name in ("A", "B")
    }
    left = sorted((r for r in places if r.name == "A"), key=show_expression)
    right = sorted((r for r in places if r.name == "B"), key=show_expression)
    if len(left) != 1 or len(right) != 1:
        raise IllegalRewrite(
            f"R8 needs products of one element of A and one of B, not of {len(left)} and "
            f"{len(right)}."
        )
    (a,), (b,) = left, right
    row, column = a.index[0], b.index[1]
    if a.index[1] != affine(loop) or b.index[0] != affine(loop):
        raise IllegalRewrite(
            f"R8 needs {loop} itself as the index of A and B: split it afterwards."
        )
    assert isinstance(row, Affine) and isinstance(column, Affine)
    bw = _digit_loop(nest, a, b)

    even, odd = Affine.of([(half, 2)]), Affine.of([(half, 2)], 1)
    factors = [
        Assign(
            Ref(fresh(nest, "u")), call("presum", Ref("A", (row, even)), Ref("B", (odd, column)))
        ),
        Assign(
            Ref(fresh(nest, "v")), call("presum", Ref("A", (row, odd)), Ref("B", (even, column)))
        ),
    ]
    sums: dict[Expression, Expression] = {a: factors[0].target, b: factors[1].target}
    bits = signed_bits(*interval(nest, factors[0].value))
    with_sums = _with_factors(nest, a, b, factors)
    for factor in factors:
        with_sums = with_sums.with_width(factor.target.name, bits)
    digits = digit_count(nest.recoding, encoded_format(with_sums, factors[0].target))

    if len(assignments(nest, "C")) != 1:
        raise IllegalRewrite("R8 needs one statement that makes C.")
    ((place, inside, last),) = assignments(nest, "C")
    for one in around:
        if one.kind is not Kind.SPATIAL and one.var not in nest.loop_variables(last.target):
            raise IllegalRewrite(
                f"R8 corrects a sum once, but {one.var} around {loop} takes part in it."
            )
    in_loop = place[: len(path)] == path
    between = [replace(one, body=()) for one in inside[len(around) + in_loop :]]
    if place[: len(path) - 1] != path[:-1] or any(o.kind is not Kind.SPATIAL for o in between):
        raise IllegalRewrite(f"R8 needs C to be made in the loop over {loop}, or right after it.")

    rows = [one for one in between if one.var in nest.expand(row).variables]
    name = fresh(nest, "alpha")
    alpha = Ref(name, tuple(affine(one.var) for one in rows))
    product = Ref(fresh(nest, "q"))
    correction = under(
        rows,
        [
            Assign(product, call("alpha", Ref("A", (row, even)), Ref("A", (row, odd)))),
            Assign(alpha, call("accumulate", alpha, product)),
        ],
    )
    beta = call("beta", at=column)

    def change(old: Node) -> tuple[Node, ...]:
        if isinstance(old, Loop):
            return (replace(old, extent=digits) if old.var == bw else old,)
        if not isinstance(old, Assign):
            return (old,)
        if old == last and not in_loop:
            return (replace(old, value=call("correct", old.value, alpha, beta)),)
        if old in factors:
            return (old,)
        return (replace(old, value=map_expression(old.value, lambda e: sums.get(e, e))),)

    new = replace(with_sums, body=rebuild(with_sums.body, change))
    halved = only_loop(new, loop)[2]
    corrected: tuple[Node, ...] = ()
    if in_loop:
        whole = call("correct", last.target, alpha, beta)
        corrected = under(between, [Assign(last.target, whole)])
    body = (*halved.body, *correction)
    new = replace_at(new, path, (Loop(half, -(-nest.k // 2), Kind.TEMPORAL, body), *corrected))
    for pair in [variable for variable, _ in new.widths if is_pair(variable)]:
        needed, width = required_bits(new, pair), new.width(pair) or 0
        if needed > width:
            new = new.with_width(pair, needed)
    width = nest.width("C") or 0
    new = new.with_width(name, width)
    return step(
        "R8",
        f"pair the passes of {loop}",
        f"K = {nest.k} is {'even' if nest.k % 2 == 0 else 'padded with a zero'}; "
        f"{name} and beta take out what the sums add too much, and as sums may wrap modulo "
        f"2^{width}, only C has to fit; a sum has {bits} bits and {digits} digits.",
        new,
    )


def _with_factors(nest: Nest, a: Ref, b: Ref, factors: list[Assign]) -> Nest:
    """`nest` with `factors` assigned in front of what takes their product, outside its digits."""
    for place, around, old in nest.walk():
        if isinstance(old, Assign) and {a, b} <= set(refs(old.value)):
            wanted = nest.loop_variables(a) | nest.loop_variables(b)
            depth = 1 + max(i for i, one in enumerate(around) if one.var in wanted)
            at = place[: depth + 1]
            return replace_at(nest, at, (*factors, node_at(nest, at)))
    raise IllegalRewrite("R8 finds no product of an element of A and one of B.")


def _digit_loop(nest: Nest, a: Ref, b: Ref) -> str:
    """The loop over the digits of `a`; all of them must be summed, each at its weight."""
    for _, _, old in nest.walk():
        if not isinstance(old, Assign):
            continue
        for made in calls(old.value, "map"):
            selector = made.arguments[0]
            if (
                made.arguments[1] == b
                and isinstance(selector, Call)
                and selector.primitive == "encode"
                and selector.arguments == (a,)
            ):
                (name,) = nest.expand(selector.at[0]).variables
                return name
    raise IllegalRewrite(
        f"R8 needs products map(encode({show_expression(a)})[..], {show_expression(b)}): digits "
        "that are made outside are digits of A alone."
    )


def free_pipeline(nest: Nest, *, loop: str) -> Step:
    """R9: sums of A and B pass from column to column, and only the difference of B is added.

    The registers between the columns hold the sums, and no adder stands before a multiplier.

    Raises
    ------
    IllegalRewrite
        The loop does not run in space, or the element of A differs from pass to pass.
    """
    path, _, node = only_loop(nest, loop, around="presum")
    if node.kind is not Kind.SPATIAL:
        raise IllegalRewrite(
            f"R9 passes sums between neighbours in space, but {loop} runs in time."
        )
    new, shared = nest, []
    for place, around, old in nest.walk():
        if place[: len(path)] != path or not isinstance(old, Assign):
            continue
        if not any(True for _ in calls(old.value, "presum")):
            continue
        if not isinstance(old.value, Call) or old.value.primitive != "presum":
            raise IllegalRewrite("R9 needs sums that are assigned to a variable.")
        left, right = old.value.arguments
        if loop in nest.loop_variables(left) or loop not in nest.loop_variables(right):
            raise IllegalRewrite(
                f"R9 needs an element that all passes of {loop} share, and one of their own, not "
                f"{show_expression(left)} and {show_expression(right)}."
            )
        inside = [one.var for one in around[len(path) - 1 :]]
        if inside != [loop]:
            raise IllegalRewrite(f"R9 needs sums right inside {loop}, not inside {inside[-1]}.")
        before = Ref(old.target.name, (Affine.of([(loop, 1)], -1), *old.target.index))
        here = Ref(old.target.name, (affine(loop), *old.target.index))
        chain = call("presum", call("neighbour", before, left), call("difference", right, at=loop))
        new = add_index(new, old.target.name, [loop])
        new = replace_at(new, place, (replace(old, target=here, value=chain),))
        shared.append(show_expression(left))
    return step(
        "R9",
        f"pass sums along {loop}",
        f"{', '.join(shared)} do not depend on {loop}, so neighbouring sums differ by a "
        "difference of B, which is known beforehand.",
        new,
    )
