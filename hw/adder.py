"""Carry-propagate addition in pipeline stages, for where a carry-save pair becomes one word."""

from __future__ import annotations

from typing import Any

from amaranth import Cat, Signal

__all__ = ["staged_add"]


def staged_add(m: Any, x: Any, y: Any, *, enable: Any, stages: int) -> Any:
    """Adds to module `m` a pipelined adder. Latency `stages` cycles, one sum per cycle.

    Each stage adds a share of the bits, least significant first, and passes on its carry, so the
    carry chain of a cycle is ``width / stages`` bits long.

    Parameters
    ----------
    x, y : Value
        Words of equal width.
    enable : Value
        Clock enable of every register.
    stages : int
        Registers, from 1 to the width.

    Returns
    -------
    Value
        The sum modulo ``2**width``.

    Raises
    ------
    ValueError
        The widths differ, or `stages` is out of range.
    """
    width = len(x)
    if len(y) != width or not 1 <= stages <= width:
        raise ValueError(
            f"a staged adder must have words of one width and 1 to {width} stages, "
            f"not {width}, {len(y)} bits and {stages}"
        )
    done: Any = Cat()
    carry: Any = 0
    for stage in range(stages):
        share = len(x) // (stages - stage)
        if share * (stages - stage) < len(x):
            share += 1  # the first stages take what is left over
        last = stage == stages - 1
        total = Signal(share + (not last), name=f"total_{stage}", reset_less=True)
        before, rest_x, rest_y = (
            _kept(m, word, enable, f"{name}_{stage}")
            for name, word in (("done", done), ("rest_x", x[share:]), ("rest_y", y[share:]))
        )
        with m.If(enable):
            m.d.sync += total.eq(x[:share] + y[:share] + carry)
        done, carry = Cat(before, total[:share]), total[share:]
        x, y = rest_x, rest_y
    return done


def _kept(m: Any, word: Any, enable: Any, name: str) -> Any:
    """`word` an enabled cycle later; nothing of nothing, for Verilog has no empty words."""
    if not len(word):
        return word
    register = Signal(len(word), name=name, reset_less=True)
    with m.If(enable):
        m.d.sync += register.eq(word)
    return register
