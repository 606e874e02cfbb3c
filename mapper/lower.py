"""From a plan to a program and the memory that it runs in.

Every transfer of the plan is in the program once, and no other. Instructions are made in the order of
the plan, as if each ran on its own. What keeps them apart when the units run side by side, and in
which order they are handed out so that transfers run beside computations, is found afterwards, from
what each of them touches.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from hw.control.dispatch import FETCH_INSTRUCTIONS
from hw.errors import InputError
from hw.isa import (
    INSTRUCTION_BYTES,
    Begin,
    Compute,
    End,
    Instruction,
    Load,
    Path,
    Store,
    Target,
    encode,
)
from hw.spec import Spec
from mapper.interleave import interleaved
from mapper.layout import slice_runs, tensor_bytes
from mapper.lowered import Computed, Lowered, Place, Purpose
from mapper.pieces import Piece, pieces_of, words_per_pixel
from mapper.plan import Plan, Transfer
from mapper.plan import PlannedOperator as Planned
from mapper.stage import Axis, Buffer, Slice, Stage
from sim.quantised import (
    Network,
    Operator,
)

__all__ = ["lower"]

_ALIGNMENT = INSTRUCTION_BYTES * FETCH_INSTRUCTIONS


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
    return builder.finish()


@dataclass
class _Builder:
    """Grows the program step by step."""

    network: Network
    plan: Plan
    spec: Spec
    program: list[Instruction] = field(default_factory=lambda: [Begin()])
    purposes: list[Purpose] = field(default_factory=lambda: [Purpose("", "")])
    computes: int = 0
    blocks: list[bytes] = field(default_factory=list)
    block_bytes: int = 0
    next_word: int = 0
    last_compute: dict[str, int] = field(default_factory=dict)
    results: list[Computed] = field(default_factory=list)
    held: dict[tuple[str, bytes], int] = field(default_factory=dict)
    staying: dict[tuple[int, bytes], int] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.operators = {o.name: o for o in self.network.operators}
        self.planned = {o.name: o for o in self.plan.operators}
        self.intervals = {t.name: t.intervals for t in self.plan.tensors}
        self.shapes = {t.name: t.shape for t in self.network.tensors}
        self.word_bytes = self.spec.word_bytes
        self.shared = {
            name: n
            for n, s in enumerate(self.plan.shared_weights)
            if s.address is not None
            for name in s.operators
        }
        self.bases = self._bases()
        self.base = 0
        self.stored_blocks: dict[bytes, int] = {}
        self.loaded_bytes = 0
        self.weight_words = self.spec.weight_buffer.bytes // self.word_bytes
        self.homes: dict[str, int] = {}
        self.patches: list[tuple[int, str, int]] = []  # program index, "block" or tensor, offset
        offset = 0
        off_chip = {t.tensor for t in self.plan.transfers}
        for tensor in self.network.tensors:
            if tensor.name in off_chip:
                self.homes[tensor.name] = offset
                offset += tensor_bytes(tensor.shape, self.word_bytes)
        self.home_bytes = offset

    def step(self, step: int) -> None:
        """One step of the plan: whole tensors come, the operator or its stage runs, others go."""
        planned = self.planned[self.plan.order[step]]
        self.base = self.bases[step]
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
        self.held.clear()
        if planned.stage is None:
            operator = self.operators[planned.name]
            height = self.network.tensor(operator.output).shape[1]
            self._part(operator, self._blocks(operator), "rows", 0, height, Weights.KEPT)
        else:
            self._stage(planned.stage)
        self.last_compute[planned.name] = self.computes
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
            self.next_word = self.base
        blocks = {m.name: self._blocks(self.operators[m.name]) for m in stage.members}
        divided = {
            m.name: Weights.DIVIDED
            if stage.axis == "channels"
            and m.loaded_weight_bytes == sum(len(p.block) for p in blocks[m.name])
            else Weights.WHOLE
            for m in stage.members
        }
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
                    self.held.clear()
                    weights = divided[operator.name]
                pieces = blocks[operator.name]
                self._part(operator, pieces, stage.axis, part.first, part.last, weights)
                if operator.output in stores:
                    self._move(Store, stage.axis, stores.pop(operator.output), operator.name)

    def _buffer(self, axis: Axis, space: int, b: Buffer) -> Place:
        local = space + b.offset // self.word_bytes
        if axis == "rows":
            pixel = self._pixel_words(b.tensor)
            return Place(local - b.first * self._width(b.tensor) * pixel, pixel)
        return Place(local - b.first, b.last - b.first)

    def _blocks(self, operator: Operator) -> list[Piece]:
        return pieces_of(self.network, operator, self.word_bytes)

    def _part(
        self,
        operator: Operator,
        pieces: list[Piece],
        axis: Axis,
        first: int,
        last: int,
        weights: Weights,
    ) -> None:
        """Some rows, or some channel words, of an operator's output."""
        height = self.network.tensor(operator.output).shape[1]
        rows = (first, last) if axis == "rows" else (0, height)
        for piece in pieces:
            wanted = axis == "rows" or first <= piece.out_word < last
            if not wanted and weights is not Weights.WHOLE:
                continue
            if weights is Weights.DIVIDED:
                self.held.clear()
            # Pieces with equal blocks follow one another.
            start = self._block(operator, piece.block)
            if wanted:
                self._compute(operator, piece, start, rows)
        place = self.places[operator.output]
        self.results.append(Computed(self.computes, operator.name, first, last, axis, place))

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
                known = tensor in self.shapes
                return Place(address, self._pixel_words(tensor) if known else 0)
        raise ValueError(f"tensor {tensor!r} must be resident in step {step}")

    def _emit(self, instruction: Instruction, operator: str, tensor: str) -> None:
        self.program.append(instruction)
        self.purposes.append(Purpose(operator, tensor))

    def _move(self, kind: type[Load] | type[Store], axis: Axis, x: Slice, operator: str) -> None:
        place = self.places[x.tensor]
        for offset, words in slice_runs(self.shapes[x.tensor], axis, x, self.word_bytes):
            pixel, word = divmod(offset, self._pixel_words(x.tensor))
            home = self.homes[x.tensor] + offset * self.word_bytes
            self.patches.append((len(self.program), x.tensor, home))
            self._emit(
                kind(
                    target=Target.SCRATCHPAD,
                    memory=0,
                    local=place.base + pixel * place.pixel + word,
                    words=words,
                ),
                operator,
                x.tensor,
            )

    def _bases(self) -> list[int]:
        """Per step, the word behind all shared weights that stay then."""
        at = {name: t for t, name in enumerate(self.plan.order)}
        bases = [0] * len(at)
        for shared in self.plan.shared_weights:
            if shared.address is None:
                continue
            steps = [at[name] for name in shared.operators]
            end = (shared.address + shared.bytes) // self.word_bytes
            for t in range(min(steps), max(steps) + 1):
                bases[t] = max(bases[t], end)
        return bases

    def _block(self, operator: Operator, block: bytes) -> int:
        """Word address of a block in the weight memory, into which it is loaded if need be."""
        if operator.name not in self.shared:
            key = operator.name, block
            if key not in self.held:
                self.held[key] = self._stream(operator, block)
            return self.held[key]
        group = self.shared[operator.name]
        if (group, block) not in self.staying:
            before = sum(len(known) for n, known in self.staying if n == group)
            address = self.plan.shared_weights[group].address
            assert address is not None
            start = (address + before) // self.word_bytes
            self.staying[group, block] = start
            self._load_block(operator, block, start)
        return self.staying[group, block]

    def _stream(self, operator: Operator, block: bytes) -> int:
        """Loads a block for one operator, behind all that stays."""
        words = len(block) // self.word_bytes
        if words > self.weight_words - self.base:
            raise InputError(
                f"weight_buffer.bytes must be at least {len(block)} for the weights of one word of "
                f"output channels of {operator.name!r}, not {self.spec.weight_buffer.bytes}."
            )
        self.next_word = max(self.next_word, self.base)
        if self.next_word + words > self.weight_words:
            self.next_word = self.base
        start = self.next_word
        self.next_word += words
        self._load_block(operator, block, start)
        return start

    def _load_block(self, operator: Operator, block: bytes, start: int) -> None:
        words = len(block) // self.word_bytes
        if block not in self.stored_blocks:
            self.stored_blocks[block] = self.block_bytes
            self.blocks.append(block)
            self.block_bytes += len(block)
        self.loaded_bytes += len(block)
        self.patches.append((len(self.program), "", self.stored_blocks[block]))
        load = Load(target=Target.WEIGHTS, memory=0, local=start, words=words)
        self._emit(load, operator.name, "")

    def _compute(
        self, operator: Operator, piece: Piece, weights: int, wanted: tuple[int, int]
    ) -> None:
        top, bottom, left, right = piece.region
        top, bottom = max(top, wanted[0]), min(bottom, wanted[1])
        if top >= bottom:
            return
        output = self.network.tensor(operator.output).shape
        rows = [(top, bottom)] if (left, right) == (0, output[2]) else [
            (row, row + 1) for row in range(top, bottom)
        ]  # fmt: skip
        for first, last in rows:
            instruction = self._instruction(operator, piece, weights, first, last)
            self._emit(instruction, operator.name, operator.output)
            self.computes += 1

    def _instruction(
        self,
        operator: Operator,
        piece: Piece,
        weights: int,
        first: int,
        last: int,
    ) -> Compute:
        """A piece for output rows ``first, ..., last - 1`` of its region, with addresses."""
        _, _, left, right = piece.region
        name = operator.inputs[piece.operand]
        shape, output = self.network.tensor(name).shape, self.network.tensor(operator.output).shape
        base, pixel = self.places[name]
        row = shape[2] * pixel
        (sy, sx), (dy, dx) = piece.geometry.stride, piece.geometry.dilation
        pad_top = piece.geometry.padding[0] - first * sy
        pad_left = piece.geometry.padding[1] - left * sx
        width = right - left
        source = base + piece.first_word - pad_top * row - pad_left * pixel
        tap_x = dx * pixel
        tap_y = dy * row - (piece.kernel[1] - 1) * dx * pixel
        in_size = (shape[1], shape[2])
        if len(operator.inputs) == 2 and piece.kernel == (1, 2) and piece.path == Path.SCALARS:
            # An addition: the second tap lies in the other tensor, at the same place.
            tap_x = self.places[operator.inputs[1]].base - base
            dx, in_size = 0, (shape[1], shape[2])
        destination, out_pixel = self.places[operator.output]
        destination += piece.out_word
        return Compute(
            path=piece.path,
            source=source % (1 << 24),
            pixels=(last - first) * width,
            out_width=width,
            step_x=sx * pixel,
            step_y=sy * row - (width - 1) * sx * pixel,
            tap_x=tap_x,
            tap_y=tap_y,
            in_height=in_size[0],
            in_width=in_size[1],
            stride_y=sy,
            stride_x=sx,
            dilation_y=dy,
            dilation_x=dx,
            pad_top=pad_top,
            pad_left=pad_left,
            kernel_y=piece.kernel[0],
            kernel_x=piece.kernel[1],
            words=piece.words,
            pad_value=piece.pad_value,
            weights=weights,
            scalar_0=piece.scalars[0],
            scalar_1=piece.scalars[1],
            destination=destination + (first * output[2] + left) * out_pixel,
            destination_step=out_pixel,
            mask=piece.mask,
            zero_point=piece.post.zero_point,
            low=piece.post.low,
            high=piece.post.high,
        )

    def finish(self) -> Lowered:
        self._emit(End(), "", "")
        code = -(-len(self.program) * INSTRUCTION_BYTES // _ALIGNMENT) * _ALIGNMENT
        homes = code + self.block_bytes
        for index, tensor, offset in self.patches:
            base = homes if tensor else code
            instruction = self.program[index]
            values = {**vars(instruction), "memory": base + offset}
            self.program[index] = type(instruction)(**values)
        # Each unit keeps its own order.
        queues = defaultdict(list)
        for instruction, purpose in zip(self.program, self.purposes, strict=True):
            queues[type(instruction)].append(purpose)
        taken = {kind: iter(purposes) for kind, purposes in queues.items()}
        self.program = interleaved(self.program, self.spec)
        image = np.zeros(homes + self.home_bytes, np.uint8)
        text = encode(self.program)
        image[: len(text)] = np.frombuffer(text, np.uint8)
        image[code:homes] = np.frombuffer(b"".join(self.blocks), np.uint8)
        moved = [i for i in self.program if isinstance(i, Load) and i.target == Target.SCRATCHPAD]
        stored = [i for i in self.program if isinstance(i, Store)]
        return Lowered(
            program=tuple(self.program),
            image=image,
            tensors={name: homes + offset for name, offset in self.homes.items()},
            last_compute=self.last_compute,
            results=tuple(self.results),
            purposes=tuple(next(taken[type(instruction)]) for instruction in self.program),
            weight_bytes=self.loaded_bytes,
            activation_bytes=sum(i.words for i in moved) * self.word_bytes,
            stored_bytes=sum(i.words for i in stored) * self.word_bytes,
        )
