"""What every figure shares: byte-for-byte reproducible files, readable units, safe labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

__all__ = [
    "COLOURS",
    "byte_axis",
    "byte_unit",
    "fixed_style",
    "label",
    "new_figure",
    "rounded_bytes",
    "save",
    "shortened",
]

# Colour-blind safe (Okabe and Ito), light enough for black text on top.
COLOURS = {
    "blue": "#56b4e9",
    "orange": "#e69f00",
    "green": "#009e73",
    "red": "#d55e00",
    "yellow": "#f0e442",
    "grey": "#bcc4cc",
    "ink": "#333333",
}

_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # ships with matplotlib, so every computer has the same
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "svg.hashsalt": "bitweft",
}
_UNITS = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


@contextmanager
def fixed_style() -> Iterator[None]:
    """Builds and writes figures the same way whatever the user's matplotlib settings are."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_SETTINGS)
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, in inches, that belongs to no window and no global state."""
    return Figure(figsize=(width, height), layout="constrained")


def byte_axis(axes: Axes, largest: int, what: str) -> None:
    """Labels the y axis in the unit that `largest` bytes read best in, with round ticks."""
    scale, unit = byte_unit(largest)
    # Ticks at round numbers of the unit, not of bytes.
    locator = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10], integer=scale == 1)
    top = axes.get_ylim()[1]
    axes.set_yticks([t * scale for t in locator.tick_values(0, top / scale) if t * scale <= top])
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / scale:g}"))
    axes.set_ylabel(f"{what} ({unit})")


def byte_unit(largest: int) -> tuple[int, str]:
    """The unit that `largest` bytes read best in: how many bytes it has, and its name."""
    return next(((s, u) for s, u in _UNITS if largest >= 2 * s), (1, "bytes"))


def rounded_bytes(count: int) -> str:
    """``8146152`` becomes ``7.77 MiB``: for legends, where three digits are enough."""
    for scale, unit in _UNITS:
        if count >= scale:
            exact = count % scale == 0 or count >= 1000 * scale
            return f"{count / scale:.0f} {unit}" if exact else f"{count / scale:.3g} {unit}"
    return f"{count} bytes"


def label(text: str, limit: int = 60) -> str:
    """A name from a file as every font can draw it."""
    safe = "".join(c if c.isascii() and c.isprintable() else "?" for c in text)
    return safe if len(safe) <= limit else safe[: limit - 3] + "..."


def shortened(text: str, limit: int) -> str:
    """A name from a file, without its middle where it is too long: names differ at their ends."""
    safe = label(text, len(text))
    if len(safe) <= limit:
        return safe
    tail = (limit - 3) * 2 // 3
    return f"{safe[: limit - 3 - tail]}...{safe[len(safe) - tail :]}"


def save(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Writes ``name.png`` and ``name.svg``; equal figures give equal bytes."""
    paths = []
    with fixed_style():
        for suffix, metadata in (
            ("png", {"Software": None}),
            ("svg", {"Date": None, "Creator": None}),
        ):
            paths.append(folder / f"{name}.{suffix}")
            figure.savefig(paths[-1], format=suffix, dpi=120, metadata=metadata)
    return paths
