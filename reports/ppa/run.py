"""The whole measurement behind ``bitweft ppa``: designs in, one result out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from reports.ppa.buffers import buffers_of
from reports.ppa.designs import BASELINE, Level, find_designs
from reports.ppa.digits import Distribution, count, parse_distribution
from reports.ppa.earlier import Earlier
from reports.ppa.explore import DELAYS, FLATTERED, RECIPES_USED, Row, explore, row_dict
from reports.ppa.flow import RECIPES, Job, script, short_version, tool_versions
from reports.ppa.indication import add_ratios, energy_per_mac
from reports.ppa.target import Target

__all__ = ["Request", "run"]

_SEED = 1
_REDUCTION = 256
_REDUCTIONS = 4096
_MAIN_BITS = 32
_ENGINES = (
    *("mac", "opt1", "opt1-extended", "ffip", "opt2", "opt4c", "opt4e"),
    *("opt1-ws", "opt1-matrix", "opt1-tree", "opt2-tree", "opt1-cube"),
)
"""Engines of a report in which none is named, beside their baselines."""
_ENGINE_RECIPE = "keep"
"""The best recipe of the baseline, and of most PEs; the report says what it costs the others."""
_SWEPT = {"mac": False, "mac-merged": False, "opt1": True, "opt1-extended": True, "ffip": True}
"""Designs of the sweep of accumulator widths, and which are carry-save. The pairs of digit PEs have
widths of their own, which their segment sets."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is to be measured.

    Attributes
    ----------
    levels : tuple of str
        ``pe``, ``engine``.
    designs : tuple of str
        Names; empty for all.
    delays : tuple of int
        Targets for ABC in ps.
    recipes : tuple of str
        Those that every design runs under.
    widths : tuple of int
        Accumulator widths of the sweep, at PE level; empty for none.
    distribution : str
        Operands of the data-dependent rows.
    jobs : int
    gate_clock : bool
        Clock gates in engines.
    command : str
        The options, for the report.
    earlier : Earlier
        What of an earlier result still holds is not measured again.
    """

    levels: tuple[Level, ...]
    designs: tuple[str, ...] = ()
    delays: tuple[int, ...] = DELAYS
    recipes: tuple[str, ...] = RECIPES_USED
    widths: tuple[int, ...] = ()
    distribution: str = "normal:20"
    jobs: int = 1
    gate_clock: bool = True
    command: str = ""
    earlier: Earlier = Earlier()


def run(
    request: Request, target: Target, progress: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Measures what `request` asks for; the result is plain data, ready for JSON.

    Raises
    ------
    InputError
        A design or distribution is unknown, a tool is missing, or the earlier result was made
        otherwise.
    """
    distribution = parse_distribution(request.distribution)
    result: dict[str, Any] = {
        "schema": 1,
        "command": request.command,
        "made_with": {"bitweft": f"bitweft {metadata.version('bitweft')}", **_tools()},
        "library": {
            "name": target.library.name,
            "stem": target.stem,
            "corner": target.library.corner,
            "sha256": target.sha256,
            "driver": target.driver,
            "load": target.load,
            "buffer": target.buffer,
            "wire_load": target.wire,
            "constraints": f"set_driving_cell {target.driver}, set_load {target.load:g}",
        },
        "recipes": {r.name: r.about for r in RECIPES.values()},
        "scripts": {name: script(Job(verilog="", top="unit", recipe=name)) for name in RECIPES}
        | {f"{r.name}: abc.script": r.abc for r in RECIPES.values() if r.abc},
    }
    request.earlier.require_same(result)
    for level in request.levels:
        result[level] = _level(request, level, target, distribution, progress)
    if request.widths:
        result["widths"] = _widths(request, target, distribution, progress)
    result["sparse"] = _sparse(distribution)
    return result


def _tools() -> dict[str, str]:
    """Versions, without what Yosys says of its compiler."""
    tools = dict(tool_versions())
    return {**tools, "yosys": short_version(tools["yosys"])}


