"""reports.ppa.fpga: medians over seeds, LUTs in all, and the page; place and route is stood in for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reports.place import CELLS
from reports.ppa import fpga
from reports.ppa.fpga import ecp5, ecp5_markdown, write_ecp5

FMAX = {3: [90.0, 120.0, 100.0], 1: [100.0]}


def _placed(verilog: str, module: str, *, seeds: Any, dsp: bool, **rest: Any) -> dict[str, Any]:
    assert module == "unit" and "module unit" in verilog
    counts = {"LUT4": 10, "CCU2C": 3, "TRELLIS_DPR16X4": 2, "MULT18X18D": int(dsp)}
    return {
        "verilog_sha256": "",
        "tools": ["Yosys 1", "nextpnr 2"],
        "device": "ECP5 25k",
        "target_mhz": rest["megahertz"],
        "cells": dict.fromkeys(CELLS, 0) | counts,
        "runs": [{"seed": s, "fmax_mhz": f} for s, f in zip(seeds, FMAX[len(seeds)], strict=True)],
    }


def test_every_design_with_its_median_and_the_baseline_out_of_luts_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BITWEFT_CACHE", str(tmp_path))
    monkeypatch.setattr(fpga, "place_seeds", _placed)
    result = ecp5(("pe", "engine"), ("opt1", "ffip", "opt1-tree"), "normal:20")
    for level in ("pe", "engine"):
        rows = {row["name"]: row for row in result[level]["designs"]}
        trees = ["mac-tree", "opt1-tree"] if level == "engine" else []
        assert list(rows) == ["mac", "mac-luts", "opt1", "ffip", *trees]
        assert rows["mac"]["cells"]["MULT18X18D"] == 1
        assert rows["mac-luts"]["cells"]["MULT18X18D"] == 0
        for row in rows.values():
            assert row["fmax_mhz"] == {"median": 100.0, "runs": FMAX[3 if level == "pe" else 1]}
            assert row["luts"] == 10 + 2 * 3 + 4 * 2
            assert row["mmacs"] == pytest.approx(100 * row["macs_per_cycle"], rel=1e-3)
    assert rows["ffip"]["macs_per_cycle"] == pytest.approx(32, rel=0.01)
    page = ecp5_markdown(result)
    assert "| mac-luts | 1 | 10 | 3 | 0 | 0 | 0 | 2 | 24 | 100.0 | 90.0 to 120.0 | 1 |" in page
    assert "## Engines of 16 multipliers or PEs" in page
    assert "| opt1-tree | 2 x 2 x 4 |" in page
    assert "Not placed: mac-merged, opt1-extended, fip, fip-plain, ffip-plain, opt2," in page
    assert "Yosys 1, nextpnr 2" in page

    write_ecp5(result, tmp_path)
    assert (tmp_path / "ppa-ecp5.md").read_text() == page
    write_ecp5({name: part for name, part in result.items() if name != "pe"}, tmp_path)
    assert "| opt1-tree | 2 x 2 x 4 |" in (tmp_path / "ppa-ecp5-engine.md").read_text()

    def refuse(*_: object, **__: object) -> dict[str, Any]:
        raise AssertionError("a run that is kept needs no place and route")

    monkeypatch.setattr(fpga, "place_seeds", refuse)
    assert ecp5(("pe", "engine"), ("opt1", "ffip", "opt1-tree"), "normal:20") == result
