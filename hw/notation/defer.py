"""R10: rows without sign extension, whose constant excess is taken out at the end."""

from __future__ import annotations

from dataclasses import replace

from hw.notation.nest import (
    Assign,
    Call,
    Expression,
    Kind,
    Nest,
    Node,
    Ref,
    call,
    calls,
    is_pair,
    map_expression,
)
from hw.notation.recode import radix_of
from hw.notation.scope import is_accumulation, scopes
from hw.notation.tree import IllegalRewrite, Step, assignments, rebuild, step
from hw.notation.widths import pair_bias

__all__ = ["defer_signs"]


def defer_signs(nest: Nest, *, pair: str = "(s, c)") -> Step:
    """R10: rows in one's complement with the top bit inverted, instead of two's complement.

    A row then exceeds its product by a constant, and needs no negator and no bits above its own.
    The +1 of a negative row takes a vacant slot of the next row; that of the last row is a row.

    Raises
    ------
    IllegalRewrite
        The number of rows that the pair takes depends on the data, or they have no vacant slots.
    """
    found = assignments(nest, pair)
    if not found or not all(is_accumulation(node) for _, _, node in found):
        raise IllegalRewrite(f"R10 needs a redundant accumulator, not {pair}: R1 makes one.")
    if radix_of(nest.recoding) != 4:
        raise IllegalRewrite("R10 needs digits of radix 4: at radix 2 no slot is vacant.")
    home = scopes(nest)[pair]
    rows: list[Assign] = []
    for _, around, node in found:
        for one in around[len(home) :]:
            if one.kind is Kind.SPARSE:
                raise IllegalRewrite(
                    f"R10 needs a known number of rows, but loop {one.var} is sparse."
                )
        assert isinstance(node.value, Call)
        for argument in node.value.arguments:
            if argument != node.target:
                rows += _rows(nest, argument)
    taken = [
        made
        for _, _, node in nest.walk()
        if isinstance(node, Assign)
        for made in calls(node.value, "add")
        if isinstance(made.arguments[0], Ref) and made.arguments[0].name == pair
    ]
    if not taken:
        raise IllegalRewrite(f"R10 finds no addition of {pair} at which to take out the excess.")

    def swap(expression: Expression) -> Expression:
        if isinstance(expression, Call) and expression.primitive == "map":
            return replace(expression, primitive="biased")
        return expression

    def unbias(expression: Expression) -> Expression:
        if expression in taken:
            assert isinstance(expression, Call)
            return call("unbias", *expression.arguments)
        return expression

    def change(old: Node) -> tuple[Node, ...]:
        if not isinstance(old, Assign):
            return (old,)
        if old in rows:
            return (replace(old, value=map_expression(old.value, swap)),)
        return (replace(old, value=map_expression(old.value, unbias)),)

    new = replace(nest, body=rebuild(nest.body, change))
    return step(
        "R10",
        f"leave out the signs of the rows of {pair}",
        f"{pair} is modulo 2^{nest.width(pair)}, and its excess at the end is known: "
        f"{pair_bias(new, pair)}, padding included.",
        new,
    )


def _rows(nest: Nest, argument: Expression) -> list[Assign]:
    """The statements that make the rows behind `argument`; all digits of a product must be there."""
    if not isinstance(argument, Ref) or is_pair(argument.name):
        raise IllegalRewrite(
            "R10 needs all digits of a product in one compressor: rows of one weight have no "
            "vacant slots."
        )
    made = [node for _, _, node in assignments(nest, argument.name)]
    for node in made:
        value = node.value
        if (
            not isinstance(value, Call)
            or value.primitive != "shift"
            or not isinstance(value.arguments[0], Call)
            or value.arguments[0].primitive != "map"
        ):
            raise IllegalRewrite(
                "R10 needs all digits of a product in one compressor: rows of one weight have no "
                "vacant slots."
            )
    return made
