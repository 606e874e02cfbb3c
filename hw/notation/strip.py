"""R5: splitting K between time and space."""

from __future__ import annotations

from dataclasses import replace

from hw.notation.index import STAR, Affine, Star, affine
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
)
from hw.notation.scope import change_refs, is_accumulation, mentioned, scopes
from hw.notation.tree import (
    IllegalRewrite,
    Step,
    fresh,
    only_loop,
    replace_at,
    step,
    under,
)
from hw.notation.widths import required_bits

__all__ = ["strip_mine"]


def strip_mine(nest: Nest, *, loop: str, factor: int, inner: str, unroll: bool = True) -> Step:
    """R5: K is split into passes of `factor`; with `unroll`, these run in space.

    The loop becomes `loop` (or ``<loop>t`` when it is an index of the matrices) around `inner`. A
    loop whose passes take data-dependent time is unrolled into lanes that run on their own, each
    with its own stream, into one accumulator.

    Raises
    ------
    IllegalRewrite
        The accumulator cannot take several addends at once, or is too narrow.
    """
    path, _, node = only_loop(nest, loop)
    if factor < 2:
        raise IllegalRewrite(f"R5 needs a factor of at least 2, not {factor}.")
    if node.kind is not Kind.TEMPORAL:
        raise IllegalRewrite(f"R5 splits a loop in time, but {loop} is not one.")
    if nest.loops(inner) or inner in dict(nest.where):
        raise IllegalRewrite(f"R5 needs a new name for the inner loop, not {inner!r}.")
    indexes = any(affine(loop) in ref.index for _, _, old in nest.walk() for ref in mentioned(old))
    outer = f"{loop}t" if indexes else loop
    if indexes and (nest.loops(outer) or outer in dict(nest.where)):
        raise IllegalRewrite(f"R5 needs the name {outer!r}, which is taken.")
    passes = -(-node.extent // factor)
    _require_padding(nest, node, factor)
    split = Affine.of([(outer, factor), (inner, 1)])
    if indexes:
        new = replace(nest, where=(*nest.where, (loop, split)))
    else:
        new = _substituted(nest, loop, split)
    _, _, node = only_loop(new, loop)
    timed = any(
        isinstance(old, Loop) and old.kind is not Kind.SPATIAL
        for place, _, old in new.walk()
        if place[: len(path)] == path and place != path
    )
    body: tuple[Node, ...]
    if not unroll:
        body = (Loop(inner, factor, Kind.TEMPORAL, node.body),)
        made: Node = Loop(outer, passes, Kind.TEMPORAL, body)
    else:
        _require_redundant(new, path, loop)
        if timed:
            body = (Loop(outer, passes, Kind.TEMPORAL, node.body),)
            made = Loop(inner, factor, Kind.SPATIAL, body)
        else:
            new, body = _unrolled(new, path, node, inner, factor)
            made = Loop(outer, passes, Kind.TEMPORAL, body)
    new = replace_at(new, path, (made,))
    why = f"{factor} divides the {node.extent} passes of {loop}"
    if node.extent % factor:
        why = f"{passes * factor - node.extent} more passes read zeros, which add nothing"
    if unroll:
        pairs = sorted(
            {
                old.target.name
                for place, _, old in new.walk()
                if place[: len(path)] == path
                and isinstance(old, Assign)
                and is_pair(old.target.name)
                and is_accumulation(old)
            }
        )
        for pair in pairs:
            needed, width = required_bits(new, pair), new.width(pair) or 0
            if needed > width:
                raise IllegalRewrite(
                    f"R5 needs {needed} bits in {pair} for {factor} lanes, not {width}: the "
                    "accumulator must be widened."
                )
            why += f"; {pair} needs {needed} of its {width} bits"
        why += f"; the compressor takes {factor} times the products"
    return step("R5", f"strip-mine {loop} by {factor}", why + ".", new)


def _require_padding(nest: Nest, node: Loop, factor: int) -> None:
    """Passes beyond the extent must read and write nothing: they lie outside the matrices."""
    if any(
        node.var in nest.expand(made.at[0]).variables
        for _, _, old in nest.walk()
        if isinstance(old, Assign)
        for made in calls(old.value, "encode")
    ):
        raise IllegalRewrite(f"R5 splits rows, columns and K, but {node.var} counts digits.")
    if node.extent % factor == 0:
        return
    sizes = {"A": (nest.m, nest.k), "B": (nest.k, nest.n), "C": (nest.m, nest.n)}
    for _, _, old in nest.walk():
        for ref in mentioned(old):
            for index, size in zip(ref.index, sizes.get(ref.name, ()), strict=False):
                assert isinstance(index, Affine)
                steps = dict(nest.expand(index).terms)
                if node.var in steps and steps[node.var] * node.extent < size:
                    raise IllegalRewrite(
                        f"R5 must pad outside the matrices, but {node.extent} passes of {node.var} "
                        f"are no multiple of {factor} and more of them would be counted twice."
                    )


def _substituted(nest: Nest, name: str, by: Affine) -> Nest:
    """`nest` with the loop variable `name` replaced in every index."""
    swap = {name: by}

    def change(ref: Ref) -> Ref:
        return replace(
            ref,
            index=tuple(i.substitute(swap) if isinstance(i, Affine) else i for i in ref.index),
        )

    where = tuple((n, index.substitute(swap)) for n, index in nest.where)
    return change_refs(replace(nest, where=where), change)


def _require_redundant(nest: Nest, path: tuple[int, ...], loop: str) -> None:
    homes, found = scopes(nest), False
    for place, _, old in nest.walk():
        if place[: len(path)] != path or not isinstance(old, Assign):
            continue
        if len(homes.get(old.target.name, ())) >= len(path):
            continue
        if not is_accumulation(old):
            raise IllegalRewrite(f"R5 cannot unroll {loop}: each pass sets {old.target.name}.")
        if not is_pair(old.target.name):
            raise IllegalRewrite(
                f"R5 cannot unroll {loop}: {old.target.name} is accumulated with carry "
                "propagation, one number per cycle, so it must be made redundant first (R1)."
            )
        found = True
    if not found:
        raise IllegalRewrite(f"R5 finds nothing that accumulates over {loop}.")


def _unrolled(
    nest: Nest, path: tuple[int, ...], node: Loop, inner: str, factor: int
) -> tuple[Nest, tuple[Node, ...]]:
    """The body of `node`, with what each of `factor` passes makes collected before it is summed."""
    homes = scopes(nest)
    local = {
        old.target.name
        for place, _, old in nest.walk()
        if place[: len(path)] == path
        and isinstance(old, Assign)
        and len(homes.get(old.target.name, (0,) * 99)) >= len(path)
        and old.target.name not in ("A", "B", "C")
    }

    here = affine(inner)

    def indexed(ref: Ref, place: Affine | Star) -> Ref:
        return replace(ref, index=(place, *ref.index)) if ref.name in local else ref

    def in_lane(expression: Expression) -> Expression:
        return indexed(expression, here) if isinstance(expression, Ref) else expression

    def lanes(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        made: list[Node] = []
        for old in nodes:
            if isinstance(old, Loop):
                body = lanes(old.body)
                if old.kind is Kind.SPATIAL and all(_is_lane(b, inner) for b in body):
                    # One parfor over the lanes outside, rather than one inside each pass.
                    inside = tuple(n for b in body for n in b.body)  # type: ignore[union-attr]
                    made += under([_lane(inner, factor)], [replace(old, body=inside)])
                else:
                    made.append(replace(old, body=body))
            elif isinstance(old, Assign) and is_accumulation(old):
                made += collected(old)
            elif isinstance(old, Assign):
                value = map_expression(old.value, in_lane)
                lane = replace(old, target=indexed(old.target, here), value=value)
                made += under([_lane(inner, factor)], [lane])
            else:
                raise IllegalRewrite(f"R5 cannot unroll a loop with sync({old.var}) inside.")
        return _joined(made)

    def collected(old: Assign) -> tuple[Node, ...]:
        assert isinstance(old.value, Call)
        before: list[Node] = []
        arguments: list[Expression] = []
        for argument in old.value.arguments:
            if argument == old.target:
                arguments.append(argument)
            elif isinstance(argument, Ref) and argument.name in local:
                arguments.append(indexed(argument, STAR))
            else:
                part = fresh(nest, "pp" if not before else f"pp{len(before) + 1}_")
                before.append(Assign(Ref(part, (here,)), map_expression(argument, in_lane)))
                arguments.append(Ref(part, (STAR,)))
        value = call("half_reduce", *arguments)
        return (*under([_lane(inner, factor)], before), replace(old, value=value))

    return nest, lanes(node.body)


def _lane(inner: str, factor: int) -> Loop:
    return Loop(inner, factor, Kind.SPATIAL, ())


def _is_lane(node: Node, inner: str) -> bool:
    return isinstance(node, Loop) and node.var == inner


def _joined(nodes: list[Node]) -> tuple[Node, ...]:
    """`nodes` with neighbouring loops over the same lanes made one, and empty ones left out."""
    made: list[Node] = []
    for node in nodes:
        if isinstance(node, Loop) and not node.body:
            continue
        last = made[-1] if made else None
        if (
            isinstance(node, Loop)
            and isinstance(last, Loop)
            and (node.var, node.kind) == (last.var, last.kind)
            and node.kind is Kind.SPATIAL
        ):
            made[-1] = replace(last, body=last.body + node.body)
        else:
            made.append(node)
    return tuple(made)
