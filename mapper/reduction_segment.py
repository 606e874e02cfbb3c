"""A dense layer or a global average whose input does not fit: slices of it come and go, sums stay."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from mapper.graph import Operator
from mapper.segment import MOST_PATCHES, Rows, Segment
from mapper.stage import Buffer, Member, Part, Patch, Slice, Stage, Window

__all__ = ["ReductionSegment"]


# Patches of all sweeps: a dense layer has one of them for every word of its outputs.
_MOST_IN_ALL = 4 * MOST_PATCHES


class ReductionSegment(Segment):
    """One operator in patches along its reduction.

    A patch is a slice of the input: some parts of the reduction, counted in bytes of the input. For
    every word of output channels the patches sweep over the whole input, forth and back in turn.
    The workspace has room for two slices, so a sweep finds the two that the one before came to
    last, and loads the others again. The output is whole in the scratchpad. So many patches as a
    method takes are those of one sweep.
    """

    @property
    def operator(self) -> Operator:
        return self.operators[0]

    @property
    def most_patches(self) -> int:
        reduction = self.operator.streams
        if len(self.operators) > 1 or reduction is None:
            return 1
        return min(len(reduction.parts), _MOST_IN_ALL // reduction.blocks)

    def allows(self, resident: Collection[str]) -> bool:
        return self.inputs[0] not in resident and set(self.outputs) <= set(resident)

    def windows(self, operator: Operator) -> tuple[Window | None, ...]:
        return ()

    def loaded_weights(self, operator: Operator, runs: Sequence[Rows]) -> int:
        return operator.weight_bytes

    def slice(self, tensor: str, patch: int, patches: int) -> Rows:
        """Bytes of the input that a patch of a sweep has: whole parts of the reduction."""
        reduction = self.operator.streams
        assert reduction is not None
        bounds, count = (0, *reduction.ends), len(reduction.parts)
        return bounds[count * patch // patches], bounds[count * (patch + 1) // patches]

    def sweeps(self, patches: int) -> list[tuple[int, bool]]:
        """The patches of all sweeps in order, and whether each loads its slice."""
        reduction = self.operator.streams
        assert reduction is not None
        order = list(range(patches))
        found = [(n, True) for n in order]
        for _ in range(1, reduction.blocks):
            order.reverse()
            found += [(n, count >= 2) for count, n in enumerate(order)]
        return found

    def runs(self, patches: int) -> dict[str, list[Rows]]:
        source = self.inputs[0]
        loaded = [self.slice(source, n, patches) for n, loads in self.sweeps(patches) if loads]
        return {source: loaded, **{t: [(0, self.parts(t))] for t in self.outputs}}

    def widest(self, patches: int) -> dict[str, int]:
        source = self.inputs[0]
        slices = (self.slice(source, n, patches) for n in range(patches))
        return {
            source: max(last - first for first, last in slices),
            **{t: self.parts(t) for t in self.outputs},
        }

    def place(self, rows: Mapping[str, int], local: Iterable[str]) -> tuple[dict[str, int], int]:
        """Two slices of the input beside each other, and what else is not whole elsewhere."""
        sizes = {t: rows[t] * (2 if t in self.inputs else 1) for t in local}
        offsets, top = {}, 0
        for t, size in sizes.items():
            offsets[t] = top
            top += size
        return offsets, top

    def stage(
        self, patches: int, resident: Collection[str], workspace: str, weight_memory: int | None
    ) -> tuple[Stage, int]:
        o, source = self.operator, self.inputs[0]
        assert self.allows(resident)
        widest = self.widest(patches)
        made = []
        for n, loads in self.sweeps(patches):
            rows = self.slice(source, n, patches)
            made.append(
                Patch(
                    buffers=(Buffer(source, n % 2 * widest[source], *rows),),
                    loads=(Slice(source, *rows),) if loads else (),
                    parts=(Part(o.name, *rows),),
                    stores=(),
                )
            )
        member = Member(
            o.name,
            o.kind,
            o.inputs,
            o.outputs,
            (),
            o.macs,
            o.weight_bytes,
            o.weight_bytes,
            o.streams,
        )
        stage = Stage("reduction", (member,), workspace, tuple(made))
        return stage, self.place(widest, [source])[1]
