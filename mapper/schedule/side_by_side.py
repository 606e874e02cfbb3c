"""Two searches at the same time, on two workers or in turn, with the same results."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, fields

from mapper.schedule.solver import Limits

__all__ = ["side_by_side"]


@dataclass
class _Stoppable(Limits):
    """Limits that another thread can end."""

    stop: threading.Event = field(default_factory=threading.Event)

    def exhausted(self) -> bool:
        return self.stop.is_set() or super().exhausted()


def side_by_side(
    limits: Limits, one: Callable[[Limits], object], other: Callable[[Limits], object]
) -> None:
    """Runs both, in the caller's thread and in one of its own where there are two workers.

    They must not depend on each other. With a single worker, `one` gets half of the time that is
    left and `other` the rest. An exception of either, Ctrl-C included, ends both.
    """
    if limits.workers < 2:
        one(limits.share(0.5))
        other(limits)
        return
    own = _Stoppable(**{f.name: getattr(limits, f.name) for f in fields(Limits)})
    errors: list[BaseException] = []

    def run() -> None:
        try:
            other(own)
        except BaseException as error:  # handed to the caller's thread below
            errors.append(error)
            own.stop.set()

    thread = threading.Thread(target=run, name="bound", daemon=True)
    thread.start()
    try:
        one(own)
    except BaseException:
        own.stop.set()
        raise
    finally:
        thread.join()
    if errors:
        raise errors[0]
