"""What is proved of a column of digit PEs: no digit lost, issued twice or counted in another pass.

For ever, and whatever stalls: how the registers of encoders and cells belong to what the statement
keeps is said, and proved with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import data

from hw.pe.digit_column import PAIRS_AFTER, DigitColumn
from hw.pe.sparse_digit import DIGIT, DigitElement
from tb.formal.solver import Property
from tb.formal.wiring import digit_value, drive, issued_value, peek

__all__ = ["column_issues_all"]


def column_issues_all(pe: DigitElement, *, pause: int) -> Property:
    """With all weights 1, a finished pass holds the sum of the digits of all of its groups.

    So no digit is lost, issued twice or counted in another pass, whatever stalls: the streams of
    the lanes and the leave to end a pass are free. The pairs hold for as long as is promised, a lane
    whose pass is not complete takes its next group in time, and a pass ends in the cycle in which
    the last digit of its longest lane is issued, or in which it may.
    """
    m = Module()
    m.submodules.dut = dut = DigitColumn(pe, size=1, pause=pause)
    inputs = drive(m, dut, fixed={"b": Cat(Const(1, pe.weight.bits) for _ in range(pe.lanes))})
    width = pe.pair_bits
    lanes = [_lane(m, dut, n) for n in range(pe.lanes)]
    exclusive = [
        ~(d.one & d.two)
        for n in range(pe.lanes)
        for d in getattr(dut, f"groups_{n}").payload.digits
    ]
    total = Signal(width)
    m.d.comb += total.eq(sum(lane.running for lane in lanes))
    # What was seen some cycles ago: whether a pass ended, and its sum.
    passes: list[Any] = [Cat(dut.ends, total)]
    for n in range(PAIRS_AFTER + pause):
        earlier = Signal(1 + width, name=f"earlier_{n}")
        m.d.sync += earlier.eq(passes[-1])
        passes.append(earlier)
    found = Signal(width)
    m.d.comb += found.eq(dut.pairs[0].sum + dut.pairs[0].carry - dut.bias)
    right = [~ended[0] | (ended[1:] == found) for ended in passes[PAIRS_AFTER:]]
    done = Cat(lane.full & (lane.due == dut.issues[n]) for n, lane in enumerate(lanes)).all()
    owed = Cat(~dut.issues[n] | (lane.due != 0) for n, lane in enumerate(lanes)).all()
    inner = _registers(pe, pause)
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(Cat(exclusive).all()),
        ok.eq(
            Cat(
                *right,
                dut.ends == (done & dut.may_end),
                owed,
                *(lane.refused <= pe.group + pause - 1 for lane in lanes),
                *_issuing(pe, pause, inner, lanes),
                *_adding(pe, pause, inner, lanes, passes, total, found),
            ).all()
        ),
    ]
    return Property(m, ok, inputs, given, inner)


@dataclass(frozen=True)
class _Lane:
    """What one stream has given.

    Attributes
    ----------
    running, waiting : Signal
        Sums of the pass that runs, and of the group that waits for the next.
    full, ahead : Signal
        Whether all groups of these passes have been taken.
    due, later : Signal
        Digits, or zeros of empty groups, that are still to be issued for them.
    refused : Signal
        Cycles in which no group was taken, although the pass is not complete.
    """

    running: Signal
    waiting: Signal
    full: Signal
    ahead: Signal
    due: Signal
    later: Signal
    refused: Signal


def _lane(m: Any, dut: DigitColumn, n: int) -> _Lane:
    pe, width, port = dut.pe, dut.pe.pair_bits, getattr(dut, f"groups_{n}")
    running, waiting = Signal(width, name=f"running_{n}"), Signal(width, name=f"waiting_{n}")
    full, ahead = Signal(name=f"full_{n}"), Signal(name=f"ahead_{n}")
    value = sum(digit_value(d) for d in port.payload.digits)
    taken, last = port.valid & port.ready, port.payload.last
    due, later = (Signal(range(2 * pe.group), name=f"{name}_{n}") for name in ("due", "later"))
    nonzero = sum(d.one | d.two for d in port.payload.digits)
    more = Mux(taken, nonzero + (nonzero == 0), 0)
    with m.If(dut.ends):
        m.d.sync += [due.eq(later + more), later.eq(0)]
    with m.Else():
        m.d.sync += [
            due.eq(due - dut.issues[n] + Mux(full, 0, more)),
            later.eq(later + Mux(full, more, 0)),
        ]
    with m.If(dut.ends):
        m.d.sync += [running.eq(waiting + Mux(taken, value, 0)), waiting.eq(0)]
        m.d.sync += [full.eq(Mux(taken & ~ahead, last, ahead)), ahead.eq(0)]
    with m.Elif(taken):
        with m.If(full):
            m.d.sync += [waiting.eq(waiting + value), ahead.eq(last)]
        with m.Else():
            m.d.sync += [running.eq(running + value), full.eq(last)]
    refused = Signal(range(pe.group + dut.pause + 2), name=f"refused_{n}")
    counts = refused <= pe.group + dut.pause
    m.d.sync += refused.eq(Mux(port.ready | full, 0, refused + counts))
    return _Lane(running, waiting, full, ahead, due, later, refused)


def _registers(pe: DigitElement, pause: int) -> dict[str, Signal]:
    digits = len(Signal(data.ArrayLayout(DIGIT, pe.lanes)).as_value())
    widths = {"fetching": digits, "digits": digits, "clear": PAIRS_AFTER + pause}
    widths |= {"cell_0.weights": pe.lanes * pe.weight.bits}
    if pause:
        widths |= {"pausing": len(Signal(range(pause + 1)))}
    for n in range(pe.lanes):
        widths |= {f"waits_{n}": 1, f"encoder_{n}.held": 1, f"encoder_{n}.last": 1}
        widths |= {f"encoder_{n}.{name}": pe.group for name in ("pending", "two", "neg")}
    return peek(**widths)


def _issuing(
    pe: DigitElement, pause: int, inner: dict[str, Signal], lanes: Sequence[_Lane]
) -> list[Any]:
    """Of encoders, and of the lanes' waiting for one another."""
    clear, pausing = inner["clear"], inner["pausing"] if pause else Const(0)
    # The pass before ended n + 1 cycles ago.
    left = Const(0)
    for n in reversed(range(pause)):
        left = Mux(clear[n], pause - n, left)
    held: list[Any] = [pausing == left]
    for n, lane in enumerate(lanes):
        holds, last, pending = (inner[f"encoder_{n}.{x}"] for x in ("held", "last", "pending"))
        waits = inner[f"waits_{n}"]
        digits = sum(pending[i] for i in range(pe.group))
        ready_in = Mux(holds, pausing + digits - (digits != 0), 0)
        due = Mux(holds, digits + (digits == 0), 0)
        held += [
            ~waits | (pausing == 0),
            lane.full == (waits | (holds & last)),
            lane.ahead == (waits & holds & last),
            (lane.due == Mux(waits, 0, due)) & (lane.later == Mux(waits, due, 0)),
            lane.full | (lane.refused + ready_in <= pe.group + pause - 1),
            Mux(waits & holds, lane.waiting == _rest(pe, inner, n), lane.waiting == 0),
        ]
    return held


