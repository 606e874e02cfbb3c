"""A broken rule of a plan: what the checker's parts share."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Broken", "BrokenRule", "require"]


class Broken(NamedTuple):
    """The first rule that a plan breaks, and where: step, tensor and values."""

    rule: str
    detail: str


class BrokenRule(Exception):
    """Ends the judging."""

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(detail)
        self.broken = Broken(rule, detail)


def require(holds: bool, rule: str, detail: str) -> None:
    """Raises `BrokenRule` unless `holds`."""
    if not holds:
        raise BrokenRule(rule, detail)
