"""sim.runner.model_cache: a model is built once, whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sim.runner.model_cache import cached_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BITWEFT_CACHE", str(tmp_path))
    return tmp_path


def test_the_same_parts_are_built_once(cache: Path) -> None:
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "model").write_text("whole")

    first = cached_model(["rtl", "options"], build)
    assert cached_model(["rtl", "options"], build) == first
    assert len(built) == 1
    assert (first / "model").read_text() == "whole"
    assert cached_model(["rtl", "other"], build) != first
    # Parts are told apart, not run together.
    assert cached_model(["rtlo", "ptions"], build) != first
    assert len(built) == 3


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_build_leaves_nothing(cache: Path, problem: type[BaseException]) -> None:
    def build(folder: Path) -> None:
        (folder / "half").touch()
        raise problem

    with pytest.raises(problem):
        cached_model(["x"], build)
    assert list(cache.iterdir()) == []


def test_two_builders_of_one_model_do_not_disturb_each_other(cache: Path) -> None:
    def inner(folder: Path) -> None:
        (folder / "model").write_text("inner")

    def outer(folder: Path) -> None:
        # Another process finishes the same model while this one still builds.
        cached_model(["x"], inner)
        (folder / "model").write_text("outer")

    assert (cached_model(["x"], outer) / "model").read_text() == "inner"
    assert len(list(cache.iterdir())) == 1


def _aged(folder: Path) -> Path:
    """A folder that was last changed an hour ago."""
    folder.mkdir(exist_ok=True)
    os.utime(folder, (time.time() - 3600,) * 2)
    return folder


def test_what_a_killed_builder_left_is_removed_by_the_next_build(cache: Path) -> None:
    (cache / ".building-dead").mkdir()
    (cache / ".building-dead" / "half").touch()
    _aged(cache / ".building-dead")
    fresh = cache / ".building-fresh"
    fresh.mkdir()
    other = _aged(cache / "0123456789abcdef")
    model = cached_model(["x"], lambda folder: (folder / "model").touch())
    assert sorted(cache.iterdir()) == sorted([model, fresh, other])


def test_what_another_process_builds_is_left_alone(cache: Path) -> None:
    program = """
import sys
from pathlib import Path
from sim.runner.model_cache import cached_model

def build(folder):
    print(folder, flush=True)
    (folder / "model").write_text(sys.stdin.readline())

cached_model(["theirs"], build)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    theirs = _aged(Path(process.stdout.readline().strip()))
    cached_model(["mine"], lambda folder: (folder / "model").touch())
    assert theirs.is_dir()
    process.kill()
    process.communicate()
    # Now nobody holds it.
    cached_model(["another"], lambda folder: (folder / "model").touch())
    assert not theirs.exists()
    assert len(list(cache.iterdir())) == 2
