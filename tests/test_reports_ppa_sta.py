"""reports.ppa.sta: delays added up by hand, and figures of OpenSTA for the same netlist."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.errors import InputError
from reports.ppa.liberty import Library, read_library
from reports.ppa.netlist import Netlist, flatten
from reports.ppa.sta import Conditions, analyse
from reports.ppa.target import NANGATE45, find_target
from tests.ppa_library import LIBRARY, module


@pytest.fixture
def library(tmp_path: Path) -> Library:
    path = tmp_path / "small.lib"
    path.write_text(LIBRARY)
    return read_library(path)


def _flat(library: Library, cells: dict[str, tuple[str, dict[str, object]]]) -> Netlist:
    top = module(cells, clk=("input", [2]), i=("input", [3]), o=("output", [4]), p=("output", [5]))
    return flatten({"modules": {"top": top}}, "top", library)


AROUND = Conditions(driver="BUF", load=5.0)


def test_a_path_by_hand(library: Library) -> None:
    netlist = _flat(
        library,
        {
            "from": ("FF", {"C": 2, "D": "0", "Q": 10}),
            "inverter": ("INV", {"A": 10, "Y": 11}),
            "to": ("FF", {"C": 2, "D": 11, "Q": 4}),
        },
    )
    timing = analyse(netlist, library, AROUND)
    # Q drives 1 fF: rise 0.5 + 0.01, fall 0.4 + 0.01, transition 0.02.
    # Inverter drives 2 fF at that transition: fall 0.1 + 0.002 + 0.02 after the rise, rise
    # 0.2 + 0.002 + 0.02 after the fall; transition 0.04. Setup: 0.054 for a rise, 0.074 for a fall.
    rise, fall = 0.41 + 0.222 + 0.054, 0.51 + 0.122 + 0.074
    assert timing.period == pytest.approx(max(rise, fall))
    assert timing.setup == pytest.approx(0.074)
    assert timing.launch == pytest.approx(0.51)
    assert [(s.path, s.cell, s.pin, s.rises) for s in timing.path] == [
        ("from", "FF", "Q", True),
        ("inverter", "INV", "Y", False),
    ]
    # The second flip-flop drives the port: 5 fF.
    assert timing.outputs == pytest.approx(0.55)
    assert timing.through == timing.inputs == float("-inf")


def test_an_exclusive_or_takes_the_later_edge_of_either_sense(library: Library) -> None:
    netlist = _flat(
        library,
        {
            "from": ("FF", {"C": 2, "D": "0", "Q": 10}),
            "gate": ("XOR", {"A": 10, "B": "1", "Y": 11}),
            "to": ("FF", {"C": 2, "D": 11, "Q": 4}),
        },
    )
    # Rise of Q (0.51) to rise of Y (0.6 + 0.002 + 0.02), setup 0.054; the fall is 0.08 earlier.
    assert analyse(netlist, library, AROUND).period == pytest.approx(0.51 + 0.622 + 0.054)


def test_ports_are_no_part_of_the_period(library: Library) -> None:
    netlist = _flat(
        library,
        {
            "to": ("FF", {"C": 2, "D": 3, "Q": 10}),
            "gate": ("BUF", {"A": 3, "Y": 5}),
            "again": ("FF", {"C": 2, "D": 10, "Q": 4}),
        },
    )
    timing = analyse(netlist, library, AROUND)
    # The port drives 3 fF: 0.03 beyond its driver's delay at no load, transition 0.06.
    assert timing.inputs == pytest.approx(0.03 + 0.076)
    assert timing.through == pytest.approx(0.03 + 0.3 + 0.006 + 0.05)
    # The rise is the later edge, 0.52; but a fall has the longer setup time.
    assert timing.period == pytest.approx(0.52 + 0.054)


def test_wires_add_their_load(library: Library) -> None:
    cells: dict[str, tuple[str, dict[str, object]]] = {
        "from": ("FF", {"C": 2, "D": "0", "Q": 10}),
        "to": ("FF", {"C": 2, "D": 10, "Q": 4}),
    }
    wire = library.wire_loads["short"]
    conditions = Conditions(driver="BUF", load=5.0, wire=wire)
    without = analyse(_flat(library, cells), library, AROUND).period
    # 1 fF more: 0.01 later, and a transition that is 0.02 longer.
    assert analyse(_flat(library, cells), library, conditions).period == pytest.approx(
        without + 0.01 + 0.002
    )


def test_refuses_a_loop(library: Library) -> None:
    netlist = _flat(
        library,
        {"a": ("INV", {"A": 10, "Y": 11}), "b": ("NAND", {"A": 11, "B": 3, "Y": 10})},
    )
    with pytest.raises(InputError, match="no combinational loop"):
        analyse(netlist, library, AROUND)


def test_opensta_gives_the_same_figures() -> None:
    """Figures of OpenSTA 2.0.17 for this netlist, with BUF_X4 as driver and no wire load."""
    pytest.importorskip("adks")
    library = find_target(NANGATE45).library
    top = module(
        {
            "r0": ("DFF_X1", {"CK": 2, "D": 3, "Q": 10}),
            "r1": ("DFF_X2", {"CK": 2, "D": 3, "QN": 11}),
            "g0": ("XOR2_X1", {"A": 10, "B": 11, "Z": 12}),
            "g1": ("AOI21_X2", {"A": 12, "B1": 10, "B2": 11, "ZN": 13}),
            "g2": ("NAND3_X1", {"A1": 13, "A2": 12, "A3": 10, "ZN": 14}),
            "g3": ("FA_X1", {"A": 14, "B": 12, "CI": 13, "CO": 15, "S": 16}),
            "g4": ("OAI211_X1", {"A": 15, "B": 16, "C1": 12, "C2": 14, "ZN": 17}),
            "g5": ("XNOR2_X2", {"A": 17, "B": 15, "ZN": 18}),
            "r2": ("DFF_X1", {"CK": 2, "D": 18, "Q": 4}),
        },
        clk=("input", [2]),
        i=("input", [3]),
        o=("output", [4]),
    )
    netlist = flatten({"modules": {"top": top}}, "top", library)
    timing = analyse(netlist, library, Conditions(driver="BUF_X4", load=10.0))
    assert timing.period - timing.setup == pytest.approx(0.4352380, abs=2e-6)
    assert timing.setup == pytest.approx(0.0408995, abs=2e-6)
    assert timing.outputs == pytest.approx(0.1031114, abs=2e-6)
