"""A cell of the weight-stationary array, and what stands at the end of a column of them."""

from __future__ import annotations

from typing import Any

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.pe.stationary import StationaryForm

__all__ = ["StationaryCell", "StationaryColumn"]


class StationaryCell(wiring.Component):
    """One PE, its weight, its next weight, and the registers that pass things on. Latency 1 cycle.

    Members
    -------
    enable : In(1)
        Clock enable of every register.
    a : In
        Activation from the west; multiplied in this cycle.
    load : In(1)
        `weight` is taken into the shadow register.
    swap : In(1)
        The shadow register becomes the weight of the next cycle.
    weight : In
        The northern neighbour's shadow register.
    partial : In
        Partial sum from the north.
    a_east, load_east, swap_east, weight_south, partial_south : Out
    """

    def __init__(self, form: StationaryForm) -> None:
        self._form = form
        pe = form.pe
        super().__init__(
            {
                "enable": In(1),
                "a": In(pe.a_beat),
                "load": In(1),
                "swap": In(1),
                "weight": In(pe.b_beat),
                "partial": In(form.partial),
                "a_east": Out(pe.a_beat),
                "load_east": Out(1),
                "swap_east": Out(1),
                "weight_south": Out(pe.b_beat),
                "partial_south": Out(form.partial),
            }
        )

    @property
    def form(self) -> StationaryForm:
        return self._form

    def elaborate(self, platform: object) -> Any:
        m = Module()
        form, pe = self._form, self._form.pe
        # No register needs a reset: tags of before are ahead of all that comes, and so are overrun.
        a = Signal(pe.a_beat, reset_less=True)
        load = Signal(reset_less=True)
        swap = Signal(reset_less=True)
        shadow = Signal(pe.b_beat, reset_less=True)
        held = Signal(form.held, reset_less=True)
        partial = Signal(form.partial, reset_less=True)
        m.d.comb += [
            self.a_east.eq(a),
            self.load_east.eq(load),
            self.swap_east.eq(swap),
            self.weight_south.eq(shadow),
            self.partial_south.eq(partial),
        ]
        with m.If(self.enable):
            m.d.sync += [
                a.eq(self.a),
                load.eq(self.load),
                swap.eq(self.swap),
                partial.as_value().eq(form.add(m, self.a, held, self.partial)),
            ]
        with m.If(self.enable & self.load):
            m.d.sync += shadow.eq(self.weight)
        with m.If(self.enable & self.swap):
            m.d.sync += held.as_value().eq(form.hold(m, shadow))
        return m


class StationaryColumn(wiring.Component):
    """The south border of one column. Latency `form.resolve_latency`, one partial sum per cycle.

    Members
    -------
    enable : In(1)
    partial : In
    sum : Out(form.bits)
    """

    def __init__(self, form: StationaryForm) -> None:
        self._form = form
        super().__init__({"enable": In(1), "partial": In(form.partial), "sum": Out(form.bits)})

    @property
    def form(self) -> StationaryForm:
        return self._form

    def elaborate(self, platform: object) -> Any:
        m = Module()
        m.d.comb += self.sum.eq(self._form.resolve(m, self.partial, self.enable))
        return m
