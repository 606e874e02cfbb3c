"""How long a search may take."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mapper.clock import now

__all__ = ["Limits"]


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
    """

    effort: float = 60.0
    seconds: float | None = None
    workers: int = 1
    seed: int = 0
    started: float = field(default_factory=now)

    def remaining(self) -> float | None:
        """Wall-clock seconds left; None where there is no such limit."""
        if self.seconds is None:
            return None
        return max(0.0, self.seconds - (now() - self.started))

    def exhausted(self) -> bool:
        """Whether the wall-clock limit has passed."""
        remaining = self.remaining()
        return remaining is not None and remaining <= 0.0

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
        )
