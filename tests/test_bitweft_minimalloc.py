"""bitweft.minimalloc, with programs that stand in for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitweft.minimalloc import run_minimalloc
from bitweft.pack_instances import Instance
from hw.errors import InputError
from mapper.pack import Buffer

TWO = Instance("two", [Buffer(0, 2, 4), Buffer(1, 3, 4)], 8)


def _program(folder: Path, script: str) -> Path:
    path = folder / "program"
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


def _run(program: Path, seconds: float = 5.0) -> dict[str, object]:
    (result,) = run_minimalloc(program, [TWO], seconds, lambda _: None)
    return result


ANSWER = """
test "$1" = --capacity=8 || exit 3
asked=${2#--input=} answered=${3#--output=}
test "$(cat "$asked")" = "id,lower,upper,size
b0,0,2,4
b1,1,3,4" || exit 3
"""


def test_what_it_answers_is_judged(tmp_path: Path) -> None:
    rows = "echo id,lower,upper,size,offset; echo b1,1,3,4,%d; echo b0,0,2,4,0"
    good = _run(_program(tmp_path, ANSWER + f"({rows % 4}) > $answered"))
    assert (good["instance"], good["packed"], good["wrong"]) == ("two", True, 0)
    bad = _run(_program(tmp_path, ANSWER + f"({rows % 3}) > $answered"))
    assert (bad["packed"], bad["wrong"]) == (False, 1)


@pytest.mark.parametrize("script", ["exit 1", ANSWER + "echo id,offset > $answered"])
def test_no_answer_is_not_packed(tmp_path: Path, script: str) -> None:
    assert _run(_program(tmp_path, script))["packed"] is False


def test_the_limit_is_one_of_cpu_seconds(tmp_path: Path) -> None:
    endless = _program(tmp_path, "while :; do :; done")
    assert _run(endless, 1.0)["packed"] is False


def test_what_is_no_program(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    for path in (tmp_path / "none", tmp_path / "text"):
        with pytest.raises(InputError, match="--minimalloc must be a program that runs, not"):
            _run(path)