def _level(
    request: Request,
    level: Level,
    target: Target,
    distribution: Distribution,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    gate = request.gate_clock and level == "engine"
    names = request.designs or (_ENGINES if level == "engine" else ())
    designs = find_designs(names, level, _MAIN_BITS, distribution)
    # The flattered baseline is a figure for the table of PEs only.
    recipes = (*request.recipes, FLATTERED)
    delays = request.delays
    if level == "engine":
        # Minutes per run: one target and one recipe.
        recipes = tuple(r for r in request.recipes if r == _ENGINE_RECIPE) or request.recipes
        delays = (min(request.delays),)
    known = request.earlier.rows(level, designs)
    measured = explore(
        [design for design in designs if design.name not in known],
        target,
        delays=delays,
        recipes=recipes,
        jobs=request.jobs,
        gate_clock=gate,
        progress=progress,
    )
    known |= {row.design.name: row for row in measured}
    rows = [known[design.name] for design in designs]
    baselines = {row.design.name: row for row in rows}
    content: dict[str, Any] = {
        "bits": _MAIN_BITS,
        "gate_clock": gate,
        "operands": distribution.rule,
        "designs": [row_dict(row, baselines[row.design.baseline]) for row in rows],
    }
    uniform = find_designs(names, level, _MAIN_BITS, parse_distribution("uniform"))
    for entry, design in zip(content["designs"], uniform, strict=True):
        # Area and period are of the hardware; operands move the cycles only, never the baseline's.
        rate = design.macs / entry["macs_per_cycle"]
        entry["relative"]["uniform"] = round(entry["relative"]["best"] * rate, 4)
    if level == "engine":
        content["buffers"] = buffers_of(rows, baselines, target)
    if level == "pe":
        for row, entry in zip(rows, content["designs"], strict=True):
            progress(f"{row.design.name}, energy")
            energy = request.earlier.energy(row.design)
            entry["energy"] = energy or energy_per_mac(row, target, distribution)
        add_ratios(content["designs"])
        baseline = baselines[BASELINE]
        flattered = baseline.best(FLATTERED)
        content["no_booth"] = {
            "area": flattered.measurement.area,
            "period": flattered.measurement.period,
            "relative": round(baseline.score(baseline.best()) / baseline.score(flattered), 4),
        }
    return content


def _widths(
    request: Request,
    target: Target,
    distribution: Distribution,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    by_name: dict[str, list[Row]] = {}
    swept = tuple(n for n in request.designs or _SWEPT if n in _SWEPT) or (BASELINE,)
    known = request.earlier.widths(find_designs(swept, "pe", _MAIN_BITS, distribution))
    if known is not None:
        return known
    for bits in request.widths:
        designs = find_designs(swept, "pe", bits, distribution)
        for row in explore(
            designs,
            target,
            delays=request.delays,
            recipes=request.recipes,
            jobs=request.jobs,
            progress=progress,
        ):
            by_name.setdefault(row.design.name, []).append(row)
    designs_out = []
    for name, rows in by_name.items():
        best = [row.best() for row in rows]
        points = [
            {
                "recipe": point.recipe,
                "delay_ps": point.delay_ps,
                "area": point.measurement.area,
                "period": point.measurement.period,
            }
            for point in best
        ]
        periods = [point.measurement.period for point in best]
        designs_out.append(
            {
                "name": name,
                "carry_save": _SWEPT[name],
                "points": points,
                "spread": round(max(periods) / min(periods), 4),
            }
        )
    return {"bits": list(request.widths), "designs": designs_out}


def _sparse(distribution: Distribution) -> dict[str, Any]:
    values = distribution.draw(_REDUCTIONS, _REDUCTION, _SEED)
    cases: Sequence[tuple[str, int, int]] = (
        ("booth", 1, 1),
        ("en-t", 1, 1),
        ("en-t", 1, 16),
        ("en-t", 4, 1),
        ("en-t", 4, 16),
    )
    return {
        "name": distribution.name,
        "rule": distribution.rule,
        "k": _REDUCTION,
        "rows": _REDUCTIONS,
        "seed": _SEED,
        "cases": [
            {
                "recoding": recoding,
                "lanes": lanes,
                "columns": columns,
                **asdict(count(values, recoding=recoding, lanes=lanes, columns=columns)),  # type: ignore[arg-type]
            }
            for recoding, lanes, columns in cases
        ],
    }
