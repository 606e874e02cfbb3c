"""A clock that stands still while numba compiles.

Compiling takes half a minute in all, once per computer and version. Out of a limit of a few seconds
it would leave nothing, and how much of it is due nobody can foresee.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

__all__ = ["compiling", "now", "watch_compiler"]


@dataclass
class _Compiler:
    """What numba has taken so far; it holds a lock of its own, so one thread at a time changes it."""

    depth: int = 0
    since: float = 0.0
    seconds: float = 0.0
    watched: bool = False


_COMPILER = _Compiler()


def now() -> float:
    """Seconds since some time in the past, those left out in which numba compiled."""
    since = _COMPILER.since if _COMPILER.depth else time.monotonic()
    return since - _COMPILER.seconds


def compiling() -> bool:
    """Whether numba compiles at this moment."""
    return _COMPILER.depth > 0


def watch_compiler() -> None:
    """To be called before the first function is compiled; imports numba."""
    if _COMPILER.watched:
        return
    from numba.core import event

    class Watch(event.Listener):
        def on_start(self, event: Any) -> None:
            _begin()

        def on_end(self, event: Any) -> None:
            _end()

    event.register("numba:compile", Watch())  # type: ignore[no-untyped-call]
    _COMPILER.watched = True


def _begin() -> None:
    if not _COMPILER.depth:
        _COMPILER.since = time.monotonic()
    _COMPILER.depth += 1


def _end() -> None:
    _COMPILER.depth -= 1
    if not _COMPILER.depth:
        _COMPILER.seconds += time.monotonic() - _COMPILER.since
