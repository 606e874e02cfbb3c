"""The mapper on every network at the literature's budgets, as a table that anyone can make again."""

from __future__ import annotations

import json
import platform
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from statistics import mean
from typing import Any

from mapper.budget import largest_operator, resolve_budget
from mapper.check import check_plan
from mapper.graph import Graph
from mapper.limits import Limits
from mapper.mapping import map_graph
from mapper.networks.registry import NETWORKS, find_network
from mapper.onnx_file import read_model
from mapper.onnx_import import Layout, graph_of
from mapper.plan import Source
from mapper.schedule.baselines import METHODS

__all__ = [
    "BUDGETS",
    "CASES",
    "Case",
    "graph_of_case",
    "markdown",
    "reductions",
    "run_case",
    "versions",
]

BUDGETS = ("MR", "MH", "MP")
WORKERS = 2  # one looks for schedules while the other looks for bounds
# More wirings of RandWire than the one of the list, of 24 and 32 nodes a stage.
_WIRINGS = [(nodes, seed) for nodes in (24, 32) for seed in (10, 20, 30)]


@dataclass(frozen=True)
class Case:
    """A network as `bitweft networks` names it, and its options."""

    network: str
    options: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Network and options."""
        given = ", ".join(f"{name} {value}" for name, value in self.options.items())
        return f"{self.network} ({given})" if given else self.network


CASES = (
    *(Case(name) for name in NETWORKS),
    *(Case("randwire", {"nodes": nodes, "graph_seed": seed}) for nodes, seed in _WIRINGS),
)


def run_case(
    case: Case,
    time_limit: float,
    seed: int,
    progress: Callable[[str], object] | None = None,
) -> list[dict[str, Any]]:
    """Maps a network at each budget; what the tables and the JSON file hold.

    Parameters
    ----------
    case : Case
    time_limit : float
        Wall-clock seconds of solving for each budget, on two workers.
    seed : int
        Of the mapper.
    progress : callable, optional
        Receives what is being done.
    """
    graph, file = graph_of_case(case)
    results: list[dict[str, Any]] = []
    largest = largest_operator(graph)[1]
    for name in BUDGETS:
        if progress is not None:
            progress(f"{case.name} at {name}")
        budget = resolve_budget(graph, name)
        source = Source(file, "0" * 64, 8, 8, 1, name)
        limits = Limits(effort=100 * time_limit, seconds=time_limit, workers=WORKERS, seed=seed)
        cpu = time.process_time()
        plan = map_graph(graph, budget, source, may_split=False, limits=limits)
        assert plan.plan is not None, "no budget is below the largest operator"
        broken = check_plan(json.loads(plan.plan.text()))
        results.append(
            {
                "case": case.name,
                "budget": name,
                "budget_proven": budget.proven,
                "degenerate": resolve_budget(graph, "MP").bytes == largest,
                "operators": len(graph.operators),
                "scratchpad_bytes": budget.bytes,
                "status": plan.plan.status,
                "objective_bytes": plan.plan.objective_bytes,
                "bound_bytes": plan.plan.bound_bytes,
                "gap": round(plan.plan.gap, 4),
                "baselines": dict(plan.plan.baselines),
                "checked": broken is None,
                "seconds": round(plan.summary["solve_seconds"], 1),
                "cpu_seconds": round(time.process_time() - cpu, 1),
            }
        )
        if results[-1]["degenerate"]:
            break  # the three budgets are one
    return results


def graph_of_case(case: Case) -> tuple[Graph, str]:
    """The graph of a network with weights of no value, and the name of its file."""
    network = find_network(case.network)
    with tempfile.TemporaryDirectory(prefix="bitweft-") as folder:
        model = Path(folder) / f"{case.network}.onnx"
        options = dict(case.options) or None
        model.write_bytes(network.content(options, weights="constant" if network.builder else None))
        return graph_of(read_model(model), layout=Layout()), model.name


def reductions(results: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean reduction of non-compulsory traffic at MR against each baseline of the literature.

    Over the networks that are not degenerate; where a baseline has no such traffic there is nothing
    to reduce, and the network does not count for it.
    """
    rows = [r for r in results if r["budget"] == "MR" and not r["degenerate"]]
    means = {}
    for name in METHODS:
        shares = [
            1 - r["objective_bytes"] / r["baselines"][name] for r in rows if r["baselines"][name]
        ]
        if shares:
            means[name] = mean(shares)
    return means


def versions(time_limit: float, seed: int) -> dict[str, str]:
    """What a result was made with."""
    packages = ("bitweft", "ortools", "numba", "numpy", "onnx")
    return {
        **{package: metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "seed": str(seed),
        "seconds per budget": f"{time_limit:g}",
        "workers": str(WORKERS),
    }


def markdown(results: Sequence[Mapping[str, Any]], made_with: Mapping[str, str]) -> str:
    """The results as a page."""
    lines = [
        "# The mapper on every network",
        "",
        (
            "Made by `bitweft bench mapper`. Int8 activations, dense; kB of non-compulsory traffic "
            "(what is spilled and fetched), addresses included, every plan accepted by the checker. "
            "MR is the largest operator, MP the least peak of any order, MH their mean. Baselines: "
            "greedy-by-size arena allocation along the file's order and along the order of least "
            "peak, with Belady's replacement and with the cheapest set at each step (ILP)."
        ),
        "",
        "## Networks with a choice (MR < MP)",
        "",
        (
            "| network | ops | budget | scratchpad kB | ours | bound | gap | status "
            "| file, Belady | file, ILP | peak, Belady | peak, ILP | s |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        if r["degenerate"]:
            continue
        shown = " | ".join(_kb(r["baselines"][name]) for name in METHODS)
        proven = "" if r["budget_proven"] else " (found)"
        lines.append(
            f"| {r['case']} | {r['operators']} | {r['budget']}{proven} "
            f"| {_kb(r['scratchpad_bytes'])} | {_kb(r['objective_bytes'])} "
            f"| {_kb(r['bound_bytes'])} | {100 * r['gap']:.1f} % | {r['status']} "
            f"| {shown} | {r['seconds']:.1f} |"
        )
    means = reductions(results)
    lines += [
        "",
        "Mean reduction of non-compulsory traffic at MR over these networks:",
        "",
        "| baseline | reduction |",
        "|---|---|",
        *(f"| {name} | {100 * share:.1f} % |" for name, share in means.items()),
        "",
        "## Degenerate networks (MR = MP)",
        "",
        "| network | ops | scratchpad kB | ours | status | worst baseline | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        if r["degenerate"]:
            worst = max(r["baselines"][name] for name in METHODS)
            lines.append(
                f"| {r['case']} | {r['operators']} | {_kb(r['scratchpad_bytes'])} "
                f"| {_kb(r['objective_bytes'])} | {r['status']} | {_kb(worst)} "
                f"| {r['seconds']:.1f} |"
            )
    made = ", ".join(f"{name} {version}" for name, version in made_with.items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])


def _kb(count: int) -> str:
    return "0" if not count else f"{count / 1000:,.1f}"
