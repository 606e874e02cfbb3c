"""``bitweft bench``: results that are committed, made again."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Protocol, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bitweft import bench_graphs, bench_mapper, bench_pack, bench_pes, bench_proofs, bench_random
from bitweft.bench import CASES, Case, markdown, run_case, versions
from bitweft.bench_random import KINDS, Accelerated, configurations, run_random
from bitweft.minimalloc import run_minimalloc
from bitweft.pack_instances import Instance, draw, folder_of, like
from hw.errors import InputError
from hw.files import require_writable, staged_directory
from tb.formal.catalogue import Proof


class Suite(StrEnum):
    """What can be measured."""

    NETWORKS = "networks"
    RANDOM = "random"
    PACK = "pack"
    PROOFS = "proofs"
    MAPPER = "mapper"
    PES = "pes"
    GRAPHS = "graphs"


def bench_command(
    suite: Annotated[Suite, typer.Argument(help="Which results.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for SUITE.json and SUITE.md.")
    ] = Path("reports/results"),
    pattern: Annotated[
        str,
        typer.Option(
            "--filter", metavar="RE", help="Networks, proofs, mapper: whose name it finds."
        ),
    ] = "",
    programs: Annotated[int, typer.Option(min=0, help="Random: programs.")] = 500,
    networks: Annotated[int, typer.Option(min=0, help="Random: networks.")] = 500,
    faults: Annotated[int, typer.Option(min=0, help="Random: faults.")] = 300,
    graphs: Annotated[int, typer.Option(min=1, help="Graphs: how many.")] = 10_000,
    first: Annotated[
        int, typer.Option(min=0, help="Graphs: number of the first one, to go on from there.")
    ] = 0,
    seed: Annotated[
        int, typer.Option(min=0, max=2**31 - 1, help="Random, mapper, graphs: of everything.")
    ] = 1,
    specs: Annotated[
        list[str] | None,
        typer.Option(
            "--spec",
            help="Random: accelerator to run on; may be given several times.",
            show_default="small ones of each PE",
        ),
    ] = None,
    instances: Annotated[
        Path | None,
        typer.Option(help="Pack: folder of files NAME.CAPACITY.csv, beside the drawn instances."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Pack: seeds 0, 1, ... of each file.")] = 10,
    drawn: Annotated[int, typer.Option(min=0, help="Pack: drawn instances of each kind.")] = 1,
    minimalloc: Annotated[
        Path | None,
        typer.Option(help="Pack: program of google/minimalloc, to run beside on each instance."),
    ] = None,
    time_limit: Annotated[float, typer.Option(min=0, help="Pack, mapper: seconds of each.")] = 10.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results for machines here too.")
    ] = None,
) -> None:
    """Run networks, or random cases, on the simulated hardware and write the table of results.

    `networks` runs whole networks; the large ones take minutes each, most of it for compiling the
    hardware once. `random` runs random programs and small networks under random stalls of the
    memory, and random faults. `pack` packs buffers of fixed lifetimes: files, instances drawn in
    their likeness, and others. `proofs` proves what the PEs and streams do, and injects faults
    that must break the proofs. `mapper` maps every network at MR, MH and MP beside the baselines.
    `graphs` maps random graphs and compares with brute force. `pes` runs two networks with each PE
    in the array, and says what that means at equal area (extra 'ppa'). Ends with exit status 1
    when a value, a byte, a cycle or an error code differs, a packing or a plan is wrong, or a file
    of `--instances` is not packed.

    Example: bitweft bench networks --filter 'tiny' -o results/
    """
    if json_file is not None:
        require_writable(json_file)
    console = Console()
    run: Callable[[], tuple[dict[str, Any], str]]
    if suite is Suite.NETWORKS:
        run = partial(_networks, _cases(pattern, CASES), console)
    elif suite is Suite.PACK:
        files = folder_of(instances) if instances is not None else []
        run = partial(_pack, files, drawn, seeds, time_limit, minimalloc, console)
    elif suite is Suite.MAPPER:
        run = partial(_mapper, _cases(pattern, bench_mapper.CASES), time_limit, seed, console)
    elif suite is Suite.GRAPHS:
        run = partial(_graphs, range(first, first + graphs), seed, console)
    elif suite is Suite.PES:
        run = partial(_pes, _cases(pattern, bench_pes.VARIANTS), console)
    elif suite is Suite.PROOFS:
        run = partial(_proofs, bench_proofs.chosen(pattern), console)
    else:
        counts = dict(zip(KINDS, (programs, networks, faults), strict=True))
        run = partial(_random, counts, configurations(specs or []), seed, console)
    with staged_directory(output) as folder:
        content, page = run()
        text = json.dumps(content, indent=2) + "\n"
        (folder / f"{suite.value}.json").write_text(text, encoding="utf-8")
        (folder / f"{suite.value}.md").write_text(page, encoding="utf-8")
    if json_file is not None:
        json_file.write_text(text, encoding="utf-8")
    if not _agrees(suite, content):
        raise typer.Exit(1)


def _agrees(suite: Suite, content: dict[str, Any]) -> bool:
    if suite is Suite.NETWORKS:
        return all(result["agrees"] for result in content["results"])
    if suite is Suite.MAPPER:
        return all(result["checked"] for result in content["results"])
    if suite is Suite.GRAPHS:
        return not content["violations"]
    if suite is Suite.PES:
        return all(map(_pe_agrees, content["results"]))
    if suite is Suite.PROOFS:
        return bench_proofs.agrees(content["results"])
    if suite is Suite.PACK:
        return all(
            not r["wrong"] and (r["family"] or r["status"] == "packed") for r in content["results"]
        )
    return not content["mismatches"]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


C = TypeVar("C", bound=_Named)


def _cases(pattern: str, among: Sequence[C]) -> list[C]:
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--filter must be a regular expression, not {pattern!r} ({error})."
        ) from error
    cases = [case for case in among if expression.search(case.name)]
    if not cases:
        names = "; ".join(case.name for case in among)
        raise InputError(
            f"--filter must find a case, not none with {pattern!r}; cases are {names}."
        )
    return cases


def _mapper(
    cases: Sequence[bench_mapper.Case], seconds: float, seed: int, console: Console
) -> tuple[dict[str, Any], str]:
    results: list[dict[str, Any]] = []
    for case in cases:
        with console.status(escape(case.name)) as status:
            found = bench_mapper.run_case(case, seconds, seed, lambda s: status.update(escape(s)))
        results += found
        for r in found:
            verdict = "" if r["checked"] else ", [red]REFUSED BY THE CHECKER[/]"
            console.print(
                f"{escape(r['case'])} at {r['budget']}: {r['objective_bytes']:,} B, {r['status']}, "
                f"gap {100 * r['gap']:.1f} %, {r['seconds']} s{verdict}"
            )
    made = bench_mapper.versions(seconds, seed)
    return {"made_with": made, "results": results}, bench_mapper.markdown(results, made)


def _graphs(numbers: range, seed: int, console: Console) -> tuple[dict[str, Any], str]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("graphs", total=len(numbers))
        results = bench_graphs.run_graphs(
            numbers,
            seed,
            lambda number: bar.update(task, advance=1, description=f"graph {number}"),
        )
    for violation in results.violations:
        wrong = escape("; ".join(violation["wrong"]))
        console.print(f"[red]graph {violation['number']}[/]: {wrong}")
    for tally in results.content()["results"]:
        console.print(
            f"{tally['graphs']:,} graphs of {tally['operators']} operators: {tally['optimal']:,} "
            f"proven optimal, {tally['reached']:,} of {tally['brute_forced']:,} at the optimum of "
            "brute force"
        )
    made = {**bench_graphs.versions(seed), "graphs": f"{numbers[0]} to {numbers[-1]}"}
    content = {"made_with": made, **results.content()}
    return content, bench_graphs.markdown(content)


def _proofs(selected: Sequence[Proof], console: Console) -> tuple[dict[str, Any], str]:
    def show(result: dict[str, Any]) -> None:
        verdict = "proved" if result["proved"] else "[red]NOT PROVED[/]"
        line = f"{escape(result['proof'])}: {verdict} in {result['seconds']} s"
        if "faults" in result:
            found = result["faults"] - len(result["survivors"])
            line = f"{escape(result['proof'])}: {found} of {result['faults']} faults found"
        console.print(line)

    before = os.times()
    results = bench_proofs.run_proofs(selected, jobs=os.cpu_count() or 1, progress=show)
    after = os.times()
    spent = [new - old for old, new in zip(before[:4], after[:4], strict=True)]
    versions_of_proofs = bench_proofs.made_with()
    cpu_seconds = round(sum(spent), 1)
    content = {"made_with": versions_of_proofs, "cpu_seconds": cpu_seconds, "results": results}
    return content, bench_proofs.markdown(results, versions_of_proofs, cpu_seconds)


def _pes(variants: Sequence[bench_pes.Variant], console: Console) -> tuple[dict[str, Any], str]:
    results: list[dict[str, Any]] = []
    for variant in variants:
        with console.status(escape(variant.name)) as status:
            result = bench_pes.run_variant(variant, lambda what: status.update(escape(what)))
        results.append(result)
        verdict = "agrees" if _pe_agrees(result) else "[red]DIFFERS[/]"
        console.print(
            f"{escape(variant.name)}: {result['area_um2']:,} um2, {result['period_ns']} ns, {verdict}"
        )
    made = bench_pes.versions()
    return {"made_with": made, "results": results}, bench_pes.markdown(results, made)


def _pe_agrees(result: dict[str, Any]) -> bool:
    return all(part["agrees"] for part in result.values() if isinstance(part, dict))


def _networks(cases: Sequence[Case], console: Console) -> tuple[dict[str, Any], str]:
    results: list[dict[str, Any]] = []
    for case in cases:
        with console.status(escape(case.name)) as status:

            def progress(what: str, share: float | None, name: str = case.name) -> None:
                done = "" if share is None else f" {100 * share:.0f} %"
                status.update(escape(f"{name}: {what}{done}"))

            result = run_case(case, progress)
        results.append(result)
        verdict = "agrees" if result["agrees"] else "[red]DIFFERS[/]"
        console.print(
            f"{escape(case.name)}: {result['cycles_counted']:,} cycles, "
            f"{100 * result['utilisation']:.1f} % utilisation, {verdict}"
        )
    return {"made_with": versions(), "results": results}, markdown(results, versions())


def _pack(
    files: Sequence[Instance],
    drawn: int,
    seeds: int,
    seconds: float,
    minimalloc: Path | None,
    console: Console,
) -> tuple[dict[str, Any], str]:
    with console.status("compiling the search") as status:
        results = bench_pack.run_packing(files, seeds, seconds, status.update)
        drawn_ones = []
        for number in range(drawn):
            status.update(f"drawing instances {number}")
            drawn_ones += [*like(files, number), *draw(number)]
        results += bench_pack.run_packing(drawn_ones, 1, seconds, status.update)
        if minimalloc is not None:
            first = {r["instance"]: r for r in results if r["seed"] == 0}
            for other in run_minimalloc(minimalloc, [*files, *drawn_ones], seconds, status.update):
                first[other.pop("instance")]["minimalloc"] = other
    made_with = bench_pack.versions(seconds)
    packed = sum(r["status"] == "packed" for r in results)
    console.print(f"{packed} of {len(results)} packed")
    return {"made_with": made_with, "results": results}, bench_pack.page(results, made_with)


def _random(
    counts: Mapping[str, int], accelerators: Sequence[Accelerated], seed: int, console: Console
) -> tuple[dict[str, Any], str]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task("building", total=sum(counts.values()))
        results = run_random(
            counts,
            accelerators,
            seed,
            lambda kind, number: bar.update(task, advance=1, description=kind),
        )
    for tally in results.tallies:
        verdict = f"[red]{tally.mismatches:,} DIFFER[/]" if tally.mismatches else "no mismatch"
        console.print(f"{tally.cases:,} {tally.kind} on {escape(tally.accelerator)}: {verdict}")
    content = {"made_with": versions(seed), **results.content()}
    return content, bench_random.markdown(content)
