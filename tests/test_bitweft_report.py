"""bitweft report: files, figures and summary of a network on an accelerator."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bitweft.cli import create_app
from mapper.networks.digits import digits
from sim.timing.program import program_timing
from tests.planned_networks import digits_on_tiny

MODEL = digits().int8
FIGURES = ("waterline", "layers", "utilisation", "roofline", "tensors", "residency", "traffic")
FILES = {
    "index.html", "plan.json", "report.json", "layers.csv", "tensors.csv", "trace.json",
    *(f"{name}.{suffix}" for name in FIGURES for suffix in ("png", "svg")),
}  # fmt: skip


def _report(*arguments: str | Path) -> Result:
    app = create_app(["report", "check"])
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    result = _report(MODEL, "--spec", "tiny", "-o", folder / "out", "--json", folder / "s.json")
    assert result.exit_code == 0, result.output
    assert "utilisation: depthwise layers" in result.output
    return folder


def test_all_files_are_written_and_the_page_stands_alone(reported: Path) -> None:
    folder = reported / "out"
    assert {p.name for p in folder.iterdir()} == FILES
    text = (folder / "index.html").read_text(encoding="utf-8")
    sources = re.findall(r'(?:src|href)="([^"]{0,40})', text)
    assert len(sources) == len(FIGURES)
    assert all(s.startswith("data:image/svg+xml;base64,") for s in sources)
    assert "http" not in re.sub(r'src="[^"]*"', "", text)


def test_the_summary_is_that_of_the_model(reported: Path) -> None:
    summary = json.loads((reported / "s.json").read_text())
    assert summary == json.loads((reported / "out" / "report.json").read_text())
    case = digits_on_tiny()
    assert summary["cycles"] == program_timing(case.lowered.program, case.spec).cycles
    assert sum(summary["cycles_by_part"].values()) == summary["cycles"]
    assert sum(summary["bytes_by_class"].values()) == sum(
        n for t in summary["tensors"] for name, n in t.items() if name != "name"
    )
    assert summary["plan"]["objective_bytes"] == 0
    assert 0 < summary["utilisation"]["depthwise"] < 1
    after = sum(summary["cycles_after_last_computation"].values())
    assert sum(layer["cycles"] for layer in summary["layers"]) + after == summary["cycles"]


def test_tables_hold_every_layer_and_tensor(reported: Path) -> None:
    summary = json.loads((reported / "s.json").read_text())
    with (reported / "out" / "layers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["layer"] for row in rows] == [layer["layer"] for layer in summary["layers"]]
    parts = summary["cycles_by_part"].keys()
    assert all(int(row["cycles"]) == sum(int(row[part]) for part in parts) for row in rows)
    with (reported / "out" / "tensors.csv").open(encoding="utf-8", newline="") as file:
        tensors = list(csv.DictReader(file))
    assert len(tensors) == len(summary["tensors"])


def test_the_same_input_gives_the_same_bytes(reported: Path, tmp_path: Path) -> None:
    assert _report(MODEL, "--spec", "tiny", "-o", tmp_path).exit_code == 0
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (reported / "out" / name).read_bytes(), name


def test_the_plan_is_one_of_the_model_on_the_accelerator(reported: Path) -> None:
    def check(*more: str) -> Result:
        words = ["check", str(reported / "out" / "plan.json"), "--model", str(digits().int8), *more]
        return CliRunner().invoke(create_app(["check"]), words)

    assert check("--spec", "tiny").exit_code == 0
    other = check("--spec", "small")
    assert other.exit_code == 1
    assert "broken rule model: operator " in other.stdout
    without = check()
    assert without.exit_code == 2
    assert "must be compared with --spec and a quantised model." in without.stderr


def test_an_operator_that_does_not_fit(tmp_path: Path) -> None:
    target, summary = tmp_path / "out", tmp_path / "s.json"
    result = _report(MODEL, "--spec", "tiny", "--scratchpad", "16", "-o", target, "--json", summary)
    assert result.exit_code == 1
    assert result.output.startswith("infeasible: ")
    assert json.loads(summary.read_text())["status"] == "infeasible"
    assert not target.exists()


@pytest.mark.parametrize(
    ("spec", "words"), [("huge", "Spec must be one of"), ("engine.toml", "pe.activation must be")]
)
def test_a_spec_that_is_no_accelerator(tmp_path: Path, spec: str, words: str) -> None:
    text = """
    [engine]
    rows = 4
    cols = 4
    [pe]
    kind = "mac"
    activation = "int4"
    weight = "int8"
    accumulator_bits = 32
    [scratchpad]
    bytes = "16 KiB"
    banks = 2
    [weight_buffer]
    bytes = "4 KiB"
    [memory]
    bus_bits = 32
    latency_cycles = 64
    bytes_per_cycle = 4
    """
    (tmp_path / "engine.toml").write_text(text)
    path = tmp_path / spec if spec.endswith("toml") else spec
    result = _report(MODEL, "--spec", path, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()
