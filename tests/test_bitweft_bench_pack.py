"""bitweft.bench_pack: instances, the judge, the page, and the committed results."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from random import Random

import pytest
from typer.testing import CliRunner

from bitweft.bench_pack import cut_memory, drawn, overlaps, page
from bitweft.cli import create_app
from mapper.pack import Buffer, peak_load

RESULTS = Path(str(resources.files("reports"))) / "results"
PUBLISHED = Path(__file__).parent / "data" / "minimalloc"


@pytest.mark.parametrize("seed", range(10))
def test_a_cut_memory_is_full_at_every_time(seed: int) -> None:
    buffers = cut_memory(Random(seed), 60, 128)
    assert len(buffers) == 60
    for time in range(60):
        assert sum(b.size for b in buffers if b.lower <= time < b.upper) == 128
    assert peak_load(cut_memory(Random(seed), 60, 128, 0.1))[0] <= 128


def test_drawn_instances_are_all_different() -> None:
    instances = drawn(2)
    assert len({tuple(i.buffers) for i in instances}) == len({i.name for i in instances}) == 24


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
    words = ["bench", "pack", "--instances", str(folder), "--seeds", "2", "--drawn", "0"]
    result = CliRunner().invoke(create_app(["bench", "demo"]), [*words, "-o", str(tmp_path / "o")])
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "o" / "pack.json").read_text())
    assert [(r["instance"], r["seed"], r["status"], r["wrong"]) for r in content["results"]] == [
        ("C", 0, "packed", 0),
        ("C", 1, "packed", 0),
    ]


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
    published = [r for r in results if not r["drawn"]]
    assert {(r["instance"], r["seed"]) for r in published} == {
        (name, seed) for name in "ABCDEF" for seed in range(10)
    }
    assert all(r["status"] == "packed" and r["cpu_seconds"] < 10 for r in published)
    assert all(r["wrong"] == 0 for r in results)
