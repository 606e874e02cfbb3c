"""How long a search may take."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

from mapper.clock import now

__all__ = ["Limits"]

_SLOWEST = 5.0  # times that work takes longer than on a core of its own


@dataclass
class Limits:
    """How long and how to search.

    Attributes
    ----------
    effort : float
        Deterministic time per solve, in units of roughly a second of one core. It is the same on
        every computer, so the plan is, too.
    seconds : float or None
        Wall-clock limit for all solves together, compilation left out; results then depend on the
        computer.
    workers : int
        Search strategies that run in turns, in as many threads.
    seed : int
        Of every random choice.
    started, worked : float
        Readings of the clock and of the process's own time when `seconds` began.
    """

    effort: float = 60.0
    seconds: float | None = None
    workers: int = 1
    seed: int = 0
    started: float = field(default_factory=now)
    worked: float = field(default_factory=time.process_time)

    def remaining(self) -> float | None:
        """Wall-clock seconds left; None where there is no such limit."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - (now() - self.started))

    def elapsed(self) -> float:
        """The share of the wall-clock seconds that has passed; 0 where there is no such limit."""
        if self.seconds is None:
            return 0.0
        return 1.0 - (self.remaining() or 0.0) / self.seconds if self.seconds > 0 else 1.0

    def exhausted(self) -> bool:
        """Whether the wall-clock limit has passed."""
        remaining = self.remaining()
        return remaining is not None and remaining <= 0.0

    def turn(self, fraction: float) -> Limits:
        """Limits for one of several searches: that much of the time that is left, all the effort."""
        return replace(self.share(fraction), effort=self.effort)

    def before_end(self, cpu_seconds: float) -> Limits:
        """Limits that end so much sooner that work of that many seconds of a core still fits.

        It takes as long as the process has had to wait for its work so far, on a busy computer some
        times longer; at most half of what is left is held back.
        """
        remaining = self.remaining()
        if remaining is None:
            return self
        elapsed = now() - self.started
        worked = time.process_time() - self.worked
        pace = min(max(1.0, elapsed / max(0.05, worked)), _SLOWEST)
        held = min(pace * cpu_seconds, remaining / 2)
        return replace(self, seconds=max(0.0, (self.seconds or 0.0) - held))

    def share(self, fraction: float) -> Limits:
        """Limits for a part of the work: that much of the effort, and of the time that is left."""
        remaining = self.remaining()
        if remaining is None:
            return replace(self, effort=self.effort * fraction)
        return replace(
            self,
            effort=self.effort * fraction,
            seconds=remaining * fraction,
            started=now(),
            worked=time.process_time(),
        )
