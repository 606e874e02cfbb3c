"""The mapper on thousands of random graphs: what must hold for every plan, judged from outside."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from random import Random
from typing import Any

from mapper.brute_force import least_traffic
from mapper.brute_force_addresses import least_traffic_with_addresses
from mapper.budget import Budget, largest_operator
from mapper.check import check_plan
from mapper.graph import Graph
from mapper.mapping import map_graph
from mapper.plan import Plan, Source
from mapper.random_graphs import random_graph, with_after
from mapper.schedule.solver import Limits

__all__ = ["Drawn", "GraphResults", "Tally", "draw", "judge", "markdown", "run_graphs", "versions"]

# Brute force has millions of states soon after.
BRUTE_FORCED = 7

# Most graphs have an optimum that brute force finds; some are as large as it takes to need more
# than one window or cut.
_OPERATORS = (3, 4, 5, 5, 6, 6, 7, 7, 7, 7, 8, 9, 11)
_LARGEST = (2, 4, 9, 16)
_EFFORT = 4.0


@dataclass(frozen=True)
class Drawn:
    """A case: a graph, a scratchpad in which its largest operator just fits or nearly, a larger one."""

    graph: Graph
    capacity: int
    larger: int


@dataclass
class Tally:
    """What the graphs of one size have shown.

    Attributes
    ----------
    operators : int
    graphs : int
    optimal : int
        Plans that are proven optimal.
    spilling : int
        Plans with non-compulsory traffic: the others show little.
    brute_forced : int
        Graphs whose optimum, addresses left out, was found by trying everything.
    reached : int
        Of these, plans that are optimal with addresses: they reach the optimum without, or the one
        that brute force finds when it tries every address.
    fragmented : int
        Of these, plans whose optimum is above the one without addresses.
    """

    operators: int
    graphs: int = 0
    optimal: int = 0
    spilling: int = 0
    brute_forced: int = 0
    reached: int = 0
    fragmented: int = 0


@dataclass
class GraphResults:
    """Tallies by size, every violation, and a digest of all plans."""

    tallies: dict[int, Tally] = field(default_factory=dict)
    violations: list[dict[str, Any]] = field(default_factory=list)
    digest: str = ""

    def content(self) -> dict[str, Any]:
        """For machines."""
        return {
            "results": [asdict(self.tallies[n]) for n in sorted(self.tallies)],
            "violations": self.violations,
            "sha256_of_plans": self.digest,
        }


def draw(seed: int, number: int) -> Drawn:
    """Case `number` of a seed; it depends on nothing else."""
    random = Random(f"{seed} {number}")
    largest = random.choice(_LARGEST)
    graph = random_graph(random.getrandbits(48), random.choice(_OPERATORS), largest=largest)
    if random.random() < 0.25:
        graph = with_after(graph, random.getrandbits(48))
    capacity = largest_operator(graph)[1] + random.randrange(3)
    return Drawn(graph, capacity, capacity + random.randint(1, 2 * largest))


def run_graphs(
    numbers: Iterable[int], seed: int, on_case: Callable[[int], object] = lambda number: None
) -> GraphResults:
    """Maps the cases of these numbers and judges every plan."""
    results, digest = GraphResults(), hashlib.sha256()
    for number in numbers:
        drawn = draw(seed, number)
        count = len(drawn.graph.operators)
        tally = results.tallies.setdefault(count, Tally(count))
        wrong, text = judge(drawn, tally)
        digest.update(text.encode())
        if wrong:
            results.violations.append({"number": number, "operators": count, "wrong": wrong})
        on_case(number)
    results.digest = digest.hexdigest()
    return results


def judge(drawn: Drawn, tally: Tally) -> tuple[list[str], str]:
    """Maps one case three times; returns what is wrong, in words, and the plan as it is written."""
    tally.graphs += 1
    plan, again, roomy = (
        _plan(drawn.graph, capacity) for capacity in (drawn.capacity, drawn.capacity, drawn.larger)
    )
    if plan is None or again is None or roomy is None:
        return [f"no plan in {drawn.capacity} or {drawn.larger} bytes, but every operator fits"], ""
    text = plan.text()
    wrong = []
    for capacity, made in ((drawn.capacity, plan), (drawn.larger, roomy)):
        broken = check_plan(json.loads(made.text()))
        if broken is not None:
            wrong.append(f"in {capacity} bytes the checker refuses {broken.rule}: {broken.detail}")
    if again.text() != text:
        wrong.append("the same input and seed gave other bytes")
    if roomy.objective_bytes > plan.objective_bytes:
        wrong.append(
            f"{drawn.larger} bytes of scratchpad moved {roomy.objective_bytes} bytes, "
            f"{drawn.capacity} only {plan.objective_bytes}"
        )
    if tally.operators <= BRUTE_FORCED:
        least = least_traffic(drawn.graph, drawn.capacity)
        tally.brute_forced += 1
        if plan.objective_bytes > least:
            free, least = least_traffic_with_addresses(drawn.graph, drawn.capacity)
            tally.fragmented += least > free
        tally.reached += plan.objective_bytes == least
        if not plan.bound_bytes <= least <= plan.objective_bytes:
            wrong.append(
                f"the least traffic is {least} bytes, not from {plan.bound_bytes} to "
                f"{plan.objective_bytes}"
            )
    tally.optimal += plan.status == "optimal"
    tally.spilling += plan.objective_bytes > 0
    return wrong, text


def _plan(graph: Graph, capacity: int) -> Plan | None:
    source = Source(graph.name, "0" * 64, 8, 8, 1, "bytes")
    return map_graph(graph, Budget("bytes", capacity), source, limits=Limits(effort=_EFFORT)).plan


def versions(seed: int) -> dict[str, str]:
    """What a result was made with."""
    packages = ("bitweft", "ortools", "numba", "numpy")
    return {
        **{package: metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "seed": str(seed),
    }


def markdown(content: Mapping[str, Any]) -> str:
    """The results as a page."""
    total = {
        name: sum(r[name] for r in content["results"])
        for name in ("graphs", "optimal", "spilling", "brute_forced", "reached", "fragmented")
    }
    lines = [
        "# The mapper on random graphs",
        "",
        (
            "Made by `bitweft bench graphs`. Each graph has one or two inputs, operators with one to "
            "three operands, some with two results, tensors of 1 to 16 bytes, in every fourth "
            "operators that wait for others without a tensor, and a scratchpad in which the largest "
            "operator fits with at most two bytes to spare. It is mapped twice, which must give the "
            "same bytes, and once with more scratchpad, which must not move more. The independent "
            "checker judges the plans. Brute force tries everything on graphs of at most "
            f"{BRUTE_FORCED} operators, addresses left out; where a plan, which has addresses, does "
            "not reach that optimum, every address as well. The optimum must lie between bound and "
            "objective of the plan. Fragmented are those whose optimum is higher with addresses."
        ),
        "",
        (
            "| operators | graphs | proven optimal | with traffic | brute forced | optimum reached "
            "| fragmented |"
        ),
        "|---|---|---|---|---|---|---|",
    ]
    rows = [*content["results"], {"operators": "all", **total}]
    lines += [
        f"| {r['operators']} | {r['graphs']:,} | {r['optimal']:,} | {r['spilling']:,} "
        f"| {r['brute_forced']:,} | {r['reached']:,} | {r['fragmented']:,} |"
        for r in rows
    ]
    lines += ["", f"SHA-256 of all plans: `{content['sha256_of_plans']}`.", "", "## Violations", ""]
    lines += [
        f"* graph {v['number']} ({v['operators']} operators): {'; '.join(v['wrong'])}."
        for v in content["violations"]
    ] or ["None."]
    made = ", ".join(f"{name} {version}" for name, version in content["made_with"].items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])
