"""mapper.check: files that are no plan at all are bad input, in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw.errors import InputError
from mapper.check import read_json


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        "1" * 10_000,
        "plan",
    ],
    ids=["empty", "cut", "nan", "infinity", "twice", "deep", "long", "word"],
)
def test_what_is_not_json_is_bad_input(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"must be a plan in JSON, not something else \(.*\)"):
        read_json(path)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="^Plan must be a readable JSON file, .*UTF-8 text"):
        read_json(path)


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_missing_file_or_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"^Plan must be a readable JSON file, not '.*' \(.*\)"):
        read_json(tmp_path / name)
