"""R7: registers on the way, where they change nothing but the latency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw.notation.nest import Assign, Nest, Node, refs
from hw.notation.scope import is_accumulation
from hw.notation.show import show_expression
from hw.notation.tree import IllegalRewrite, Step, assignments, rebuild, step

__all__ = ["latencies", "retime"]


def latencies(nest: Nest) -> dict[str, int]:
    """Registers on the way from the matrices to each variable.

    The matrices come when they are wanted; in a chain along a loop in space, their skew grows by
    the delay of one hop per pass.

    Raises
    ------
    IllegalRewrite
        A statement takes variables of different cycles.
    """
    found: dict[str, int] = {}
    for _, around, node in nest.walk():
        if not isinstance(node, Assign):
            continue
        # A sparse loop runs by its positions: they arrive together with what it selects.
        read = [*refs(node.value), *(one.over for one in around if one.over)]
        sources = {
            ref.name: found[ref.name]
            for ref in read
            if ref.name in found and ref.name != node.target.name
        }
        cycles = set(sources.values())
        if len(cycles) > 1:
            early, late = sorted(sources, key=lambda name: sources[name])[:: len(sources) - 1]
            raise IllegalRewrite(
                f"R7 would let {show_expression(node.target)} take {late} of one cycle with "
                f"{early} of another: delay both."
            )
        latency = max(cycles, default=0) + node.delay
        if found.setdefault(node.target.name, latency) != latency and is_accumulation(node):
            if len(assignments(nest, node.target.name)) > 1:
                raise IllegalRewrite(
                    f"R7 would let {node.target.name} take addends of different cycles."
                )
    return found


def retime(nest: Nest, *, names: Sequence[str], cycles: int = 1) -> Step:
    """R7: what is assigned to `names` passes `cycles` more registers.

    Raises
    ------
    IllegalRewrite
        A loop that feeds itself would be stretched, or a statement would mix cycles.
    """
    if cycles < 1:
        raise IllegalRewrite(f"R7 needs at least one cycle, not {cycles}.")
    before = latencies(nest)
    for name in names:
        found = assignments(nest, name)
        if not found:
            raise IllegalRewrite(f"R7 finds nothing that is assigned to {name}.")
        if any(is_accumulation(node) for _, _, node in found):
            raise IllegalRewrite(
                f"R7 cannot delay {name}: it feeds itself, and would take a new addend only every "
                f"{cycles + 1} cycles."
            )

    def change(old: Node) -> tuple[Node, ...]:
        if isinstance(old, Assign) and old.target.name in names:
            return (replace(old, delay=old.delay + cycles),)
        return (old,)

    new = replace(nest, body=rebuild(nest.body, change))
    after = latencies(new)
    return step(
        "R7",
        f"retime {', '.join(names)} by {cycles}",
        f"only the latency of C changes, from {before.get('C', 0)} to {after.get('C', 0)} "
        "registers, and the tags that go along are delayed equally.",
        new,
    )
