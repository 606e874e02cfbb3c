"""Runs the suite in parallel processes and gathers what they found."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path

from hw.errors import InputError
from sim.runner.process import stop_group
from sim.runner.toolchain import simulation_environment
from tb.suite import Bench

__all__ = ["Outcome", "junit", "regress", "select"]


@dataclass(frozen=True)
class Outcome:
    """Result of one test.

    Attributes
    ----------
    bench, test : str
    seconds : float
        Wall-clock time of the test itself.
    failure : str, optional
        Why it failed; None when it passed.
    waves : Path, optional
        Waveform of the failure.
    ran : bool
        False when the model could not be built, or crashed before the test had a result.
    """

    bench: str
    test: str
    seconds: float
    failure: str | None = None
    waves: Path | None = None
    ran: bool = True

    @property
    def passed(self) -> bool:
        return self.failure is None


def select(benches: Sequence[Bench], pattern: str | None) -> list[tuple[Bench, list[str]]]:
    """The tests whose ``bench.test`` name `pattern` finds, by bench.

    Raises
    ------
    InputError
        `pattern` is no regular expression, or finds no test.
    """
    try:
        expression = re.compile(pattern or "")
    except re.error as error:
        raise InputError(
            f"--filter must be a regular expression, not {pattern!r} ({error})."
        ) from error
    chosen = []
    for bench in benches:
        tests = [test for test in bench.tests() if expression.search(f"{bench.name}.{test}")]
        if tests:
            chosen.append((bench, tests))
    if not chosen:
        names = ", ".join(bench.name for bench in benches)
        raise InputError(
            f"--filter must find a test, not none with {pattern!r}; benches are {names}."
        )
    return chosen


def regress(
    chosen: Sequence[tuple[Bench, list[str]]],
    *,
    seed: int,
    jobs: int,
    waves: Path | None,
    progress: Callable[[Bench, list[Outcome]], None] = lambda bench, outcomes: None,
) -> list[Outcome]:
    """Runs tests, each bench in a process of its own; results in the order of `chosen`.

    A failed test is run again with the same seed on a model that records waves, and its waveform is
    kept under `waves` as ``BENCH.TEST.vcd``; without `waves` it is not.

    Raises
    ------
    InputError
        A program that simulation needs is missing.
    """
    environment = simulation_environment("cocotb")
    running: set[subprocess.Popen[str]] = set()
    results: dict[str, list[Outcome]] = {}

    def one(bench: Bench, tests: list[str]) -> list[Outcome]:
        outcomes = _run(bench, tests, seed, environment, running)
        if waves is None:
            return outcomes
        return [
            _with_waves(o, bench, seed, environment, running, waves) if o.ran and o.failure else o
            for o in outcomes
        ]

    pool = ThreadPoolExecutor(max_workers=jobs)
    try:
        pending = {pool.submit(one, bench, tests): bench for bench, tests in chosen}
        for future in as_completed(pending):
            bench = pending[future]
            results[bench.name] = future.result()
            progress(bench, results[bench.name])
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in list(running):
            stop_group(process)
        raise
    pool.shutdown()
    return [outcome for bench, _ in chosen for outcome in results[bench.name]]


def junit(outcomes: Sequence[Outcome], seed: int) -> str:
    """One JUnit XML document with a test suite per bench."""
    root = ET.Element("testsuites", name="bitweft regress")
    for name in dict.fromkeys(outcome.bench for outcome in outcomes):
        of_bench = [outcome for outcome in outcomes if outcome.bench == name]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(of_bench)),
            failures=str(sum(not outcome.passed for outcome in of_bench)),
            errors="0",
            time=f"{sum(outcome.seconds for outcome in of_bench):.3f}",
        )
        properties = ET.SubElement(suite, "properties")
        ET.SubElement(properties, "property", name="seed", value=str(seed))
        for outcome in of_bench:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=name,
                name=outcome.test,
                time=f"{outcome.seconds:.3f}",
            )
            if outcome.failure is not None:
                failure = ET.SubElement(case, "failure", message=outcome.failure.splitlines()[0])
                failure.text = outcome.failure
            if outcome.waves is not None:
                ET.SubElement(case, "system-out").text = f"[[ATTACHMENT|{outcome.waves}]]"
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _run(
    bench: Bench,
    tests: Sequence[str],
    seed: int,
    environment: dict[str, str],
    running: set[subprocess.Popen[str]],
    keep_waves: Path | None = None,
) -> list[Outcome]:
    """Runs tests of a bench in a worker process; `keep_waves` takes the recorded waveform."""
    job = {
        "bench": bench.to_json(),
        "seed": seed,
        "tests": list(tests),
        "waves": keep_waves is not None,
    }
    with tempfile.TemporaryDirectory(prefix="bitweft-") as scratch:
        process = subprocess.Popen(
            [sys.executable, "-m", "tb.worker", scratch],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            # A group of its own: Ctrl-C must end the simulator and the compiler below it too.
            start_new_session=True,
        )
        running.add(process)
        try:
            output, _ = process.communicate(json.dumps(job))
        finally:
            running.discard(process)
        waveform = Path(scratch) / "dump.vcd"
        if keep_waves is not None and waveform.is_file():
            keep_waves.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(waveform, keep_waves)
        found = _read(Path(scratch) / "results.xml", bench.name)
    missing = f"no result; the worker ended with status {process.returncode}:\n{output[-4000:]}"
    lost = {test: Outcome(bench.name, test, 0.0, missing, ran=False) for test in tests}
    return [found.get(test, lost[test]) for test in tests]


def _read(results: Path, bench: str) -> dict[str, Outcome]:
    """Outcomes in cocotb's result file, by test; none where there is no such file."""
    if not results.is_file():
        return {}
    outcomes = {}
    for case in ET.parse(results).getroot().iter("testcase"):
        problem = next((p for tag in ("failure", "error") for p in case.iter(tag)), None)
        failure = None
        if problem is not None:
            text = (problem.get("error_msg") or problem.get("message") or "failed").strip()
            failure = "\n".join(part for part in (text, (problem.text or "").strip()) if part)
        name = (case.get("name") or "").rpartition(".")[2]
        outcomes[name] = Outcome(bench, name, float(case.get("time") or 0), failure)
    return outcomes


def _with_waves(
    outcome: Outcome,
    bench: Bench,
    seed: int,
    environment: dict[str, str],
    running: set[subprocess.Popen[str]],
    waves: Path,
) -> Outcome:
    file = waves / f"{bench.name}.{outcome.test}.vcd"
    _run(bench, [outcome.test], seed, environment, running, file)
    return replace(outcome, waves=file if file.is_file() else None)
