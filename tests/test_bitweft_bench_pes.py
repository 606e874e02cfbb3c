"""bitweft.bench_pes: the variants are accelerators, and equal area is what the page says."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bitweft.bench_pes import BASELINE, VARIANTS, markdown
from hw.limits import accelerator_conflict
from reports.ppa.memories import SRAM_UM2

RESULTS = Path(str(resources.files("reports"))) / "results"


def result(name: str, area: int, bits: int, period: float, digits: int, cycles: int) -> Any:
    runs = {"images": 2, "correct": 2, "mismatches": 0, "bytes_counted": 9}
    return {
        "variant": name,
        "area_um2": area,
        "memory_bits": bits,
        "period_ns": period,
        "digits": {**runs, "cycles_counted": digits, "cycles_predicted": digits},
        "mobilenet_v2": {**runs, "cycles_counted": cycles, "cycles_predicted": cycles},
    }


def test_every_variant_is_an_accelerator_with_a_name_of_its_own() -> None:
    assert VARIANTS[0].name == BASELINE
    assert len({v.name for v in VARIANTS}) == len(VARIANTS)
    for variant in VARIANTS:
        assert accelerator_conflict(variant.spec) is None
        assert variant.spec.pe.kind == variant.pe
        assert variant.spec.engine.rows == variant.rows


def test_speed_up_at_equal_area_by_hand() -> None:
    rows = [
        result(BASELINE, 1000, 0, 2.0, 600, 900),
        # Half the area, 1.5 times the cycles, half the period.
        result("other", 500, 1000, 1.0, 900, 1350),
    ]
    page = markdown(rows, {"bitweft": "0"})
    (line,) = [x for x in page.splitlines() if x.startswith("| other | 500 |")]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    whole = 1000 * 2.0 * 600 / ((500 + 1000 * SRAM_UM2) * 1.0 * 900)
    assert cells[4:7] == ["1.33", "2.67", f"{whole:.2f}"]
    assert cells[7:9] == ["1.33", "2.67"]


@pytest.mark.parametrize("part", ["digits", "mobilenet_v2"])
def test_committed_results_agree_and_are_complete(part: str) -> None:
    content = json.loads((RESULTS / "pes.json").read_text())
    assert [r["variant"] for r in content["results"]] == [v.name for v in VARIANTS]
    for r in content["results"]:
        assert r[part]["agrees"]
        assert r[part]["cycles_predicted"] == r[part]["cycles_counted"]
        assert r[part]["mismatches"] == 0
    page = (RESULTS / "pes.md").read_text(encoding="utf-8")
    assert page == markdown(content["results"], content["made_with"])
