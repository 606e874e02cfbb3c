"""The order in which the instructions of the three units stand in a program.

Each unit keeps its own order, and an instruction stands behind those that it waits for. Beyond that
the order is free, and it matters: instructions are handed out one after another, and only two can
wait in front of a unit, so one that has to wait holds up what stands behind it, and one that stands
too far back comes too late to run beside what it could run beside. The best order is that in which
they can begin, and a rough estimate of the times is enough to find it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from hw.bus.load import OUTSTANDING
from hw.isa import INSTRUCTION_BYTES, Compute, Instruction, Load, Path, Store
from hw.spec import Spec
from hw.tokens import UNITS
from mapper.hazards import needs, tokened, unit_of

__all__ = ["interleave", "interleaved"]

# Cycles of a computation besides its reads, roughly: its parameters, and the way to the scratchpad.
_OVERHEAD = 30


def interleaved(program: Sequence[Instruction], spec: Spec) -> list[Instruction]:
    """The program in the order in which its instructions can begin, with the tokens it needs.

    The tokens that it has do not matter. What it computes is what it computes in the given order,
    one instruction after another.
    """
    waits = needs(program, spec)
    order = interleave(program, waits, spec)
    return tokened([program[n] for n in order], [waits[n] for n in order])


def interleave(
    program: Sequence[Instruction], waits: Sequence[tuple[int, ...]], spec: Spec
) -> list[int]:
    """Indices of the instructions in the order in which they can begin.

    Parameters
    ----------
    program : sequence of Instruction
    waits : sequence of tuple of int
        How many instructions of each unit each one waits for, all of them before it.
    spec : Spec
        Its memory and array say how long instructions take.
    """
    queues: list[list[int]] = [[] for _ in UNITS]
    head: list[int] = []
    tail: list[int] = []
    for n, instruction in enumerate(program):
        unit = unit_of(instruction)
        if unit is not None:
            queues[unit].append(n)
        else:
            (tail if any(queues) else head).append(n)
    order = list(head)
    clocks = _Clocks(spec)
    ends: list[list[int]] = [[] for _ in UNITS]  # when the instructions in `order` end
    while any(len(done) < len(queue) for done, queue in zip(ends, queues, strict=True)):
        best: tuple[int, int, int] | None = None
        for unit, queue in enumerate(queues):
            if len(ends[unit]) == len(queue):
                continue
            n = queue[len(ends[unit])]
            if any(len(done) < after for done, after in zip(ends, waits[n], strict=True)):
                continue
            before = [done[a - 1] for done, a in zip(ends, waits[n], strict=True) if a]
            start = max(clocks.earliest(unit), *before, 0)
            if best is None or (start, n) < best[:2]:
                best = (start, n, unit)
        if best is None:
            raise ValueError("an instruction must wait for earlier ones, not for later ones")
        start, n, unit = best
        order.append(n)
        ends[unit].append(clocks.run(unit, program[n], start))
    return order + tail


class _Clocks:
    """When the dispatcher, the units and the memory's read port are free, roughly."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec
        self._beat = -(-spec.word_bytes // spec.memory.bytes_per_cycle)
        self._fetch = INSTRUCTION_BYTES // spec.word_bytes
        self._handed_out = 0
        self._port = spec.memory.latency_cycles
        self._free = [0] * len(UNITS)
        self._loads = deque([0] * OUTSTANDING, maxlen=OUTSTANDING)  # when the last ones end

    def earliest(self, unit: int) -> int:
        """When a unit could begin the next instruction if that waited for nothing."""
        pending = self._loads[0] if UNITS[unit] is Load else 0
        return max(self._handed_out + self._fetch, self._free[unit], pending)

    def run(self, unit: int, instruction: Instruction, start: int) -> int:
        """Hands out an instruction that begins at `start`; returns when it ends."""
        latency = self._spec.memory.latency_cycles
        self._handed_out += self._fetch + 1
        self._port += self._fetch * self._beat
        match instruction:
            case Load():
                self._port = max(self._port, start + latency) + instruction.words * self._beat
                end = self._port
                self._loads.append(end)
                self._free[unit] = start + 2
            case Store():
                end = self._free[unit] = start + instruction.words * self._beat + latency
            case Compute():
                end = self._free[unit] = start + self._computing(instruction)
            case _:
                end = start
        return end

    def _computing(self, c: Compute) -> int:
        taps, engine, word = c.kernel_y * c.kernel_x, self._spec.engine, self._spec.word_bytes
        if c.path != Path.ARRAY:
            return c.pixels * taps + _OVERHEAD
        if engine.tile_rows is not None:
            tiles = -(-c.pixels // engine.tile_rows)
            return max(c.pixels, tiles * word) * taps * c.words + 3 * word + _OVERHEAD
        blocks = -(-c.pixels // engine.rows) * taps * c.words
        return blocks * max(engine.rows, word) + engine.rows + _OVERHEAD
