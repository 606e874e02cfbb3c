"""reports.ppa.earlier: what of an earlier result still holds."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from hw.errors import InputError
from reports.ppa import run as module
from reports.ppa.designs import Design, find_designs
from reports.ppa.digits import parse_distribution
from reports.ppa.earlier import Earlier
from reports.ppa.explore import Point, Row, row_dict
from reports.ppa.flow import Measurement
from reports.ppa.run import Request, run
from reports.ppa.target import Target, find_target
from tests.ppa_library import LIBRARY

POINTS = (("keep", 300, 90.0, 1.5), ("yosys", 300, 120.0, 1.25), ("yosys", 2000, 80.0, 2.0))


def measurement(area: float, period: float) -> Measurement:
    return Measurement(
        area=area, sequential_area=10.0, cells=7, buffers=1, period=period,
        period_wires=period + 0.1, launch=0.1, setup=0.04, gates=5, inputs=0.2, outputs=None,
        through=0.3, parts={"top": area}, path=("0.1 ns A Z rise 1.0 fF",),
    )  # fmt: skip


def designs(*names: str) -> list[Design]:
    return find_designs(names, "pe", 32, parse_distribution("normal:20"))


def row(design: Design, factor: float) -> Row:
    points = (Point(r, d, measurement(area * factor, period)) for r, d, area, period in POINTS)
    return Row(design, tuple(points))


def result_of(*names: str) -> dict[str, Any]:
    rows = [row(design, n + 1) for n, design in enumerate(designs(*names))]
    return {"pe": {"designs": [row_dict(r, rows[0]) for r in rows]}}


def test_a_row_of_the_same_verilog_comes_back_as_it_was_written() -> None:
    earlier = json.loads(json.dumps(result_of("opt1")))
    rows = Earlier(earlier).rows("pe", designs("opt1"))
    again = [row_dict(r, rows["mac"]) for r in rows.values()]
    assert json.loads(json.dumps(again)) == earlier["pe"]["designs"]


def test_other_verilog_other_levels_and_unknown_designs_are_not_known() -> None:
    earlier = result_of("opt1")
    earlier["pe"]["designs"][1]["verilog_sha256"] = "0"
    assert list(Earlier(earlier).rows("pe", designs("opt1", "ffip"))) == ["mac"]
    assert Earlier(earlier).rows("engine", designs("opt1")) == {}
    assert Earlier().rows("pe", designs("opt1")) == {}
    assert Earlier(earlier).energy(designs("opt1")[1]) is None
    assert Earlier({**earlier, "widths": {}}).widths(designs("opt1")) is None
    assert Earlier({**earlier, "widths": {}}).widths(designs()[:1]) == {}


@pytest.fixture
def target(tmp_path: Path) -> Target:
    (tmp_path / "Small.lib").write_text(LIBRARY)
    return find_target(str(tmp_path / "Small.lib"))


def test_only_what_changed_is_measured_and_ratios_are_anew(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def explore(chosen: list[Design], *_: Any, **__: Any) -> list[Row]:
        asked.extend(d.name for d in chosen)
        points = [Point(r, 300, measurement(100.0, 1.0)) for r in ("yosys", "no-booth")]
        return [Row(d, tuple(points)) for d in chosen]

    monkeypatch.setattr(module, "explore", explore)
    monkeypatch.setattr(module, "tool_versions", lambda: {"yosys": "Yosys 1"})
    monkeypatch.setattr(module, "energy_per_mac", lambda *_: {"total": 2.0, "settled": 1.0})
    request = Request(levels=("pe",), designs=("opt1", "ffip"), delays=(300,), command="--x 1")
    first = run(request, target)
    assert asked == ["mac", "opt1", "ffip"]
    asked.clear()
    earlier = json.loads(json.dumps(first))
    row_of_opt1 = earlier["pe"]["designs"][1]
    row_of_opt1["verilog_sha256"] = "of another opt1"
    row_of_opt1["best"]["area"] = 1.0
    again = Request(
        levels=("pe",), designs=("opt1", "ffip"), delays=(300,), command="--x 1",
        earlier=Earlier(earlier),
    )  # fmt: skip
    assert run(again, target) == first
    assert asked == ["opt1"]


def test_refuses_what_was_made_otherwise(target: Target, tmp_path: Path) -> None:
    earlier = {"schema": 1, "command": "--level pe"}
    request = Request(levels=(), command="--level engine", earlier=Earlier(earlier))
    message = r"^--update must name a result of the same command, not '--level pe': measure all "
    with pytest.raises(InputError, match=message):
        run(request, target)
    (tmp_path / "text.json").write_text("[")
    for name, why in (("absent.json", "No such file"), ("text.json", "Expecting value")):
        with pytest.raises(InputError, match=f"^--update must name a result .*{re.escape(why)}"):
            Earlier.read(tmp_path / name)
