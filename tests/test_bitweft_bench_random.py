"""bitweft.bench_random: cases and their page; the committed results are sound and complete."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bitweft import bench_random
from bitweft.bench_random import KINDS, Accelerated, configurations, markdown, run_random
from bitweft.cli import create_app
from bitweft.random_checks import Check
from hw.errors import InputError
from hw.limits import accelerator_conflict
from hw.registry import PES
from hw.spec import Spec, load_spec

RESULTS = Path(str(resources.files("reports"))) / "results"
TINY = load_spec("tiny")


def bench(*words: str | Path) -> Result:
    command = ["bench", "random", *(str(word) for word in words)]
    return CliRunner().invoke(create_app(["bench", "demo"]), command)


def test_small_accelerators_of_every_pe_and_of_several_widths() -> None:
    chosen = configurations([])
    assert all(accelerator_conflict(one.spec) is None for one in chosen)
    assert {one.spec.pe.kind for one in chosen} >= {"mac", "opt1"}
    assert {one.spec.word_bytes for one in chosen} == {2, 4, 8}
    assert len({one.name for one in chosen}) == len(chosen)
    for kind, pe in PES.items():
        fits = accelerator_conflict(TINY.with_pe(pe(kind=kind))) is None
        assert fits == any(one.name == f"tiny {kind}" for one in chosen)


def test_specs_that_cannot_be_used(tmp_path: Path) -> None:
    text = (Path(str(resources.files("hw"))) / "specs" / "tiny.toml").read_text()
    little = tmp_path / "little.toml"
    little.write_text(text.replace('"4 KiB"', '"256 B"'))
    with pytest.raises(InputError, match=r"weight_buffer.bytes must be at least 648 .* not 256\.$"):
        configurations([str(little)])
    result = bench("--spec", "huge", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


def test_cases_take_turns_and_depend_on_their_number_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: dict[tuple[str, int], int] = {}

    def check(rng: np.random.Generator, spec: Spec, number: int = -1) -> Check:
        found = Check(cycles=1, stalled=number % 2 == 0, compared=2)
        key = (spec.pe.kind, int(rng.integers(1 << 62)))
        drawn[key] = number
        if number == 3:
            found.wrong.append("no")
        return found

    for name in ("check_program", "check_network", "check_fault"):
        monkeypatch.setattr(bench_random, name, check)
    first, second = configurations([])[:2]
    counts = dict(zip(KINDS, (3, 5, 0), strict=True))
    seen: list[str] = []
    results = run_random(counts, [first, second], 4, lambda kind, number: seen.append(kind))
    assert seen == ["programs"] * 3 + ["networks"] * 5
    figures = [(t.kind, t.accelerator, t.cases, t.mismatches) for t in results.tallies]
    assert figures == [
        ("programs", first.name, 2, 0),
        ("programs", second.name, 1, 0),
        ("networks", first.name, 3, 0),
        ("networks", second.name, 2, 1),
    ]
    assert results.mismatches == [
        {"kind": "networks", "number": 3, "accelerator": second.name, "wrong": ["no"]}
    ]
    # Every case has numbers of its own; the same ones on another accelerator.
    alone = dict(drawn)
    assert len({numbers for _, numbers in alone}) == 8
    drawn.clear()
    run_random(counts, [first], 4)
    assert {numbers for _, numbers in drawn} == {numbers for _, numbers in alone}


def test_the_command_writes_what_it_found(tmp_path: Path) -> None:
    words = ("--programs", "2", "--networks", "1", "--faults", "2", "--spec", "tiny")
    result = bench(*words, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    content = json.loads((tmp_path / "out" / "random.json").read_text())
    assert [(r["kind"], r["cases"]) for r in content["results"]] == [
        ("programs", 2),
        ("networks", 1),
        ("faults", 2),
    ]
    assert content["made_with"]["seed"] == "1"
    assert content["faults"] == {"a bus error": 1, "a reset": 1}
    assert (tmp_path / "out" / "random.md").read_text() == markdown(content)


def test_a_mismatch_is_listed_and_is_exit_status_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        bench_random, "check_program", lambda rng, spec: Check(wrong=["a is b", "c is d"])
    )
    words = ("--programs", "1", "--networks", "0", "--faults", "0", "--spec", "tiny")
    result = bench(*words, "-o", tmp_path / "out")
    assert result.exit_code == 1
    page = (tmp_path / "out" / "random.md").read_text()
    assert "* programs 0 on tiny: a is b; c is d.\n" in page
    assert "| programs | tiny | 1 | 1 | 0 | 0 | 1 |" in page


def test_the_committed_results() -> None:
    content = json.loads((RESULTS / "random.json").read_text())
    assert markdown(content) == (RESULTS / "random.md").read_text(encoding="utf-8")
    assert content["mismatches"] == []
    cases = dict.fromkeys(KINDS, 0)
    for result in content["results"]:
        cases[result["kind"]] += result["cases"]
        assert result["mismatches"] == 0
    assert cases["programs"] >= 500
    assert cases["networks"] >= 500
    assert cases["faults"] >= 200
    assert {Accelerated(r["accelerator"], TINY).name for r in content["results"]} >= {
        "tiny mac",
        "tiny opt1",
    }
