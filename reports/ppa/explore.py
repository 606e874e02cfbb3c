"""Every design under every recipe and delay target, and the best point of each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

from reports.ppa.designs import BASELINE, Design
from reports.ppa.flow import Job, Measurement, measure
from reports.ppa.target import Target

__all__ = [
    "DELAYS",
    "FLATTERED",
    "RECIPES_USED",
    "Point",
    "Row",
    "explore",
    "job_of",
    "row_dict",
]

DELAYS = (300, 500, 1000, 2000)
"""Delay targets for ABC in ps."""

RECIPES_USED = ("yosys", "keep", "keep-kogge-stone")
"""Recipes that every design runs under."""

FLATTERED = "no-booth"
"""The recipe of the baseline that others compare with; never this package's."""


@dataclass(frozen=True)
class Point:
    """One run of a design."""

    recipe: str
    delay_ps: int
    measurement: Measurement


@dataclass(frozen=True)
class Row:
    """A design with all its points."""

    design: Design
    points: tuple[Point, ...]

    def score(self, point: Point) -> float:
        """um2 ns per MAC: what performance per area is the inverse of."""
        return point.measurement.area * point.measurement.period / self.design.macs

    def best(self, *recipes: str) -> Point:
        """The point of the greatest performance per area among `recipes` (default: all with Booth)."""
        allowed = [p for p in self.points if p.recipe in (recipes or RECIPES_USED)]
        return min(allowed, key=lambda p: (self.score(p), p.recipe, p.delay_ps))


def explore(
    designs: Sequence[Design],
    target: Target,
    *,
    delays: Sequence[int] = DELAYS,
    recipes: Sequence[str] = RECIPES_USED,
    jobs: int = 1,
    gate_clock: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Row]:
    """Measures all designs; `jobs` runs go side by side. Only the baseline is ever flattered."""
    wanted = [
        (design, recipe, delay)
        for design in designs
        for recipe in recipes
        if recipe != FLATTERED or design.name == BASELINE
        for delay in delays
    ]
    work = [
        job_of(design, recipe, delay, gate_clock=gate_clock) for design, recipe, delay in wanted
    ]
    points: dict[int, list[Point]] = {}
    with _mapper(jobs) as run:
        done = run(measure, work, [target] * len(work))
        for (design, recipe, delay), measurement in zip(wanted, done, strict=True):
            progress(f"{design.name}, {design.bits} bits, {recipe}, {delay} ps")
            points.setdefault(id(design), []).append(Point(recipe, delay, measurement))
    return [Row(design, tuple(points[id(design)])) for design in designs]


def job_of(design: Design, recipe: str, delay: int, *, gate_clock: bool = False) -> Job:
    """The run of `design` under a recipe and a delay target."""
    return Job(
        verilog=design.verilog,
        top=design.top,
        shared=design.shared,
        recipe=recipe,
        delay_ps=delay,
        gate_clock=gate_clock,
        without_memories=bool(design.memory_bits),
    )


@contextmanager
def _mapper(jobs: int) -> Iterator[Callable[..., Iterator[Any]]]:
    if jobs == 1:
        yield map
        return
    with ProcessPoolExecutor(max_workers=jobs) as pool:
        yield pool.map


def row_dict(row: Row, baseline: Row) -> dict[str, Any]:
    """A row with its ratios to the baseline, for the JSON.

    The ratios are of performance per area, MACs per second and um2, over those of the baseline; of
    the area of one PE; and of the period.
    ``best``: each at its best recipe and delay target; ``same_recipe``: both with Yosys' own
    scripts; ``wires``: the best points, timed with the library's wire load model.
    """
    best, reference = row.best(), baseline.best()
    own, theirs = best.measurement, reference.measurement
    wired = own.area * own.period_wires / row.design.macs
    reference_wired = theirs.area * theirs.period_wires / baseline.design.macs
    return {
        "name": row.design.name,
        "about": row.design.about,
        "baseline": row.design.baseline,
        "shape": row.design.shape,
        "bits": row.design.bits,
        "pes": row.design.pes,
        "cells": row.design.size**2,
        "macs_per_cycle": round(row.design.macs, 4),
        "verilog_sha256": hashlib.sha256(row.design.verilog.encode()).hexdigest(),
        "best": {"recipe": best.recipe, "delay_ps": best.delay_ps, **asdict(own)},
        "gmacs_per_mm2": round(1e6 / row.score(best), 1),
        "relative": {
            "area": round(own.area / row.design.pes / theirs.area, 4),
            "period": round(own.period / theirs.period, 4),
            "best": round(baseline.score(reference) / row.score(best), 4),
            "same_recipe": _same_recipe(row, baseline),
            "wires": round(reference_wired / wired, 4),
        },
        "points": [
            {"recipe": p.recipe, "delay_ps": p.delay_ps, **_short(p.measurement)}
            for p in row.points
        ],
    }


def _same_recipe(row: Row, baseline: Row) -> float | None:
    if not any(point.recipe == "yosys" for point in baseline.points):
        return None
    return round(baseline.score(baseline.best("yosys")) / row.score(row.best("yosys")), 4)


def _short(measurement: Measurement) -> dict[str, Any]:
    return {
        "area": measurement.area,
        "sequential_area": measurement.sequential_area,
        "period": measurement.period,
        "period_wires": measurement.period_wires,
        "gates": measurement.gates,
    }
