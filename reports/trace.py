"""A program's schedule for ui.perfetto.dev and chrome://tracing.

The Trace Event Format of Chrome, JSON object form: one complete event (``"ph": "X"``) per
instruction, in lanes that never hold two at once. Its unit of time is the microsecond: one of them
is one cycle here, and the metadata say so.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from hw.isa import INSTRUCTION_BYTES, Begin, Compute, End, Instruction, Load, Store, Target
from hw.spec import Spec
from mapper.lowered import Lowered, Purpose
from sim.timing.program import ProgramTiming, Span
from sim.timing.waits import execute_waits

__all__ = ["LANES", "trace_events", "trace_text"]

LANES = (
    "layer",
    "execute",
    "waiting",
    "load weights",
    "load activations",
    "store",
    "fetch and dispatch",
)
"""Names of the lanes, from the top. `layer` joins the computations of a layer that follow one
another; `waiting` says why nothing is computed."""

_PROCESS = 1

Event = dict[str, Any]


def trace_text(lowered: Lowered, spec: Spec, timing: ProgramTiming, title: str) -> str:
    """The file's content, one event per line; equal programs give equal bytes."""
    content = {
        "bitweft": title,
        "unit": "1 us = 1 cycle",
        "cycles": timing.cycles,
    }
    lines = ",\n".join(
        json.dumps(event, separators=(",", ":"))
        for event in trace_events(lowered, spec, timing, title)
    )
    head = json.dumps(content)
    return f'{{"displayTimeUnit":"ns",\n"otherData":{head},\n"traceEvents":[\n{lines}\n]}}\n'


def trace_events(
    lowered: Lowered, spec: Spec, timing: ProgramTiming, title: str
) -> Iterator[Event]:
    """Events, lane by lane within the order of the program.

    An instruction of the load unit has the cycles in which its data come, first to last; computing
    and storing those in which the unit is busy.
    """
    yield _name("process_name", 0, f"{title} (1 us = 1 cycle)")
    for lane, name in enumerate(LANES, 1):
        yield _name("thread_name", lane, name)
        yield {**_name("thread_sort_index", lane, ""), "args": {"sort_index": lane}}
    yield from _layers(lowered, timing)
    for place, (instruction, purpose, span) in enumerate(
        zip(lowered.program, lowered.purposes, timing.spans, strict=True)
    ):
        yield _instruction(place, instruction, purpose, span, spec)
    for wait in execute_waits(lowered.program, timing):
        yield _event("waiting", wait.cause.value, wait.first, wait.end, {})
    for fetch in timing.fetches:
        arguments = {"bytes": fetch.instructions * INSTRUCTION_BYTES}
        name = f"fetch {fetch.instructions} instructions"
        yield _event("fetch and dispatch", name, fetch.first, fetch.end, arguments)


def _instruction(
    place: int, instruction: Instruction, purpose: Purpose, span: Span, spec: Spec
) -> Event:
    arguments: Event = {"instruction": place}
    if isinstance(instruction, Begin | End):
        # Without extent, for a burst may come at the same time.
        name = type(instruction).__name__.lower()
        event = _event("fetch and dispatch", name, span.begin, span.end, arguments)
        del event["dur"]
        return {**event, "ph": "i", "s": "t"}
    lane, first = "execute", span.begin
    if isinstance(instruction, Load):
        weights = instruction.target == Target.WEIGHTS
        lane, first = "load weights" if weights else "load activations", span.first
        arguments["for"] = purpose.operator
    elif isinstance(instruction, Store):
        lane = "store"
        arguments["of"] = purpose.operator
    arguments["tensor"] = purpose.tensor or f"weights of {purpose.operator}"
    if isinstance(instruction, Load | Store):
        arguments["bytes"] = instruction.words * spec.word_bytes
    if isinstance(instruction, Compute):
        arguments["pixels"] = instruction.pixels
    arguments |= {"handed out": span.handed_out, "begins": span.begin}
    name = purpose.operator if lane == "execute" else arguments["tensor"]
    return _event(lane, name, first, span.end, arguments)


def _layers(lowered: Lowered, timing: ProgramTiming) -> Iterator[Event]:
    """Computations of one layer that follow one another, as one event."""
    runs: list[tuple[str, int, int]] = []
    for instruction, purpose, span in zip(
        lowered.program, lowered.purposes, timing.spans, strict=True
    ):
        if not isinstance(instruction, Compute):
            continue
        if runs and runs[-1][0] == purpose.operator:
            runs[-1] = (purpose.operator, runs[-1][1], span.end)
        else:
            runs.append((purpose.operator, span.begin, span.end))
    for name, first, end in runs:
        yield _event("layer", name, first, end, {})


def _event(lane: str, name: str, first: int, end: int, arguments: Event) -> Event:
    return {
        "name": name,
        "ph": "X",
        "ts": first,
        "dur": end - first,
        "pid": _PROCESS,
        "tid": LANES.index(lane) + 1,
        "args": arguments,
    }


def _name(kind: str, lane: int, name: str) -> Event:
    return {"name": kind, "ph": "M", "pid": _PROCESS, "tid": lane, "args": {"name": name}}
