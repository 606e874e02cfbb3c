"""reports.ppa.memories: bits of the memories of an engine."""

from __future__ import annotations

from hw.emit import to_verilog
from hw.engine.catalogue import create_array
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt4c, Opt4e
from reports.ppa.designs import SEGMENT, find_designs
from reports.ppa.digits import parse_distribution
from reports.ppa.memories import equivalent_bits, memory_bits


def test_every_instance_of_a_memory_counts() -> None:
    for pe in (Opt4c(segment=16), Opt4e(segment=32)):
        verilog = to_verilog(create_array(pe, rows=3, cols=2), "unit")
        # Two segments in each of 3 rows: 4 digits of 3 bits and 2 weights of 8 bits per element.
        assert memory_bits(verilog, "unit") == 3 * 2 * pe.segment * (4 * 3 + 2 * 8)


def test_a_dense_array_has_none_and_needs_one_copy_beside_it() -> None:
    pe = Mac()
    assert memory_bits(to_verilog(create_array(pe, rows=2, cols=2), "unit"), "unit") == 0
    assert equivalent_bits(pe, rows=3, cols=2, segment=16) == 2 * 16 * (3 + 2) * 8


DISTRIBUTION = parse_distribution("normal:20")


def test_a_weight_stationary_array_has_the_memory_of_its_sums_and_operands_beside_it() -> None:
    designs = find_designs(("opt1-ws",), "engine", 32, DISTRIBUTION, size=2)
    assert [(d.name, d.baseline) for d in designs] == [
        ("mac", "mac"),
        ("mac-ws", "mac-ws"),
        ("opt1-ws", "mac-ws"),
    ]
    assert [design.sum_bits for design in designs] == [0, 64 * 2 * 32, 64 * 2 * 32]
    beside = 2 * SEGMENT * (2 + 2) * 8
    assert [design.operand_bits for design in designs] == [beside] * 3
    assert not any(design.holds_operands for design in designs)
    # Tiles of 64 rows and 576 blocks of 2 elements: all but the start and the end are at full rate.
    assert all(0.999 * 4 < design.macs < 4 for design in designs[1:])


def test_a_digit_array_holds_operands_and_a_tree_of_the_same_pe_does_not() -> None:
    designs = {
        d.name: d for d in find_designs(("opt4c", "opt2-tree"), "engine", 32, DISTRIBUTION, size=4)
    }
    assert designs["opt4c"].holds_operands
    assert designs["opt4c"].operand_bits == 4 * 2 * SEGMENT * (4 * 3 + 4 * 8)
    assert designs["opt4c"].sum_bits == 0
    tree = designs["opt2-tree"]
    assert (tree.operand_bits, tree.sum_bits) == (2 * SEGMENT * (2 + 2) * 8, 0)
    assert tree.baseline == "mac-tree"


def test_engines_have_as_many_multipliers_whatever_their_depth() -> None:
    for design in find_designs(
        ("opt1-cube", "opt2-tree", "opt1-matrix"), "engine", 32, DISTRIBUTION
    ):
        assert design.size**2 * design.depth == 256
        assert 0.9 * 256 < design.macs <= 256
        assert design.shape == ("8 x 8 x 4" if design.depth == 4 else "16 x 16")
