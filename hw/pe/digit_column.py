"""A column of digit PEs with its sparse encoders."""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from operator import and_, or_
from typing import Any

from amaranth import Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hw.pe.sparse_digit import DIGIT, DigitElement

__all__ = ["PAIRS_AFTER", "DigitColumn", "SparseEncoder", "group_layout"]

PAIRS_AFTER = 3
"""Cycles from `DigitColumn.ends` to the finished pairs."""


def group_layout(pe: DigitElement) -> data.StructLayout:
    """Digits of `pe.group` elements of K at one bit weight; `last` marks the lane's last group."""
    return data.StructLayout({"digits": data.ArrayLayout(DIGIT, pe.group), "last": 1})


class SparseEncoder(wiring.Component):
    """Issues the nonzero digits of a group one after another, lowest position first.

    A group takes ``max(1, nonzero digits)`` cycles from the one after its acceptance on; groups
    follow one another without a bubble. A group without a nonzero digit issues a zero.

    Members
    -------
    groups : In(stream.Signature(group_layout(pe)))
    go : In(1)
        A digit may be issued in this cycle.
    issues : Out(1)
        A digit, or the zero of an empty group, is issued.
    position : Out(range(max(2, pe.group)))
        Its place in the group.
    digit : Out(DIGIT)
        The digit; zero unless `issues`.
    ends : Out(1)
        It is the last of a group marked `last`.
    """

    def __init__(self, pe: DigitElement) -> None:
        self._pe = pe
        super().__init__(
            {
                "groups": In(stream.Signature(group_layout(pe))),
                "go": In(1),
                "issues": Out(1),
                "position": Out(range(max(2, pe.group))),
                "digit": Out(DIGIT),
                "ends": Out(1),
            }
        )

    @property
    def pe(self) -> DigitElement:
        return self._pe

    def elaborate(self, platform: object) -> Any:
        m = Module()
        size = self._pe.group
        held = Signal()
        last = Signal(reset_less=True)
        # A digit is nonzero when it is one or two; so two says which, and the rest is one bit.
        pending, two, neg = (
            Signal(size, name=n, reset_less=True) for n in ("pending", "two", "neg")
        )
        lowest, later = Signal(size), Signal(size)
        # Whether one digit at most is pending: in a register, because so much hangs on it.
        final: Any = Signal(name="final", reset_less=True) if size > 1 else Const(1)
        taken = Signal()
        m.d.comb += [
            # Adding -1 turns the lowest set bit round and all below it.
            lowest.eq(pending & -pending),
            later.eq(pending & (pending - 1)),
            self.issues.eq(held & self.go),
            self.digit.one.eq(self.issues & (lowest & ~two).any()),
            self.digit.two.eq(self.issues & (lowest & two).any()),
            self.digit.neg.eq((lowest & neg).any()),
            self.ends.eq(self.issues & final & last),
            self.groups.ready.eq(~held | (self.issues & final)),
            taken.eq(self.groups.valid & self.groups.ready),
        ]
        for bit in range(len(self.position)):
            holders = [lowest[n] for n in range(size) if n >> bit & 1]
            m.d.comb += self.position[bit].eq(reduce(or_, holders, Const(0, 1)))
        with m.If(taken):
            group = self.groups.payload
            m.d.sync += [held.eq(1), last.eq(group.last)]
            for n in range(size):
                digit = group.digits[n]
                m.d.sync += [
                    pending[n].eq(digit.one | digit.two),
                    two[n].eq(digit.two),
                    neg[n].eq(digit.neg),
                ]
            if size > 1:
                pairs = combinations([digit.one | digit.two for digit in group.digits], 2)
                m.d.sync += final.eq(~reduce(or_, (x & y for x, y in pairs)))
        with m.Elif(self.issues):
            m.d.sync += [held.eq(~final), pending.eq(later)]
            if size > 1:
                m.d.sync += final.eq((later & (later - 1)) == 0)
        return m


