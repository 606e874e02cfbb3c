"""``bitweft pack``: addresses for buffers with known lifetimes."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from hw.errors import InputError
from hw.files import require_writable, write_text
from hw.units import parse_bytes
from mapper.limits import Limits
from mapper.pack import Least, OnProgress, Packing, least_capacity, pack
from mapper.pack_file import read_buffers, written_offsets

# A shorter search shows nothing.
_PATIENCE_SECONDS = 2.0


def pack_command(
    file: Annotated[
        Path,
        typer.Argument(help="CSV with the columns id,lower,upper,size and, if need be, alignment."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="CSV to write, with offset.")],
    capacity: Annotated[
        str | None,
        typer.Option(help="Bytes, such as 1048576 or 1MiB; not needed with --minimise."),
    ] = None,
    minimise: Annotated[
        bool, typer.Option("--minimise", help="Find the least capacity, and a bound on it.")
    ] = False,
    alignment: Annotated[int, typer.Option(min=1, help="Offsets are multiples of it.")] = 1,
    time_limit: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Wall-clock seconds. With a limit the answer depends on the computer.",
            show_default="none: a deterministic limit of about a minute",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Of every random choice.")] = 0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write a summary for machines.")
    ] = None,
) -> None:
    """Find offsets at which no two buffers that live together overlap.

    A buffer lives in [lower, upper). Ends with exit status 1 when no offsets exist or none were
    found within the limit; the sentence says which.

    Example: bitweft pack buffers.csv --capacity 1MiB -o packed.csv
    """
    room = _room(capacity, minimise)
    if time_limit is not None and not math.isfinite(time_limit):
        raise InputError(f"--time-limit must be a number of seconds, not {time_limit}.")
    ids, buffers, own = read_buffers(file)
    alignments = [math.lcm(alignment, of_its_own) for of_its_own in own]
    for path in filter(None, (output, json_file)):
        require_writable(path)
    limits = Limits(seconds=time_limit, seed=seed)
    if time_limit is not None:
        limits.effort = max(limits.effort, 1000 * time_limit)
    started = time.monotonic()
    with _progress(len(buffers)) as on_progress:
        answer: Packing | Least
        if minimise:
            answer = least_capacity(
                buffers, alignment=alignments, limits=limits, on_progress=on_progress
            )
        else:
            assert room is not None
            answer = pack(
                buffers, room, alignment=alignments, limits=limits, on_progress=on_progress
            )
    seconds = time.monotonic() - started
    status, sentence = _verdict(answer, len(buffers), room)
    fits = status in ("packed", "optimal", "feasible")
    if fits:
        write_text(output, written_offsets(ids, buffers, answer.offsets, own))
        sentence += f"; {output}"
    if json_file is not None:
        summary: dict[str, object] = {
            "status": status,
            "buffers": len(buffers),
            "capacity_bytes": room,
            "peak_load_bytes": answer.peak_load,
        }
        if isinstance(answer, Least):
            summary |= {"least_bytes": answer.capacity, "bound_bytes": answer.bound}
        elif answer.conflict:
            summary["conflict"] = [ids[i] for i in answer.conflict]
        summary |= {
            "starts": answer.starts,
            "nodes": answer.nodes,
            "solve_seconds": round(seconds, 3),
        }
        write_text(json_file, json.dumps(summary, indent=2) + "\n")
    Console(soft_wrap=True, highlight=False, markup=False).print(f"{status}: {sentence}")
    if not fits:
        raise typer.Exit(1)


def _room(capacity: str | None, minimise: bool) -> int | None:
    if capacity is None:
        if not minimise:
            raise InputError("--capacity must be given, not left out, except with --minimise.")
        return None
    try:
        return parse_bytes(capacity)
    except ValueError as error:
        raise InputError(f"--capacity {error}, not {capacity!r}.") from error


def _verdict(answer: Packing | Least, buffers: int, room: int | None) -> tuple[str, str]:
    """Status, and the sentence that says why."""
    if isinstance(answer, Least):
        known = f"the least capacity is {answer.capacity} bytes"
        if answer.status != "optimal":
            known = f"{answer.capacity} bytes suffice and {answer.bound} are needed"
        if room is not None and answer.bound > room:
            return "infeasible", f"{known}, not {room}"
        if room is not None and answer.capacity > room:
            return "unknown", f"{known}; {room} may or may not suffice"
        return answer.status, f"{buffers} buffers, {known}"
    load = f"{answer.peak_load} of {room} bytes at time {answer.peak_at}"
    if answer.status == "packed":
        return "packed", f"{buffers} buffers, peak load {load}"
    assert room is not None
    if answer.peak_load > room:
        return "infeasible", f"the buffers need {load}"
    if answer.status == "infeasible":
        return "infeasible", f"no offsets exist, although the peak load is only {load}"
    return (
        "unknown",
        f"no offsets were found within the limit, nor a proof (peak load {load})",
    )


@contextmanager
def _progress(buffers: int) -> Iterator[OnProgress]:
    """A line on stderr once the search has taken a while; the first ever compiles itself."""
    what = f"packing {buffers} buffers"
    status = Console(stderr=True).status(what)
    timer = threading.Timer(_PATIENCE_SECONDS, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield lambda starts, nodes: status.update(f"{what}: {starts:,} starts, {nodes:,} nodes")
    finally:
        timer.cancel()
        timer.join()
        status.stop()
