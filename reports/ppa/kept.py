"""Results of long runs of tools, kept by what they depend on: a report made again takes seconds.

A run that is stopped loses only what it was at: everything before is kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Any

from hw.files import write_text
from sim.runner.toolchain import cache_folder

__all__ = ["kept_by"]


def kept_by(parts: Iterable[str], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make` gives, or what it gave before for the same `parts`; plain data, ready for JSON."""
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    path = cache_folder() / f"ppa-{digest}.json"
    if not path.is_file():
        write_text(path, json.dumps(make()))
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
