"""Pictures of area, delay and throughput per area."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from reports.ppa.explore import FLATTERED
from reports.style import COLOURS, fixed_style, new_figure, save

__all__ = ["plot_area_delay", "plot_ratios", "plot_widths"]

Rows = Sequence[dict[str, Any]]

_MARKS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "*", "h", "p")
_PALETTE = ("grey", "ink", "blue", "orange", "green", "red")


def _colour(n: int) -> str:
    """Of the n-th design; a mark that comes again has another colour."""
    return COLOURS[_PALETTE[(n + n // len(_MARKS)) % len(_PALETTE)]]


def plot_ratios(rows: Rows, folder: Path, name: str) -> list[Path]:
    """Bars of performance per area over the baseline's; a tick marks the same recipe."""
    with fixed_style():
        figure = new_figure(7.0, 1.1 + 0.3 * len(rows))
        axes = figure.add_subplot()
        places = np.arange(len(rows))[::-1]
        ratios = [row["relative"]["best"] for row in rows]
        axes.barh(places, ratios, height=0.6, color=COLOURS["blue"], label="each at its best")
        same = [
            (row["relative"]["same_recipe"], place)
            for row, place in zip(rows, places, strict=True)
            if row["relative"]["same_recipe"] is not None
        ]
        if same:
            values, at = zip(*same, strict=True)
            axes.scatter(
                values,
                at,
                marker="|",
                s=160,
                color=COLOURS["red"],
                label="both with Yosys' own scripts",
                zorder=3,
            )
        for place, ratio in zip(places, ratios, strict=True):
            # At the foot of the bar, where neither the line at 1 nor a tick can cross it.
            axes.text(0.03, place, f"{ratio:.2f}", va="center", ha="left")
        axes.axvline(1.0, color=COLOURS["ink"], linewidth=0.8)
        axes.set_yticks(places, [row["name"] for row in rows])
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.set_xlabel("performance per area over that of its baseline, Booth MACs")
        figure.legend(loc="outside lower center", frameon=False, ncols=2)
        return save(figure, folder, name)


def plot_area_delay(rows: Rows, folder: Path, name: str) -> list[Path]:
    """Area per MAC and cycle against period, all points, with lines of equal performance per area."""
    with fixed_style():
        figure = new_figure(7.0, 5.2)
        axes = figure.add_subplot()
        for n, row in enumerate(rows):
            macs = row["macs_per_cycle"]
            points = [p for p in row["points"] if p["recipe"] != FLATTERED]
            axes.scatter(
                [p["period"] for p in points],
                [p["area"] / macs for p in points],
                marker=_MARKS[n % len(_MARKS)],
                color=_colour(n),
                edgecolor=COLOURS["ink"],
                linewidth=0.5,
                label=row["name"],
                zorder=3,
            )
        best = rows[0]["best"]
        product = best["area"] * best["period"] / rows[0]["macs_per_cycle"]
        left, right = axes.get_xlim()
        low, high = axes.get_ylim()
        periods = np.linspace(left, right, 100)
        for factor in (1.0, 1.5, 2.0, 2.5, 3.0):
            axes.plot(periods, product / factor / periods, color=COLOURS["grey"], linewidth=0.8)
            # At the right border, or at the lower one where the line leaves there.
            x = min(right, product / factor / low) - 0.05 * (right - left)
            y = product / factor / x
            if left < x and low < y < high:
                axes.text(x, y, f"{factor:g}x", color=COLOURS["ink"], fontsize=7)
        axes.set_xlim(left, right)
        axes.set_ylim(low, high)
        axes.set_xlabel("period (ns)")
        axes.set_ylabel("area per MAC and cycle (um2)")
        figure.legend(loc="outside lower center", frameon=False, ncols=5)
        return save(figure, folder, name)


def plot_widths(content: dict[str, Any], folder: Path, name: str) -> list[Path]:
    """Period against accumulator width."""
    with fixed_style():
        figure = new_figure(7.0, 3.5)
        axes = figure.add_subplot()
        for n, row in enumerate(content["designs"]):
            axes.plot(
                content["bits"],
                [p["period"] for p in row["points"]],
                marker=_MARKS[n % len(_MARKS)],
                color=_colour(n),
                label=row["name"],
            )
        axes.set_xticks(content["bits"])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("accumulator width (bits)")
        axes.set_ylabel("period (ns)")
        figure.legend(loc="outside lower center", frameon=False, ncols=5)
        return save(figure, folder, name)
