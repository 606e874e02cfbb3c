"""sim.runner.cocotb_model: a cached model runs, whichever virtual environment built it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cocotb_tools import config

from sim.runner.cocotb_model import build_model, run_tests
from sim.runner.toolchain import simulation_environment

INVERTER = """module top(a, y);
  input a;
  output y;
  assign y = ~a;
endmodule
"""

BENCH = """import cocotb
from cocotb.triggers import Timer

@cocotb.test()
async def inverts(dut):
    for bit in (0, 1):
        dut.a.value = bit
        await Timer(1, "ns")
        assert int(dut.y.value) == 1 - bit
"""


def test_a_model_outlives_the_environment_that_built_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in simulation_environment("cocotb").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("BITWEFT_CACHE", str(tmp_path / "cache"))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(config.libs_dir, elsewhere)
    with monkeypatch.context() as other:
        other.setattr(config, "libs_dir", elsewhere)
        model = build_model(INVERTER)
    shutil.rmtree(elsewhere)

    assert build_model(INVERTER) == model
    (tmp_path / "inverter_bench.py").write_text(BENCH)
    results = run_tests(
        model, "inverter_bench", folder=tmp_path, seed=1, environment={"PYTHONPATH": str(tmp_path)}
    )
    text = results.read_text()
    assert 'name="inverts"' in text
    assert "<failure" not in text
    assert "<error" not in text
