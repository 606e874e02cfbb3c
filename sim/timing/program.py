"""When a whole program is done: fetch, dispatch, the three units, and a memory of fixed latency.

The model walks through the cycles in which something can happen and skips the others. Within a
cycle every decision depends on the state at its start, as in registers; what a unit does on its own
(gather, compute, stream a burst) is a closed form or a short recurrence.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hw.bus.load import OUTSTANDING
from hw.bus.transfer import MAX_BEATS
from hw.control.dispatch import FETCH_INSTRUCTIONS
from hw.isa import INSTRUCTION_BYTES, Begin, Compute, End, Instruction, Load, Store
from hw.spec import Spec
from hw.tokens import absolute_tokens
from sim.timing.execute import READ_AHEAD, ComputeTiming
from sim.timing.operands import compute_timings
from sim.timing.store import store_cycles

__all__ = ["Fetch", "ProgramTiming", "Span", "program_timing"]

_BOUNDARY = 4096
_QUEUE = 2  # instructions that wait in front of a unit
_BUFFER_LATENCY = 2  # from a fetched word to its place at the buffer's output
_NEVER = 1 << 62


class Span(NamedTuple):
    """Cycles of one instruction, counted from the start of the program.

    Attributes
    ----------
    in_hand : int
        The dispatcher has read all of it.
    handed_out : int
        The dispatcher puts it into the queue of its unit: later, when that was full.
    begin : int
        Its unit takes it. A load asks for its data from the next cycle on. A computation was taken
        in the cycle before, which may be the last of another one.
    first : int
        Its first data arrives if it is a load; else `begin`.
    end : int
        From this cycle on it is finished: who waits for it may begin. What is busy with it is so in
        ``[begin, end)``, and the memory's read port in ``[first, end)``, of which instruction
        fetch may take some.
    """

    in_hand: int
    handed_out: int
    begin: int
    first: int
    end: int


class Fetch(NamedTuple):
    """Instructions on the memory's read port in cycles ``[first, end)``."""

    instructions: int
    first: int
    end: int


@dataclass(frozen=True)
class ProgramTiming:
    """What the timing model predicts for a program.

    Attributes
    ----------
    cycles : int
        From the start to the end of the program, as the register ``cycles`` counts them.
    computes : tuple of int
        The cycle in which each computation ends, counted from the start.
    spans : tuple of Span
        When each instruction of the program runs. `Begin` and `End` take the cycle in which they
        are handed out; for `End` that is the last one.
    fetches : tuple of Fetch
        The bursts that bring the program, in order.
    """

    cycles: int
    computes: tuple[int, ...]
    spans: tuple[Span, ...]
    fetches: tuple[Fetch, ...]


