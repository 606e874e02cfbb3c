"""How the time of a search is shared out."""

from __future__ import annotations

import time

import pytest

from mapper.clock import now
from mapper.limits import Limits


def test_without_a_clock_only_effort_is_shared() -> None:
    limits = Limits(effort=8.0)
    assert limits.share(0.25).effort == 2.0
    assert limits.turn(0.25) == limits
    assert limits.before_end(100.0) is limits
    assert limits.elapsed() == 0.0
    assert not limits.exhausted()


def test_a_turn_has_a_part_of_the_time_and_all_of_the_effort() -> None:
    limits = Limits(effort=8.0, seconds=1000.0)
    turn = limits.turn(0.25)
    assert turn.effort == 8.0
    assert turn.remaining() == pytest.approx(250.0, abs=5.0)


@pytest.mark.parametrize("pace", [1.0, 3.0, 50.0])
def test_what_is_held_back_for_the_end_grows_with_the_pace_so_far(pace: float) -> None:
    # A process that has worked for ten seconds, and waited for that `pace` times as long.
    limits = Limits(
        seconds=10 * pace + 1000.0,
        started=now() - 10 * pace,
        worked=time.process_time() - 10,
    )
    held = 1000.0 - (limits.before_end(20.0).remaining() or 0.0)
    assert held == pytest.approx(20.0 * min(pace, 5.0), rel=0.1, abs=5.0)


def test_at_most_half_of_what_is_left_is_held_back() -> None:
    assert Limits(seconds=1000.0).before_end(10_000.0).remaining() == pytest.approx(500.0, abs=5.0)


def test_the_share_of_the_time_that_has_passed() -> None:
    limits = Limits(seconds=1000.0, started=now() - 250)
    assert limits.elapsed() == pytest.approx(0.25, abs=0.01)
    late = Limits(seconds=1000.0, started=now() - 2000)
    assert (late.elapsed(), late.exhausted()) == (1.0, True)
    assert Limits(seconds=0.0).elapsed() == 1.0
