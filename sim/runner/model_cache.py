"""Compiled models, kept by the hash of all that went into them."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from sim.runner.toolchain import cache_folder, toolchain_fingerprint

__all__ = ["cached_model"]

_PREFIX = ".building-"
_FRESH_SECONDS = 60


def cached_model(parts: Sequence[str], build: Callable[[Path], None]) -> Path:
    """The folder of a compiled model; `build` fills it when it is not there yet.

    A model is built in a scratch folder and renamed when it is whole, so an interrupted build
    leaves nothing behind, and processes that build the same model at once do not disturb each
    other: the first to finish wins. What a process left that was killed is removed by the next
    build.

    Parameters
    ----------
    parts : sequence of str
        Everything that the model depends on besides the toolchain: sources, options, harness.
    """
    digest = hashlib.sha256()
    for part in [toolchain_fingerprint(), *parts]:
        digest.update(hashlib.sha256(part.encode()).digest())
    folder = cache_folder() / digest.hexdigest()[:32]
    if folder.is_dir():
        return folder
    _remove_abandoned(folder.parent)
    scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder.parent))
    lock = os.open(scratch, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build(scratch)
        try:
            os.rename(scratch, folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(lock)
    return folder


def _remove_abandoned(cache: Path) -> None:
    """Removes scratch folders whose builder is no more: its lock ended with it."""
    for scratch in cache.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another process removes it, too, or it is being built
            # One that was made just now may not be locked yet.
            if time.time() - scratch.stat().st_mtime < _FRESH_SECONDS:
                continue
            lock = os.open(scratch, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(scratch, ignore_errors=True)
            finally:
                os.close(lock)
