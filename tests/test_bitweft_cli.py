"""bitweft: the command line as a user meets it."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib import resources
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bitweft.cli import create_app
from hw.spec import Spec, load_spec

APP = create_app()

# A shell that runs tests in the background lets them ignore SIGINT; a user's shell does not.
INTERRUPTIBLE = """
import signal
from bitweft.cli import main
signal.signal(signal.SIGINT, signal.default_int_handler)
main()
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(APP, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    "command",
    ["generate", "map", "check", "pack", "run", "report", "networks", "regress", "bench", "demo"],
)
def test_help_of_every_command_shows_an_example(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"Example: bitweft {command} " in " ".join(result.output.split())


def test_version_and_help() -> None:
    assert run("--version").output.startswith("bitweft ")
    assert run("--version").exit_code == 0
    assert "Exit status: 0 done; 1 it ran and the answer is no" in " ".join(
        run("-h").output.split()
    )


@pytest.mark.parametrize("arguments", [["frobnicate"], ["generate"], ["generate", "tiny", "--no"]])
def test_wrong_usage(arguments: list[str]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(("options", "top", "files"), [
    ([], "engine", 4),
    (["--top", "accelerator"], "accelerator", 7),
])  # fmt: skip
def test_generate_writes_the_files_that_its_summary_names(
    options: list[str], top: str, files: int, tmp_path: Path
) -> None:
    outputs: list[str | Path] = ["-o", tmp_path / "out", "--json", tmp_path / "s.json"]
    result = run("generate", "tiny", *options, *outputs)
    assert result.exit_code == 0, result.output
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["macs_per_cycle"] == 16
    assert Spec.model_validate_json(json.dumps(summary["spec"])) == load_spec("tiny")
    written = {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in (tmp_path / "out").iterdir()
    }
    assert written == summary["files"]
    assert summary["top"] == top
    assert len(written) == files


def test_generate_of_what_is_an_engine_only(tmp_path: Path) -> None:
    text = (resources.files("hw") / "specs" / "tiny.toml").read_text()
    (tmp_path / "x.toml").write_text(text.replace('weight = "int8"', 'weight = "int4"'))
    accelerator = ("--top", "accelerator", "-o", tmp_path / "out")
    result = run("generate", tmp_path / "x.toml", *accelerator)
    assert result.exit_code == 2
    assert result.stderr == (
        f"bitweft: error: {tmp_path / 'x.toml'}: pe.weight must be int8, not int4: change it, "
        "or generate the engine alone, without --top.\n"
    )
    assert not (tmp_path / "out").exists()
    assert run("generate", tmp_path / "x.toml", "-o", tmp_path / "out").exit_code == 0
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_generate_of_an_engine_whose_weights_stand_still(tmp_path: Path) -> None:
    text = (resources.files("hw") / "specs" / "tiny.toml").read_text()
    (tmp_path / "x.toml").write_text(text.replace('"output-', '"weight-'))
    summary = tmp_path / "summary.json"
    outputs: list[str | Path] = ["-o", tmp_path / "out", "--json", summary]
    assert run("generate", tmp_path / "x.toml", *outputs).exit_code == 0
    figures = json.loads(summary.read_text())
    # Border 2, rows 4, the pair 3, skew 3, sum over blocks 3, queue 1.
    assert (figures["latency_cycles"], figures["macs_per_cycle"]) == (16, 16)
    assert figures["spec"]["engine"]["tile_rows"] == 64


def test_generate_of_an_unknown_top(tmp_path: Path) -> None:
    result = run("generate", "tiny", "--top", "chip", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == (
        "bitweft: error: --top must be one of accelerator, engine, not 'chip'.\n"
    )


def test_bad_input_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("[engine]\nrows = -4\ncols = 4\n")
    result = run("generate", tmp_path / "x.toml", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr == (
        f"bitweft: error: {tmp_path / 'x.toml'}: "
        "engine.rows must be greater than or equal to 1, not -4.\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_read_only_output_folder(tmp_path: Path) -> None:
    # The superuser passes every permission check, but not the kernel's own file systems.
    result = run("generate", "tiny", "-o", "/proc/bitweft/out")
    assert result.exit_code == 2
    assert result.stderr.startswith("bitweft: error: Output '/proc/bitweft/out' must be writable")
    assert result.stderr.count("\n") == 1


def test_regress_writes_junit_and_summary(tmp_path: Path) -> None:
    outputs: list[str | Path] = ["--junit", tmp_path / "j.xml", "--json", tmp_path / "s.json"]
    result = run(
        "regress",
        "--filter",
        r"systolic_array\[mac-4x4.*(single|extremes)",
        "--jobs",
        "1",
        *outputs,
    )
    assert result.exit_code == 0, result.output
    cases = list(ET.parse(tmp_path / "j.xml").getroot().iter("testcase"))
    assert [case.get("name") for case in cases] == ["single_tiles", "extremes"]
    summary = json.loads((tmp_path / "s.json").read_text())
    assert (summary["tests"], summary["failures"], summary["seed"]) == (2, [], 1)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--filter", "(", "--filter must be a regular expression"),
        ("--filter", "nothing like it", "--filter must find a test"),
        ("--junit", "/proc/no/j.xml", "Output '/proc/no/j.xml' must be writable"),
    ],
)
def test_regress_refuses(option: str, value: str, message: str) -> None:
    result = run("regress", option, value)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"bitweft: error: {message}")


@pytest.mark.parametrize(
    ("command", "number", "status", "word"),
    [
        (["demo", "-o", "OUT/demo"], signal.SIGINT, 130, "interrupted"),
        (["regress", "--jobs", "2", "--junit", "OUT/j.xml"], signal.SIGINT, 130, "interrupted"),
        (["regress", "--jobs", "2", "--junit", "OUT/j.xml"], signal.SIGTERM, 143, "terminated"),
    ],
    ids=["demo", "regress", "regress terminated"],
)
def test_a_signal_during_a_build_leaves_nothing(
    command: list[str], number: signal.Signals, status: int, word: str, tmp_path: Path
) -> None:
    tools, out, cache = tmp_path / "tools", tmp_path / "out", tmp_path / "cache"
    for folder in (tools, out, cache):
        folder.mkdir()
    # A `make` that reports its start through a pipe and then never ends.
    os.mkfifo(tmp_path / "started")
    (tools / "make").write_text(f"#!/bin/sh\necho > {tmp_path}/started\nexec tail -f /dev/null\n")
    (tools / "make").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, *(w.replace("OUT", str(out)) for w in command)],
        env={
            **os.environ,
            "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
            "BITWEFT_CACHE": str(cache),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    (tmp_path / "started").read_text()
    process.send_signal(number)
    # The pipes end only when every compiler that inherited them has ended.
    _, errors = process.communicate()
    assert process.returncode == status
    assert errors == f"bitweft: error: {word}; unfinished output was removed\n"
    assert list(out.iterdir()) == []
    assert list(cache.iterdir()) == []
