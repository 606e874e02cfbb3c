"""reports.ppa.netlist: hierarchy, wires that are one, and buffer trees."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.errors import InputError
from reports.ppa.liberty import Library, read_library
from reports.ppa.netlist import Instance, Netlist, buffer_nets, flatten
from tests.ppa_library import LIBRARY, module


@pytest.fixture
def library(tmp_path: Path) -> Library:
    path = tmp_path / "small.lib"
    path.write_text(LIBRARY)
    return read_library(path)


def test_hierarchy_with_a_wire_through_and_a_constant(library: Library) -> None:
    inner = module(
        {"g": ("NAND", {"A": 2, "B": "1", "Y": 3})},
        a=("input", [2]),
        y=("output", [3]),
        same=("output", [2]),
    )
    top = module(
        {
            "u": ("inner", {"a": [2], "y": [3], "same": [4]}),
            "v": ("inner", {"a": [4], "y": [5], "same": [6]}),
            "w": ("INV", {"A": 6, "Y": 7}),
        },
        i=("input", [2]),
        o=("output", [3, 5, 7]),
    )
    flat = flatten({"modules": {"inner": inner, "top": top}}, "top", library)
    (i,) = flat.inputs["i"]
    by_path = {instance.path: instance for instance in flat.instances}
    assert sorted(by_path) == ["u/g", "v/g", "w"]
    # The input goes straight through both inner modules.
    assert [by_path[p].pins["A"] for p in ("u/g", "v/g", "w")] == [i, i, i]
    assert [by_path[p].pins["B"] for p in ("u/g", "v/g")] == [1, 1]
    assert flat.outputs["o"] == [by_path[p].pins["Y"] for p in ("u/g", "v/g", "w")]
    assert flat.area(library) == 5


def test_refuses_a_cell_that_was_not_mapped(library: Library) -> None:
    top = module({"u": ("$add", {"A": 2, "Y": 3})}, i=("input", [2]))
    with pytest.raises(InputError, match="not '\\$add'"):
        flatten({"modules": {"top": top}}, "top", library)


@pytest.mark.parametrize("sinks", [20, 21, 100, 450])
def test_buffers_carry_the_signal_to_every_sink_within_their_limits(
    library: Library, sinks: int
) -> None:
    instances = [Instance("driver", "INV", {"A": 2, "Y": 3})]
    instances += [Instance(f"s{n}", "INV", {"A": 3, "Y": 4 + n}) for n in range(sinks)]
    netlist = Netlist(instances, {"i": [2]}, {}, 4 + sinks)
    added = buffer_nets(netlist, library, buffer="BUF", keep=frozenset(), source="BUF")
    assert (added == 0) == (sinks <= 20)
    assert len(netlist.instances) == 1 + sinks + added
    driver = {i.pins["Y"]: i for i in netlist.instances}
    loads: dict[int, int] = {}
    for instance in netlist.instances:
        loads[instance.pins["A"]] = loads.get(instance.pins["A"], 0) + 1
    assert max(load for net, load in loads.items()) <= 20
    for n in range(sinks):
        net = netlist.instances[1 + n].pins["A"]
        while driver[net].cell == "BUF":
            net = driver[net].pins["A"]
        assert driver[net].path == "driver"


def test_the_clock_is_left_alone(library: Library) -> None:
    flip_flops = [Instance(f"f{n}", "FF", {"C": 2, "D": 0, "Q": 3 + n}) for n in range(50)]
    netlist = Netlist(flip_flops, {"clk": [2]}, {}, 60)
    assert buffer_nets(netlist, library, buffer="BUF", keep=frozenset({2}), source="BUF") == 0


def test_a_memory_is_flip_flops_at_its_ports_without_an_area(library: Library) -> None:
    memory = {
        "attributes": {"blackbox": "1"},
        "ports": {
            "clk": {"direction": "input", "bits": [2]},
            "addr": {"direction": "input", "bits": [3, 4]},
            "data": {"direction": "output", "bits": [5]},
        },
        "cells": {},
    }
    top = module(
        {
            "m": ("words", {"clk": [2], "addr": [3, 4], "data": [5]}),
            "g": ("INV", {"A": 5, "Y": 6}),
        },
        clk=("input", [2]),
        a=("input", [3, 4]),
        y=("output", [6]),
    )
    flat = flatten({"modules": {"words": memory, "top": top}}, "top", library)
    ports = [(i.path, i.cell, sorted(i.pins)) for i in flat.instances if i.memory]
    assert ports == [
        ("m/addr", "FF", ["C", "D"]),
        ("m/addr", "FF", ["C", "D"]),
        ("m/data", "FF", ["C", "Q"]),
    ]
    assert flat.area(library) == 1
    (inverter,) = [i for i in flat.instances if not i.memory]
    assert inverter.pins["A"] == flat.instances[2].pins["Q"]
