"""reports.trace: the schedule as trace events."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

import pytest

from hw.isa import INSTRUCTION_BYTES, Begin, Compute, End, Load, Store, Target
from reports.trace import LANES, trace_text
from tests.planned_networks import Planned, digits_on_tiny, in_patches, spilling

CASES = [digits_on_tiny, lambda: spilling(0), lambda: in_patches(0), lambda: in_patches(1)]
Event = dict[str, Any]


def _trace(case: Planned) -> dict[str, Any]:
    text = trace_text(case.lowered, case.spec, case.timing, "a network")
    content: dict[str, Any] = json.loads(text)
    return content


def _lanes(content: dict[str, Any]) -> dict[str, list[Event]]:
    names = {
        e["tid"]: e["args"]["name"] for e in content["traceEvents"] if e["name"] == "thread_name"
    }
    lanes: dict[str, list[Event]] = defaultdict(list)
    for event in content["traceEvents"]:
        if event["ph"] != "M":
            lanes[names[event["tid"]]].append(event)
    return lanes


@pytest.mark.parametrize("make", CASES)
def test_every_instruction_is_one_event_with_its_cycles(make: Any) -> None:
    case = make()
    content = _trace(case)
    events = {
        e["args"]["instruction"]: e
        for e in content["traceEvents"]
        if "instruction" in e.get("args", {})
    }
    assert sorted(events) == list(range(len(case.lowered.program)))
    for place, instruction in enumerate(case.lowered.program):
        event, span = events[place], case.timing.spans[place]
        lane = LANES[event["tid"] - 1]
        if isinstance(instruction, Begin | End):
            assert (lane, event["ph"], event["ts"]) == ("fetch and dispatch", "i", span.begin)
            continue
        operator, tensor = case.lowered.purposes[place]
        assert event["ph"] == "X"
        assert event["ts"] + event["dur"] == span.end
        if isinstance(instruction, Compute):
            assert (lane, event["name"], event["ts"]) == ("execute", operator, span.begin)
            assert event["args"]["tensor"] == tensor
            continue
        assert event["args"]["bytes"] == instruction.words * case.spec.word_bytes
        if isinstance(instruction, Store):
            assert (lane, event["ts"], event["name"]) == ("store", span.begin, tensor)
            continue
        assert isinstance(instruction, Load)
        weights = instruction.target == Target.WEIGHTS
        assert (lane, event["ts"]) == (
            "load weights" if weights else "load activations", span.first,
        )  # fmt: skip
        assert event["name"] == (f"weights of {operator}" if weights else tensor)


@pytest.mark.parametrize("make", CASES)
def test_lanes_never_hold_two_events_at_once(make: Any) -> None:
    case = make()
    content = _trace(case)
    lanes = _lanes(content)
    assert set(lanes) <= set(LANES)
    for name, events in lanes.items():
        free = 0
        for event in sorted((e for e in events if e["ph"] == "X"), key=lambda e: e["ts"]):
            assert event["ts"] >= free, name
            assert event["dur"] > 0
            free = event["ts"] + event["dur"]
        assert free <= case.timing.cycles
    # The execute unit computes or waits.
    busy = sum(e["dur"] for lane in ("execute", "waiting") for e in lanes[lane])
    assert busy == case.timing.cycles
    fetched = sum(e["args"].get("bytes", 0) for e in lanes["fetch and dispatch"])
    assert fetched == len(case.lowered.program) * INSTRUCTION_BYTES


def test_the_unit_of_time_is_named() -> None:
    case = digits_on_tiny()
    content = _trace(case)
    assert content["otherData"] == {
        "bitweft": "a network", "unit": "1 us = 1 cycle", "cycles": case.timing.cycles,
    }  # fmt: skip
    (process,) = (e for e in content["traceEvents"] if e["name"] == "process_name")
    assert process["args"]["name"] == "a network (1 us = 1 cycle)"
    for event in content["traceEvents"]:
        assert {"name", "ph", "pid", "tid"} <= event.keys()
