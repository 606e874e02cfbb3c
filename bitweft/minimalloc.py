"""google/minimalloc, where it is installed: the same instances with the same limit."""

from __future__ import annotations

import csv
import resource
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bitweft.bench_pack import overlaps
from bitweft.pack_instances import Instance
from hw.errors import InputError
from mapper.pack_file import written_offsets

__all__ = ["run_minimalloc"]


def run_minimalloc(
    program: Path,
    instances: Sequence[Instance],
    seconds: float,
    progress: Callable[[str], object],
) -> list[dict[str, Any]]:
    """Packs each instance once; the limit is one of CPU seconds, in whole ones.

    Its packings are judged like ours. CPU seconds are those of the whole process.

    Raises
    ------
    InputError
        The program cannot be run.
    """
    results = []
    with tempfile.TemporaryDirectory(prefix="bitweft-") as folder:
        asked, answered = Path(folder) / "asked.csv", Path(folder) / "answered.csv"
        for instance in instances:
            progress(f"minimalloc: {instance.name}")
            names = [f"b{i}" for i in range(len(instance.buffers))]
            columns = written_offsets(names, instance.buffers, [0] * len(names)).splitlines()
            asked.write_text("".join(line.rpartition(",")[0] + "\n" for line in columns))
            answered.unlink(missing_ok=True)
            words = [f"--capacity={instance.capacity}", f"--input={asked}", f"--output={answered}"]
            before = _children_seconds()
            limit = max(1, round(seconds))
            command = ["sh", "-c", f'ulimit -t {limit}; exec "$0" "$@"', str(program), *words]
            ended = subprocess.run(command, capture_output=True, check=False)
            if ended.returncode in (126, 127):
                raise InputError(f"--minimalloc must be a program that runs, not {str(program)!r}.")
            offsets = _offsets(answered, names)
            wrong = overlaps(instance.buffers, offsets, instance.capacity) if offsets else 0
            results.append(
                {
                    "instance": instance.name,
                    "packed": bool(offsets) and not wrong,
                    "wrong": wrong,
                    "cpu_seconds": round(_children_seconds() - before, 3),
                }
            )
    return results


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _offsets(path: Path, names: Sequence[str]) -> list[int]:
    """In the order of `names`; empty where there is no answer."""
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        offset = {row["id"]: int(row["offset"]) for row in csv.DictReader(file)}
    return [offset[name] for name in names] if len(offset) == len(names) else []
