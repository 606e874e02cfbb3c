"""Rows of an earlier result that still hold: of the same Verilog, tools, library and options.

A change of one PE leaves all other rows as they were, and each of them takes minutes to make again.
What is taken over is what was measured; ratios are worked out anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from hw.errors import InputError
from reports.ppa.designs import Design, Level
from reports.ppa.explore import Point, Row
from reports.ppa.flow import Measurement

__all__ = ["Earlier"]

_SAME = ("schema", "command", "made_with", "library", "recipes", "scripts")
_NOT_IN_POINTS: Mapping[str, Any] = {
    **dict.fromkeys(("cells", "buffers", "launch", "setup"), 0),
    **dict.fromkeys(("inputs", "outputs", "through"), None),
}


@dataclass(frozen=True)
class Earlier:
    """An earlier result; without one, nothing is known.

    Attributes
    ----------
    result : dict
        As `reports.ppa.run.run` gives.
    """

    result: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Earlier:
        """Of a file.

        Raises
        ------
        InputError
            It is no readable result.
        """
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"--update must name a result of bitweft ppa: {error}.") from error
        if not isinstance(result, dict):
            raise InputError(f"--update must name a result of bitweft ppa, not {path}.")
        return cls(result)

    def require_same(self, result: Mapping[str, Any]) -> None:
        """Refuses an earlier result that was made otherwise than `result` is.

        Raises
        ------
        InputError
            Its options, tools, library or scripts are others.
        """
        for name in _SAME if self.result else ():
            if self.result.get(name) != result[name]:
                raise InputError(
                    f"--update must name a result of the same {name}, not {self.result.get(name)!r}: "
                    "measure all designs again, without --update."
                )

    def rows(self, level: Level, designs: Sequence[Design]) -> dict[str, Row]:
        """Of the designs whose Verilog is what it was, by name."""
        entries = self._entries(level)
        return {
            design.name: Row(design, tuple(_points(entries[design.name])))
            for design in designs
            if self._holds(entries.get(design.name), design)
        }

    def energy(self, design: Design) -> dict[str, Any] | None:
        """Energy per MAC of a PE whose Verilog is what it was; None of others."""
        entry = self._entries("pe").get(design.name)
        if entry is None or not self._holds(entry, design):
            return None
        return {name: fj for name, fj in entry["energy"].items() if name != "relative"}

    def widths(self, designs: Sequence[Design]) -> dict[str, Any] | None:
        """The sweep of accumulator widths, if the Verilog of all its PEs is what it was at 32 bits."""
        entries = self._entries("pe")
        holds = all(self._holds(entries.get(design.name), design) for design in designs)
        return self.result.get("widths") if holds else None

    def _entries(self, level: Level) -> dict[str, Any]:
        return {row["name"]: row for row in self.result.get(level, {}).get("designs", ())}

    @staticmethod
    def _holds(entry: Mapping[str, Any] | None, design: Design) -> bool:
        digest = hashlib.sha256(design.verilog.encode()).hexdigest()
        return entry is not None and entry["verilog_sha256"] == digest


def _points(entry: Mapping[str, Any]) -> list[Point]:
    """All points; only of the best one everything was written down."""
    best = entry["best"]
    names = {f.name for f in fields(Measurement)}
    points = []
    for point in entry["points"]:
        is_best = all(point[name] == best[name] for name in ("recipe", "delay_ps"))
        known = {k: v for k, v in (best if is_best else point).items() if k in names}
        if is_best:
            known["path"] = tuple(known["path"])
        measurement = Measurement(**{**_NOT_IN_POINTS, **known})
        points.append(Point(point["recipe"], point["delay_ps"], measurement))
    return points
