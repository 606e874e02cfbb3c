"""Which operators run in patches, so that a network fits a scratchpad with the least traffic.

A walk over the operators in file order cuts them into steps: an operator as it is, or a stage of
one or more operators in patches. A tensor between steps is whole on chip, off chip, or both. The
walk keeps the best ways to every set of such tensors (a beam), by bytes moved, then by recomputed
multiply-accumulates, then by parts that run. Order, further spills and addresses are the scheduler's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate, product
from typing import NamedTuple, get_args

from hw.isa import INSTRUCTION_BYTES
from mapper.graph import Graph
from mapper.limits import Limits
from mapper.segment import Segment
from mapper.segments import segments_of
from mapper.smallest import smallest_piece
from mapper.split_steps import Step, graph_of_steps
from mapper.stage import Axis

__all__ = ["MOST_RECOMPUTED", "split"]

MOST_RECOMPUTED = 0.5
"""Multiply-accumulates that a stage may compute again, as a share of its own."""

_MOST_MEMBERS = 16
_BEAM = 32
_MOST_CHOICES = 24
_MOST_BORDER = 5


class _Cost(NamedTuple):
    """Compared in this order."""

    bytes: int
    macs: int
    parts: int


class _State(NamedTuple):
    """Tensors that are needed later: whole on chip, and with a whole copy off chip."""

    on: frozenset[str]
    copies: frozenset[str]


@dataclass
class _Way:
    cost: _Cost
    step: Step | None = None
    before: _Way | None = None


def split(
    graph: Graph,
    capacity: int,
    *,
    weight_memory: int | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[float], object] | None = None,
) -> Graph | None:
    """The graph with operators gathered into stages so that every step fits.

    Parameters
    ----------
    graph : Graph
        Its operators say by their windows how they can be split.
    capacity : int
        Bytes of the scratchpad.
    weight_memory : int, optional
        Bytes of the memory for weights: a stage whose weights fit loads them once, another one
        for every patch. Without, every patch loads them.
    limits : Limits, optional
        Only its clock: where the walk is behind it, it keeps a way or two to go on, and stages of
        at most two operators.
    on_progress : callable, optional
        Receives the share of the operators that are done.

    Returns
    -------
    Graph or None
        None if some operator does not fit however it is split.
    """
    walk = _Walk(graph, capacity, weight_memory, limits or Limits())
    steps = walk.run(on_progress or (lambda share: None))
    return None if steps is None else graph_of_steps(graph, steps, weight_memory)


@dataclass
class _Walk:
    graph: Graph
    capacity: int
    weight_memory: int | None
    limits: Limits
    segments: dict[tuple[Axis, int, int], list[Segment]] = field(default_factory=dict)
    # What is known of segments of a shape: networks repeat themselves.
    shapes: dict[Hashable, int] = field(default_factory=dict)
    numbers: dict[Segment, int] = field(default_factory=dict)
    widest: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    amounts: dict[tuple[int, int], tuple[list[int], int]] = field(default_factory=dict)
    fits: dict[tuple[int, int, tuple[bool, ...]], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # An instruction for every run of bytes of a slice of channels is traffic as well.
        self.run_bytes = 0 if self.weight_memory is None else INSTRUCTION_BYTES
        self.uses: dict[str, list[int]] = {t.name: [] for t in self.graph.tensors}
        made = dict.fromkeys(self.uses, -1)
        for n, o in enumerate(self.graph.operators):
            made |= dict.fromkeys(o.outputs, n)
            for t in o.inputs:
                self.uses[t].append(n)
        # Steps at which not everything fits; before each, how many there are.
        change = [0] * (len(self.graph.operators) + 1)
        for t, uses in self.uses.items():
            first = made[t] if made[t] >= 0 or not uses else uses[0]
            if first >= 0:  # else nobody makes it or reads it
                change[first] += self.graph.tensor(t).bytes
                change[max([first, *uses]) + 1] -= self.graph.tensor(t).bytes
        live = accumulate(change[:-1])
        self.tight = [0, *accumulate(need > self.capacity for need in live)]
        # Operators that fit in tiles only, if at all.
        others = [axis for axis in get_args(Axis) if axis != "tiles"]
        self.wide = [
            smallest_piece(self.graph, o, others) > self.capacity for o in self.graph.operators
        ]

    def run(self, report: Callable[[float], object]) -> list[Step] | None:
        count = len(self.graph.operators)
        if any(self.wide) and not all(
            smallest_piece(self.graph, o) <= self.capacity
            for o, wide in zip(self.graph.operators, self.wide, strict=True)
            if wide
        ):
            return None
        inputs = frozenset(t.name for t in self.graph.tensors if t.network_input)
        ways: list[dict[_State, _Way]] = [{} for _ in range(count + 1)]
        ways[0][_State(frozenset(), inputs)] = _Way(_Cost(0, 0, 0))
        for first in range(count):
            report(first / count)
            # Behind time, the walk goes on with the cheapest ways and the shortest stages alone.
            hurried = self.limits.elapsed() > first / count
            best = self.best(ways[first], 1 if hurried else _BEAM)
            ways[first] = {}
            self.segments.clear()
            self.numbers.clear()
            for axis in get_args(Axis):
                most = 2 if hurried else _MOST_MEMBERS
                for last in range(first + 1, min(first + most, count) + 1):
                    segments = self.segments_of(axis, first, last)
                    # Along others a single patch is what it is along rows.
                    several = last > first + 1 or axis != "rows"
                    if several and all(s.most_patches == 1 for s in segments):
                        break
                    border = len(segments[0].inputs) + len(segments[0].outputs)
                    if several and (border > _MOST_BORDER or not self.is_tight(first, last)):
                        continue
                    if axis == "tiles" and not any(self.wide[first:last]):
                        continue
                    for segment, (state, way) in product(segments, best):
                        for step, after, cost in self.steps(segment, first, last, state):
                            total = _Cost(*(a + b for a, b in zip(way.cost, cost, strict=True)))
                            known = ways[last].get(after)
                            if known is None or total < known.cost:
                                ways[last][after] = _Way(total, step, way)
        if not ways[count]:
            return None
        end: _Way | None = min(ways[count].values(), key=lambda w: w.cost)
        steps = []
        while end is not None and end.step is not None:
            steps.append(end.step)
            end = end.before
        return steps[::-1]

    def best(self, ways: dict[_State, _Way], beam: int) -> list[tuple[_State, _Way]]:
        """The cheapest, and those that leave most room: the cheapest may lead nowhere."""
        items = list(ways.items())
        items.sort(key=lambda item: item[1].cost)
        rest = items[beam:]
        rest.sort(key=lambda item: sum(self.graph.tensor(t).bytes for t in item[0].on))
        return items[:beam] + rest[: -(-beam // 2)]

    def is_tight(self, first: int, last: int) -> bool:
        """Whether at one of the operators ``first, ..., last - 1`` not everything fits."""
        return self.tight[last] > self.tight[first]

    def segments_of(self, axis: Axis, first: int, last: int) -> list[Segment]:
        key = axis, first, last
        if key not in self.segments:
            self.segments[key] = segments_of(self.graph, self.graph.operators[first:last], axis)
        return self.segments[key]

    def shape(self, segment: Segment) -> int:
        """A number for all segments that are alike."""
        if segment not in self.numbers:
            self.numbers[segment] = self.shapes.setdefault(segment.shape, len(self.shapes))
        return self.numbers[segment]

    def steps(
        self, segment: Segment, first: int, last: int, state: _State
    ) -> Iterator[tuple[Step, _State, _Cost]]:
        """Ways to run a segment from a state, what is where afterwards, and what each costs."""
        assert segment.axis != "columns"
        tensor = self.graph.tensor
        touched = {*segment.inputs, *segment.outputs}
        crossing = {t for t in state.on if t not in touched}
        spare = {t for t in crossing if t in state.copies}
        if not self.is_tight(first, last):
            spare = set()
        choices = [self._inputs(t, state) for t in segment.inputs]
        choices += [self._outputs(t, first, last) for t in segment.outputs]
        if math.prod(map(len, choices)) > _MOST_CHOICES:
            # Too many to try all: each input as near as it can be, or as far.
            count = len(segment.inputs)
            inputs = [tuple(c[0] for c in choices[:count]), tuple(c[-1] for c in choices[:count])]
            ways = [(*i, *o) for i in dict.fromkeys(inputs) for o in product(*choices[count:])]
            ways = ways[:_MOST_CHOICES]
        else:
            ways = list(product(*choices))
        names = [*segment.inputs, *segment.outputs]
        for keep in (crossing, crossing - spare) if spare else (crossing,):
            kept = sum(tensor(t).bytes for t in keep)
            for choice in ways:
                at = dict(zip(names, choice, strict=True))
                resident = frozenset(t for t in names if at[t] != "off")
                room = self.capacity - kept - sum(tensor(t).bytes for t in resident)
                if room < 0 or not segment.allows(resident):
                    continue
                patches = self._patches(segment, resident, room)
                if patches is None:
                    continue
                cost = self._cost(segment, first, patches, at)
                if cost is None:
                    continue
                later = {t for t in (*keep, *names) if any(n >= last for n in self.uses[t])}
                later |= {t for t in state.copies if any(n >= last for n in self.uses[t])}
                after = _State(
                    frozenset(t for t in later if t in keep or t in resident),
                    frozenset(
                        t for t in later if t in state.copies or at.get(t) in ("off", "both")
                    ),
                )
                step = Step(segment.axis, first, last, patches, resident, room, segment.strips)
                yield step, after, cost

    def _inputs(self, t: str, state: _State) -> tuple[str, ...]:
        if t in state.on:
            return ("on", "off") if t in state.copies else ("on",)
        # What was produced off chip stays there: only stages read it.
        return ("on", "off") if self.graph.tensor(t).network_input else ("off",)

    def _outputs(self, t: str, first: int, last: int) -> tuple[str, ...]:
        if not self.is_tight(first, max([first, *self.uses[t]]) + 1):
            return ("both",) if self.graph.tensor(t).network_output else ("on",)
        if self.graph.tensor(t).network_output:
            return ("both", "off")
        uses = [n for n in self.uses[t] if n >= last]
        if not uses:
            return ("on",)
        # Both only helps where the tensor may be dropped between two uses, or streamed.
        return ("on", "off", "both") if len(uses) > 1 or uses[-1] > last else ("on", "off")

    def _patches(self, segment: Segment, resident: frozenset[str], room: int) -> int | None:
        """The least number of patches whose buffers fit into `room`; 0 if none is needed."""
        single = len(segment.operators) == 1 and segment.axis == "rows"
        if single and len(resident) == len(segment.inputs) + len(segment.outputs):
            return 0
        low = 1 if single or segment.axis == "tiles" else 2
        high = segment.most_patches
        if low > high or self._need(segment, high, resident) > room:
            return None
        while low < high:
            middle = (low + high) // 2
            if self._need(segment, middle, resident) <= room:
                high = middle
            else:
                low = middle + 1
        return low

    def _need(self, segment: Segment, patches: int, resident: frozenset[str]) -> int:
        key = self.shape(segment), patches, tuple(t in resident for t in segment.lives)
        if key not in self.fits:
            if key[:2] not in self.widest:
                rows = segment.widest(patches)
                self.widest[key[:2]] = [rows.get(t, 0) for t in segment.lives]
            local = [t for t in segment.lives if t not in resident]
            widest = dict(zip(segment.lives, self.widest[key[:2]], strict=True))
            self.fits[key] = segment.place(widest, local)[1]
        return self.fits[key]

    def _cost(self, segment: Segment, first: int, patches: int, at: dict[str, str]) -> _Cost | None:
        tensor = self.graph.tensor
        moved = sum(
            tensor(t).bytes
            for t in segment.outputs
            if at[t] != "on" and not tensor(t).network_output
        )
        key = self.shape(segment), max(1, patches)
        if key not in self.amounts:
            found, loads = segment.amounts(max(1, patches))
            self.amounts[key] = [found[t] for t in segment.lives], loads
        amounts, loaded = self.amounts[key]
        totals = dict(zip(segment.lives, amounts, strict=True))
        if not segment.keeps_weights(self.weight_memory):
            moved += loaded - segment.weight_bytes
        if not patches:
            return _Cost(moved, 0, 1)
        for t in segment.inputs:
            if at[t] == "off":
                read = totals[t] * tensor(t).part_bytes(segment.axis)
                fresh = tensor(t).network_input and self.uses[t][0] >= first
                moved += max(0, read - tensor(t).bytes) if fresh else read
        streamed = [t for t in (*segment.inputs, *segment.outputs) if at[t] == "off"]
        moved += segment.transfers(streamed, patches) * self.run_bytes
        macs = sum(
            o.macs
            * max(0, totals[o.outputs[0]] - segment.parts(o.outputs[0]))
            // segment.parts(o.outputs[0])
            for o in segment.operators
        )
        if macs > MOST_RECOMPUTED * segment.macs:
            return None
        return _Cost(moved, macs, patches * len(segment.operators))