def program_timing(
    program: Sequence[Instruction],
    spec: Spec,
    *,
    address: int = 0,
    latency: int | None = None,
    interval: int | None = None,
    image: npt.NDArray[np.uint8] | None = None,
) -> ProgramTiming:
    """Exact timing of a program under a memory that does not stall.

    Parameters
    ----------
    program : sequence of Instruction
        From `Begin` to `End`.
    address : int
        Where it lies in memory, in bytes.
    latency, interval : int, optional
        Cycles from a read address to its first data, and per beat; by default the spec's.
    image : (bytes,) uint8, optional
        Memory before the run, inputs included; needed where the operands set the pace, see
        `sim.timing.execute.follows_operands`.

    Raises
    ------
    ValueError
        The program waits for ever, or `image` is needed and missing.
    """
    memory = spec.memory
    beat = -(-spec.word_bytes // memory.bytes_per_cycle)
    return _Walk(
        program,
        spec,
        memory.latency_cycles if latency is None else latency,
        beat if interval is None else interval,
        address,
        compute_timings(program, spec, image),
    ).run()


def _bursts(address: int, words: int, word_bytes: int) -> deque[int]:
    """Beats of the bursts that an extent is cut into."""
    bursts: deque[int] = deque()
    while words:
        to_boundary = (_BOUNDARY - address % _BOUNDARY) // word_bytes
        beats = min(words, MAX_BEATS, to_boundary)
        bursts.append(beats)
        address += beats * word_bytes
        words -= beats
    return bursts


@dataclass
class _Unit:
    """A unit's queue of instructions, by their place in the program, and its count of finished ones.

    `finishing` holds the cycles in which instructions will end, in order.
    """

    queue: deque[tuple[int, tuple[int, int, int]]] = field(default_factory=deque)
    issued: int = 0
    done: int = 0
    finishing: deque[int] = field(default_factory=deque)


class _Walk:
    def __init__(
        self,
        program: Sequence[Instruction],
        spec: Spec,
        latency: int,
        interval: int,
        address: int,
        computes: Sequence[ComputeTiming],
    ) -> None:
        self.program = program
        self.computes = iter(computes)  # they begin in order
        self.tokens = absolute_tokens(program)
        self.spec = spec
        self.latency = max(1, latency)
        self.interval = interval
        self.beats = INSTRUCTION_BYTES // spec.word_bytes
        # The memory port: bursts under way (the cycle of their last beat), and when it is free.
        self.under_way: deque[int] = deque()
        self.port_free = 0
        # Fetch.
        self.unfetched = len(program)
        self.credit = 2 * FETCH_INSTRUCTIONS
        self.words: deque[int] = deque()  # when a fetched word reaches the buffer's output
        self.next = 0  # the instruction in hand, or on its way there
        self.ready_at = _NEVER
        self.shifted = -1  # cycle of the last shift into the instruction register
        # Units.
        self.units: dict[type[Instruction], _Unit] = {k: _Unit() for k in (Load, Compute, Store)}
        self.splitting: deque[int] = deque()  # bursts of loads that are not issued yet
        self.split_load: list[list[int]] = []  # place and bursts left of each load under way
        self.execute_ends = 0
        self.weights_free = 0
        self.reads_since = _NEVER  # when the reads of the next computation's parameters began
        self.store_free = 0
        self.ends: list[int] = []
        # What has been seen of each instruction, as in `Span`.
        self.in_hand = [0] * len(program)
        self.handed_out = [0] * len(program)
        self.begin = [0] * len(program)
        self.first = [-1] * len(program)
        self.end = [0] * len(program)
        self.fetches: list[Fetch] = []

    def run(self) -> ProgramTiming:
        now = 0
        while True:
            finished, active = self.cycle(now)
            if finished:
                return ProgramTiming(now + 1, tuple(self.ends), self.spans(), tuple(self.fetches))
            now = now + 1 if active else self.wake(now)

    def spans(self) -> tuple[Span, ...]:
        """What has been seen of each instruction."""
        return tuple(
            Span(in_hand, handed_out, begin, begin if first < 0 else first, end)
            for in_hand, handed_out, begin, first, end in zip(
                self.in_hand, self.handed_out, self.begin, self.first, self.end, strict=True
            )
        )

    def wake(self, now: int) -> int:
        """The next cycle in which anything can happen when nothing did in this one."""
        times = [self.ready_at, self.execute_ends, self.weights_free, self.store_free]
        times.append(self.reads_since + READ_AHEAD)
        times += [last + 1 for last in self.under_way]
        times += [cycle + 1 for unit in self.units.values() for cycle in unit.finishing]
        later = [time for time in times if now < time < _NEVER]
        if not later:
            raise ValueError(f"program must end, not wait for ever in cycle {now}")
        return min(later)

    def cycle(self, now: int) -> tuple[bool, bool]:
        """One cycle; returns whether the program ends, and whether anything moved."""
        # What ended before this cycle is visible in it.
        while self.under_way and self.under_way[0] < now:
            self.under_way.popleft()
        for unit in self.units.values():
            while unit.finishing and unit.finishing[0] < now:
                unit.finishing.popleft()
                unit.done += 1
        levels = {kind: len(unit.queue) for kind, unit in self.units.items()}
        idle = all(unit.issued == unit.done for unit in self.units.values())
        splitter_idle = not self.splitting
        pending = len(self.units[Load].finishing) + len(self.split_load)

        active = self.issue_burst(now)
        active |= self.start_units(now, splitter_idle, pending)
        moved, ended = self.dispatch(now, levels, idle)
        return ended, active | moved

    def issue_burst(self, now: int) -> bool:
        """One burst may be issued per cycle; instruction fetch goes first."""
        if len(self.under_way) == OUTSTANDING:
            return False
        if self.unfetched and self.credit >= FETCH_INSTRUCTIONS:
            chunk = min(FETCH_INSTRUCTIONS, self.unfetched)
            first = self.serve(now, chunk * self.beats)
            self.unfetched -= chunk
            self.credit -= chunk
            self.fetches.append(Fetch(chunk, first, self.under_way[-1] + 1))
            for n in range(chunk * self.beats):
                self.words.append(first + n * self.interval + _BUFFER_LATENCY)
            if self.ready_at == _NEVER:
                self.assemble(self.shifted + 1)
            return True
        if self.splitting:
            first = self.serve(now, self.splitting.popleft())
            load = self.split_load[0][0]
            if self.first[load] < 0:
                self.first[load] = first
            self.split_load[0][1] -= 1
            if self.split_load[0][1] == 0:
                self.split_load.pop(0)
                self.units[Load].finishing.append(self.under_way[-1])
                self.end[load] = self.under_way[-1] + 1
            return True
        return False

    def serve(self, now: int, beats: int) -> int:
        """Puts a burst on the port; returns the cycle of its first beat."""
        first = max(now + self.latency, self.port_free)
        last = first + (beats - 1) * self.interval
        self.port_free = last + self.interval
        self.under_way.append(last)
        return first

    def assemble(self, earliest: int) -> None:
        """When the next instruction is in hand, if all of its words are on their way."""
        if len(self.words) < self.beats:
            self.ready_at = _NEVER
            return
        shift = earliest - 1
        for _ in range(self.beats):
            shift = max(shift + 1, self.words.popleft())
        self.shifted = shift
        self.ready_at = shift + 1

    def start_units(self, now: int, splitter_idle: bool, pending: int) -> bool:
        """Heads of the queues whose tokens are there start where their unit is free."""
        active = False
        done = [self.units[kind].done for kind in (Load, Compute, Store)]
        free = {
            Load: splitter_idle and pending < OUTSTANDING,
            Compute: True,
            Store: now >= self.store_free,
        }
        word_bytes = self.spec.word_bytes
        for kind, unit in self.units.items():
            if not unit.queue or not free[kind]:
                continue
            place, after = unit.queue[0]
            if any(d < a for d, a in zip(done, after, strict=True)):
                continue
            if kind is Compute and not self.accepts(now):
                continue
            unit.queue.popleft()
            active = True
            self.begin[place] = now
            head = self.program[place]
            if isinstance(head, Load):
                bursts = _bursts(head.memory, head.words, word_bytes)
                self.splitting.extend(bursts)
                self.split_load.append([place, len(bursts)])
            elif isinstance(head, Compute):
                timing = next(self.computes)
                self.begin[place] = now + 1
                self.execute_ends = self.finish(unit, place, now + timing.cycles) - 1
                self.ends.append(self.execute_ends)
                self.weights_free = now + timing.weights
                self.reads_since = _NEVER
            elif isinstance(head, Store):
                bursts = _bursts(head.memory, head.words, word_bytes)
                cycles = store_cycles(list(bursts), self.latency, self.interval)
                self.store_free = self.finish(unit, place, now + cycles)
        return active

    def accepts(self, now: int) -> bool:
        """Whether the execute unit takes the computation at its door, whose parameters it reads
        while the one before may still run."""
        if self.reads_since == _NEVER and now >= self.weights_free:
            self.reads_since = now
        return now >= self.execute_ends and now >= self.reads_since + READ_AHEAD

    def finish(self, unit: _Unit, place: int, end: int) -> int:
        """An instruction will be finished from cycle `end` on, which is returned."""
        unit.finishing.append(end - 1)
        self.end[place] = end
        return end

    def dispatch(
        self, now: int, levels: dict[type[Instruction], int], idle: bool
    ) -> tuple[bool, bool]:
        """Hands the instruction in hand to its unit; returns whether it did, and whether it ended."""
        if now < self.ready_at:
            return False, False
        instruction = self.program[self.next]
        self.in_hand[self.next] = self.ready_at
        if isinstance(instruction, Begin | End):
            self.handed_out[self.next] = self.begin[self.next] = now
            self.end[self.next] = now + 1
        if isinstance(instruction, End):
            return False, idle
        if not isinstance(instruction, Begin):
            kind = type(instruction)
            if levels[kind] == _QUEUE:
                return False, False
            self.handed_out[self.next] = now
            self.units[kind].queue.append((self.next, self.tokens[self.next]))
            self.units[kind].issued += 1
        self.next += 1
        self.credit += 1
        self.shifted = now
        self.assemble(now + 1)
        return True, False
