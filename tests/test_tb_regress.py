"""tb.regress: the regression passes, and would not pass on faulty hardware."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from hw.errors import InputError
from hw.pe.carry_save import CarrySave
from hw.pe.mac import Mac
from tb.regress import Outcome, junit, regress, select
from tb.suite import Bench, suite
from tests.support import smallest

# Each fault is one that a designer could make; the test beside it must notice.
FAULTS = [
    ("every step starts a new sum", Mac(), ("tag[0] & starts", "tag[0]"), "single_tiles"),
    ("columns are never busy", Mac(), ("= ! busy", "= 1'h1 | ! busy"), "back_to_back"),
    ("the queue accepts a third beat", Mac(), ("!= 2'h2", "!= 2'h3"), "blocked_consumer"),
    ("no bias is taken out", CarrySave(), ("32'd4294945536", "32'd0"), "extremes"),
]


STATIONARY_FAULTS = [
    ("weights overtake a block", Mac(), ("moved != 2'h2", "moved != 2'h3"), "back_to_back"),
    ("a row's sum is not back", Mac(), ("= ! settle", "= 1'h1 | ! settle"), "single_rows"),
]


@pytest.mark.parametrize("bench", suite(), ids=lambda bench: bench.name)
def test_suite(bench: Bench, tmp_path: Path) -> None:
    outcomes = regress([(bench, bench.tests())], seed=1, jobs=1, waves=tmp_path)
    assert [o.test for o in outcomes] == bench.tests()
    assert [o for o in outcomes if not o.passed] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("fault", "pe", "patch", "test"), FAULTS, ids=lambda value: str(value))
def test_faults_are_caught(
    fault: str, pe: Mac | CarrySave, patch: tuple[str, str], test: str, tmp_path: Path
) -> None:
    assert_caught(Bench("faulty", pe, 2, 2, patch=patch), test, tmp_path)


@pytest.mark.parametrize(
    ("fault", "pe", "patch", "test"), STATIONARY_FAULTS, ids=lambda value: str(value)
)
def test_faults_where_weights_stand_still_are_caught(
    fault: str, pe: Mac | CarrySave, patch: tuple[str, str], test: str, tmp_path: Path
) -> None:
    bench = Bench.stationary("faulty", pe, 2, 2, 3)
    assert_caught(replace(bench, patch=patch), test, tmp_path)


def assert_caught(bench: Bench, test: str, waves: Path) -> None:
    (outcome,) = regress([(bench, [test])], seed=1, jobs=1, waves=waves)
    assert outcome.ran
    assert outcome.failure is not None
    waveform = waves / f"faulty.{test}.vcd"
    assert outcome.waves == waveform
    assert waveform.read_text().startswith("$version")


def test_the_smallest_accelerator_passes(tmp_path: Path) -> None:
    bench = Bench.of(smallest())
    outcomes = regress([(bench, bench.tests())], seed=1, jobs=1, waves=tmp_path)
    assert [o for o in outcomes if not o.passed] == []


def test_a_device_that_cannot_be_built_is_a_failure_without_a_waveform(tmp_path: Path) -> None:
    bench = Bench("broken", Mac(), 2, 2, patch=("module top(", "module top(;"))
    (outcome,) = regress([(bench, ["extremes"])], seed=1, jobs=1, waves=tmp_path)
    assert not outcome.ran
    assert outcome.failure is not None
    assert outcome.failure.startswith("no result; the worker ended with status 1:")
    assert list(tmp_path.iterdir()) == []


def test_each_bench_has_a_name_and_tests_of_its_own() -> None:
    benches = suite()
    assert len({bench.name for bench in benches}) == len(benches)
    assert benches[0].tests() == [
        "single_tiles",
        "sizes_with_tails",
        "back_to_back",
        "random_stalls",
        "blocked_consumer",
        "reset_in_mid_tile",
        "extremes",
        "random_gemms",
    ]
    assert benches[-1].name == "accelerator[tiny]"
    assert benches[-1].tests() == [
        "registers",
        "short_program",
        "stalled_program",
        "transfers",
        "illegal_programs",
        "bus_errors",
        "stop_while_offering",
        "reset_in_mid_run",
    ]


def test_a_bench_survives_its_text_form() -> None:
    for bench in suite():
        assert Bench.from_json(bench.to_json()) == bench
    faulty = Bench("x", Mac(), 2, 2, patch=("a", "b", "c", "d"), plusargs=("fault=3",))
    assert Bench.from_json(faulty.to_json()) == faulty


def test_filter_finds_tests_by_full_name() -> None:
    chosen = select(suite(), r"mac-.*\.extremes$")
    assert [(b.name, t) for b, t in chosen] == [
        ("systolic_array[mac-4x4]", ["extremes"]),
        ("systolic_array[mac-3x5-uint8]", ["extremes"]),
        ("systolic_array[mac-1x7-int16-48bit]", ["extremes"]),
        ("weight_stationary[mac-4x4]", ["extremes"]),
    ]
    assert select(suite(), None) == [(b, b.tests()) for b in suite()]


def test_filters_that_cannot_be_used() -> None:
    with pytest.raises(InputError, match=r"^--filter must be a regular expression, not '\('"):
        select(suite(), "(")
    with pytest.raises(InputError, match=r"^--filter must find a test, not none with 'zzz'; ben"):
        select(suite(), "zzz")


def test_junit_counts_failures_and_names_waveforms() -> None:
    outcomes = [
        Outcome("b1", "t1", 0.5),
        Outcome("b1", "t2", 0.25, "wrong <value>\nmore", Path("waves/b1.t2.vcd")),
        Outcome("b2", "t1", 1.0),
    ]
    root = ET.fromstring(junit(outcomes, 7).encode())
    assert [(s.get("name"), s.get("tests"), s.get("failures")) for s in root] == [
        ("b1", "2", "1"),
        ("b2", "1", "0"),
    ]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "wrong <value>"
    assert "waves/b1.t2.vcd" in "".join(root.itertext())
    assert {p.get("value") for p in root.iter("property")} == {"7"}
