"""mapper.pack.portfolio and the compiled search beneath it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from mapper.pack import Buffer, kernel, portfolio
from mapper.pack.arrays import Part, Rules, Window, part_of, state_of
from mapper.pack.buffers import live_sets
from mapper.pack.portfolio import ARMS, Arm, Budget, Search, luby
from mapper.pack_file import read_buffers
from tests.packing_instances import cut_memory, exchanges, packable, valid

PUBLISHED = Path(__file__).parent / "data" / "minimalloc"


def _part(buffers: list[Buffer], capacity: int) -> Part:
    windows = [Window(*b, 0, capacity) for b in buffers]
    return part_of(windows, live_sets(buffers))


def _decided(search: Search, work: int = 10**9) -> str:
    budget, status = Budget(work), "unknown"
    while status == "unknown" and not budget.spent():
        status = search.start(budget)
    return status


def test_every_arm_agrees_with_cp_sat() -> None:
    """First fit and the load do not answer here: the search does, feasible or not."""
    outcomes = Counter[bool]()
    for seed in range(300):
        random = Random(seed)
        capacity = random.randint(10, 16)
        buffers = exchanges(random, capacity, random.randint(8, 20))
        expected = packable(buffers, capacity)
        outcomes[expected] += 1
        arms: list[Arm] = [*random.sample(ARMS, 3), Arm("size", 3, True, True)]
        for arm in arms:
            search = Search(_part(buffers, capacity), seed, [arm])
            assert _decided(search) == ("packed" if expected else "infeasible"), (seed, arm)
            assert not expected or valid(buffers, search.offsets(), capacity)
    assert outcomes[False] >= 20, outcomes


def test_windows_of_offsets() -> None:
    outcomes = Counter[bool]()
    for seed in range(200):
        random = Random(seed)
        buffers = exchanges(random, 6, 4)
        windows = []
        for b in buffers:
            bottom = random.choice((0, 0, random.randint(0, 2)))
            windows.append(Window(*b, bottom, random.randint(max(5, b.size + bottom), 8)))
        expected = any(True for _ in _placements(windows))
        outcomes[expected] += 1
        for arm in (ARMS[0], ARMS[7]):
            search = Search(part_of(windows, live_sets(buffers)), seed, [arm])
            assert _decided(search) == ("packed" if expected else "infeasible"), seed
            if expected:
                assert valid(buffers, search.offsets(), 8)
                for window, offset in zip(windows, search.offsets(), strict=True):
                    assert window.bottom <= offset <= window.top - window.size
    assert min(outcomes.values()) > 15, outcomes


def _placements(windows: list[Window], done: tuple[int, ...] = ()):  # type: ignore[no-untyped-def]
    """All offsets, by trying each in turn."""
    if len(done) == len(windows):
        yield done
        return
    w = windows[len(done)]
    meeting = [
        (at, at + c.size)
        for c, at in zip(windows, done, strict=False)
        if c.lower < w.upper and w.lower < c.upper
    ]
    for offset in range(w.bottom, w.top - w.size + 1):
        if all(offset + w.size <= low or high <= offset for low, high in meeting):
            yield from _placements(windows, (*done, offset))


@pytest.mark.parametrize("field", ["trail_where", "frame", "child"])
def test_what_runs_out_of_rows_is_aborted_and_not_infeasible(field: str) -> None:
    buffers = cut_memory(Random(1), 60, 256)
    part = _part(buffers, 256)
    rules = Rules(part.kind, 0, 0, 0)
    roomy = state_of(part)
    for length in range(2, 40):
        state = roomy._replace(**{field: getattr(roomy, field)[:length]})
        kernel.reset(part, state, 1)
        assert state.scalars[kernel.FULL] or (
            kernel.advance(part, state, rules, 10**6, 10**9) == kernel.ABORTED
        )


def test_an_aborted_start_gets_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def cramped(part: Part, *, scale: int = 1):  # type: ignore[no-untyped-def]
        state = state_of(part)
        return state._replace(frame=state.frame[: 4 * scale])

    monkeypatch.setattr(portfolio, "state_of", cramped)
    buffers = cut_memory(Random(1), 60, 256)
    search = Search(_part(buffers, 256), 0)
    assert search.start(Budget(10**9)) == "unknown"
    assert _decided(search) == "packed"
    assert valid(buffers, search.offsets(), 256)


@pytest.mark.parametrize("work", [1, 100, 5000])
def test_pausing_changes_nothing(work: int) -> None:
    buffers = cut_memory(Random(2), 80, 512, 0.01)
    part = _part(buffers, 512)
    ends = []
    for step in (10**9, work):
        state = state_of(part)
        kernel.reset(part, state, 7)
        outcome, pauses = kernel.PAUSED, -1
        while outcome == kernel.PAUSED:
            until = int(state.scalars[kernel.WORK]) + step
            outcome = kernel.advance(part, state, Rules(part.kind, 1, 1, 1), 600, until)
            pauses += 1
        ends.append((outcome, state.scalars.tolist(), state.bounds.tolist(), state.offset.tolist()))
        assert (pauses > 0) == (step == work)
    assert ends[0] == ends[1]


def test_luby() -> None:
    assert [luby(i) for i in range(1, 16)] == [1, 1, 2, 1, 1, 2, 4, 1, 1, 2, 1, 1, 2, 4, 8]


@pytest.mark.parametrize("name", ["A", "B", "C"])
def test_published_instances(name: str) -> None:
    buffers = read_buffers(PUBLISHED / f"{name}.1048576.csv").buffers
    scaled = [b._replace(size=b.size // 1024) for b in buffers]
    search = Search(_part(scaled, 1024), 1)
    assert _decided(search) == "packed"
    assert valid(buffers, [1024 * o for o in search.offsets()], 1 << 20)


def test_the_compiler_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, mapper.pack as p; p.pack([p.Buffer(0, 1, 1)], 1); assert 'numba' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_interrupted_within_a_start() -> None:
    code = """
import signal
from random import Random
from mapper.limits import Limits
from mapper.pack import pack
from tests.packing_instances import cut_memory
signal.signal(signal.SIGINT, signal.default_int_handler)
told = []
def tell(starts, nodes):
    if not told:
        print("searching", flush=True)
        told.append(1)
pack(cut_memory(Random(77), 200, 1024, 0.02), 1024, limits=Limits(effort=1e6), on_progress=tell)
"""
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "searching\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.rstrip().endswith("KeyboardInterrupt")
