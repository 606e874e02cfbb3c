"""Nests as text that a person reads, and that `hw.notation.parse` reads back."""

from __future__ import annotations

from collections.abc import Iterator

from hw.notation.index import Affine
from hw.notation.nest import PRIMITIVES, Assign, Call, Expression, Kind, Loop, Nest, Node, Ref, Sync

__all__ = ["show", "show_expression"]


def show(nest: Nest, notes: dict[tuple[int, ...], str] | None = None) -> str:
    """The text of `nest`; ``parse(show(nest)) == nest``.

    Parameters
    ----------
    nest : Nest
    notes : mapping of path to text, optional
        Comments for the ends of lines.
    """
    head = [
        (
            f"nest {nest.name}: C[{nest.m},{nest.n}] = "
            f"A[{nest.m},{nest.k}] {nest.a} * B[{nest.k},{nest.n}] {nest.b}, {nest.recoding}"
        )
    ]
    if nest.where:
        head.append("where " + ", ".join(f"{name} = {index}" for name, index in nest.where))
    if nest.widths:
        head.append("bits " + ", ".join(f"{name} = {bits}" for name, bits in nest.widths))
    body = list(_lines(nest.body, (), 0))
    if notes:
        column = min(60, max(len(text) for _, text in body)) + 2
        body = [
            (path, f"{text:<{column - 2}}  # {notes[path]}" if path in notes else text)
            for path, text in body
        ]
    return "\n".join([*head, *(text for _, text in body)]) + "\n"


def show_expression(expression: Expression) -> str:
    """One expression, such as ``map(encode(A[m,k])[bw], B[k,n])``."""
    if isinstance(expression, Ref):
        if not expression.index:
            return expression.name
        return f"{expression.name}[{','.join(_compact(i) for i in expression.index)}]"
    arguments = [show_expression(a) for a in expression.arguments]
    if expression.primitive == "shift":
        return f"shift({arguments[0]}, {expression.at[0]})"
    suffix = f"[{expression.at[0]}]" if PRIMITIVES[expression.primitive][1] else ""
    return f"{expression.primitive}({', '.join(arguments)}){suffix}"


def _compact(index: object) -> str:
    return str(index).replace(" ", "") if isinstance(index, Affine) else str(index)


def _lines(
    nodes: tuple[Node, ...], path: tuple[int, ...], depth: int
) -> Iterator[tuple[tuple[int, ...], str]]:
    indent = "  " * depth
    for i, node in enumerate(nodes):
        here = (*path, i)
        if isinstance(node, Loop):
            # Loops of one kind with nothing between them share a line.
            line, loops = here, [node]
            while node.over is None and len(node.body) == 1:
                inner = node.body[0]
                if not isinstance(inner, Loop) or inner.kind is not node.kind:
                    break
                node, here = inner, (*here, 0)
                loops.append(node)
            word = "for" if node.kind is Kind.SPARSE else node.kind.value
            ranges = ", ".join(f"{one.var} < {one.extent}" for one in loops)
            over = f" in {show_expression(node.over)}" if node.over else ""
            yield line, f"{indent}{word} {ranges}{over}:"
            yield from _lines(node.body, here, depth + 1)
        else:
            yield here, indent + _statement(node)


def _statement(node: Assign | Sync) -> str:
    if isinstance(node, Sync):
        return f"sync({node.var})"
    delay = f" @{node.delay}" if node.delay else ""
    target, value = show_expression(node.target), node.value
    if (
        isinstance(value, Call)
        and value.primitive == "accumulate"
        and value.arguments[0] == node.target
    ):
        return f"{target} += {show_expression(value.arguments[1])}{delay}"
    return f"{target} = {show_expression(value)}{delay}"
