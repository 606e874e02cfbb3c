"""Static timing analysis of a mapped netlist with the library's own delay tables.

Graph-based, as sign-off tools do it by default: every net has the latest arrival and the greatest
transition time of a rise and of a fall; delays and transitions are interpolated in the library's
tables (NLDM) at the input's transition and the output's load. What is in it: clock-to-output delay
of flip-flops, setup time, every gate, every pin's capacitance. What is not: wires (unless a wire
load is given), clock skew and the clock tree, hold times, false paths, crosstalk, variation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from hw.errors import InputError
from reports.ppa.liberty import Arc, Library, Table, WireLoad
from reports.ppa.netlist import Netlist

__all__ = ["Conditions", "Slopes", "Step", "Timing", "analyse", "slopes"]

_LAUNCH = ("rising_edge",)
_NEVER = float("-inf")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What stands around the netlist.

    Attributes
    ----------
    clock : str
        Name of the clock's port. It reaches every flip-flop at time 0 with `clock_transition`.
    driver : str
        Cell that drives each input port; ports arrive at time 0 before its load-dependent delay.
    load : float
        fF at each output port.
    clock_transition : float
        ns.
    wire : WireLoad, optional
        Estimate of the wires; None leaves them out.
    cut : bool
        Treat flip-flops as ports, driven by `driver` and loading with `load`, as ABC sees a
        design: for comparing with its figure.
    """

    clock: str = "clk"
    driver: str
    load: float
    clock_transition: float = 0.0
    wire: WireLoad | None = None
    cut: bool = False


class Step(NamedTuple):
    """One stage of a path: a cell's output pin, its edge, when it switches, and its load in fF."""

    path: str
    cell: str
    pin: str
    rises: bool
    arrival: float
    transition: float
    load: float


@dataclass(frozen=True)
class Timing:
    """Results in ns.

    Attributes
    ----------
    period : float
        Least clock period: the slowest path from flip-flop to flip-flop, clock-to-output delay and
        setup time included.
    setup : float
        The setup time in `period`.
    inputs, outputs : float
        Slowest path from an input port to a flip-flop (with setup), and from a flip-flop to an
        output port; minus infinity where there is none.
    through : float
        Slowest path from input port to output port.
    path : tuple of Step
        The path that sets `period`.
    """

    period: float
    setup: float
    inputs: float
    outputs: float
    through: float
    path: tuple[Step, ...]

    @property
    def launch(self) -> float:
        """Clock-to-output delay in `period`."""
        return self.path[0].arrival if self.path else 0.0


@dataclass(frozen=True)
class Slopes:
    """What drives delays and energies, by net: load in fF, and slowest transition in ns.

    Means of a rise and a fall; a net that never moves has a transition of 0.
    """

    load: tuple[float, ...]
    transition: tuple[float, ...]


class _Compiled(NamedTuple):
    """An arc, prepared: source pin, and (edge of source, edge of output, delay, transition)."""

    source: str
    edges: tuple[tuple[int, int, Table, Table], ...]


_SENSES: dict[str, tuple[tuple[int, int], ...]] = {
    "positive_unate": ((0, 0), (1, 1)),
    "negative_unate": ((0, 1), (1, 0)),
    "non_unate": ((0, 0), (0, 1), (1, 0), (1, 1)),
}
_DELAY = ("cell_rise", "cell_fall")
_TRANSITION = ("rise_transition", "fall_transition")


def analyse(netlist: Netlist, library: Library, conditions: Conditions) -> Timing:
    """Timing of `netlist`.

    Raises
    ------
    InputError
        The netlist has a combinational loop, or a flip-flop without timing.
    """
    return _Analysis(netlist, library, conditions).run()


def slopes(netlist: Netlist, library: Library, conditions: Conditions) -> Slopes:
    """Loads and transitions of the nets of `netlist`, from the same analysis."""
    analysis = _Analysis(netlist, library, conditions)
    analysis.run()
    load, transition = analysis.load, analysis.transition
    nets = range(netlist.nets)
    return Slopes(
        tuple((load[2 * n] + load[2 * n + 1]) / 2 for n in nets),
        tuple(
            sum(max(transition[4 * n + edge], transition[4 * n + 2 + edge]) for edge in (0, 1)) / 2
            for n in nets
        ),
    )


