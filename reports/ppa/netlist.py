"""A mapped netlist: the JSON of Yosys as one flat list of library cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reports.ppa.liberty import Cell, Library

__all__ = ["CONSTANTS", "Instance", "Netlist", "buffer_nets", "flatten"]

CONSTANTS = {"0": 0, "1": 1, "x": 0, "z": 0}
"""Nets 0 and 1 are the constants; an undefined bit is tied low."""


@dataclass(frozen=True)
class Instance:
    """A library cell: its path in the hierarchy, and the net at each pin.

    With `memory` it only stands for one bit at the port of a memory: for timing and load, without
    an area.
    """

    path: str
    cell: str
    pins: dict[str, int]
    memory: bool = False


@dataclass
class Netlist:
    """A flat netlist; nets are numbers, 0 and 1 are the constants.

    Attributes
    ----------
    instances : list of Instance
    inputs, outputs : dict
        Nets of every top-level port, least significant bit first.
    nets : int
        One more than the highest net.
    """

    instances: list[Instance]
    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]
    nets: int

    def area(self, library: Library) -> float:
        """Area of all cells in um2."""
        return sum(library.cell(i.cell).area for i in self.instances if not i.memory)


class _Union:
    """Nets that are one wire."""

    def __init__(self) -> None:
        self.parent: list[int] = [0, 1]

    def new(self) -> int:
        self.parent.append(len(self.parent))
        return len(self.parent) - 1

    def find(self, net: int) -> int:
        while self.parent[net] != net:
            self.parent[net] = self.parent[self.parent[net]]
            net = self.parent[net]
        return net

    def join(self, one: int, other: int) -> int:
        low, high = sorted((self.find(one), self.find(other)))
        self.parent[high] = low  # constants win
        return low


@dataclass
class _Flattener:
    modules: Mapping[str, Any]
    library: Library
    union: _Union = field(default_factory=_Union)
    instances: list[Instance] = field(default_factory=list)

    def walk(self, module: str, path: str, ports: Mapping[str, list[int]]) -> None:
        content = self.modules[module]
        nets: dict[int, int] = {}

        def net(bit: int | str) -> int:
            if isinstance(bit, str):
                return CONSTANTS[bit]
            if bit not in nets:
                nets[bit] = self.union.new()
            return nets[bit]

        for name, given in ports.items():
            for bit, outer in zip(content["ports"][name]["bits"], given, strict=True):
                if isinstance(bit, int) and bit not in nets:
                    nets[bit] = outer
                else:  # a port that is wired to another port, or to a constant
                    self.union.join(net(bit), outer)
        for name, cell in content["cells"].items():
            if cell["type"] == "$scopeinfo":
                continue
            pins = {p: [net(b) for b in bits] for p, bits in cell["connections"].items()}
            if _is_memory(self.modules.get(cell["type"])):
                self._memory(f"{path}{name}", self.modules[cell["type"]], pins)
            elif cell["type"] in self.modules and cell["type"] not in self.library:
                self.walk(cell["type"], f"{path}{name}/", pins)
            else:
                self.instances.append(
                    Instance(f"{path}{name}", cell["type"], {p: b[0] for p, b in pins.items()})
                )

    def _memory(self, path: str, module: Mapping[str, Any], pins: Mapping[str, list[int]]) -> None:
        """A flip-flop at every bit of a memory's ports: registered inputs, registered outputs."""
        cell = _plain_flip_flop(self.library)
        names = {pin.direction: pin.name for pin in cell.pins.values() if pin.name != cell.clock}
        (clock,) = pins["clk"]
        for port, nets in pins.items():
            if port == "clk":
                continue
            pin = names[module["ports"][port]["direction"]]
            for net in nets:
                bits = {cell.clock: clock, pin: net}
                self.instances.append(Instance(f"{path}/{port}", cell.name, bits, memory=True))


