"""What is proved of queues, delay lines and encoders: nothing lost or repeated.

Where the solver may take any state to begin with (induction), a statement also says how the registers
of the block and the registers of the statement belong together: otherwise it would begin in states
that no run reaches. Those invariants are proved with the statement, never assumed.
"""

from __future__ import annotations

from amaranth import Array, Cat, Module, Mux, Signal, signed

from hw.delay import Delay
from hw.pe.digit_column import SparseEncoder
from hw.pe.sparse_digit import DigitElement
from hw.queue import TwoEntryQueue
from tb.formal.solver import Property
from tb.formal.wiring import digit_value, drive, issued_value, peek

__all__ = ["delay_keeps_order", "encoder_issues_once", "queue_keeps_order"]


def queue_keeps_order(bits: int) -> Property:
    """The queue offers exactly the beats that it has taken, in order, and takes two without a pop."""
    m = Module()
    m.submodules.dut = dut = TwoEntryQueue(bits)
    inputs = drive(m, dut)
    level = Signal(range(3))
    oldest, newest = Signal(bits), Signal(bits)
    push, pop = dut.i.valid & dut.i.ready, dut.o.valid & dut.o.ready
    with m.If(pop):
        m.d.sync += oldest.eq(Mux(level == 2, newest, dut.i.payload))
    with m.Elif(level == 0):
        m.d.sync += oldest.eq(dut.i.payload)
    with m.If(push):
        m.d.sync += newest.eq(dut.i.payload)
    m.d.sync += level.eq(level + push - pop)
    inner = peek(level=2, back=bits)
    ok = Signal()
    m.d.comb += ok.eq(
        (dut.i.ready == (level != 2))
        & (dut.o.valid == (level != 0))
        & ((level == 0) | (dut.o.payload == oldest))
        & (level <= 2)
        & (inner["level"] == level)
        & ((level != 2) | (inner["back"] == newest))
    )
    return Property(m, ok, inputs, peeks=inner)


def delay_keeps_order(bits: int, cycles: int) -> Property:
    """The line gives every word that it has taken, `cycles` enabled cycles later, in order.

    The words are kept in a ring, of which one place is written per enabled cycle.
    """
    m = Module()
    m.submodules.dut = dut = Delay(bits, cycles=cycles)
    inputs = drive(m, dut)
    ring = [Signal(bits, name=f"place_{n}") for n in range(cycles)]
    at, filled = Signal(range(max(2, cycles))), Signal(range(cycles + 1))
    with m.If(dut.enable):
        m.d.sync += [
            at.eq(Mux(at == cycles - 1, 0, at + 1)),
            filled.eq(filled + (filled != cycles)),
        ]
        for n, place in enumerate(ring):
            with m.If(at == n):
                m.d.sync += place.eq(dut.i)
    inner = peek(**{f"stage_{n}": bits for n in range(cycles)})
    held = [
        (filled <= n)
        | Cat(
            (at != p) | (inner[f"stage_{n}"] == ring[(p - 1 - n) % cycles]) for p in range(cycles)
        ).all()
        for n in range(cycles)
    ]
    oldest = Array(ring)[at]
    ok = Signal()
    m.d.comb += ok.eq((at < cycles) & ((filled != cycles) | (dut.o == oldest)) & Cat(held).all())
    return Property(m, ok, inputs, peeks=inner)


def encoder_issues_once(pe: DigitElement) -> Property:
    """Each nonzero digit of a group is issued once, in order; an empty group issues one zero.

    Nothing is issued without leave, and the next group is taken not before the last digit and not
    after it.
    """
    m = Module()
    m.submodules.dut = dut = SparseEncoder(pe)
    inputs = drive(m, dut)
    alone = {"final": 1} if pe.group > 1 else {}
    inner = peek(held=1, last=1, pending=pe.group, two=pe.group, neg=pe.group, **alone)
    held, last = Signal(), Signal()
    wanted = Signal(pe.group)
    group = [Signal(signed(3), name=f"digit_{n}") for n in range(pe.group)]
    digits = [digit_value(dut.groups.payload.digits[n]) for n in range(pe.group)]
    position, final = dut.position, Signal()
    below = (1 << position) - 1
    issued = digit_value(dut.digit)
    remaining = wanted & ~(1 << position)
    m.d.comb += final.eq((wanted == 0) | (remaining == 0))
    right = Mux(
        wanted == 0,
        issued == 0,
        wanted.bit_select(position, 1)
        & ((wanted & below) == 0)
        & (issued == Array(group)[position]),
    )
    ok, given = Signal(), Signal()
    exclusive = ~Cat(d.one & d.two for d in dut.groups.payload.digits).any()
    m.d.comb += [
        given.eq(exclusive),
        ok.eq(
            (dut.issues == (held & dut.go))
            & Mux(dut.issues, right, issued == 0)
            & (dut.ends == (dut.issues & final & last))
            & (dut.groups.ready == (~held | (dut.issues & final)))
            & (inner["held"] == held)
            & (~held | ((inner["last"] == last) & (inner["pending"] == wanted)))
            & (~held | (inner.get("final", final) == final))
            & Cat(
                ~wanted[n] | (group[n] == issued_value(inner["two"][n], inner["neg"][n]))
                for n in range(pe.group)
            ).all()
        ),
    ]
    with m.If(dut.issues):
        m.d.sync += [held.eq(~final), wanted.eq(remaining)]
    with m.If(dut.groups.valid & dut.groups.ready):
        m.d.sync += [held.eq(1), last.eq(dut.groups.payload.last)]
        m.d.sync += [wanted[n].eq(d != 0) for n, d in enumerate(digits)]
        m.d.sync += [group[n].eq(d) for n, d in enumerate(digits)]
    return Property(m, ok, inputs, given, inner)
