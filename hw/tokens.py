"""Dependency tokens as counts: how long programs say in 16 bits what they wait for.

The fields `after_load`, `after_execute` and `after_store` count a unit's instructions from the start
of the program, modulo ``2**TOKEN_BITS``; the hardware compares them with its own counts as a signed
difference. That is right as long as what is finished and what is waited for are less than
``2**(TOKEN_BITS - 1)`` instructions apart. A program keeps to it when every instruction waits for
all those that come `HORIZON` or more before it, which costs no time: they have long been finished.
"""

from __future__ import annotations

from collections.abc import Sequence

from hw.isa import Compute, Instruction, Load, Store

__all__ = ["HORIZON", "TOKEN_BITS", "UNITS", "absolute_tokens"]

TOKEN_BITS = 16

HORIZON = (1 << (TOKEN_BITS - 2)) - 1
"""Instructions, of all units together. While instruction p waits, none from ``p + HORIZON`` on has
begun, and it waits for those up to ``p - HORIZON`` at least; so no two counts that are compared lie
``2 * HORIZON`` or more apart."""

UNITS: tuple[type[Instruction], ...] = (Load, Compute, Store)
"""The instructions of each unit, in the order of the `after` fields."""


def absolute_tokens(program: Sequence[Instruction]) -> list[tuple[int, int, int]]:
    """What each instruction waits for, in whole counts of loads, computations and stores.

    A field means the count nearest to the instructions of that unit which come before this one.
    Negative counts wait for nothing.
    """
    period, half = 1 << TOKEN_BITS, 1 << (TOKEN_BITS - 1)
    counts = [0, 0, 0]
    tokens = []
    for instruction in program:
        after = (instruction.after_load, instruction.after_execute, instruction.after_store)
        load, execute, store = (
            count - ((count - a + half) % period - half)
            for count, a in zip(counts, after, strict=True)
        )
        tokens.append((load, execute, store))
        for n, unit in enumerate(UNITS):
            counts[n] += isinstance(instruction, unit)
    return tokens
