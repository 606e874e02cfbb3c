"""R1 and R3: moving additions and shifts out of inner loops."""

from __future__ import annotations

from dataclasses import replace

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
from hw.notation.scope import is_accumulation, mentioned, scopes
from hw.notation.show import show_expression
from hw.notation.tree import (
    IllegalRewrite,
    Step,
    add_index,
    assignments,
    node_at,
    only_loop,
    rebuild,
    replace_at,
    step,
    under,
)
from hw.notation.widths import required_bits

__all__ = ["hoist_add", "hoist_shift"]


def hoist_add(nest: Nest, *, loop: str) -> Step:
    """R1: the carry-propagate addition leaves a loop that sums; a pair accumulates in its place.

    Raises
    ------
    IllegalRewrite
        The loop does not sum, or the true result does not fit the accumulator.
    """
    path, around, node = only_loop(nest, loop)
    if node.kind is Kind.SPATIAL:
        raise IllegalRewrite(
            f"R1 hoists over a loop in time, but {loop} runs in space: nothing accumulates over it."
        )
    between, accumulate, added = _accumulated_sum(nest, path, loop)
    target, pair = accumulate.target, added.arguments[0]
    assert isinstance(pair, Ref)
    if loop in nest.loop_variables(target):
        raise IllegalRewrite(
            f"R1 hoists over a loop that sums, but {loop} is in the index of "
            f"{show_expression(target)}."
        )
    for one in between:
        if one.var not in nest.loop_variables(target):
            raise IllegalRewrite(
                f"R1 needs one sum per pass of the loops in space, but {one.var} is not in the "
                f"index of {show_expression(target)}."
            )
    made = assignments(nest, pair.name)
    if any(p[: len(path)] != path for p, _, _ in made) or len(scopes(nest)[pair.name]) < len(path):
        raise IllegalRewrite(f"R1 finds {pair.name} outside loop {loop} already.")
    width = nest.width(target.name)
    if width is None:
        raise IllegalRewrite(f"R1 needs the width of {target.name}.")

    names = [one.var for one in between]
    kept = Ref(pair.name, pair.index)

    def change(old: Node) -> tuple[Node, ...]:
        if not isinstance(old, Assign):
            return (old,)
        if old == accumulate or old.target == accumulate.value.arguments[1]:  # type: ignore[union-attr]
            return ()
        if old.target.name == pair.name and not is_accumulation(old):
            assert isinstance(old.value, Call)
            value = call("half_reduce", *old.value.arguments, old.target)
            return (replace(old, value=value),)
        return (old,)

    sums_further = any(
        one.kind is not Kind.SPATIAL and one.var not in nest.loop_variables(target)
        for one in around
    )
    others = [old for _, _, old in assignments(nest, target.name) if old != accumulate]
    resolved: Expression = call("add", kept)
    if sums_further or others:
        resolved = call("accumulate", target, resolved)
    body = rebuild(node.body, change)
    new = replace_at(
        nest,
        path,
        (replace(node, body=body), *under(between, [Assign(target, resolved)])),
    )
    new = add_index(new, pair.name, names).with_width(pair.name, width)
    needed = required_bits(new, pair.name)
    if needed > width:
        raise IllegalRewrite(
            f"R1 needs an accumulator that holds the true result, {needed} bits, "
            f"but {target.name} has {width}."
        )
    return step(
        "R1",
        f"hoist add over {loop}",
        f"{pair.name} is redundant and lives modulo 2^{width}; {loop} is not in the index of "
        f"{show_expression(target)}, and the result needs {needed} of its {width} bits.",
        new,
    )


def _accumulated_sum(
    nest: Nest, path: tuple[int, ...], loop: str
) -> tuple[list[Loop], Assign, Call]:
    """The accumulation in `loop` that takes the addition of a pair, and the loops between."""
    shifted = False
    for place, around, old in nest.walk():
        if place[: len(path)] != path or not isinstance(old, Assign) or not is_accumulation(old):
            continue
        if is_pair(old.target.name):
            continue
        assert isinstance(old.value, Call)
        value = old.value.arguments[1]
        if isinstance(value, Ref) and value.name not in ("A", "B", "C"):
            definitions = assignments(nest, value.name)
            if len(definitions) == 1 and definitions[0][0][:-1] == place[:-1]:
                uses = [n for _, _, n in nest.walk() if n != definitions[0][2]]
                if sum(value in mentioned(n) for n in uses) == 1:
                    value = definitions[0][2].value
        shifted |= isinstance(value, Call) and value.primitive == "shift"
        between = list(around[len(path) :])
        if (
            isinstance(value, Call)
            and value.primitive == "add"
            and all(one.kind is Kind.SPATIAL for one in between)
        ):
            return between, old, value
    if shifted:
        raise IllegalRewrite(
            f"R1 cannot hoist over {loop}: each of its passes shifts its sum by another weight."
        )
    raise IllegalRewrite(f"R1 finds no addition in loop {loop} whose result is accumulated there.")


