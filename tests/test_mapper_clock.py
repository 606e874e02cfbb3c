"""mapper.clock: what numba takes to compile is not taken out of a limit."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numba
import pytest
from numba.core import event
from numba.extending import overload

from mapper import clock
from mapper.limits import Limits


@pytest.fixture
def hands(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time of day, as the test sets it."""
    clock.watch_compiler()
    hands = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(clock, "time", SimpleNamespace(monotonic=lambda: hands.seconds))
    return hands


def test_a_limit_stands_still_while_numba_compiles(hands: SimpleNamespace) -> None:
    limits = Limits(seconds=10)
    hands.seconds += 1
    assert limits.remaining() == 9
    with event.trigger_event("numba:compile"):
        hands.seconds += 30
        with event.trigger_event("numba:compile"):  # a function that the first one calls
            hands.seconds += 5
            assert clock.compiling()
        hands.seconds += 2
        assert limits.remaining() == 9
        assert clock.compiling()
    assert not clock.compiling()
    assert limits.remaining() == 9
    share = limits.share(0.5)
    hands.seconds += 4
    assert (limits.remaining(), share.remaining()) == (5, 0.5)
    hands.seconds += 5
    assert limits.exhausted()


def test_a_compilation_that_fails_ends(hands: SimpleNamespace) -> None:
    before = clock.now()
    with pytest.raises(ZeroDivisionError), event.trigger_event("numba:compile"):
        hands.seconds += 7
        raise ZeroDivisionError
    hands.seconds += 1
    assert clock.now() == before + 1


def test_numba_says_that_it_compiles() -> None:
    clock.watch_compiler()
    seen = []

    def typed(x: object) -> Callable[[int], int]:
        seen.append(clock.compiling())
        return lambda x: x

    # numba compares the names of arguments, annotations included, with those of the lambda.
    typed.__annotations__.clear()
    same: Any = lambda x: x  # noqa: E731
    overload(same)(typed)
    compiled: Any = numba.njit(lambda x: same(x) + 1)
    assert compiled(3) == 4
    assert seen
    assert all(seen)
    assert not clock.compiling()