class DigitColumn(wiring.Component):
    """PEs that share the digits of one row of activations; one stream of groups per lane.

    The groups of a bit weight form a *pass*; the last group of a pass in each lane is marked. A pass
    takes as many cycles as its longest lane: the sum of ``max(1, nonzero digits)`` over the groups,
    and `turns` at least. Lanes wait for one another at the end of a pass; the first digits of the
    next are issued in the cycle after it.

    Digits travel along the cells: cell n takes them ``n % turns`` cycles after cell 0, and its pair
    is finished as much later. So an output adder takes the pairs of `turns` neighbours in turn while
    all go on with the next pass, and no register drives more than ``size / turns`` cells.

    Latency: ``PAIRS_AFTER + n % turns`` cycles after `ends` pair n holds the pass, for one cycle; so
    does `bias` `PAIRS_AFTER` cycles after it.

    Parameters
    ----------
    size : int
        PEs.
    turns : int
        Cells that take digits one after another.

    Members
    -------
    groups_0, ... : In(stream.Signature(group_layout(pe)))
        One per lane.
    may_end : In(1)
        A pass may end in this cycle; it waits while this is low.
    issues, position : Out(lanes), Out(ArrayLayout(range(max(2, pe.group)), lanes))
        Of which element of its group a lane issues the digit now.
    b : In(ArrayLayout(ArrayLayout(weight, lanes), size))
        The weights of these elements, ``1 + n % turns`` cycles later.
    ends : Out(1)
        The last digits of a pass are issued, or have been.
    bias, pairs : Out(pair_bits), Out(ArrayLayout(pair, size))
        ``sum + carry - bias`` modulo ``2**pair_bits`` is the sum of a pass.
    """

    def __init__(self, pe: DigitElement, *, size: int, turns: int = 1) -> None:
        if size < 1 or turns < 1:
            raise ValueError(f"column must have 1 or more cells and turns, not {size}, {turns}")
        self._pe = pe
        self._size = size
        self._turns = turns
        lanes = pe.lanes
        groups = {f"groups_{n}": In(stream.Signature(group_layout(pe))) for n in range(lanes)}
        super().__init__(
            {
                **groups,
                "may_end": In(1, init=1),
                "issues": Out(lanes),
                "position": Out(data.ArrayLayout(range(max(2, pe.group)), lanes)),
                "b": In(data.ArrayLayout(data.ArrayLayout(pe.weight.shape, lanes), size)),
                "ends": Out(1),
                "bias": Out(pe.pair_bits),
                "pairs": Out(data.ArrayLayout(pe.pair, size)),
            }
        )

    @property
    def pe(self) -> DigitElement:
        return self._pe

    @property
    def size(self) -> int:
        return self._size

    @property
    def turns(self) -> int:
        return self._turns

    def elaborate(self, platform: object) -> Any:
        m = Module()
        pe = self._pe
        digits = Signal(data.ArrayLayout(DIGIT, pe.lanes))
        # One register while the weights are fetched, one beside the weights' own. They have a reset:
        # a digit that was under way would enter the first sum.
        fetching = Signal(data.ArrayLayout(DIGIT, pe.lanes))
        m.d.sync += [fetching.eq(self._issue(m)), digits.eq(fetching)]

        # The pairs restart in the cycle in which they are read.
        clear = Signal(PAIRS_AFTER, init=1 << (PAIRS_AFTER - 1))
        m.d.sync += clear.eq((clear << 1) | self.ends)
        if pe.cycle_bias:
            # It is a multiple of the lanes' constant, so only the bits above that are counted.
            low = (pe.cycle_bias & -pe.cycle_bias).bit_length() - 1
            cycles = Signal(pe.pair_bits - low, reset_less=True)
            kept = cycles & ~clear[-1].replicate(len(cycles))
            m.d.sync += cycles.eq(kept + (pe.cycle_bias >> low))
            m.d.comb += self.bias.eq(cycles << low)
        stages: list[tuple[Any, Any]] = [(digits, clear[-1])]
        for n in range(1, min(self._size, self._turns)):
            later = Signal.like(digits, name=f"digits_{n}"), Signal(name=f"clear_{n}")
            m.d.sync += [after.eq(before) for after, before in zip(later, stages[-1], strict=True)]
            stages.append(later)
        for n in range(self._size):
            m.submodules[f"cell_{n}"] = cell = pe.create()
            taken, restarts = stages[n % self._turns]
            m.d.comb += [
                cell.clear.eq(restarts),
                cell.digits.eq(taken),
                cell.b.eq(self.b[n]),
                self.pairs[n].eq(cell.pair),
            ]
        return m

    def _issue(self, m: Any) -> Any:
        """Encoders, and what keeps their lanes in the same pass."""
        pe = self._pe
        issued = Signal(data.ArrayLayout(DIGIT, pe.lanes))
        resting = Signal(range(self._turns))
        finished = []
        for n in range(pe.lanes):
            m.submodules[f"encoder_{n}"] = encoder = SparseEncoder(pe)
            wiring.connect(m, wiring.flipped(getattr(self, f"groups_{n}")), encoder.groups)
            waits = Signal(name=f"waits_{n}")
            m.d.comb += [
                encoder.go.eq(~waits),
                issued[n].eq(encoder.digit),
                self.issues[n].eq(encoder.issues),
                self.position[n].eq(encoder.position),
            ]
            m.d.sync += waits.eq((waits | encoder.ends) & ~self.ends)
            finished.append(waits | encoder.ends)
        m.d.comb += self.ends.eq(reduce(and_, finished) & self.may_end & (resting == 0))
        if self._turns > 1:
            left = Mux(resting == 0, 0, resting - 1)
            m.d.sync += resting.eq(Mux(self.ends, self._turns - 1, left))
        return issued
