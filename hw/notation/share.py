"""R4: encoders that several cells share."""

from __future__ import annotations

from dataclasses import replace

from hw.notation.index import affine
from hw.notation.nest import (
    Assign,
    Kind,
    Loop,
    Nest,
    Node,
    Ref,
    calls,
    refs,
)
from hw.notation.show import show_expression
from hw.notation.tree import (
    IllegalRewrite,
    Step,
    add_index,
    fresh,
    only_loop,
    replace_at,
    replace_in,
    step,
    under,
)

__all__ = ["hoist_encode"]


def hoist_encode(nest: Nest, *, loop: str) -> Step:
    """R4: what does not depend on a loop in space is made once, outside it, and shared.

    The loop moves inwards past the loops in time whose passes do not depend on it.

    Raises
    ------
    IllegalRewrite
        No encoder inside the loop is free of it.
    """
    path, _, node = only_loop(nest, loop, around="encode")
    if node.kind is not Kind.SPATIAL:
        raise IllegalRewrite(
            f"R4 shares encoders among passes in space, but {loop} runs in time: the digits would "
            "need a memory."
        )
    nest = _name_encoders(nest, path, loop)
    _, _, node = only_loop(nest, loop, around="encode")
    dependent = _dependent(nest, node, loop)
    parts: list[tuple[Node, bool]] = []
    for child in node.body:
        parts += _split(nest, child, loop, node, dependent)
    shared = [
        made
        for part, depends in parts
        if not depends
        for made in _assigns(part)
        if made.target.name not in dependent and _encodes(made)
    ]
    if not shared:
        blocking = sorted(
            {
                show_expression(made.arguments[0])
                for assigned in _assigns(node)
                for made in calls(assigned.value, "encode")
                if loop in nest.loop_variables(made.arguments[0])
            }
        )
        raise IllegalRewrite(
            f"R4 finds no encoder to share over {loop}: "
            + (
                f"{', '.join(blocking)} depends on it, so each pass has digits of its own."
                if blocking
                else "there is none inside."
            )
        )
    new = replace_at(nest, path, _wrap(parts, node))
    for name in sorted(dependent - {"A", "B", "C"}):
        new = add_index(new, name, [loop])
    what = sorted({show_expression(c) for made in shared for c in calls(made.value, "encode")})
    return step(
        "R4",
        f"hoist encode and sparse above {loop}",
        f"{loop} is not in the index of {', '.join(what)}: one encoder serves all "
        f"{node.extent} passes.",
        new,
    )


def _name_encoders(nest: Nest, path: tuple[int, ...], loop: str) -> Nest:
    """Gives encoders that stand inside expressions, and do not depend on `loop`, a variable."""
    while True:
        for place, around, old in nest.walk():
            if place[: len(path)] != path or not isinstance(old, Assign):
                continue
            inline = [
                made
                for made in calls(old.value, "encode")
                if made is not old.value and loop not in nest.loop_variables(made)
            ]
            if not inline:
                continue
            used = nest.loop_variables(inline[0])
            inside = [one.var for one in around[len(path) :] if one.var in used]
            new = Ref(fresh(nest, "sel"), tuple(affine(v) for v in inside))
            nest = replace_at(
                nest, place, (Assign(new, inline[0]), replace_in(old, {inline[0]: new}))
            )
            break
        else:
            return nest


def _dependent(nest: Nest, node: Loop, loop: str) -> set[str]:
    """Variables assigned inside `node` that differ from pass to pass."""
    found: set[str] = set()
    while True:
        more = {
            made.target.name
            for made in _assigns(node)
            if loop in nest.loop_variables(made.target) | nest.loop_variables(made.value)
            or found & {ref.name for ref in refs(made.value)}
        }
        for inner in _loops(node):
            if inner.over is not None and inner.over.name in found:
                more |= {made.target.name for made in _assigns(inner)}
        if more <= found:
            return found
        found |= more


def _split(
    nest: Nest, node: Node, loop: str, outer: Loop, dependent: set[str]
) -> list[tuple[Node, bool]]:
    """`node` in pieces, each with whether it depends on `loop`."""
    if isinstance(node, Assign):
        depends = loop in nest.loop_variables(node.target) | nest.loop_variables(node.value)
        names = {node.target.name, *(ref.name for ref in refs(node.value))}
        return [(node, depends or bool(names & dependent))]
    if not isinstance(node, Loop):
        # Passes that are no longer apart need not wait for each other.
        return [] if node.var == loop else [(node, False)]
    if any(one.over is not None and one.over.name in dependent for one in _loops(node)):
        # Each pass of `loop` takes a time of its own here: sharing would make them wait.
        return [(node, True)]
    parts = [part for child in node.body for part in _split(nest, child, loop, outer, dependent)]
    if node.kind is not Kind.SPATIAL:
        # A loop in time is shared: its passes are the same for all passes of `loop`.
        return [(replace(node, body=_wrap(parts, outer)), False)]
    return [
        (replace(node, body=tuple(one for one, _ in group)), depends)
        for depends, group in _groups(parts)
    ]


def _groups(parts: list[tuple[Node, bool]]) -> list[tuple[bool, list[tuple[Node, bool]]]]:
    groups: list[tuple[bool, list[tuple[Node, bool]]]] = []
    for part in parts:
        if groups and groups[-1][0] == part[1]:
            groups[-1][1].append(part)
        else:
            groups.append((part[1], [part]))
    return groups


def _wrap(parts: list[tuple[Node, bool]], outer: Loop) -> tuple[Node, ...]:
    """The pieces, those that depend on the loop `outer` inside copies of it."""
    nodes: list[Node] = []
    for depends, group in _groups(parts):
        inner = [one for one, _ in group]
        nodes += under([outer], inner) if depends else inner
    return tuple(nodes)


def _assigns(node: Node) -> list[Assign]:
    if isinstance(node, Assign):
        return [node]
    if isinstance(node, Loop):
        return [made for child in node.body for made in _assigns(child)]
    return []


def _loops(node: Node) -> list[Loop]:
    if not isinstance(node, Loop):
        return []
    return [node, *(inner for child in node.body for inner in _loops(child))]


def _encodes(node: Assign) -> bool:
    return any(True for _ in calls(node.value, "encode"))
