"""What the statements share: free inputs, and the values of digits."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

__all__ = ["digit_value", "drive", "issued_value", "peek"]


def digit_value(select: Any) -> Any:
    """A digit's value, from its select lines."""
    magnitude = Cat(select.one, select.two)
    return Mux(select.neg, -magnitude, magnitude)


def issued_value(two: Any, neg: Any) -> Any:
    """A nonzero digit, as an encoder keeps it."""
    magnitude = Mux(two, 2, 1)
    return Mux(neg, -magnitude, magnitude)


def drive(m: Any, dut: wiring.Component, fixed: dict[str, Any] | None = None) -> tuple[Any, ...]:
    """Connects every input of `dut` to a free signal, or to what is fixed; returns the free ones."""
    free = []
    for path, member, value in dut.signature.flatten(dut):
        if member.flow != In:
            continue
        port = Value.cast(value)
        if fixed and path[0] in fixed:
            m.d.comb += port.eq(fixed[path[0]])
            continue
        signal = Signal(len(port), name="in_" + "_".join(map(str, path)))
        m.d.comb += port.eq(signal)
        free.append(signal)
    return tuple(free)


def peek(**registers: int) -> dict[str, Signal]:
    """Signals that stand for registers of the block, by name and width."""
    return {
        name: Signal(width, name="peek_" + name.replace(".", "_"))
        for name, width in registers.items()
    }
