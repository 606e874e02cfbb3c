"""From a plan to a program and the memory that it runs in.

Every transfer of the plan is in the program once, and no other. Instructions are made in the order of
the plan, as if each ran on its own. What keeps them apart when the units run side by side, and in
which order they are handed out so that transfers run beside computations, is found afterwards, from
what each of them touches.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from hw.isa import Load, Store
from hw.spec import Spec
from mapper.instruction import Region, compute_instruction
from mapper.layout import slice_runs, tensor_bytes
from mapper.lowered import Computed, Lowered, Place
from mapper.pieces import Piece, pieces_of, words_per_pixel
from mapper.plan import Plan, Transfer
from mapper.plan import PlannedOperator as Planned
from mapper.program_memory import ProgramMemory
from mapper.reduction import parts_of, rows_of
from mapper.stage import Axis, Buffer, Part, Reduction, Slice, Stage
from mapper.weight_memory import WeightMemory
from sim.quantised import Add, Network, Operator

__all__ = ["lower"]


class Weights(Enum):
    """Which blocks of weights a part loads: the plan counts just these."""

    KEPT = "those that are not there yet"
    WHOLE = "all of the operator's, also of pieces that have nothing to do in this part"
    DIVIDED = "that of every piece, equal ones again"


def lower(network: Network, plan: Plan, spec: Spec) -> Lowered:
    """Lowers a plan of `network_graph`.

    Raises
    ------
    InputError
        The weights of one word of output channels do not fit into the weight memory.
    """
    builder = _Builder(network, plan, spec)
    for step in range(len(plan.order)):
        builder.step(step)
    return builder.memory.finish(builder.results)


@dataclass
class _Builder:
    """Grows the program step by step."""

    network: Network
    plan: Plan
    spec: Spec
    computes: int = 0
    results: list[Computed] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.operators = {o.name: o for o in self.network.operators}
        self.planned = {o.name: o for o in self.plan.operators}
        self.intervals = {t.name: t.intervals for t in self.plan.tensors}
        self.shapes = {t.name: t.shape for t in self.network.tensors}
        self.word_bytes = self.spec.word_bytes
        off_chip = {t.tensor for t in self.plan.transfers}
        homes = {
            t.name: tensor_bytes(t.shape, self.word_bytes)
            for t in self.network.tensors
            if t.name in off_chip
        }
        self.memory = ProgramMemory(self.spec, homes)
        self.weights = WeightMemory(self.plan, self.spec, self.memory.load_block)

    def step(self, step: int) -> None:
        """One step of the plan: whole tensors come, the operator or its stage runs, others go."""
        planned = self.planned[self.plan.order[step]]
        self.weights.begin(step)
        whole = [t for t in self.plan.transfers if t.step == step and self._is_whole(t, planned)]
        slices = {t: Slice(t.tensor, t.first, t.last) for t in whole}
        self.places = {t.tensor: self._place(t.tensor, step) for t in whole}
        resident = (*planned.inputs, *planned.outputs)
        self.places |= {name: self._place(name, step) for name in resident}
        members = planned.stage.members if planned.stage else (planned,)
        for transfer, x in slices.items():
            if transfer.kind in ("load", "fetch"):
                readers = (m.name for m in members if x.tensor in m.inputs)
                self._move(Load, "rows", x, next(readers, members[0].name))
        held_places = dict(self.places)
        self.places = {name: held_places[name] for name in resident}
        if planned.stage is None:
            operator = self.operators[planned.name]
            part = Part(operator.name, 0, self.network.tensor(operator.output).shape[1])
            self._part(operator, self._blocks(operator), "rows", part, Weights.KEPT)
        elif planned.stage.axis == "reduction":
            self._streamed(planned.stage)
        else:
            self._stage(planned.stage)
        self.places = held_places
        for transfer, x in slices.items():
            if transfer.kind not in ("load", "fetch"):
                makers = (m.name for m in members if x.tensor in m.outputs)
                self._move(Store, "rows", x, next(makers, members[-1].name))

    def _is_whole(self, transfer: Transfer, planned: Planned) -> bool:
        """Not a slice that the stage of that step moves."""
        if planned.stage is None:
            return True
        slices = (x for p in planned.stage.patches for x in (*p.loads, *p.stores))
        return transfer.tensor not in {x.tensor for x in slices}

    def _stage(self, stage: Stage) -> None:
        resident = dict(self.places)
        space = resident.pop(stage.workspace).base if stage.workspace else 0
        if not stage.reread_weight_bytes:
            # They all fit behind what stays for other steps, and stay for the whole stage.
            self.weights.restart()
        blocks = {m.name: self._blocks(self.operators[m.name]) for m in stage.members}
        divided = {
            m.name: Weights.DIVIDED
            if stage.axis == "channels"
            and m.loaded_weight_bytes == sum(len(p.block) for p in blocks[m.name])
            else Weights.WHOLE
            for m in stage.members
        }
        reductions = {m.name: m.reduction for m in stage.members}
        for patch in stage.patches:
            self.places = dict(resident)
            for b in patch.buffers:
                self.places[b.tensor] = self._buffer(stage.axis, space, b)
            loads = {x.tensor: x for x in patch.loads}
            stores = {x.tensor: x for x in patch.stores}
            for part in patch.parts:
                operator = self.operators[part.operator]
                for name in dict.fromkeys(operator.inputs):
                    if name in loads:
                        self._move(Load, stage.axis, loads.pop(name), operator.name)
                weights = Weights.KEPT
                if stage.reread_weight_bytes:
                    self.weights.forget()
                    weights = divided[operator.name]
                pieces = blocks[operator.name]
                if (reduction := reductions[operator.name]) is not None:
                    self._reduced(operator, pieces, reduction, stage.axis, part)
                else:
                    self._part(operator, pieces, stage.axis, part, weights)
                if operator.output in stores:
                    self._move(Store, stage.axis, stores.pop(operator.output), operator.name)

    def _buffer(self, axis: Axis, space: int, b: Buffer) -> Place:
        local, width = space + b.offset // self.word_bytes, self._width(b.tensor)
        if axis == "channels":
            pixel = b.last - b.first
            return Place(local - b.first, pixel, width * pixel)
        pixel = self._pixel_words(b.tensor)
        row = (b.right - b.left if axis == "tiles" else width) * pixel
        return Place(local - b.first * row - b.left * pixel, pixel, row)

    def _region(self, operator: Operator, axis: Axis, part: Part) -> Region:
        """Rows and columns of the output that a part has."""
        _, height, width, _ = self.network.tensor(operator.output).shape
        top, bottom = (0, height) if axis == "channels" else (part.first, part.last)
        return top, bottom, *((part.left, part.right) if axis == "tiles" else (0, width))

    def _blocks(self, operator: Operator) -> list[Piece]:
        return pieces_of(self.network, operator, self.word_bytes)

    def _part(
        self,
        operator: Operator,
        pieces: list[Piece],
        axis: Axis,
        part: Part,
        weights: Weights,
    ) -> None:
        """Some rows, some channel words, or a tile of an operator's output."""
        wanted_region = self._region(operator, axis, part)
        for piece in pieces:
            wanted = axis != "channels" or part.first <= piece.out_word < part.last
            if not wanted and weights is not Weights.WHOLE:
                continue
            if weights is Weights.DIVIDED:
                self.weights.forget()
            # Pieces with equal blocks follow one another.
            start = self.weights.find(operator.name, piece.block)
            if wanted:
                for region in self._regions(operator, piece, wanted_region):
                    self._compute(operator, piece, region, start)
        self._made(part, axis)

    def _reduced(
        self,
        operator: Operator,
        pieces: list[Piece],
        reduction: Reduction,
        axis: Axis,
        part: Part,
    ) -> None:
        """The same of an operator whose reduction is in parts: every tile sweeps over them, and the
        next one sweeps back, so that the two parts that came last are still there."""
        top, bottom, left, right = self._region(operator, axis, part)
        width = self._width(operator.output)
        rows, columns = reduction.tile_rows, -(-width // reduction.row_tiles)
        if axis == "tiles":
            rows, columns = 1, reduction.pixels(width)
        tiles = [
            (y, min(y + rows, bottom), x, min(x + columns, right))
            for y in range(top, bottom, rows)
            for x in range(left, right, columns)
        ]
        for piece in pieces:
            if axis == "channels" and not part.first <= piece.out_word < part.last:
                continue
            parts = parts_of(operator, piece, self.spec)
            slots = self.weights.slots(max(reduction.parts))
            there: list[Piece | None] = [None, None]
            order = list(enumerate(parts))
            for tile in tiles:
                for count, (n, own) in enumerate(order, 1):
                    if there[n % 2] is not own:
                        self.memory.load_block(operator.name, own.block, slots[n % 2])
                        there[n % 2] = own
                    keep = count < len(parts)
                    self._compute(operator, own, tile, slots[n % 2], keep=keep)
                order.reverse()
        self._made(part, axis)

    def _streamed(self, stage: Stage) -> None:
        """A stage along the reduction: for every piece the patches of a sweep, whose slices of the
        input the workspace holds, with the parts that read them in the same direction.

        The block of a part is loaded for it, that of all parts once.
        """
        resident = dict(self.places)
        space = resident[stage.workspace].base
        (member,) = stage.members
        reduction, operator = member.reduction, self.operators[member.name]
        assert reduction is not None
        source, pieces = operator.inputs[0], self._blocks(operator)
        pixel = self._pixel_words(source)
        row_bytes = self._width(source) * pixel * self.word_bytes
        sweep = len(stage.patches) // len(pieces)
        slots = self.weights.slots(max(reduction.parts))
        for count, patch in enumerate(stage.patches):
            block, at = divmod(count, sweep)
            (b,) = patch.buffers
            local = space + (b.offset - b.first) // self.word_bytes
            self.places = {**resident, source: Place(local, pixel, self._width(source) * pixel)}
            for x in patch.loads:
                self._move(Load, stage.axis, x, operator.name)
            if reduction.shared:
                rows = rows_of(pieces[block], b.first // row_bytes, b.last // row_bytes)
                start = self.weights.find(operator.name, rows.block)
                self._compute(operator, rows, rows.region, start, keep=at < sweep - 1)
                continue
            if at == 0:
                parts = list(enumerate(parts_of(operator, pieces[block], self.spec)))
            read = [x for x in parts if b.first <= x[1].first_word * self.word_bytes < b.last]
            for count_down, (n, part) in zip(
                reversed(range(len(read))), read[:: -1 if block % 2 else 1], strict=True
            ):
                self.memory.load_block(operator.name, part.block, slots[n % 2])
                keep = count_down > 0 or at < sweep - 1
                self._compute(operator, part, part.region, slots[n % 2], keep=keep)
        self.places = resident
        height = self.network.tensor(operator.output).shape[1]
        self._made(Part(operator.name, 0, height), "rows")

    def _made(self, part: Part, axis: Axis) -> None:
        place = self.places[self.operators[part.operator].output]
        self.results.append(Computed(self.computes, part, axis, place))

    def _pixel_words(self, tensor: str) -> int:
        return words_per_pixel(self.network.tensor(tensor).shape[3], self.word_bytes)

    def _width(self, tensor: str) -> int:
        return self.network.tensor(tensor).shape[2]

    def _place(self, tensor: str, step: int) -> Place:
        """Of a tensor that is resident in a step."""
        for interval in self.intervals[tensor]:
            if interval.first_step <= step < interval.last_step:
                address, rest = divmod(interval.address, self.word_bytes)
                if rest:
                    raise ValueError(f"address of {tensor!r} must be a whole number of words")
                if tensor not in self.shapes:
                    return Place(address, 0, 0)
                pixel = self._pixel_words(tensor)
                return Place(address, pixel, self._width(tensor) * pixel)
        raise ValueError(f"tensor {tensor!r} must be resident in step {step}")

    def _move(self, kind: type[Load] | type[Store], axis: Axis, x: Slice, operator: str) -> None:
        place = self.places[x.tensor]
        for offset, words in slice_runs(self.shapes[x.tensor], axis, x, self.word_bytes):
            pixel, word = divmod(offset, self._pixel_words(x.tensor))
            local = place.at(*divmod(pixel, self._width(x.tensor))) + word
            at = offset * self.word_bytes
            self.memory.move(kind, operator, x.tensor, at, local, words)

    def _regions(self, operator: Operator, piece: Piece, wanted: Region) -> Iterator[Region]:
        """What of a piece's region is wanted: at once where its rows follow one another, and those
        of both inputs of an addition are equally far apart."""
        top, bottom = max(piece.region[0], wanted[0]), min(piece.region[1], wanted[1])
        left, right = max(piece.region[2], wanted[2]), min(piece.region[3], wanted[3])
        if left >= right or top >= bottom:
            return
        output = self.places[operator.output]
        read = operator.inputs if isinstance(operator, Add) else ()
        pitches = {self.places[name].row for name in read or operator.inputs[:1]}
        if output.row == (right - left) * output.pixel and len(pitches) == 1:
            yield top, bottom, left, right
            return
        for row in range(top, bottom):
            yield row, row + 1, left, right

    def _compute(
        self, operator: Operator, piece: Piece, region: Region, weights: int, *, keep: bool = False
    ) -> None:
        instruction = compute_instruction(
            self.network,
            operator,
            piece,
            region,
            places=self.places,
            weights=weights,
            keep=keep,
        )
        self.memory.compute(instruction, operator.name, operator.output)
        self.computes += 1
