"""R2: interchanging the loop over bit weights with that over K."""

from __future__ import annotations

from dataclasses import replace

from hw.notation.index import STAR, affine
from hw.notation.nest import (
    Assign,
    Call,
    Kind,
    Loop,
    Nest,
    Node,
    Ref,
    calls,
    map_expression,
)
from hw.notation.scope import is_accumulation, mentioned, scopes
from hw.notation.show import show_expression
from hw.notation.tree import (
    IllegalRewrite,
    Step,
    only_loop,
    rebuild,
    replace_at,
    step,
)

__all__ = ["interchange"]


def interchange(nest: Nest, *, outer: str, inner: str) -> Step:
    """R2: the loop `outer`, now inside `inner`, becomes the one directly around it.

    A loop in space whose results meet in one compressor becomes a loop in time: each pass adds its
    one result to the accumulator.

    Raises
    ------
    IllegalRewrite
        Something other than a sum depends on the order.
    """
    path, _, node = only_loop(nest, inner)
    moved_path, around, moved = only_loop(nest, outer)
    if moved_path[: len(path)] != path or moved_path == path:
        raise IllegalRewrite(f"R2 finds {outer} outside {inner} already.")
    if node.kind is not Kind.TEMPORAL:
        raise IllegalRewrite(f"R2 needs {inner} to run in time, not as {node.kind.value}.")
    between = around[len(path) - 1 :]
    if any(one.kind is Kind.SPARSE for one in (*between, moved)):
        raise IllegalRewrite(
            f"R2 cannot cross a sparse loop: which passes it makes depends on {outer}."
        )
    if moved.kind is Kind.SPATIAL:
        body = _serialised(nest, path, node, moved_path, moved)
        how = "the compressor takes its passes one after another"
    else:
        if any(len(one.body) != 1 for one in between):
            raise IllegalRewrite(
                f"R2 finds statements between {inner} and {outer}: they need the sum of each pass "
                f"of {inner}."
            )
        body = rebuild(node.body, lambda old: old.body if old == moved else (old,))
        how = "nothing stands between the two loops"
    homes = scopes(nest)
    for place, inside, old in nest.walk():
        if place[: len(path)] != path or not isinstance(old, Assign):
            continue
        outlives = len(homes.get(old.target.name, ())) < len(path)
        crossed = {outer, *({one.var for one in inside[len(path) - 1 :]} & {inner})}
        if outlives and not is_accumulation(old) and not crossed <= nest.loop_variables(old.target):
            raise IllegalRewrite(
                f"R2 moves sums only, but the last pass alone sets {show_expression(old.target)}."
            )
    new = replace_at(
        nest, path, (Loop(outer, moved.extent, Kind.TEMPORAL, (replace(node, body=body),)),)
    )
    return step(
        "R2",
        f"interchange {outer} with {inner}",
        f"sums commute, and {how}.",
        new,
    )


def _serialised(
    nest: Nest, path: tuple[int, ...], node: Loop, moved_path: tuple[int, ...], moved: Loop
) -> tuple[Node, ...]:
    """The body of `node` with the spatial loop `moved` dissolved into the accumulation."""
    name = moved.var
    if len(moved.body) != 1 or not isinstance(moved.body[0], Assign):
        raise IllegalRewrite(f"R2 needs one product per pass of {name}, not several statements.")
    part = moved.body[0]
    if any(True for _ in calls(part.value, "biased")):
        raise IllegalRewrite("R2 must keep biased rows together: their signs need vacant slots.")
    stars = tuple(STAR if i == affine(name) else i for i in part.target.index)
    used = Ref(part.target.name, stars)
    takers = [
        (place, old)
        for place, _, old in nest.walk()
        if isinstance(old, Assign) and old != part and part.target.name in _names(old)
    ]
    if (
        len(takers) != 1
        or takers[0][0][:-1] != moved_path[:-1]
        or not isinstance(takers[0][1].value, Call)
        or used not in takers[0][1].value.arguments
    ):
        raise IllegalRewrite(f"R2 needs the passes of {name} to meet in one compressor.")
    taker = takers[0][1]
    assert isinstance(taker.value, Call)
    others = [a for a in taker.value.arguments if a not in (used, taker.target)]
    if others:
        raise IllegalRewrite(f"R2 would add {show_expression(others[0])} once per pass of {name}.")
    carried = {taker.target.name} if is_accumulation(taker) else _sum_of(nest, taker)
    for place, _, old in nest.walk():
        if place[: len(path)] == path and isinstance(old, Assign) and is_accumulation(old):
            if old.target.name not in carried:
                raise IllegalRewrite(
                    f"R2 would add to {show_expression(old.target)} once per pass of {name}."
                )

    def change(old: Node) -> tuple[Node, ...]:
        if old == moved:
            return ()
        if old == taker:
            value = map_expression(taker.value, lambda e: part.value if e == used else e)
            return (replace(taker, value=value),)
        return (old,)

    return rebuild(node.body, change)


def _sum_of(nest: Nest, taker: Assign) -> set[str]:
    """The accumulator that the pair of `taker` goes to, by additions only."""
    name = taker.target.name
    while True:
        takers = [old for _, _, old in nest.walk() if old != taker and name in _names(old)]
        if len(takers) != 1 or not isinstance(takers[0], Assign):
            raise IllegalRewrite(f"R2 needs {name} to be used once, in a sum.")
        taker = takers[0]
        linear = all(
            made.primitive in ("add", "accumulate", "half_reduce") for made in calls(taker.value)
        )
        if not linear:
            raise IllegalRewrite(f"R2 needs {name} to go into a sum, not into a shift or product.")
        if is_accumulation(taker):
            return {taker.target.name}
        name = taker.target.name


def _names(node: Node) -> set[str]:
    """Variables that `node` itself reads."""
    if isinstance(node, Assign):
        return {ref.name for ref in mentioned(replace(node, target=Ref("")))} - {""}
    return {ref.name for ref in mentioned(node)}
