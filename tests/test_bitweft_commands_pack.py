"""bitweft pack --minimise, --alignment and --time-limit as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bitweft.cli import create_app

ROWS = "id,lower,upper,size\na,0,2,8\nb,0,2,5\n"


def run(folder: Path, *words: str) -> Result:
    (folder / "in.csv").write_text(ROWS)
    command = ["pack", str(folder / "in.csv"), "-o", str(folder / "o.csv")]
    return CliRunner().invoke(create_app(["pack", "demo"]), [*command, *words])


def test_least_capacity(tmp_path: Path) -> None:
    result = run(tmp_path, "--minimise", "--alignment", "8", "--json", str(tmp_path / "s.json"))
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("optimal: 2 buffers, the least capacity is 13 bytes; ")
    assert (tmp_path / "o.csv").read_text().splitlines()[1:] == ["a,0,2,8,0", "b,0,2,5,8"]
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["status"], summary["least_bytes"], summary["bound_bytes"]) == (
        "optimal",
        13,
        13,
    )


@pytest.mark.parametrize("words", [["--minimise"], []])
def test_a_capacity_that_does_not_suffice(words: list[str], tmp_path: Path) -> None:
    result = run(tmp_path, "--capacity", "12", "--json", str(tmp_path / "s.json"), *words)
    assert result.exit_code == 1
    assert result.stdout.startswith("infeasible: ")
    assert json.loads((tmp_path / "s.json").read_text())["status"] == "infeasible"
    assert not (tmp_path / "o.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--capacity must be given, not left out, except with --minimise."),
        (["--capacity", "13", "--time-limit", "inf"], "--time-limit must be a number of seconds"),
    ],
)
def test_bad_input(words: list[str], message: str, tmp_path: Path) -> None:
    result = run(tmp_path, *words)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"bitweft: error: {message}")
    assert not (tmp_path / "o.csv").exists()
