"""Horizontal bars with a name each: what figures per layer and per tensor share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from reports.style import new_figure, shortened

__all__ = ["Row", "bar_figure", "draw_rows", "longest"]

WIDTH = 12.0  # inches
_ROW = 0.175  # inches of height
_FRAME = 1.5  # inches for title, axis and legend
_NAME = 44  # characters


@dataclass(frozen=True)
class Row:
    """One bar.

    Attributes
    ----------
    name : str
    values : dict of str to float
        Length of each stacked piece, by colour.
    note : str
        Stands at the right of the axes.
    mark : float, optional
        Where a small line crosses the bar.
    """

    name: str
    values: Mapping[str, float]
    note: str = ""
    mark: float | None = None


def bar_figure(counts: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each number of rows, all rows of the same height."""
    figure = new_figure(WIDTH, _FRAME + _ROW * sum(counts) + 0.45 * (len(counts) - 1))
    panels = figure.subplots(len(counts), 1, squeeze=False, height_ratios=[n + 1 for n in counts])
    return figure, [axes for (axes,) in panels]


def draw_rows(axes: Axes, rows: Sequence[Row]) -> None:
    """Draws rows from the top, each with its name at the left and its note at the right."""
    boxes: dict[str, list[list[tuple[float, float]]]] = {}
    for place, row in enumerate(rows):
        low, high, left = place - 0.38, place + 0.38, 0.0
        for colour, value in row.values.items():
            right = left + value
            corners = [(left, low), (left, high), (right, high), (right, low)]
            boxes.setdefault(colour, []).append(corners)
            left = right
        if row.mark is not None:
            axes.plot([row.mark] * 2, [low, high], color="#333333", linewidth=1.4)
        axes.text(
            1.006, place, row.note, transform=axes.get_yaxis_transform(),
            fontsize=7, va="center", parse_math=False,
        )  # fmt: skip
    for colour, found in boxes.items():
        axes.add_collection(PolyCollection(found, facecolors=colour, edgecolors="none"))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [shortened(row.name, _NAME) for row in rows], fontsize=7)
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", linewidth=0.3)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def longest(sizes: Sequence[float], limit: int) -> list[int]:
    """Places of the `limit` largest sizes, in order."""
    by_size = sorted(range(len(sizes)), key=lambda n: (-sizes[n], n))
    return sorted(by_size[:limit])
