"""R6: leaving out the digits that are zero."""

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
    Sync,
    call,
    map_expression,
)
from hw.notation.scope import is_accumulation, scopes
from hw.notation.show import show_expression
from hw.notation.tree import (
    IllegalRewrite,
    Step,
    assignments,
    fresh,
    node_at,
    only_loop,
    rebuild,
    replace_at,
    step,
    under,
)

__all__ = ["make_sparse"]


def make_sparse(nest: Nest, *, loop: str, sync: str | None = None) -> Step:
    """R6: the loop visits only the operands whose digit is not zero.

    Loops in space whose passes then take different times move outside, and run on their own until
    they meet: at the end of each pass of the loop `sync`, or (None) at the end of a tile.

    Raises
    ------
    IllegalRewrite
        A pass adds something that a zero digit does not make zero.
    """
    path, around, node = only_loop(nest, loop)
    if node.kind is not Kind.TEMPORAL:
        raise IllegalRewrite(f"R6 thins out a loop in time, but {loop} is not one.")
    for one in (n for p, _, n in nest.walk() if p[: len(path)] == path and isinstance(n, Loop)):
        if one is not node and one.kind is not Kind.SPATIAL:
            raise IllegalRewrite(f"R6 thins out an innermost loop, but {one.var} is inside {loop}.")
    digits = _zero_makers(nest, path, loop)
    if len(digits) != 1:
        raise IllegalRewrite(f"R6 needs one digit per pass of {loop}, not {len(digits)}.")
    (digit,) = digits
    used = nest.loop_variables(digit)
    if loop not in used:
        raise IllegalRewrite(f"R6 needs digits of their own for each pass of {loop}.")
    inside = [
        n
        for p, _, n in nest.walk()
        if p[: len(path)] == path and n is not node and isinstance(n, Loop)
    ]
    spatial = {one.var: one for one in inside if one.kind is Kind.SPATIAL}
    apart = [one for one in spatial.values() if one.var in used]
    new, level = nest, path
    if apart:
        # The columns part where the sum begins: at the outermost loop that is not in C's index.
        rows = set().union(*(nest.loop_variables(n.target) for _, _, n in assignments(nest, "C")))
        level = next(
            path[: depth + 1]
            for depth, one in enumerate((*around, node))
            if one.var not in rows or one is node
        )
        new = _pulled(nest, level, list(spatial.values()))
    new = _sparse(new, loop, digit)
    alignment = ""
    if sync is not None and apart:
        _, enclosing, meeting = only_loop(new, sync)
        if meeting.kind is not Kind.TEMPORAL or not {one.var for one in apart} <= {
            one.var for one in enclosing
        }:
            raise IllegalRewrite(
                f"R6 cannot let {apart[0].var} meet in {sync}: it must be a loop in time inside it."
            )
        place, _, _ = only_loop(new, sync)
        waits = tuple(Sync(one.var) for one in apart)
        new = replace_at(new, place, (replace(meeting, body=(*meeting.body, *waits)),))
        alignment = f", and meet after each {sync}"
    names = ", ".join(one.var for one in apart)
    why = f"map of a zero digit of {show_expression(digit)} is zero, and adds nothing"
    if apart:
        why += f"; passes of {names} have digits of their own, run apart{alignment}"
    return step("R6", f"visit only nonzero digits in {loop}", why + ".", new)


def _zero_makers(nest: Nest, path: tuple[int, ...], loop: str) -> set[Call]:
    """The digits whose being zero makes every addend of the loop zero."""
    found: set[Call] = set()
    homes = scopes(nest)
    for place, _, old in nest.walk():
        if place[: len(path)] != path or not isinstance(old, Assign):
            continue
        if len(homes.get(old.target.name, ())) >= len(path):
            raise IllegalRewrite(
                f"R6 needs loop {loop} to add one product per pass, but "
                f"{show_expression(old.target)} is made in it."
            )
        if not is_accumulation(old):
            raise IllegalRewrite(f"R6 cannot leave out passes that set {old.target.name}.")
        assert isinstance(old.value, Call)
        for argument in old.value.arguments:
            if argument == old.target:
                continue
            while isinstance(argument, Call) and argument.primitive == "shift":
                argument = argument.arguments[0]
            selector = (
                argument.arguments[0]
                if isinstance(argument, Call) and argument.primitive == "map"
                else None
            )
            if not isinstance(selector, Call) or selector.primitive != "encode":
                raise IllegalRewrite(
                    f"R6 needs every addend to be the map of a digit, not "
                    f"{show_expression(argument)}."
                )
            found.add(selector)
    return found


def _pulled(nest: Nest, path: tuple[int, ...], spatial: list[Loop]) -> Nest:
    """The loops `spatial` moved from inside the nodes at and after `path` to around them."""
    names = {one.var for one in spatial}
    start, place = path[:-1], path[-1]
    siblings: tuple[Node, ...]
    if start:
        parent = node_at(nest, start)
        assert isinstance(parent, Loop)
        siblings = parent.body
    else:
        parent, siblings = None, nest.body
    for i, one in enumerate(siblings[:place]):
        raise IllegalRewrite(f"R6 cannot part the passes: statement {i + 1} stands before {one}.")

    for p, inside, old in nest.walk():
        if p[: len(start)] != start or not isinstance(old, Assign):
            continue
        missing = names - {one.var for one in inside}
        if missing:
            raise IllegalRewrite(
                f"R6 cannot part the passes of {min(missing)}: they share "
                f"{show_expression(old.target)}."
            )

    def strip(old: Node) -> tuple[Node, ...]:
        return old.body if isinstance(old, Loop) and old.var in names else (old,)

    body = under([replace(one, body=()) for one in spatial], rebuild(siblings, strip))
    if parent is None:
        return replace(nest, body=body)
    return replace_at(nest, start, (replace(parent, body=body),))


def _sparse(nest: Nest, loop: str, digit: Call) -> Nest:
    path, _, node = only_loop(nest, loop)
    sel = Ref(fresh(nest, "sel"), (affine(loop),))
    idx = Ref(fresh(nest, "idx"))
    body = rebuild(
        node.body,
        lambda old: (
            (replace(old, value=map_expression(old.value, lambda e: sel if e == digit else e)),)
            if isinstance(old, Assign)
            else (old,)
        ),
    )
    group = Loop(loop, node.extent, Kind.SPATIAL, (Assign(sel, digit),))
    found = Assign(idx, call("sparse", Ref(sel.name, (STAR,))))
    thin = Loop(loop, node.extent, Kind.SPARSE, body, idx)
    return replace_at(nest, path, (group, found, thin))
