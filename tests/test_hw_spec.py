"""hw.spec: the spec file and its errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hw.errors import InputError
from hw.operand import Operand
from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac
from hw.spec import Spec, load_spec, parse_spec, shipped_specs

BASE = """
[engine]
kind = "systolic"
dataflow = "output-stationary"
rows = 16
cols = 8

[pe]
kind = "mac"
activation = "uint8"
weight = "int8"
accumulator_bits = 32

[scratchpad]
bytes = "256 KiB"
banks = 4

[weight_buffer]
bytes = "64 KiB"

[memory]
bus_bits = 128
latency_cycles = 64
bytes_per_cycle = 16
"""


def test_shipped_specs_are_4_8_and_16_square() -> None:
    assert shipped_specs() == ["tiny", "small", "base"]
    sizes = [(load_spec(n).engine.rows, load_spec(n).engine.cols) for n in shipped_specs()]
    assert sizes == [(4, 4), (8, 8), (16, 16)]


def test_reads_every_section() -> None:
    spec = parse_spec(BASE, "My-Engine", "my.toml")
    assert spec.name == "my_engine"
    assert (spec.engine.rows, spec.engine.cols) == (16, 8)
    assert spec.pe == Mac(activation=Operand(8, False), weight=Operand(8))
    assert spec.scratchpad.bytes == 262144
    assert spec.word_bytes == 16


def test_pe_options_follow_its_kind() -> None:
    text = BASE.replace('kind = "mac"', 'kind = "opt1"\nsign_extension = true')
    assert parse_spec(text, "x", "x").pe == CarrySave(
        activation=Operand(8, False), weight=Operand(8), sign_extension=True
    )


def test_resolved_spec_reads_back() -> None:
    spec = load_spec("base")
    assert Spec.model_validate_json(json.dumps(spec.resolved())) == spec


def test_a_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "9 lives.toml"
    file.write_text(BASE)
    assert load_spec(file).name == "spec_9_lives"


ERRORS = [
    ("rows = 16", "rows = -1", "engine.rows must be greater than or equal to 1, not -1."),
    ("rows = 16", "rows = 1.5", "engine.rows must be an integer, not 1.5."),
    ("rows = 16", "rows = '16'", "engine.rows must be an integer, not '16'."),
    ("rows = 16", "rows = true", "engine.rows must be an integer, not True."),
    ("rows = 16\n", "", "engine.rows must be given."),
    (
        "rows",
        "rosw",
        ("engine.rosw must be removed or spelt right: there is no such field; "
        "known are kind, dataflow, rows, cols, depth, tile_rows, max_k."),
    ),
    ('kind = "mac"', 'kind = "opt9"', "pe.kind must be one of ffip, fip, mac, opt1, opt2, opt3, opt4c, opt4e, not 'opt9'."),
    ('kind = "mac"\n', "", "pe.kind must be given: one of ffip, fip, mac, opt1, opt2, opt3, opt4c, opt4e."),
    (
        'kind = "mac"',
        'kind = "mac"\nsign_extension = true',
        ("pe.sign_extension must be removed or spelt right: there is no such field; "
        "known are kind, activation, weight, accumulator_bits."),
    ),
    (
        '"uint8"',
        '"float8"',
        "pe.activation must be 'int2' to 'int16' or 'uint2' to 'uint16', not 'float8'.",
    ),
    (
        "accumulator_bits = 32",
        "accumulator_bits = 24",
        ("pe.accumulator_bits must be at least 31 to hold 32768 products of uint8 by int8, "
        "not 24: widen it or lower engine.max_k."),
    ),
    (
        '"256 KiB"',
        '"-3 KiB"',
        ("scratchpad.bytes must be a number of bytes such as '4096', '256 KiB' or '1 MiB', "
        "not '-3 KiB'."),
    ),
    ('"256 KiB"', "-3", "scratchpad.bytes must be greater than 0, not -3."),
    (
        '"256 KiB"',
        "100",
        ("scratchpad.bytes must be a multiple of 64 (4 banks of 16-byte words), not 100: "
        "change it, scratchpad.banks or memory.bus_bits."),
    ),
    (
        '"64 KiB"',
        "48",
        ("weight_buffer.bytes must be a multiple of 32 (two halves of 16-byte words), not 48: "
        "change it or memory.bus_bits."),
    ),
    (
        'kind = "mac"',
        'kind = "opt3"',
        ("pe.kind must be opt4c or opt4e in an array, not opt3: every PE of a row would encode the "
        "same digits again, and opt4c shares that encoder at the same number of cycles."),
    ),
    (
        'kind = "mac"',
        'kind = "opt4c"',
        ("engine.kind must be columns for opt4c, not systolic: its PEs take as many cycles as their "
        "operands have nonzero digits, but a systolic array moves in step."),
    ),
    (
        'kind = "systolic"',
        'kind = "columns"',
        ("engine.kind must be systolic or matrix or cube or tree for mac, not columns: its PEs "
        "take whole operands, and columns issue single digits."),
    ),
    ("= 128", "= 96", "memory.bus_bits must be a power of two, not 96."),
    (
        "bytes_per_cycle = 16",
        "bytes_per_cycle = 17",
        ("memory.bytes_per_cycle must be at most the 16 bytes of memory.bus_bits, not 17: "
        "widen the bus or lower it."),
    ),
    (
        '"output-stationary"',
        '"row-stationary"',
        ("engine.dataflow must be 'output-stationary' or 'weight-stationary', "
        "not 'row-stationary'."),
    ),
    (
        "rows = 16",
        "rows = 16\ntile_rows = 8",
        ("engine.tile_rows must be absent where outputs stand still, not 8: a tile has engine.rows "
        "rows there."),
    ),
    (
        "rows = 16",
        "rows = 16\ntile_rows = 0",
        "engine.tile_rows must be greater than or equal to 1, not 0.",
    ),
    ("[memory]", "[memroy]", ("memroy must be removed or spelt right: there is no such field; "
     "known are name, engine, pe, scratchpad, weight_buffer, memory.")),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "message"), ERRORS)
def test_errors_name_field_value_and_remedy(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape('x.toml: ' + message)}$"):
        parse_spec(BASE.replace(old, new, 1), "x", "x.toml")


@pytest.mark.parametrize(
    ("kind", "engine", "reason"),
    [
        ("fip", "systolic", "its cells sum a pair of elements before they multiply"),
        ("ffip", "systolic", "its cells hand pre-sums of weights along the row"),
        ("opt4e", "columns", "its steps take as many cycles as an operand has nonzero digits"),
    ],
)
def test_weights_that_cannot_stand_still(kind: str, engine: str, reason: str) -> None:
    text = BASE.replace("output-", "weight-").replace('"mac"', f'"{kind}"')
    message = (
        f"x.toml: engine.dataflow must be output-stationary for {kind}, not weight-stationary: "
        f"{reason}"
    )
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        parse_spec(text.replace("systolic", engine), "x", "x.toml")


def test_a_tile_where_weights_stand_still_has_64_rows_by_default() -> None:
    text = BASE.replace("output-", "weight-")
    assert parse_spec(text, "x", "x").engine.tile_rows == 64
    spec = parse_spec(text.replace("rows = 16", "rows = 16\ntile_rows = 7"), "x", "x")
    assert spec.engine.tile_rows == 7
    assert Spec.model_validate_json(json.dumps(spec.resolved())) == spec
    assert "tile_rows" not in load_spec("base").resolved()["engine"]


def test_text_that_is_not_toml() -> None:
    with pytest.raises(InputError, match=r"^x\.toml: must be TOML: .*\.$"):
        parse_spec("[engine", "x", "x.toml")


@pytest.mark.parametrize("source", ["nope", "missing/file.toml", "."])
def test_sources_that_cannot_be_read(source: str) -> None:
    with pytest.raises(InputError, match=r"^Spec must be one of tiny, small, base or a readable"):
        load_spec(source)


def test_binary_files(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"it is not UTF-8"):
        load_spec(file)
