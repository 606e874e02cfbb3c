"""reports.ppa.stimulus: mapped PEs compute with the operands that energy is measured on."""

from __future__ import annotations

from typing import Any

import pytest

from hw.emit import to_verilog
from hw.operand import Operand
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt3, Opt4e
from reports.ppa.digits import parse_distribution
from reports.ppa.flow import Job, netlist_of
from reports.ppa.gatesim import STREAMS, GateSimulator
from reports.ppa.netlist import Netlist
from reports.ppa.sta import Conditions, slopes
from reports.ppa.stimulus import exercise
from reports.ppa.target import NANGATE45, find_target

PES: list[Any] = [
    Mac(accumulator_bits=20),
    CarrySave(accumulator_bits=20),
    FastInner(carry_save=False, accumulator_bits=20),
    FreePipeline(accumulator_bits=20),
    Opt3(segment=8),
]


def _mapped(pe: Any) -> Netlist:
    job = Job(verilog=to_verilog(pe.standalone(), "unit"), top="unit", delay_ps=1000)
    return netlist_of(job, find_target(NANGATE45))


def _simulator(netlist: Netlist) -> GateSimulator:
    target = find_target(NANGATE45)
    slope = slopes(netlist, target.library, Conditions(driver=target.driver, load=0.0))
    # A coarse grid of time: what is tested here are the values.
    return GateSimulator(netlist, target.library, slope, step=0.05)


@pytest.mark.parametrize("pe", PES, ids=lambda pe: pe.kind)
def test_mapped_netlists_compute(pe: Any) -> None:
    work = exercise(pe, _simulator(_mapped(pe)), parse_distribution("uniform"))
    if pe.kind == "opt3":
        # Two groups per digit, one to four cycles each.
        assert work.macs == 8 * STREAMS
        assert 8 * STREAMS <= work.cycles <= 32 * STREAMS
    else:
        assert work.macs == work.cycles * pe.k_granularity


def test_lanes_and_cells_of_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Opt4e, "standalone_cells", 2)
    pe = Opt4e(segment=32)
    work = exercise(pe, _simulator(_mapped(pe)), parse_distribution("normal:20"))
    assert work.macs == 2 * 32 * STREAMS
    assert 8 * STREAMS <= work.cycles <= 32 * STREAMS


def test_a_netlist_that_computes_something_else_is_refused() -> None:
    pe = Mac(activation=Operand(8), weight=Operand(8), accumulator_bits=20)
    netlist = _mapped(pe)
    for n, instance in enumerate(netlist.instances):
        if instance.cell.startswith("XOR2"):
            wrong = instance.cell.replace("XOR2", "XNOR2")
            pins = {("ZN" if pin == "Z" else pin): net for pin, net in instance.pins.items()}
            netlist.instances[n] = type(instance)(instance.path, wrong, pins)
            break
    with pytest.raises(RuntimeError, match="its result differs"):
        exercise(pe, _simulator(netlist), parse_distribution("uniform"))
