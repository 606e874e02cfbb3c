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

__all__ = ["cells_follow", "column_issues_all"]


def column_issues_all(pe: DigitElement, *, turns: int) -> Property:
    """With all weights 1, a finished pass holds the sum of the digits of all of its groups.

    So no digit is lost, issued twice or counted in another pass, whatever stalls: the streams of
    the lanes and the leave to end a pass are free. A lane whose pass is not complete takes its next
    group in time, and a pass ends in the cycle in which the last digit of its longest lane is issued,
    or in which it may: by that leave, and `turns` cycles after the one before.

    This is of the first cell; `cells_follow` is of the others.
    """
    m = Module()
    m.submodules.dut = dut = DigitColumn(pe, size=1, turns=turns)
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
    for n in range(PAIRS_AFTER):
        earlier = Signal(1 + width, name=f"earlier_{n}")
        m.d.sync += earlier.eq(passes[-1])
        passes.append(earlier)
    found = Signal(width)
    m.d.comb += found.eq(dut.pairs[0].sum + dut.pairs[0].carry - dut.bias)
    ended = passes[PAIRS_AFTER]
    recent = Signal(turns)
    m.d.sync += recent.eq(Cat(dut.ends, recent))
    rested = recent[: turns - 1] == 0
    done = Cat(lane.full & (lane.due == dut.issues[n]) for n, lane in enumerate(lanes)).all()
    owed = Cat(~dut.issues[n] | (lane.due != 0) for n, lane in enumerate(lanes)).all()
    inner = _registers(pe, turns)
    ok, given = Signal(), Signal()
    m.d.comb += [
        given.eq(Cat(exclusive).all()),
        ok.eq(
            Cat(
                ~ended[0] | (ended[1:] == found),
                dut.ends == (done & dut.may_end & rested),
                owed,
                *(lane.refused <= pe.group - 1 for lane in lanes),
                *_resting(turns, inner, recent),
                *_issuing(pe, inner, lanes),
                *_adding(pe, inner, passes, total, found),
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
    refused = Signal(range(pe.group + 2), name=f"refused_{n}")
    counts = refused <= pe.group
    m.d.sync += refused.eq(Mux(port.ready | full, 0, refused + counts))
    return _Lane(running, waiting, full, ahead, due, later, refused)


def _registers(pe: DigitElement, turns: int) -> dict[str, Signal]:
    digits = len(Signal(data.ArrayLayout(DIGIT, pe.lanes)).as_value())
    widths = {"fetching": digits, "digits": digits, "clear": PAIRS_AFTER}
    widths |= {"cell_0.weights": pe.lanes * pe.weight.bits}
    if turns > 1:
        widths |= {"resting": len(Signal(range(turns)))}
    for n in range(pe.lanes):
        widths |= {f"waits_{n}": 1, f"encoder_{n}.held": 1, f"encoder_{n}.last": 1}
        widths |= {f"encoder_{n}.{name}": pe.group for name in ("pending", "two", "neg")}
        widths |= {f"encoder_{n}.final": 1} if pe.group > 1 else {}
    return peek(**widths)


def _resting(turns: int, inner: dict[str, Signal], recent: Any) -> list[Any]:
    """How long no pass may end, counted from the last end, which was n + 1 cycles ago."""
    if turns == 1:
        return []
    left: Any = Const(0)
    for n in reversed(range(turns - 1)):
        left = Mux(recent[n], turns - 1 - n, left)
    return [inner["resting"] == left]


def _issuing(pe: DigitElement, inner: dict[str, Signal], lanes: Sequence[_Lane]) -> list[Any]:
    """Of encoders, and of the lanes' waiting for one another."""
    held: list[Any] = []
    for n, lane in enumerate(lanes):
        holds, last, pending = (inner[f"encoder_{n}.{x}"] for x in ("held", "last", "pending"))
        waits = inner[f"waits_{n}"]
        digits = sum(pending[i] for i in range(pe.group))
        ready_in = Mux(holds, digits - (digits != 0), 0)
        due = Mux(holds, digits + (digits == 0), 0)
        final = inner.get(f"encoder_{n}.final", Const(1))
        held += [
            ~holds | (final == (digits <= 1)),
            lane.full == (waits | (holds & last)),
            lane.ahead == (waits & holds & last),
            (lane.due == Mux(waits, 0, due)) & (lane.later == Mux(waits, due, 0)),
            lane.full | (lane.refused + ready_in <= pe.group - 1),
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
    inner: dict[str, Signal],
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
    for name in ("fetching", "digits"):
        digits = data.View(layout, inner[name])
        value = sum(digit_value(digits[n]) for n in range(pe.lanes))
        sums.append(value)
        issued = Cat(digits[n].one | digits[n].two for n in range(pe.lanes))
        held += [~(digits[n].one & digits[n].two) for n in range(pe.lanes)]
        if name == "digits":
            ones = Cat(Const(1, pe.weight.bits) for _ in range(pe.lanes))
            held.append((inner["cell_0.weights"] == ones) | (issued == 0))
    pair = Mux(clear[2], 0, found)
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
    # A reset clears the pairs as if a pass had ended.
    held.append(~passes[PAIRS_AFTER][0] | clear[PAIRS_AFTER - 1])
    return held


def cells_follow(pe: DigitElement, *, turns: int) -> Property:
    """The last of `turns` cells repeats what the first did, if its weights come as much later.

    Once it has been cleared after the reset; whatever the digits are, and whatever stalls.
    """
    m = Module()
    m.submodules.dut = dut = DigitColumn(pe, size=turns, turns=turns)
    weights = Signal(pe.lanes * pe.weight.bits, name="weights")
    between = Signal((turns - 2) * len(weights), name="between")
    first, last = dut.pairs[0].as_value(), dut.pairs[turns - 1].as_value()
    late: list[Any] = [Cat(weights, first)]
    for n in range(1, turns):
        late.append(Signal(len(late[0]), name=f"late_{n}"))
        m.d.sync += late[n].eq(late[n - 1])
    inputs = drive(m, dut, fixed={"b": Cat(weights, between, late[-1][: len(weights)])})
    # Whether so many cycles are over that the last cell has been cleared.
    cleared = Signal(turns)
    m.d.sync += cleared.eq(Cat(Const(1), cleared))
    ok = Signal()
    m.d.comb += ok.eq(~cleared[-1] | (last == late[-1][len(weights) :]))
    return Property(m, ok, (*inputs, weights, *([between] if turns > 2 else [])))
