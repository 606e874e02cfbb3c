"""hw.emit: one Verilog file, shared modules, the same bytes."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest
from amaranth import Module, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hw.emit import ModuleLibrary, to_verilog
from hw.engine.systolic import SystolicArray
from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac


def modules(verilog: str) -> list[str]:
    return re.findall(r"^module (\S+)\(", verilog, re.M)


def test_equal_cells_share_one_module() -> None:
    verilog = to_verilog(SystolicArray(Mac(), rows=5, cols=3), "engine")
    names = modules(verilog)
    assert len(names) == len(set(names))
    assert [n for n in names if "cell" in n] == ["engine_cell", "engine_cell_pe"]
    assert len(re.findall(r"^  engine_cell cell_", verilog, re.M)) == 15
    assert len(re.findall(r"^  engine_column column_", verilog, re.M)) == 3


def test_names_are_plain_identifiers_with_the_prefix() -> None:
    for name in modules(to_verilog(SystolicArray(Mac(), rows=2, cols=2), "engine")):
        assert re.fullmatch(r"engine(_[a-z0-9_]+)?", name)


def test_no_wire_is_named_like_an_element_of_another() -> None:
    # ABC9 (synth_xilinx) takes x[0] for a bit of x, and aborts.
    text = to_verilog(_Lanes(), "lanes")
    assert not re.findall(r"\\\S*\[\S*", text)
    assert "inner__1" in text


class _Lanes(wiring.Component):
    """A signal of two lanes."""

    def __init__(self) -> None:
        super().__init__({"a": In(4), "b": Out(4)})

    def elaborate(self, platform: object) -> Any:
        m = Module()
        inner = Signal(data.ArrayLayout(4, 2), name="inner")
        m.d.sync += [inner[0].eq(self.a), inner[1].eq(inner[0])]
        m.d.comb += self.b.eq(inner[1])
        return m


def test_another_process_emits_the_same_bytes() -> None:
    program = (
        "import sys; from hw.emit import to_verilog; from hw.pe.carry_save import CarrySave;"
        "from hw.engine.systolic import SystolicArray;"
        "sys.stdout.write(to_verilog(SystolicArray(CarrySave(), rows=2, cols=2), 'x'))"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert texts == {to_verilog(SystolicArray(CarrySave(), rows=2, cols=2), "x")}


def test_one_name_cannot_stand_for_two_components() -> None:
    library = ModuleLibrary("x")
    library.instance(Mac().create, "cell", Mac())
    with pytest.raises(ValueError, match=r"^module name must stand for one component, not two"):
        library.instance(CarrySave().create, "cell", CarrySave())