def _rest(pe: DigitElement, inner: dict[str, Signal], n: int) -> Any:
    """Sum of the digits that encoder n has not issued."""
    pending, two, neg = (inner[f"encoder_{n}.{name}"] for name in ("pending", "two", "neg"))
    digits = [Mux(pending[i], issued_value(two[i], neg[i]), 0) for i in range(pe.group)]
    return _word(sum(digits), pe.pair_bits)


def _word(value: Any, width: int) -> Any:
    """`value` modulo ``2**width``."""
    return (value + Const(0, signed(width)))[:width]


def _adding(
    pe: DigitElement,
    pause: int,
    inner: dict[str, Signal],
    lanes: Sequence[_Lane],
    passes: Sequence[Any],
    total: Any,
    found: Any,
) -> list[Any]:
    """Of digits on their way and of the pairs: to which pass they belong."""
    width, clear = pe.pair_bits, inner["clear"]
    layout = data.ArrayLayout(DIGIT, pe.lanes)
    held: list[Any] = []
    # Digits that were issued one and two cycles ago.
    sums = []
    for age, name in enumerate(("fetching", "digits"), 1):
        digits = data.View(layout, inner[name])
        value = sum(digit_value(digits[n]) for n in range(pe.lanes))
        sums.append(value)
        issued = Cat(digits[n].one | digits[n].two for n in range(pe.lanes))
        held += [~(digits[n].one & digits[n].two) for n in range(pe.lanes)]
        # None is issued in a pause.
        held.append(~clear[age : age + pause].any() | (issued == 0))
        if name == "digits":
            ones = Cat(Const(1, pe.weight.bits) for _ in range(pe.lanes))
            held.append((inner["cell_0.weights"] == ones) | (issued == 0))
    pair = Mux(clear[2:].any(), 0, found)
    second = sums[1] + pair
    first = sums[0] + Mux(clear[1], 0, second)
    rest = sum(
        Mux(inner[f"encoder_{n}.held"] & ~inner[f"waits_{n}"], _rest(pe, inner, n), 0)
        for n in range(pe.lanes)
    )
    held.append(total == _word(Mux(clear[0], 0, first) + rest, width))
    # The passes that ended so many cycles ago, and what they will hold.
    held += [
        passes[1][0] == clear[0],
        passes[2][0] == clear[1],
        ~clear[0] | (passes[1][1:] == _word(first, width)),
        ~clear[1] | (passes[2][1:] == _word(second, width)),
    ]
    for n in range(PAIRS_AFTER, PAIRS_AFTER + pause + 1):
        # A reset clears the pairs as if a pass had ended.
        known = clear[n - 1] if n < PAIRS_AFTER + pause else passes[n][0]
        held += [passes[n][0] == known, ~passes[n][0] | clear[n - 1]]
    for n in range(PAIRS_AFTER + pause):
        held.append(~clear[n] | (clear[n + 1 : n + 1 + pause] == 0))
    return held