def _is_memory(module: Mapping[str, Any] | None) -> bool:
    return module is not None and int(module.get("attributes", {}).get("blackbox", "0"), 2) == 1


def _plain_flip_flop(library: Library) -> Cell:
    """The smallest flip-flop with one input, which it takes at every rising edge."""
    cells = [library.cell(name) for name in library.names]
    plain = [
        cell
        for cell in cells
        if cell.flip_flop
        and cell.next_state in cell.pins
        and sum(pin.direction == "input" for pin in cell.pins.values()) == 2
    ]
    return min(plain, key=lambda cell: (cell.area, cell.name))


def flatten(design: Mapping[str, Any], top: str, library: Library) -> Netlist:
    """The netlist of module `top` in the object that Yosys' ``write_json`` writes.

    Raises
    ------
    InputError
        A cell is not in the library: the design was not mapped completely.
    """
    flattener = _Flattener(design["modules"], library)
    ports = design["modules"][top]["ports"]
    given = {name: [flattener.union.new() for _ in port["bits"]] for name, port in ports.items()}
    flattener.walk(top, "", given)
    find = flattener.union.find
    instances = [
        Instance(i.path, i.cell, {p: find(n) for p, n in i.pins.items()}, i.memory)
        for i in flattener.instances
    ]
    for instance in instances:
        library.cell(instance.cell)
    sides: dict[str, dict[str, list[int]]] = {"input": {}, "output": {}}
    for name, nets in given.items():
        sides[ports[name]["direction"]][name] = [find(n) for n in nets]
    return Netlist(instances, sides["input"], sides["output"], len(flattener.union.parent))


def buffer_nets(
    netlist: Netlist, library: Library, *, buffer: str, keep: frozenset[int], source: str
) -> int:
    """Splits nets that are too heavy for their driver by trees of `buffer`; returns how many.

    Synthesis maps one module at a time and so does not see that, say, a clock enable reaches every
    cell of an array. Every net whose load exceeds its driver's ``max_capacitance`` gets a balanced
    tree; drive strengths are left as they are.

    Parameters
    ----------
    keep : frozenset of int
        Nets that are left alone: the clock.
    source : str
        Cell that is taken to drive the input ports.
    """
    cell = library.cell(buffer)
    (into,) = (p.name for p in cell.pins.values() if p.direction == "input")
    (out,) = (p.name for p in cell.pins.values() if p.direction == "output")
    limit = cell.pins[out].max_capacitance / 2
    drive: dict[int, float] = {}
    port_limit = max(p.max_capacitance for p in library.cell(source).pins.values() if p.function)
    for nets in netlist.inputs.values():
        drive.update(dict.fromkeys(nets, port_limit))
    sinks: dict[int, list[tuple[int, str, float]]] = {}
    for n, instance in enumerate(netlist.instances):
        pins = library.cell(instance.cell).pins
        for pin, net in instance.pins.items():
            if pins[pin].direction == "output":
                drive[net] = pins[pin].max_capacitance
            else:
                sinks.setdefault(net, []).append((n, pin, pins[pin].capacitance))
    added = 0
    for net, readers in sinks.items():
        if net < 2 or net in keep:
            continue
        while sum(load for _, _, load in readers) > drive.get(net, limit):
            groups: list[list[tuple[int, str, float]]] = [[]]
            room = limit
            for reader in readers:
                if reader[2] > room and groups[-1]:
                    groups.append([])
                    room = limit
                groups[-1].append(reader)
                room -= reader[2]
            if len(groups) >= len(readers):
                break
            readers = []
            for group in groups:
                driven, netlist.nets = netlist.nets, netlist.nets + 1
                for n, pin, _ in group:
                    netlist.instances[n].pins[pin] = driven
                readers.append((len(netlist.instances), into, cell.pins[into].capacitance))
                netlist.instances.append(
                    Instance(f"$buffer{added}", buffer, {into: net, out: driven})
                )
                added += 1
    return added
