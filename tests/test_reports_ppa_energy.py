"""reports.ppa.gatesim and energy: toggles and energy of netlists that can be followed by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hw.errors import InputError
from reports.ppa.energy import energy_of
from reports.ppa.gatesim import STREAMS, GateSimulator
from reports.ppa.liberty import Library, read_library
from reports.ppa.netlist import Netlist, flatten
from reports.ppa.sta import Conditions, Slopes, slopes
from tests.ppa_library import module


def _arc(source: str, delay: float, kind: str) -> str:
    tables = "".join(
        f'{name} (scalar) {{ values ("{value}"); }}'
        for name, value in (
            ("cell_rise", delay),
            ("cell_fall", delay),
            ("rise_transition", 0),
            ("fall_transition", 0),
        )
    )
    return f'timing () {{ related_pin : "{source}"; {kind} {tables} }}'


def _power(rise: float, fall: float, when: str = "") -> str:
    return (
        f"internal_power () {{ {when} "
        f'rise_power (scalar) {{ values ("{rise}"); }} fall_power (scalar) {{ values ("{fall}"); }} }}'
    )


def _gate(name: str, function: str, delay: float, leakage: float, energy: float) -> str:
    inputs = [c for c in "AB" if c in function]
    pins = " ".join(f"pin ({i}) {{ direction : input; capacitance : 2; }}" for i in inputs)
    arcs = " ".join(_arc(i, delay, "timing_sense : non_unate;") for i in inputs)
    return (
        f"cell ({name}) {{ area : 1; cell_leakage_power : {leakage}; {pins} pin (Y) {{ direction : "
        f'output; max_capacitance : 20; function : "{function}"; {arcs} {_power(energy, energy)} }} }}'
    )


# Volts 2: a toggle of 1 fF costs half of 4 fJ. The unit of energy is 1 fF V^2, that is 1 fJ.
POWERED = f"""
library (powered) {{
  time_unit : "1ns"; capacitive_load_unit (1, ff); voltage_unit : "1V";
  leakage_power_unit : "1nW"; nom_voltage : 2.0; nom_temperature : 25;
  {_gate("INV", "!A", 0.05, 100, 3)}
  {_gate("XOR", "A ^ B", 0.10, 200, 7)}
  cell (FF) {{
    area : 8; cell_leakage_power : 400;
    ff (IQ, IQN) {{ next_state : "D"; clocked_on : "C"; }}
    pin (C) {{ direction : input; capacitance : 1;
      {_power(5, 6, 'when : "D & Q";')} {_power(0, 9, 'when : "!D & Q";')} }}
    pin (D) {{ direction : input; capacitance : 2; {_power(1, 3)} }}
    pin (Q) {{ direction : output; max_capacitance : 20; function : "IQ";
      {_arc("C", 0.02, "timing_type : rising_edge;")} {_power(10, 12)} }}
  }}
  cell (FFR) {{
    area : 9;
    ff (IQ, IQN) {{ next_state : "D"; clocked_on : "C"; clear : "R"; }}
    pin (C) {{ direction : input; capacitance : 1; }}
    pin (D) {{ direction : input; capacitance : 2; }}
    pin (R) {{ direction : input; capacitance : 2; }}
    pin (Q) {{ direction : output; max_capacitance : 20; function : "IQ";
      {_arc("C", 0.02, "timing_type : rising_edge;")} }}
  }}
}}
"""


@pytest.fixture
def library(tmp_path: Path) -> Library:
    path = tmp_path / "powered.lib"
    path.write_text(POWERED)
    return read_library(path)


def _simulator(netlist: Netlist, library: Library) -> tuple[GateSimulator, Slopes]:
    slope = slopes(netlist, library, Conditions(driver="INV", load=0.0))
    return GateSimulator(netlist, library, slope), slope


def _all(value: int) -> Any:
    return np.full((1, STREAMS), bool(value))


def _toggling_bit(library: Library) -> Netlist:
    """A flip-flop that takes its own inverse; an XOR of both that glitches, and stays at 1."""
    top = module(
        {
            "ff": ("FF", {"C": 2, "D": 4, "Q": 3}),
            "inv": ("INV", {"A": 3, "Y": 4}),
            "xor": ("XOR", {"A": 3, "B": 4, "Y": 5}),
        },
        clk=("input", [2]),
        y=("output", [5]),
    )
    return flatten({"modules": {"top": top}}, "top", library)


def test_energy_of_a_toggling_bit_by_hand(library: Library) -> None:
    netlist = _toggling_bit(library)
    simulator, slope = _simulator(netlist, library)
    for _ in range(10):
        simulator.cycle({})
    cycles = 10 * STREAMS
    energy = energy_of(simulator, slope, cycles=cycles, period=0.5)
    # Per cycle Q and the inverter toggle once. The XOR sees the two 0.05 ns apart, which is shorter
    # than its delay of 0.1 ns: no glitch.
    # Q drives the pins of INV and XOR, 4 fF; the inverter those of FF.D and XOR, 4 fF.
    assert energy.nets == pytest.approx(cycles * 2 * 4 * 2.0)
    # INV 3, Q (10 + 12) / 2, and the pin D with every toggle of the inverter (1 + 3) / 2.
    assert energy.cells == pytest.approx(cycles * (3 + 11 + 2))
    # The pin at both edges 1 fF * 2 V squared; the state changes in every cycle, so only the fall
    # of the second condition counts.
    assert energy.clock == pytest.approx(cycles * (4 + 9))
    # 700 nW for 0.5 ns are 0.35 fJ.
    assert energy.leakage == pytest.approx(cycles * 0.35)
    assert energy.glitches == 0


def test_glitches_are_pulses_that_outlast_the_gate(library: Library) -> None:
    chain = {f"inv{n}": ("INV", {"A": 3 + n, "Y": 4 + n}) for n in range(4)}
    top = module(
        {**chain, "xor": ("XOR", {"A": 3, "B": 7, "Y": 8})},
        i=("input", [3]),
        y=("output", [8]),
    )
    netlist = flatten({"modules": {"top": top}}, "top", library)
    simulator, slope = _simulator(netlist, library)
    (y,) = netlist.outputs["y"]
    for n in range(6):
        # Only every other stream moves.
        simulator.cycle({"i": np.arange(STREAMS)[None] % 2 == n % 2})
    # 0.2 ns apart, longer than 0.1 ns: the output goes up and down again with every change.
    changes = 6 * STREAMS - STREAMS // 2  # the first one moves half of them
    assert simulator.toggles[y] == 2 * changes
    assert simulator.settled[y] == 0
    energy = energy_of(simulator, slope, cycles=6 * STREAMS, period=1.0)
    assert energy.glitches == pytest.approx(2 * changes * 7)
    assert energy.without_glitches == pytest.approx(energy.total - energy.glitches)


def test_only_counted_streams_count(library: Library) -> None:
    netlist = _toggling_bit(library)
    simulator, _ = _simulator(netlist, library)
    simulator.cycle({}, np.arange(STREAMS) < 5)
    assert simulator.toggles.max() == 5
    simulator.cycle({}, np.zeros(STREAMS))
    assert simulator.toggles.max() == 5


def test_registers_hold_the_values_of_the_cycle_before(library: Library) -> None:
    top = module(
        {"a": ("FF", {"C": 2, "D": 3, "Q": 4}), "b": ("FF", {"C": 2, "D": 4, "Q": 5})},
        clk=("input", [2]),
        i=("input", [3]),
        o=("output", [4, 5]),
    )
    netlist = flatten({"modules": {"top": top}}, "top", library)
    simulator, _ = _simulator(netlist, library)
    found = []
    for value in (1, 0, 1, 1, 0):
        simulator.cycle({"i": _all(value)})
        found.append(set(simulator.bits("o", 0, 2).tolist()))
    assert found == [{0}, {1}, {2}, {1}, {3}]


def test_refuses_what_it_cannot_simulate(library: Library) -> None:
    top = module(
        {"a": ("FFR", {"C": 2, "D": 3, "R": 3, "Q": 4})}, i=("input", [3]), c=("input", [2])
    )
    netlist = flatten({"modules": {"top": top}}, "top", library)
    slope = Slopes((0.0,) * netlist.nets, (0.0,) * netlist.nets)
    with pytest.raises(InputError, match="must have plain flip-flops only, not FFR"):
        GateSimulator(netlist, library, slope)