class _Analysis:
    def __init__(self, netlist: Netlist, library: Library, conditions: Conditions) -> None:
        self.netlist, self.library, self.conditions = netlist, library, conditions
        self.clock = set(netlist.inputs.get(conditions.clock, ()))
        nets = netlist.nets
        self.load = [0.0] * (2 * nets)  # 2 * net + edge: pins load a rise and a fall differently
        # Two kinds of start, and for each the latest edge: a path from a port is no path of the
        # clock period. Index: 4 * net + 2 * (from a port) + edge (0 rise, 1 fall).
        self.arrival = [_NEVER] * (4 * nets)
        self.transition = [0.0] * (4 * nets)
        self.origin: dict[int, tuple[int, str, int]] = {}
        self.arcs: dict[tuple[str, str], tuple[_Compiled, ...]] = {}

    def run(self) -> Timing:
        self._loads()
        self._sources()
        for n in self._order():
            self._propagate(n)
        return self._endpoints()

    def _is_state(self, cell: str) -> bool:
        return bool(self.library.cell(cell).clock)

    def _loads(self) -> None:
        fanout = [0] * self.netlist.nets
        for instance in self.netlist.instances:
            pins = self.library.cell(instance.cell).pins
            state = self._is_state(instance.cell)
            for pin, net in instance.pins.items():
                if pins[pin].direction == "input":
                    ends = state and self.conditions.cut
                    load = self.conditions.load
                    self.load[2 * net] += load if ends else pins[pin].rise
                    self.load[2 * net + 1] += load if ends else pins[pin].fall
                    fanout[net] += 1
                    if state and pin == self.library.cell(instance.cell).clock:
                        self.clock.add(net)
        for nets in self.netlist.outputs.values():
            for net in nets:
                self.load[2 * net] += self.conditions.load
                self.load[2 * net + 1] += self.conditions.load
                fanout[net] += 1
        if self.conditions.wire is not None:
            wire = self.conditions.wire
            self.load = [
                load + wire.capacitance(fanout[n // 2]) for n, load in enumerate(self.load)
            ]

    def _sources(self) -> None:
        for nets in self.netlist.inputs.values():
            for net in nets:
                if net not in self.clock:
                    self._drive(net)
        for n, instance in enumerate(self.netlist.instances):
            cell = self.library.cell(instance.cell)
            if not cell.flip_flop:
                continue
            for pin, net in instance.pins.items():
                if cell.pins[pin].direction != "output":
                    continue
                if self.conditions.cut:
                    self._drive(net)
                    continue
                launches = [a for a in cell.pins[pin].arcs if a.kind in _LAUNCH]
                if not launches:
                    raise InputError(f"Flip-flop {cell.name} must have clock-to-output timing.")
                for arc in launches:
                    self._launch(net, arc, (n, pin))

    def _launch(self, net: int, arc: Arc, where: tuple[int, str]) -> None:
        for edge in (0, 1):
            clock = self.conditions.clock_transition
            load = self.load[2 * net + edge]
            delay = arc.tables[_DELAY[edge]].at(clock, load)
            transition = arc.tables[_TRANSITION[edge]].at(clock, load)
            self._update(4 * net + edge, delay, transition, (*where, -1))

    def _drive(self, net: int) -> None:
        """An input port: only the load-dependent part of its driver's delay counts."""
        cell = self.library.cell(self.conditions.driver)
        for pin in cell.pins.values():
            for arc in pin.arcs:
                for edge in (0, 1):
                    table, load = arc.tables[_DELAY[edge]], self.load[2 * net + edge]
                    delay = table.at(0.0, load) - table.at(0.0, 0.0)
                    transition = arc.tables[_TRANSITION[edge]].at(0.0, load)
                    self._update(4 * net + 2 + edge, delay, transition, (-1, pin.name, -1))

    def _update(
        self, index: int, arrival: float, transition: float, origin: tuple[int, str, int]
    ) -> None:
        if arrival > self.arrival[index]:
            self.arrival[index] = arrival
            self.origin[index] = origin
        if transition > self.transition[index]:
            self.transition[index] = transition

    def _order(self) -> list[int]:
        """Combinational instances, each after all that drive it."""
        drivers: dict[int, int] = {}
        for n, instance in enumerate(self.netlist.instances):
            if not self._is_state(instance.cell):
                pins = self.library.cell(instance.cell).pins
                for pin, net in instance.pins.items():
                    if pins[pin].direction == "output":
                        drivers[net] = n
        waiting = [0] * len(self.netlist.instances)
        readers: dict[int, list[int]] = {}
        for n, instance in enumerate(self.netlist.instances):
            if self._is_state(instance.cell):
                continue
            pins = self.library.cell(instance.cell).pins
            for pin, net in instance.pins.items():
                if pins[pin].direction == "input" and net in drivers:
                    readers.setdefault(drivers[net], []).append(n)
                    waiting[n] += 1
        total = set(drivers.values())
        order = [n for n in sorted(total) if not waiting[n]]
        for n in order:  # grows as it is walked
            for reader in readers.get(n, ()):
                waiting[reader] -= 1
                if not waiting[reader]:
                    order.append(reader)
        if len(order) != len(total):
            raise InputError("Netlist must have no combinational loop, but timing found one.")
        return order

    def _compiled(self, cell: str, pin: str) -> tuple[_Compiled, ...]:
        key = (cell, pin)
        if key not in self.arcs:
            self.arcs[key] = tuple(
                _Compiled(
                    arc.source,
                    tuple(
                        (a, b, arc.tables[_DELAY[b]], arc.tables[_TRANSITION[b]])
                        for a, b in _SENSES[arc.sense]
                        if _DELAY[b] in arc.tables
                    ),
                )
                for arc in self.library.cell(cell).pins[pin].arcs
                if arc.kind == "combinational"
            )
        return self.arcs[key]

    def _propagate(self, n: int) -> None:
        instance = self.netlist.instances[n]
        pins = self.library.cell(instance.cell).pins
        arrivals, transitions = self.arrival, self.transition
        for pin, net in instance.pins.items():
            if pins[pin].direction != "output":
                continue
            for source, edges in self._compiled(instance.cell, pin):
                start = instance.pins[source]
                for kind in (0, 2):
                    base = 4 * start + kind
                    for before, after, delay, transition in edges:
                        arrival = arrivals[base + before]
                        if arrival == _NEVER:
                            continue
                        slew, load = transitions[base + before], self.load[2 * net + after]
                        self._update(
                            4 * net + kind + after,
                            arrival + delay.at(slew, load),
                            transition.at(slew, load),
                            (n, pin, base + before),
                        )

    def _endpoints(self) -> Timing:
        worst = {0: (_NEVER, 0.0, -1), 2: (_NEVER, 0.0, -1)}
        for instance in self.netlist.instances:
            cell = self.library.cell(instance.cell)
            if not cell.clock:
                continue
            for pin, net in instance.pins.items():
                if cell.pins[pin].direction != "input" or pin == cell.clock:
                    continue
                setups = [a for a in cell.pins[pin].arcs if a.kind == "setup_rising"]
                for kind in (0, 2):
                    for edge in (0, 1):
                        index = 4 * net + kind + edge
                        if self.arrival[index] == _NEVER:
                            continue
                        setup = 0.0 if self.conditions.cut else self._setup(setups, index, edge)
                        total = self.arrival[index] + setup
                        if total > worst[kind][0]:
                            worst[kind] = (total, setup, index)
        ports = {0: _NEVER, 2: _NEVER}
        for nets in self.netlist.outputs.values():
            for net in nets:
                for kind in (0, 2):
                    for edge in (0, 1):
                        ports[kind] = max(ports[kind], self.arrival[4 * net + kind + edge])
        period, setup, end = worst[0]
        return Timing(
            period=period,
            setup=setup,
            inputs=worst[2][0],
            outputs=ports[0],
            through=ports[2],
            path=self._path(end),
        )

    def _setup(self, arcs: list[Arc], index: int, edge: int) -> float:
        name = ("rise_constraint", "fall_constraint")[edge]
        clock, slew = self.conditions.clock_transition, self.transition[index]
        return max((a.tables[name].at(slew, clock) for a in arcs if name in a.tables), default=0.0)

    def _path(self, index: int) -> tuple[Step, ...]:
        steps: list[Step] = []
        at: Callable[[int], Step] = self._step
        while index >= 0:
            steps.append(at(index))
            index = self.origin[index][2]
        return tuple(reversed(steps))

    def _step(self, index: int) -> Step:
        n, pin, _ = self.origin[index]
        place = self.netlist.instances[n] if n >= 0 else None
        return Step(
            path=place.path if place else "port",
            cell=place.cell if place else self.conditions.driver,
            pin=pin,
            rises=index % 2 == 0,
            arrival=self.arrival[index],
            transition=self.transition[index],
            load=self.load[2 * (index // 4) + index % 2],
        )
