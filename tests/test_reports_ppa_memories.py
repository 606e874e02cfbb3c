"""reports.ppa.memories: bits of the memories of an engine."""

from __future__ import annotations

from hw.emit import to_verilog
from hw.engine.catalogue import create_array
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt4c, Opt4e
from reports.ppa.designs import find_designs
from reports.ppa.digits import parse_distribution
from reports.ppa.memories import equivalent_bits, memory_bits


def test_every_instance_of_a_memory_counts() -> None:
    for pe in (Opt4c(segment=16), Opt4e(segment=32)):
        verilog = to_verilog(create_array(pe, rows=3, cols=2), "unit")
        # Two segments in each of 3 rows: an activation and 2 weights of 8 bits per element.
        assert memory_bits(verilog, "unit") == 3 * 2 * pe.segment * (8 + 2 * 8)


def test_a_dense_array_has_none_and_needs_one_copy_beside_it() -> None:
    pe = Mac()
    assert memory_bits(to_verilog(create_array(pe, rows=2, cols=2), "unit"), "unit") == 0
    assert equivalent_bits(pe, rows=3, cols=2, segment=16) == 2 * 16 * (3 + 2) * 8


def test_a_weight_stationary_array_has_the_memory_of_its_partial_sums() -> None:
    distribution = parse_distribution("normal:20")
    designs = find_designs(("mac-ws", "opt1-ws"), "engine", 32, distribution, size=2)
    assert [design.name for design in designs] == ["mac", "mac-ws", "opt1-ws"]
    assert [design.memory_bits for design in designs] == [0, 64 * 2 * 32, 64 * 2 * 32]
    # Tiles of 64 rows and 576 blocks of 2 elements: all but the start and the end are at full rate.
    assert all(0.999 * 4 < design.macs < 4 for design in designs[1:])
