"""reports.ppa.liberty: what is read from a library, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.errors import InputError
from reports.ppa.liberty import Table, read_library
from reports.ppa.liberty_syntax import parse
from tests.ppa_library import LIBRARY


@pytest.fixture
def library(tmp_path: Path) -> Path:
    path = tmp_path / "small.lib"
    path.write_text(LIBRARY)
    return path


def test_cells_pins_and_flip_flops(library: Path) -> None:
    read = read_library(library)
    assert (read.name, read.voltage, read.corner) == ("small", 1.0, "1 V, 25 C")
    assert read.names == ("INV", "BUF", "NAND", "XOR", "FF")
    nand, flip_flop = read.cell("NAND"), read.cell("FF")
    assert (nand.area, nand.clock, nand.flip_flop) == (2, "", False)
    assert [(p.name, p.direction, p.capacitance) for p in nand.pins.values()] == [
        ("A", "input", 1.0),
        ("B", "input", 1.0),
        ("Y", "output", 0.0),
    ]
    assert nand.pins["Y"].function == "!(A & B)"
    assert [(a.source, a.kind, a.sense) for a in nand.pins["Y"].arcs] == [
        ("A", "combinational", "negative_unate"),
        ("B", "combinational", "negative_unate"),
    ]
    assert (flip_flop.clock, flip_flop.next_state, flip_flop.state) == ("C", "D", ("IQ", "IQN"))
    assert flip_flop.flip_flop
    setup = flip_flop.pins["D"].arcs[0].tables["fall_constraint"]
    assert setup.at(0.5, 0.0) == pytest.approx(0.12)


def test_units_and_the_order_of_axes(library: Path) -> None:
    text = LIBRARY.replace('"1ns"', '"100ps"').replace("(1, ff)", "(0.1, pf)")
    swapped = text.replace(
        "variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;",
        "variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;",
    ).replace('index_1 ("0, 1"); index_2 ("0, 10");', 'index_1 ("0, 10"); index_2 ("0, 1");', 1)
    library.write_text(text)
    rise = read_library(library).cell("INV").pins["Y"].arcs[0].tables["cell_rise"]
    assert rise.first == pytest.approx((0.0, 0.1))
    assert rise.second == (0.0, 1000.0)
    assert rise.at(0.1, 0.0) == pytest.approx(0.03)
    library.write_text(swapped)
    other = read_library(library).cell("INV").pins["Y"].arcs[0].tables["cell_rise"]
    assert (other.first, other.second) == (rise.first, rise.second)
    assert other.rows == ((rise.rows[0][0], rise.rows[1][0]), (rise.rows[0][1], rise.rows[1][1]))


@given(st.floats(-2, 5), st.floats(-5, 30))
def test_interpolation_is_exact_for_a_bilinear_table_also_beyond_its_ends(
    x: float, y: float
) -> None:
    def value(a: float, b: float) -> float:
        return 1 + 2 * a - 3 * b + 0.5 * a * b

    first, second = (0.0, 0.5, 2.0), (1.0, 4.0, 10.0)
    table = Table(first, second, tuple(tuple(value(a, b) for b in second) for a in first))
    assert table.at(x, y) == pytest.approx(value(x, y))


def test_wire_loads(library: Path) -> None:
    wire = read_library(library).wire_loads["short"]
    assert [wire.capacitance(n) for n in range(6)] == [0, 1.0, 2.0, 2.0, 3.5, 5.0]


def test_grammar_corners() -> None:
    group = parse(
        'library(x) { a : "q r" ; b : 1.5 c (1, 2); /* { */ d ( ) { e : 2; } }'.replace(
            "1.5 c", "1.5;\n c"
        )
    )
    assert group.values == {"a": ["q r"], "b": ["1.5"], "c": ["1", "2"]}
    assert [(g.name, g.values) for g in group.groups] == [("d", {"e": ["2"]})]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("library (x) {", "must be one library group"),
        ("library (x) { } }", "must not close more groups"),
        ("cell (x) { }", "must be a Liberty library with cells"),
        (LIBRARY.replace('"1ns"', '"1fs"'), "must have time and load units"),
    ],
)
def test_refuses(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.lib"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_library(path)


def test_refuses_a_cell_that_is_not_there(library: Path) -> None:
    with pytest.raises(InputError, match=r"^Cell must be one of library small, not 'AND9'\.$"):
        read_library(library).cell("AND9")
