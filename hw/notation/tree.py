"""Small operations on the tree of a nest, shared by the rewrites."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from hw.errors import InputError
from hw.notation.index import affine
from hw.notation.nest import Assign, Expression, Loop, Nest, Node, Ref, calls, map_expression
from hw.notation.scope import change_refs, mentioned, normalise
from hw.notation.validate import validate

__all__ = [
    "IllegalRewrite",
    "Step",
    "add_index",
    "assignments",
    "fresh",
    "node_at",
    "only_loop",
    "rebuild",
    "replace_at",
    "replace_in",
    "step",
    "under",
]


class IllegalRewrite(InputError):
    """Says in one sentence why a rewrite does not keep the meaning of a nest."""


@dataclass(frozen=True)
class Step:
    """One rewrite: the rule, why it is legal here, and what it gives."""

    rule: str
    title: str
    why: str
    nest: Nest


def step(rule: str, title: str, why: str, nest: Nest) -> Step:
    """A `Step` whose nest has no index that says nothing, and has a meaning."""
    nest = normalise(nest)
    validate(nest)
    return Step(rule, title, why, nest)


def only_loop(
    nest: Nest, name: str, *, around: str | None = None
) -> tuple[tuple[int, ...], tuple[Loop, ...], Loop]:
    """The one loop over `name`, of those that have the primitive `around` inside.

    Raises
    ------
    IllegalRewrite
        There is none, or more than one.
    """
    found = nest.loops(name)
    what = f"loop over {name!r}"
    if around is not None and found:
        what += f" with {around} inside"
        found = [
            (path, outer, node)
            for path, outer, node in found
            if any(
                True
                for place, _, inner in nest.walk()
                if place[: len(path)] == path and isinstance(inner, Assign)
                for _ in calls(inner.value, around)
            )
        ]
    if len(found) != 1:
        raise IllegalRewrite(f"Nest {nest.name} must have one {what}, not {len(found)}.")
    return found[0]


def node_at(nest: Nest, path: tuple[int, ...]) -> Node:
    """The node at `path`."""
    nodes = nest.body
    for i in path[:-1]:
        inner = nodes[i]
        assert isinstance(inner, Loop)
        nodes = inner.body
    return nodes[path[-1]]


def replace_at(nest: Nest, path: tuple[int, ...], new: Iterable[Node]) -> Nest:
    """`nest` with the node at `path` replaced by any number of nodes."""

    def visit(nodes: tuple[Node, ...], rest: tuple[int, ...]) -> tuple[Node, ...]:
        i = rest[0]
        if len(rest) == 1:
            return (*nodes[:i], *new, *nodes[i + 1 :])
        inner = nodes[i]
        assert isinstance(inner, Loop)
        changed = replace(inner, body=visit(inner.body, rest[1:]))
        return (*nodes[:i], changed, *nodes[i + 1 :])

    return replace(nest, body=visit(nest.body, path))


def rebuild(nodes: Iterable[Node], change: Callable[[Node], Iterable[Node]]) -> tuple[Node, ...]:
    """`nodes` with each node replaced by ``change(node)``, inner ones first; empty loops vanish."""
    made: list[Node] = []
    for node in nodes:
        if isinstance(node, Loop):
            body = rebuild(node.body, change)
            if not body:
                continue
            node = replace(node, body=body)
        made += change(node)
    return tuple(made)


def replace_in(node: Assign, by: dict[Expression, Expression]) -> Assign:
    """`node` with whole parts of its right-hand side replaced."""
    return replace(node, value=map_expression(node.value, lambda e: by.get(e, e)))


def assignments(nest: Nest, name: str) -> list[tuple[tuple[int, ...], tuple[Loop, ...], Assign]]:
    """Every assignment to the variable `name`."""
    return [
        (path, around, node)
        for path, around, node in nest.walk()
        if isinstance(node, Assign) and node.target.name == name
    ]


def under(loops: Iterable[Loop], nodes: Iterable[Node]) -> tuple[Node, ...]:
    """`nodes` inside copies of `loops`, the first one outermost."""
    body = tuple(nodes)
    for one in reversed(list(loops)):
        body = (replace(one, body=body),)
    return body


def add_index(nest: Nest, name: str, variables: Iterable[str]) -> Nest:
    """`nest` with `variables` put before the index of the variable `name`, where it lacks them."""
    new = tuple(affine(v) for v in variables)

    def change(ref: Ref) -> Ref:
        if ref.name != name:
            return ref
        return replace(ref, index=(*(v for v in new if v not in ref.index), *ref.index))

    return change_refs(nest, change)


def fresh(nest: Nest, name: str) -> str:
    """`name`, with a number behind it where it is taken."""
    taken = {ref.name for _, _, node in nest.walk() for ref in mentioned(node)}
    number, made = 1, name
    while made in taken:
        number += 1
        made = f"{name}{number}"
    return made
