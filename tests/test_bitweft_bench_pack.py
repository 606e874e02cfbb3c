"""bitweft.bench_pack: the judge, the page, and the committed results."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

from typer.testing import CliRunner

from bitweft.bench_pack import overlaps, page
from bitweft.cli import create_app
from mapper.pack import Buffer

RESULTS = Path(str(resources.files("reports"))) / "results"
PUBLISHED = Path(__file__).parent / "data" / "minimalloc"


def test_overlaps_are_counted() -> None:
    buffers = [Buffer(0, 2, 4), Buffer(1, 3, 4), Buffer(2, 4, 4)]
    assert overlaps(buffers, (0, 4, 0), 8) == 0
    assert overlaps(buffers, (0, 3, 0), 8) == 2
    assert overlaps(buffers, (-1, 4, 5), 8) == 3


def test_bench_of_one_instance(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "C.1048576.csv").write_bytes((PUBLISHED / "C.1048576.csv").read_bytes())
    (folder / "README.md").write_text("no instance")
    other = tmp_path / "minimalloc"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    words = ["bench", "pack", "--instances", str(folder), "--seeds", "2", "--drawn", "0"]
    words += ["--minimalloc", str(other)]
    result = CliRunner().invoke(create_app(["bench", "demo"]), [*words, "-o", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "o" / "pack.json").read_text())
    assert [(r["instance"], r["seed"], r["status"], r["wrong"]) for r in content["results"]] == [
        ("C", 0, "packed", 0),
        ("C", 1, "packed", 0),
    ]
    assert [r.get("minimalloc", {}).get("packed") for r in content["results"]] == [False, None]
    (row,) = [r for r in (tmp_path / "o" / "pack.md").read_text().splitlines() if r[:4] == "| C "]
    assert row.startswith("| C | 203 | 2 of 2 |") and "| not packed, 0.0" in row


def test_families_are_counted_apart() -> None:
    def result(name: str, family: str, status: str, packed: bool) -> dict[str, object]:
        other = {"packed": packed, "wrong": 0, "cpu_seconds": 2.0}
        numbers = dict.fromkeys(("seed", "nodes", "wrong", "wall_seconds", "cpu_seconds"), 1)
        named = {"instance": name, "family": family, "buffers": 2, "status": status}
        return {**named, **numbers, "minimalloc": other}

    text = page(
        [
            result("x", "", "packed", True),
            result("y", "cut", "packed", False),
            result("z", "cut", "unknown", False),
            result("w", "warped", "packed", True),
        ],
        {},
    )
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    tail = {row[0][2:]: row[2:] for row in rows if len(row) == 6}
    assert tail["cut"] == ["1 of 2", "2.0", "0", "4.0 |"]
    assert tail["warped"] == ["1 of 1", "1.0", "1", "2.0 |"]
    assert tail["all"] == ["2 of 3", "3.0", "1", "6.0 |"]
    assert "minimalloc 2.00" in text


def test_a_folder_without_instances(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "none"):
        words = ["bench", "pack", "--instances", str(folder), "-o", str(tmp_path / "o")]
        result = CliRunner().invoke(create_app(["bench", "demo"]), words)
        assert result.exit_code == 2
        assert result.stderr.startswith("bitweft: error: --instances must be a folder with files")


def test_committed_results() -> None:
    content = json.loads((RESULTS / "pack.json").read_text())
    results = content["results"]
    assert page(results, content["made_with"]) == (RESULTS / "pack.md").read_text(encoding="utf-8")
    published = [r for r in results if not r["family"]]
    assert {(r["instance"], r["seed"]) for r in published} == {
        (name, seed) for name in "ABCDEF" for seed in range(10)
    }
    assert all(r["status"] == "packed" and r["cpu_seconds"] < 10 for r in published)
    assert all(r["wrong"] == 0 for r in results)
