"""Energy of a mapped netlist, from simulated toggles and the library's tables.

An indication: toggles times what the library says a toggle costs. In it: the energy inside of cells
(NLDM power tables at the transition and load of each net), half C V squared for every toggle of a
net's pins, both edges of the clock at every flip-flop, and leakage. Not in it: wires, the clock tree,
what the output ports drive, and whatever feeds the inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

from reports.ppa.gatesim import GateSimulator
from reports.ppa.liberty import Cell, Library, Pin, Power
from reports.ppa.netlist import Netlist
from reports.ppa.sta import Slopes

__all__ = ["Energy", "energy_of"]

_RISE, _FALL = "rise_power", "fall_power"


@dataclass(frozen=True)
class Energy:
    """fJ of all counted cycles and streams together.

    Attributes
    ----------
    cells, nets : float
        Inside of the cells, and charging the pins; glitches included.
    clock : float
        Both edges of every cycle at the clock pins of the flip-flops.
    leakage : float
    glitches : float
        What of `cells` and `nets` comes from toggles that are undone in the same cycle.
    """

    cells: float
    nets: float
    clock: float
    leakage: float
    glitches: float

    @property
    def total(self) -> float:
        return self.cells + self.nets + self.clock + self.leakage

    @property
    def without_glitches(self) -> float:
        return self.total - self.glitches


def energy_of(simulator: GateSimulator, slopes: Slopes, *, cycles: int, period: float) -> Energy:
    """Energy of what `simulator` has counted.

    Parameters
    ----------
    slopes : Slopes
        Loads are those whose charging counts: output ports carry none.
    cycles : int
        Counted cycles, summed over the streams.
    period : float
        ns, for the leakage.
    """
    netlist, library = simulator.netlist, simulator.library
    per_toggle = _net_costs(netlist, library, slopes)
    inside = _cell_costs(netlist, library, slopes)
    toggles, settled = simulator.toggles, simulator.settled
    nets = sum(e * toggles[n] for n, e in enumerate(per_toggle))
    cells = sum(e * toggles[n] for n, e in inside.items())
    glitches = sum(
        (per_toggle[n] + inside.get(n, 0.0)) * (toggles[n] - settled[n])
        for n in range(netlist.nets)
    )
    clock = leakage = 0.0
    for instance in netlist.instances:
        cell = library.cell(instance.cell)
        leakage += cell.leakage * period * 1e-3 * cycles  # nW ns is 1e-3 fJ
        if cell.clock:
            state = next(
                (n for p, n in instance.pins.items() if cell.pins[p].direction == "output"), 0
            )
            moves = float(settled[state])
            clock += _clock_edges(cell, library, cycles, moves)
            cells += moves * _state_cost(cell, library, slopes, instance.pins)
    return Energy(float(cells), float(nets), clock, leakage, float(glitches))


def _net_costs(netlist: Netlist, library: Library, slopes: Slopes) -> list[float]:
    """fJ of charging or discharging the pins of each net; clock nets apart."""
    square = library.voltage**2 / 2
    costs = [load * square for load in slopes.load]
    for instance in netlist.instances:
        cell = library.cell(instance.cell)
        if cell.clock:
            costs[instance.pins[cell.clock]] = 0.0
    return costs


def _cell_costs(netlist: Netlist, library: Library, slopes: Slopes) -> dict[int, float]:
    """fJ inside of cells for a toggle of each net: of the gate that drives it and of inputs it hits.

    Which input has moved the gate, and which edge it was, is not told apart: means of both.
    """
    costs: dict[int, float] = {}
    for instance in netlist.instances:
        cell = library.cell(instance.cell)
        for name, net in instance.pins.items():
            pin = cell.pins[name]
            if name == cell.clock or (cell.clock and pin.direction == "output"):
                continue
            cost = _pin_cost(pin, library, slopes, instance.pins, slopes.load[net])
            costs[net] = costs.get(net, 0.0) + cost
    return costs


def _pin_cost(
    pin: Pin, library: Library, slopes: Slopes, pins: dict[str, int], load: float
) -> float:
    """Mean over the conditions, inputs and edges that the library tells apart."""
    found = []
    for power in pin.powers:
        source = pins.get(power.source, pins.get(pin.name, 0))
        slope = slopes.transition[source]
        found += [table.at(slope, load) for table in power.tables.values()]
    return library.energy_fj * sum(found) / len(found) if found else 0.0


def _state_cost(cell: Cell, library: Library, slopes: Slopes, pins: dict[str, int]) -> float:
    """fJ inside of a flip-flop whose state changes, over all of its outputs, connected or not."""
    return sum(
        _pin_cost(pin, library, slopes, pins, slopes.load[pins[name]] if name in pins else 0.0)
        for name, pin in cell.pins.items()
        if pin.direction == "output"
    )


def _clock_edges(cell: Cell, library: Library, cycles: float, moves: float) -> float:
    """fJ of the clock pin: the pin itself at both edges, and the cell behind it.

    Where the library has a rise that costs nothing, it means the conditions under which the state
    changes, whose energy it gives to the output.
    """
    pin = cell.pins[cell.clock]
    energy = cycles * pin.capacitance * library.voltage**2
    changing = [p for p in pin.powers if _edge(p, _RISE) == 0.0]
    still = [p for p in pin.powers if p not in changing]
    rests = cycles - moves if changing else cycles
    energy += library.energy_fj * rests * (_mean(still, _RISE) + _mean(still, _FALL))
    if changing:
        energy += library.energy_fj * moves * _mean(changing, _FALL)
    return energy


def _edge(power: Power, name: str) -> float:
    return power.tables[name].at(0.0) if name in power.tables else 0.0


def _mean(powers: list[Power], name: str) -> float:
    return sum(_edge(p, name) for p in powers) / len(powers) if powers else 0.0
