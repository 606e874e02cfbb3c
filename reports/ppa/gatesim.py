"""Simulates a mapped netlist with gate delays, on 64 independent streams of operands at once.

Every net is a word of 64 bits, one per stream. Time advances in steps of a few picoseconds. A gate's
output takes a new value when its inputs have asked for it without interruption for as long as the
gate's delay: pulses shorter than that vanish (inertial delay, as in Verilog), longer ones travel on
as glitches and are counted. After the last event of a cycle the netlist has settled; the values that
nets have then are counted against those of the cycle before, too, which gives the toggles without
glitches from the same run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.errors import InputError
from reports.ppa.boolean import Function, parse_function
from reports.ppa.liberty import Arc, Library
from reports.ppa.netlist import Netlist
from reports.ppa.sta import Slopes

__all__ = ["STREAMS", "GateSimulator"]

Words = npt.NDArray[np.uint64]

STREAMS = 64
"""Streams that run side by side: the bits of a word."""

_ALL = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
_BITS = np.arange(STREAMS, dtype=np.uint64)
_DELAY = ("cell_rise", "cell_fall")


@dataclass(frozen=True)
class _Gates:
    """Outputs of one kind of cell: nets at the input pins, and which part of all outputs they are."""

    function: Function
    pins: dict[str, npt.NDArray[np.intp]]
    part: slice


class GateSimulator:
    """State of a netlist, and how often its nets have toggled.

    Parameters
    ----------
    netlist, library
        Combinational cells and flip-flops that take a function of their inputs at every clock.
    slopes : Slopes
        Loads and transitions, which set the delays.
    step : float
        ns; every delay is a whole number of these, at least one.

    Attributes
    ----------
    toggles, settled : array of int, by net
        Toggles with and without glitches, of the streams and cycles that were counted.

    Raises
    ------
    InputError
        A cell is neither: a latch, or a flip-flop with an asynchronous input.
    """

    def __init__(
        self, netlist: Netlist, library: Library, slopes: Slopes, *, step: float = 0.01
    ) -> None:
        self.netlist, self.library = netlist, library
        self._slopes, self._step = slopes, step
        self._values: Words = np.zeros(netlist.nets, np.uint64)
        self._values[1] = _ALL
        self.toggles = np.zeros(netlist.nets, np.int64)
        self.settled = np.zeros(netlist.nets, np.int64)
        self._gates, self._driven, self._delays = self._combinational()
        self._states = self._flip_flops()
        longest = int(self._delays.max(initial=1))
        # Row n: bits of the outputs whose inputs have asked for the same for n + 1 steps.
        self._steady = np.full((longest, len(self._driven)), _ALL)
        self._asked = self._evaluate()
        self._settle(None, np.uint64(0))

    def bits(self, name: str, low: int, width: int) -> npt.NDArray[np.int64]:
        """Value of bits ``[low, low + width)`` of an output port in each stream."""
        words = self._values[np.array(self.netlist.outputs[name][low : low + width])]
        bits = (words[:, None] >> _BITS) & np.uint64(1)
        weights = np.left_shift(np.int64(1), np.arange(width))
        return np.asarray((bits.astype(np.int64) * weights[:, None]).sum(axis=0))

    def cycle(self, inputs: Mapping[str, Any], counted: Any = None) -> None:
        """One clock edge, after which the input ports change too; then everything settles.

        Parameters
        ----------
        inputs : dict of str to array of bool of shape (width, 64)
            Bits of input ports, least significant first; ports that are not named keep theirs.
        counted : array of bool of shape (64,), optional
            Streams whose toggles count; all by default.
        """
        mask = _ALL if counted is None else _packed(np.asarray(counted)[None])[0]
        arrivals: dict[int, list[tuple[npt.NDArray[np.intp], Words]]] = {}
        for function, pins, outputs in self._states:
            after = function({name: self._values[nets] for name, nets in pins.items()})
            for inverted, users, nets, delays in outputs:
                value = (after ^ _ALL if inverted else after)[users]
                for delay in np.unique(delays):
                    chosen = delays == delay
                    arrivals.setdefault(int(delay), []).append((nets[chosen], value[chosen]))
        for name, bits in inputs.items():
            nets = np.array(self.netlist.inputs[name])
            arrivals.setdefault(0, []).append((nets, _packed(np.asarray(bits))))
        before = self._values.copy()
        self._settle(arrivals, mask)
        self.settled += np.bitwise_count((before ^ self._values) & mask)

    def _settle(
        self,
        arrivals: dict[int, list[tuple[npt.NDArray[np.intp], Words]]] | None,
        mask: Any,
    ) -> None:
        """Lets time pass until all arrivals have been, and nothing moves any more."""
        arrivals = dict(arrivals or {})
        at, quiet, longest = 0, 0, len(self._steady)
        columns = np.arange(len(self._driven))
        while quiet <= longest or arrivals:
            for nets, value in arrivals.pop(at, ()):
                self.toggles[nets] += np.bitwise_count((self._values[nets] ^ value) & mask)
                self._values[nets] = value
            asked = self._evaluate()
            same = (asked ^ self._asked) ^ _ALL
            self._asked = asked
            self._steady[1:] = self._steady[:-1] & same
            self._steady[0] = _ALL
            ripe = self._steady[self._delays - 1, columns]
            old = self._values[self._driven]
            new = (old & (ripe ^ _ALL)) | (asked & ripe)
            changed = old ^ new
            if changed.any() or (same != _ALL).any():
                quiet = 0
                self.toggles[self._driven] += np.bitwise_count(changed & mask)
                self._values[self._driven] = new
            else:
                quiet += 1
            at += 1
            if at > 1_000_000:
                raise InputError("Netlist must settle, but its nets go on toggling.")

    def _evaluate(self) -> Words:
        result = np.empty(len(self._driven), np.uint64)
        for gates in self._gates:
            pins = {name: self._values[nets] for name, nets in gates.pins.items()}
            result[gates.part] = gates.function(pins)
        return result

    def _combinational(
        self,
    ) -> tuple[list[_Gates], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
        kinds: dict[tuple[str, str], list[int]] = {}
        for n, instance in enumerate(self.netlist.instances):
            cell = self.library.cell(instance.cell)
            if cell.clock:
                continue
            for pin in instance.pins:
                if cell.pins[pin].direction == "output":
                    kinds.setdefault((instance.cell, pin), []).append(n)
        gates: list[_Gates] = []
        driven: list[int] = []
        delays: list[int] = []
        for (name, output), members in kinds.items():
            cell = self.library.cell(name)
            if not cell.pins[output].function:
                raise InputError(f"Cell must have a function to be simulated, unlike {name}.")
            chosen = [self.netlist.instances[n] for n in members]
            pins = {
                pin: np.array([i.pins.get(pin, 0) for i in chosen])
                for pin in cell.pins
                if cell.pins[pin].direction == "input"
            }
            part = slice(len(driven), len(driven) + len(chosen))
            gates.append(_Gates(parse_function(cell.pins[output].function), pins, part))
            arcs = [a for a in cell.pins[output].arcs if a.kind == "combinational"]
            driven += [i.pins[output] for i in chosen]
            delays += [self._steps(arcs, i.pins, output) for i in chosen]
        return gates, np.array(driven, np.intp), np.array(delays, np.intp)

    def _flip_flops(self) -> list[Any]:
        kinds: dict[str, list[int]] = {}
        for n, instance in enumerate(self.netlist.instances):
            cell = self.library.cell(instance.cell)
            if cell.clock and (cell.gate or cell.asynchronous or not cell.next_state):
                raise InputError(f"Netlist must have plain flip-flops only, not {cell.name}.")
            if cell.clock:
                kinds.setdefault(instance.cell, []).append(n)
        states = []
        for name, members in kinds.items():
            cell = self.library.cell(name)
            chosen = [self.netlist.instances[n] for n in members]
            outputs = []
            for pin in cell.pins.values():
                users = [n for n, i in enumerate(chosen) if pin.name in i.pins]
                if pin.direction != "output" or not users:
                    continue
                arcs = [a for a in pin.arcs if a.kind == "rising_edge"]
                nets = [chosen[n].pins[pin.name] for n in users]
                delays = [self._steps(arcs, chosen[n].pins, pin.name) for n in users]
                inverted = pin.function == cell.state[1]
                outputs.append((inverted, np.array(users), np.array(nets), np.array(delays)))
            pins = {
                pin: np.array([i.pins.get(pin, 0) for i in chosen])
                for pin in cell.pins
                if cell.pins[pin].direction == "input"
            }
            states.append((parse_function(cell.next_state), pins, outputs))
        return states

    def _steps(self, arcs: list[Arc], pins: Mapping[str, int], output: str) -> int:
        """Mean delay over sources and edges, in steps."""
        load = self._slopes.load[pins[output]]
        delays = [
            arc.tables[edge].at(self._slopes.transition[pins[arc.source]], load)
            for arc in arcs
            for edge in _DELAY
            if edge in arc.tables
        ]
        return max(1, round(sum(delays) / len(delays) / self._step)) if delays else 1


def _packed(bits: npt.NDArray[Any]) -> Words:
    """Words of the bits of 64 streams."""
    return np.asarray(
        np.left_shift(bits.astype(np.uint64), _BITS).sum(axis=1, dtype=np.uint64), np.uint64
    )
