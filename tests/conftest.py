"""Settings that all tests share."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes is no behaviour: a loaded computer must not fail a test. Whatever else
# the surroundings set (in CI: examples that do not change) stays.
settings.register_profile("bitweft", parent=settings(), deadline=None)
settings.load_profile("bitweft")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Benches that build a model each begin both halves: two workers get a half each.

    At the end of a half, one worker would build the last of them while the other has nothing to do.
    """
    long = [item for item in items if item.path.name == "test_tb_regress.py"]
    short = [item for item in items if item.path.name != "test_tb_regress.py"]
    half = len(short) // 2
    items[:] = [*long[::2], *short[:half], *long[1::2], *short[half:]]
