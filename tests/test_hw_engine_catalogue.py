"""hw.engine.catalogue: every engine with every PE either works or is refused with the reason."""

from __future__ import annotations

from itertools import pairwise, product
from typing import get_args

import numpy as np
import pytest

from hw.engine.catalogue import EngineKind, create_array
from hw.errors import InputError
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2, Opt4c
from hw.registry import PES
from hw.spec import parse_spec
from sim.reference import gemm
from sim.streams import Stalls
from sim.timing.engine import engine_trace
from tests.engine_runs import run_engine
from tests.support import refuses

SPEC = """
engine = {{ kind = "{kind}", rows = 2, cols = 3{depth} }}
pe = {{ kind = "{pe}"{options} }}
scratchpad = {{ bytes = 4096, banks = 1 }}
weight_buffer = {{ bytes = 4096 }}
memory = {{ bus_bits = 32, latency_cycles = 1, bytes_per_cycle = 4 }}
"""
DEPTH = 4

ALLOWED = {
    "systolic": {"mac", "opt1", "fip", "ffip"},
    "columns": {"opt2", "opt4c", "opt4e"},
    "matrix": {"mac", "opt1", "fip"},
    "cube": {"mac", "opt1"},
    "tree": {"mac", "opt1", "opt2"},
}
REASONS = {
    "opt3": "that encoder at the same number of cycles",
    "columns": "its PEs take whole operands, and columns issue single digits",
    "opt2": "its PEs take one digit of every operand, and the cells of a",
    "opt4c": "nonzero digits, but a",
    "opt4e": "nonzero digits, but a",
    "matrix": "pass pre-sums on to their neighbours, and a matrix broadcasts its operands",
    "cube": "multiply sums of an activation and a weight, and the cells of a cube multiply the",
    "tree": "multiply sums of an activation and a weight, and the cells of a tree multiply the",
}


def text(kind: str, pe: str, depth: int | None) -> str:
    return SPEC.format(
        kind=kind,
        pe=pe,
        depth="" if depth is None else f", depth = {depth}",
        options=f", products = {depth}" if (kind, pe) == ("tree", "opt2") else "",
    )


@pytest.mark.parametrize(("kind", "pe"), list(product(get_args(EngineKind), PES)))
def test_every_engine_with_every_pe_works_or_is_refused(kind: EngineKind, pe: str) -> None:
    depth = DEPTH if kind in ("cube", "tree") else None
    if pe not in ALLOWED[kind]:
        reason = REASONS.get(pe) or REASONS[kind]
        with pytest.raises(InputError, match=reason):
            parse_spec(text(kind, pe, depth), "x", "x.toml")
        return
    spec = parse_spec(text(kind, pe, depth), "x", "x.toml")
    rng = np.random.default_rng(5)
    lengths = [1, 7, 4]
    a = rng.integers(-128, 128, (sum(lengths), 2))
    b = rng.integers(-128, 128, (sum(lengths), 3))
    dut = create_array(spec.pe, rows=2, cols=3, kind=kind, depth=depth)
    assert spec.macs_per_cycle == 6 * dut.elements
    beats = sum(-(-k // dut.elements) for k in lengths)
    stalls = Stalls.random(beats, seed=1)
    expected = engine_trace(
        spec.pe, a, lengths, rows=2, cols=3, kind=kind, depth=depth,
        gaps=stalls.gaps, ready=stalls.ready,
    )  # fmt: skip
    done = run_engine(dut, a, b, lengths, stalls, cycles=expected.total + 9)
    products = [gemm(a[s:e].T, b[s:e]) for s, e in pairwise(np.cumsum([0, *lengths]).tolist())]
    assert np.array_equal(done.rows, np.concatenate(products) % 2**32)
    assert done.accepted == expected.accepted.tolist()
    assert done.emitted == expected.emitted.tolist()


@pytest.mark.parametrize(
    ("kind", "pe", "depth", "message"),
    [
        ("cube", "mac", None, "engine.depth must be given for cube: the multipliers of a cell"),
        ("tree", "opt1", None, "engine.depth must be given for tree: "),
        ("systolic", "mac", 4, "engine.depth must be absent for systolic, not 4: only a cell"),
        ("columns", "opt4c", 4, "engine.depth must be absent for columns, not 4: "),
        ("tree", "mac", 0, "engine.depth must be greater than or equal to 1, not 0"),
    ],
)  # fmt: skip
def test_depth_belongs_to_cells_of_several_multipliers(
    kind: str, pe: str, depth: int | None, message: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse_spec(text(kind, pe, depth), "x", "x.toml")
    assert str(caught.value).startswith(f"x.toml: {message}")


@pytest.mark.parametrize(
    ("pe", "message"),
    [
        (Opt2(products=8), r"^pe\.products must be engine\.depth for opt2 in a tree, not 8 beside"),
        (Opt2(products=4, sign_extension=True), r"^pe\.sign_extension must be false for opt2 in a"),
        (Opt2(products=4, segment=64), r"^pe\.segment must be absent for opt2 in a tree, not 64: "),
        (Opt2(products=4, cells_per_adder=2), r"^pe\.cells_per_adder must be absent for opt2 in a"),
    ],
)
def test_a_tree_refuses_options_that_it_cannot_heed(pe: Opt2, message: str) -> None:
    refuses(lambda: create_array(pe, rows=1, cols=1, kind="tree", depth=4), message)


def test_another_pe_moves_to_its_usual_engine() -> None:
    spec = parse_spec(text("tree", "opt1", 4), "x", "x.toml")
    assert spec.with_pe(Mac()).engine == spec.engine
    moved = spec.with_pe(Opt4c())
    assert (moved.engine.kind, moved.engine.depth) == ("columns", None)


STATIONARY = {("systolic", "mac"), ("systolic", "opt1")}
"""Run by the tests of `hw.engine.weight_stationary`."""


@pytest.mark.parametrize(("kind", "pe"), list(product(get_args(EngineKind), PES)))
def test_weights_stand_still_in_systolic_arrays_only(kind: EngineKind, pe: str) -> None:
    depth = DEPTH if kind in ("cube", "tree") else None
    still = text(kind, pe, depth).replace("rows = 2", 'dataflow = "weight-stationary", rows = 2')
    if (kind, pe) in STATIONARY:
        assert parse_spec(still, "x", "x.toml").engine.tile_rows == 64
        return
    allowed = pe in ALLOWED[kind]
    reason = r"engine\.dataflow must be output-stationary" if allowed else r"(engine|pe)\.kind must"
    with pytest.raises(InputError, match=rf"^x\.toml: {reason}"):
        parse_spec(still, "x", "x.toml")
