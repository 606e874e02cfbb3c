"""Where the variables of a nest live, and when two nests are the same."""

from __future__ import annotations

from dataclasses import replace

from hw.notation.index import Affine, Star
from hw.notation.nest import (
    Assign,
    Call,
    Expression,
    Loop,
    Nest,
    Node,
    Ref,
    calls,
    is_pair,
    map_expression,
    refs,
)

__all__ = ["change_refs", "is_accumulation", "mentioned", "normalise", "same", "scopes"]

MATRICES = ("A", "B", "C")


def is_accumulation(node: Assign) -> bool:
    """Whether `node` adds to what its target holds."""
    return (
        isinstance(node.value, Call)
        and node.value.primitive in ("accumulate", "half_reduce")
        and node.target in node.value.arguments
    )


def scopes(nest: Nest) -> dict[str, tuple[int, ...]]:
    """The path of the loop whose body each variable lives in; () is the nest itself."""
    found: dict[str, tuple[int, ...]] = {}
    for path, around, node in nest.walk():
        for ref in mentioned(node):
            if ref.name in MATRICES:
                continue
            home = path[:-1]
            for depth, one in enumerate(around):
                # g[np-1] is the value of another pass: g outlives the pass.
                if any(
                    isinstance(i, Affine) and i.constant and one.var in nest.expand(i).variables
                    for i in ref.index
                ):
                    home = home[:depth]
                    break
            found[ref.name] = _common(found.get(ref.name, home), home)
    return found


def change_refs(nest: Nest, change: object) -> Nest:
    """`nest` with ``change(ref)`` in place of every element, on both sides and in sparse loops."""
    assert callable(change)

    def in_expression(expression: Expression) -> Expression:
        new: Expression = change(expression) if isinstance(expression, Ref) else expression
        return new

    def visit(nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        new: list[Node] = []
        for node in nodes:
            if isinstance(node, Loop):
                over = change(node.over) if node.over else None
                new.append(replace(node, body=visit(node.body), over=over))
            elif isinstance(node, Assign):
                value = map_expression(node.value, in_expression)
                new.append(replace(node, target=change(node.target), value=value))
            else:
                new.append(node)
        return tuple(new)

    return replace(nest, body=visit(nest.body))


def normalise(nest: Nest) -> Nest:
    """`nest` without the indices that say nothing.

    An index is dropped when the loop that it names encloses the whole life of the variable, and
    definitions and widths of names that no longer occur are dropped as well.
    """
    while True:
        homes = scopes(nest)
        uses: dict[str, list[Ref]] = {}
        for _, _, node in nest.walk():
            for ref in mentioned(node):
                uses.setdefault(ref.name, []).append(ref)
        dropped = None
        for name, home in homes.items():
            outside = {one.var for one in _loops_to(nest, home)}
            for position in range(len(uses[name][0].index)):
                indices = {ref.index[position] for ref in uses[name]}
                (index, *others) = indices
                if others or isinstance(index, Star):
                    continue
                if nest.expand(index).variables <= outside:
                    dropped = (name, position)
        if dropped is None:
            break
        nest = change_refs(nest, lambda ref, d=dropped: _without(ref, *d))
    used: set[str] = set()
    for _, _, node in nest.walk():
        for ref in mentioned(node):
            used |= {ref.name, *ref.variables}
        if isinstance(node, Assign):
            used |= {v for made in calls(node.value) for at in made.at for v in at.variables}
    return replace(
        nest,
        where=tuple((name, index) for name, index in nest.where if name in used),
        widths=tuple((name, bits) for name, bits in nest.widths if name in used),
    )


def same(one: Nest, other: Nest) -> bool:
    """Whether two nests differ at most in their names and in those of their variables."""
    return _canonical(one) == _canonical(other)


def _canonical(nest: Nest) -> Nest:
    nest = normalise(nest)
    names: dict[str, str] = {name: name for name in MATRICES}
    for _, _, node in nest.walk():
        for ref in mentioned(node):
            new = f"v{len(names)}"
            names.setdefault(ref.name, f"({new}, {new})" if is_pair(ref.name) else new)
    nest = change_refs(nest, lambda ref: replace(ref, name=names[ref.name]))
    return replace(
        nest,
        name="",
        where=tuple(sorted((name, nest.expand(index)) for name, index in nest.where)),
        widths=tuple(sorted((names[name], bits) for name, bits in nest.widths)),
    )


def _without(ref: Ref, name: str, position: int) -> Ref:
    if ref.name != name:
        return ref
    return replace(ref, index=ref.index[:position] + ref.index[position + 1 :])


def mentioned(node: Node) -> list[Ref]:
    """Every element that `node` itself reads or writes."""
    if isinstance(node, Assign):
        return [node.target, *refs(node.value)]
    return [node.over] if isinstance(node, Loop) and node.over else []


def _loops_to(nest: Nest, path: tuple[int, ...]) -> list[Loop]:
    """The loops from the outside to the one at `path`, that one included."""
    nodes, found = nest.body, []
    for step in path:
        node = nodes[step]
        assert isinstance(node, Loop)
        found.append(node)
        nodes = node.body
    return found


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
    length = 0
    while length < min(len(one), len(other)) and one[length] == other[length]:
        length += 1
    return one[:length]
