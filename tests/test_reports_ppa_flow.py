"""reports.ppa.flow and explore: Yosys onto a small library, the cache, and ratios."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.errors import InputError
from hw.pe.mac import Mac
from reports.ppa import buffers, flow
from reports.ppa.buffers import buffers_of
from reports.ppa.designs import SEGMENT, Design
from reports.ppa.explore import Point, Row, row_dict
from reports.ppa.flow import RECIPES, Job, Measurement, measure, netlist_of, script
from reports.ppa.target import Target, find_target
from tests.ppa_library import LIBRARY

VERILOG = """
module leaf(input clk, input [3:0] a, output reg [3:0] q);
  always @(posedge clk) q <= ~a;
endmodule
module unit(input clk, input [3:0] i, output [3:0] o);
  wire [3:0] m;
  leaf first (.clk(clk), .a(i), .q(m));
  leaf second (.clk(clk), .a(m), .q(o));
endmodule
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    monkeypatch.setenv("BITWEFT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "small.lib").write_text(LIBRARY)
    return find_target(str(tmp_path / "small.lib"))


def test_a_design_is_mapped_measured_and_kept(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(verilog=VERILOG, top="unit", shared=("leaf",))
    measured = measure(job, target)
    netlist = netlist_of(job, target)
    library = target.library
    assert {i.path.split("/")[0] for i in netlist.instances} == {"first", "second"}
    cells = [library.cell(i.cell) for i in netlist.instances]
    assert sum(cell.name == "FF" for cell in cells) == 8
    assert measured.cells == len(cells)
    assert measured.area == sum(cell.area for cell in cells) == sum(measured.parts.values())
    assert measured.sequential_area == 8 * library.cell("FF").area
    assert measured.period == measured.period_wires > measured.launch + measured.setup > 0

    def refuse(*_: object) -> str:
        raise AssertionError("a run that is kept needs no Yosys")

    monkeypatch.setattr(flow, "_yosys", refuse)
    assert measure(job, target) == measured


def test_scripts_name_only_files_beside_them() -> None:
    for name in RECIPES:
        text = script(Job(verilog="", top="unit", recipe=name, delay_ps=700, gate_clock=True))
        assert "/" not in text.replace("+/choices/", "")
        assert "-D 700" in text and "clockgate" in text
        assert ("-booth" in text) == (name != "no-booth")


def test_refuses_what_yosys_refuses(target: Target) -> None:
    with pytest.raises(InputError, match="^Yosys must map the design, not end with: "):
        measure(Job(verilog="module unit(", top="unit"), target)


def test_refuses_libraries_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="^Library must be a readable file"):
        find_target(str(tmp_path / "absent.lib"))
    (tmp_path / "bare.lib").write_text(LIBRARY.replace("cell (BUF)", "cell (AMP)"))
    with pytest.raises(InputError, match="must have a buffer"):
        find_target(str(tmp_path / "bare.lib"))


def _row(
    name: str, macs: float, *points: tuple[str, float, float], pes: int = 1, size: int = 1
) -> Row:
    def measurement(area: float, period: float) -> Measurement:
        return Measurement(
            area=area, sequential_area=0, cells=0, buffers=0, period=period,
            period_wires=2 * period, launch=0, setup=0, gates=0, inputs=None, outputs=None,
            through=None,
        )  # fmt: skip

    design = Design(
        name, "pe", "", 32, macs, lambda: None, Mac(), pes, size, holds_operands=name == "opt4c"
    )
    design.__dict__["verilog"] = ""
    return Row(design, tuple(Point(r, 300, measurement(a, p)) for r, a, p in points))


def test_ratios_are_of_performance_per_area_each_at_its_best() -> None:
    baseline = _row("mac", 1, ("yosys", 100, 2.0), ("keep", 120, 1.5), ("no-booth", 50, 1.0))
    other = _row("fip", 2, ("yosys", 200, 0.5), ("keep", 150, 0.8))
    result = row_dict(other, baseline)
    column = _row("fip", 2, ("yosys", 200, 0.5), pes=4)
    assert row_dict(column, baseline)["relative"]["area"] == round(200 / 4 / 120, 4)
    assert result["best"]["recipe"] == "yosys"
    assert result["relative"] == {
        "area": round(200 / 120, 4),
        "period": round(0.5 / 1.5, 4),
        "best": round(120 * 1.5 / (200 * 0.5 / 2), 4),
        "same_recipe": round(100 * 2.0 / (200 * 0.5 / 2), 4),
        "wires": round(120 * 3.0 / (200 * 1.0 / 2), 4),
    }
    assert result["gmacs_per_mm2"] == round(2 / 0.5 / 200 * 1e6, 1)


def test_memories_are_in_the_ratio_by_their_bits_at_each_price(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(buffers, "flip_flop_um2", lambda target: 8.0)
    dense = _row("mac", 4, ("yosys", 1000, 2.0), size=2)
    sparse = _row("opt4c", 2, ("yosys", 500, 0.5), size=2)
    sparse.design.__dict__["memory_bits"] = 3000
    summing = _row("mac-ws", 4, ("yosys", 1100, 2.0), size=2)
    summing.design.__dict__["memory_bits"] = 700
    content = buffers_of([dense, sparse, summing], {"mac": dense}, None)  # type: ignore[arg-type]
    bits = 2 * SEGMENT * (2 + 2) * 8
    assert [(d["operand_bits"], d["inside"], d["sum_bits"]) for d in content["designs"]] == [
        (bits, False, 0),
        (3000, True, 0),
        (bits, False, 700),
    ]

    def costs(price: float) -> list[float]:
        return [
            (1000 + price * bits) * 2.0 / 4,
            (500 + price * 3000) * 0.5 / 2,
            (1100 + price * (bits + 700)) * 2.0 / 4,
        ]

    prices = content["um2_per_bit"]
    assert prices == {"logic": 0.0, "sram": 0.69, "sram_layout": 4.59, "flip_flops": 8.0}
    for name, price in prices.items():
        theirs, *others = costs(price)
        for entry, ours in zip(content["designs"][1:], others, strict=True):
            assert entry["relative"][name] == round(theirs / ours, 4)
        assert content["designs"][0]["relative"][name] == 1
    # More logic and more memory than the baseline: never ahead. Ahead in both: no limit either.
    assert content["designs"][2]["break_even"] is None


def test_the_price_of_a_bit_at_which_the_lead_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(buffers, "flip_flop_um2", lambda target: 8.0)
    dense = _row("mac", 1, ("yosys", 1000, 1.0), size=2)
    sparse = _row("opt4c", 1, ("yosys", 500, 1.0), size=2)
    bits = dense.design.operand_bits
    sparse.design.__dict__["memory_bits"] = bits + 1000
    content = buffers_of([sparse], {"mac": dense}, None)  # type: ignore[arg-type]
    (entry,) = content["designs"]
    assert entry["break_even"] == 0.5
    price = entry["break_even"]
    assert 1000 + price * bits == 500 + price * (bits + 1000)