def hoist_shift(nest: Nest, *, loop: str) -> Step:
    """R3: the shift leaves the loops inside `loop`, the one over bit weights.

    The pair then collects one bit weight at a time and is as narrow as that allows.

    Raises
    ------
    IllegalRewrite
        The bit weights run in space, or inside the accumulation.
    """
    path, _, node = only_loop(nest, loop)
    if node.kind is not Kind.TEMPORAL:
        raise IllegalRewrite(
            f"R3 needs one bit weight at a time, but {loop} runs in space: products of different "
            "weight meet in one compressor (R2 brings the weights outside)."
        )
    found = [
        old
        for p, _, old in nest.walk()
        if p[: len(path)] == path
        and isinstance(old, Assign)
        and is_accumulation(old)
        and is_pair(old.target.name)
    ]
    names = {old.target.name for old in found}
    if len(names) != 1:
        raise IllegalRewrite(
            f"R3 needs one redundant accumulator inside loop {loop}, not {len(names)}: "
            "R1 makes one."
        )
    (pair,) = names
    home = scopes(nest)[pair]
    if len(home) >= len(path):
        raise IllegalRewrite(f"R3 finds that {pair} holds a single bit weight already.")
    if home != path[:-1]:
        raise IllegalRewrite(
            f"R3 must hoist inside the loop over bit weights, but {pair} sums over loops around "
            f"{loop}: interchange them first (R2)."
        )
    sources: dict[str, Assign] = {}
    for old in found:
        assert isinstance(old.value, Call)
        for argument in old.value.arguments:
            if argument == old.target:
                continue
            if isinstance(argument, Ref):
                for _, _, made in assignments(nest, argument.name):
                    sources[argument.name] = made
                    _require_shift(made.value, loop)
            else:
                _require_shift(argument, loop)

    def strip(expression: Expression) -> Expression:
        if isinstance(expression, Call) and expression.primitive == "shift":
            return expression.arguments[0]
        return expression

    def change(old: Node) -> tuple[Node, ...]:
        if isinstance(old, Assign) and (old in found or sources.get(old.target.name) == old):
            return (replace(old, value=map_expression(old.value, strip)),)
        return (old,)

    between, consumer, added = _resolution(nest, path, pair)
    target = consumer.target
    if assignments(nest, target.name) != [
        entry for entry in assignments(nest, target.name) if entry[2] == consumer
    ]:
        raise IllegalRewrite(f"R3 needs {target.name} to be assigned once.")
    weight = call("shift", added, at=loop)
    inside = under(between, [Assign(target, call("accumulate", target, weight))])
    rest: list[Node] = []
    if consumer.value not in (added, call("accumulate", target, added)):
        left = map_expression(consumer.value, lambda e: target if e == added else e)
        rest = [replace(consumer, value=left)]

    def after(old: Node) -> tuple[Node, ...]:
        return tuple(rest) if old == consumer else (old,)

    start, place = path[:-1], path[-1]
    changed = replace(node, body=(*rebuild(node.body, change), *inside))
    new = replace_at(nest, path, (changed,))
    siblings = _body(new, start)
    outer = (*siblings[: place + 1], *rebuild(siblings[place + 1 :], after))
    new = _with_body(new, start, outer)
    wide = nest.width(pair)
    needed = required_bits(new, pair)
    new = new.with_width(pair, needed)
    return step(
        "R3",
        f"hoist shift out of the loops inside {loop}",
        f"{loop} is fixed while {pair} accumulates, so the sum is shifted once, after its two "
        f"words are added; one bit weight needs {needed} bits instead of {wide}.",
        new,
    )


def _require_shift(expression: Expression, loop: str) -> None:
    if (
        not isinstance(expression, Call)
        or expression.primitive != "shift"
        or str(expression.at[0]) != loop
    ):
        raise IllegalRewrite(
            f"R3 finds an input of the accumulator that is not shifted by {loop}: "
            f"{show_expression(expression)}."
        )


def _resolution(nest: Nest, path: tuple[int, ...], pair: str) -> tuple[list[Loop], Assign, Call]:
    """Where the pair is added up after the loop at `path`, in the same body."""
    for place, around, old in nest.walk():
        if place[: len(path) - 1] != path[:-1] or not isinstance(old, Assign):
            continue
        for added in calls(old.value, "add"):
            source = added.arguments[0]
            if isinstance(source, Ref) and source.name == pair:
                between = list(around[len(path) - 1 :])
                if place[len(path) - 1] <= path[-1] or any(
                    one.kind is not Kind.SPATIAL for one in between
                ):
                    break
                return between, old, added
    raise IllegalRewrite(f"R3 finds no addition of {pair} after its loop.")


def _body(nest: Nest, path: tuple[int, ...]) -> tuple[Node, ...]:
    nodes = nest.body
    for i in path:
        inner = nodes[i]
        assert isinstance(inner, Loop)
        nodes = inner.body
    return nodes


def _with_body(nest: Nest, path: tuple[int, ...], body: tuple[Node, ...]) -> Nest:
    if not path:
        return replace(nest, body=body)
    node = node_at(nest, path)
    assert isinstance(node, Loop)
    return replace_at(nest, path, (replace(node, body=body),))
