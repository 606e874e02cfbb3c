"""Consecutive operators as one stage: what each patch computes, and where it lies.

Parts are rows or channel words, by the axis of the stage.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mapper.graph import Operator, Tensor
from mapper.stage import Buffer, Direction, Member, Part, Patch, Slice, Stage, Window

__all__ = ["MOST_PATCHES", "Rows", "Segment"]

Rows = tuple[int, int]

MOST_PATCHES = 4096

_ALL = 4


@dataclass(frozen=True, eq=False)
class Segment:
    """Operators that may run as one stage.

    Attributes
    ----------
    axis : Direction
    operators : tuple of Operator
        In a topological order.
    tensors : dict of str to Tensor
        Those that they touch.
    inputs, outputs : tuple of str
        Tensors that come from outside and that are needed outside afterwards.
    strips : int
        Of tiles, how many are side by side.
    """

    axis: Direction
    operators: tuple[Operator, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    strips: int = 1

    @cached_property
    def most_patches(self) -> int:
        """How many patches it may be cut into; 1 where a member needs all of another's result.

        Never more than `MOST_PATCHES`, whatever the height: a plan lists every one.
        """
        made = {t for o in self.operators for t in o.outputs}
        if self.axis == "channels" and any(o.mixes_channels for o in self.operators[:-1]):
            return 1
        for o in self.operators:
            windows = self.windows(o)
            if not windows or len(o.outputs) != 1:
                return 1
            if any(w is None and t in made for t, w in zip(o.inputs, windows, strict=True)):
                return 1
        return min(MOST_PATCHES, max(self.parts(t) for t in self.outputs))

    def windows(self, operator: Operator) -> tuple[Window | None, ...]:
        """Those of the segment's axis."""
        if self.axis == "columns":
            return operator.column_windows
        return operator.windows if self.axis == "rows" else operator.channel_windows

    def parts(self, tensor: str) -> int:
        """Parts of a tensor along the segment's axis."""
        return self.tensors[tensor].parts(self.axis)

    @cached_property
    def lives(self) -> dict[str, Rows]:
        """Members, as positions, from the first to behind the last that touches each tensor."""
        lives: dict[str, Rows] = {}
        for n, o in enumerate(self.operators):
            for t in (*o.inputs, *o.outputs):
                lives[t] = (lives.get(t, (n, n))[0], n + 1)
        return lives

    @cached_property
    def shape(self) -> Hashable:
        """All that decides about parts and bytes, names left out: equal where segments are alike.

        Tensors are numbered as in `lives`.
        """
        number = {t: n for n, t in enumerate(self.lives)}
        tensors = [self.tensors[t] for t in self.lives]
        return (
            self.axis,
            self.strips,
            tuple(
                (
                    (o.windows, o.channel_windows, o.column_windows),
                    (o.reduction, o.streams),
                    (o.weight_bytes, o.undivided_weight_bytes),
                    tuple(number[t] for t in o.inputs),
                    tuple(number[t] for t in o.outputs),
                )
                for o in self.operators
            ),
            tuple((t.bytes, t.rows, t.channels, t.columns) for t in tensors),
            tuple(number[t] for t in self.inputs),
            tuple(number[t] for t in self.outputs),
        )

    @property
    def macs(self) -> int:
        return sum(o.macs for o in self.operators)

    @property
    def weight_bytes(self) -> int:
        return sum(o.weight_bytes for o in self.operators)

    def keeps_weights(self, weight_memory: int | None) -> bool:
        """Whether all weights fit into a memory of so many bytes, and stay from patch to patch."""
        return (
            weight_memory is not None
            and self.weight_bytes <= weight_memory
            and not any(o.reduction for o in self.operators)
        )

    def loaded_weights(self, operator: Operator, runs: Sequence[Rows]) -> int:
        """Bytes that parts of an operator's output load when nothing is kept between them.

        Each all of its weights; or, along channels, each word its own, if that is less. Where the
        reduction is in parts, every word its own, as often as it has tiles.
        """
        if (r := operator.reduction) is not None:
            if self.axis == "rows":
                return r.blocks * sum(r.loaded(r.sweeps(last - first)) for first, last in runs)
            height = self.tensors[operator.outputs[0]].rows
            return r.loaded(r.sweeps(height)) * sum(last - first for first, last in runs)
        whole = operator.weight_bytes * len(runs)
        return min(whole, operator.undivided_weight_bytes) if self.axis == "channels" else whole

    def slice(self, tensor: str, patch: int, patches: int) -> Rows:
        """The rows of an output that are one patch's own."""
        parts = self.parts(tensor)
        return parts * patch // patches, parts * (patch + 1) // patches

    def rows(
        self, patch: int, patches: int, done: Mapping[str, int] | None = None
    ) -> dict[str, Rows]:
        """Rows of each tensor that a patch touches; of a produced one, those that it computes.

        Of the tensors in `done`, the rows below that number are there already.
        """
        done = done or {}
        need = {t: self.slice(t, patch, patches) for t in self.outputs}
        for o in reversed(self.operators):
            windows = self.windows(o)
            if len(o.outputs) != 1 or not windows:  # one patch: everything is needed
                for t in (*o.inputs, *o.outputs):
                    need[t] = (0, self.parts(t))
                continue
            first, last = need.get(o.outputs[0], (0, 0))
            first = max(first, done.get(o.outputs[0], 0))
            need[o.outputs[0]] = (first, max(first, last))
            if first >= last:
                continue
            for t, window in zip(o.inputs, windows, strict=True):
                height = self.parts(t)
                rows = (0, height) if window is None else window.rows(first, last, height)
                need[t] = _hull(need.get(t, (0, 0)), rows)
        return {t: need.get(t, (0, 0)) for t in self.lives}

    def allows(self, resident: Collection[str]) -> bool:
        """Whether it can run when just these of its inputs and outputs are whole on chip.

        A slice of channels has its pixels closer together than the whole tensor, and operators of
        two inputs must find pixels equally far apart in both. What mixes channels in the end needs
        them all.
        """
        if self.axis == "rows":
            return True
        return all(
            len({t in resident for t in o.inputs}) <= 1
            and (not o.mixes_channels or set(o.outputs) <= set(resident))
            for o in self.operators
        )

    def runs(self, patches: int) -> dict[str, list[Rows]]:
        """Rows of each tensor that the patches touch, one after another, as `rows`."""
        found: dict[str, list[Rows]] = {t: [] for t in self.lives}
        for patch in range(patches):
            for t, rows in self.rows(patch, patches).items():
                found[t].append(rows)
        return found

    def amounts(self, patches: int) -> tuple[dict[str, int], int]:
        """Parts of each tensor that the patches touch, one after another, and the bytes of weights
        that they load when nothing is kept."""
        runs = self.runs(patches)
        loaded = sum(self.loaded_weights(o, runs[o.outputs[0]]) for o in self.operators)
        return {t: sum(b - a for a, b in parts) for t, parts in runs.items()}, loaded

    def transfers(self, tensors: Iterable[str], patches: int) -> int:
        """Runs of bytes that slices of some tensors come or go in, where a slice has several."""
        if self.axis != "channels":
            return 0
        return sum(self.tensors[t].pixels for t in tensors) * patches

    def widest(self, patches: int) -> dict[str, int]:
        """Parts of each tensor that a patch touches at most.

        Of many patches only some are looked at: those nearest the middle, where no border cuts
        windows off, and for every output those of them whose own parts are most.
        """
        middle = patches // 2
        sample = {0, middle - 1, middle, middle + 1, patches - 1}
        if patches <= _ALL:
            sample = set(range(patches))
        for t in self.outputs if patches > _ALL else ():
            own = [b - a for a, b in (self.slice(t, n, patches) for n in range(patches))]
            fullest = [n for n in range(patches) if own[n] == max(own)]
            sample.update(sorted(fullest, key=lambda n: abs(2 * n - patches))[:2])
        most = dict.fromkeys(self.lives, 0)
        for patch in sample:
            for t, (first, last) in self.rows(patch, patches).items():
                most[t] = max(most[t], last - first)
        return most

    def place(self, rows: Mapping[str, int], local: Iterable[str]) -> tuple[dict[str, int], int]:
        """Offsets of the buffers of some tensors, and the bytes that they take: first fit."""
        sizes = {t: rows[t] * self.tensors[t].part_bytes(self.axis) for t in local if rows[t]}
        best: tuple[dict[str, int], int] | None = None
        for order in (
            sorted(sizes, key=lambda t: (-sizes[t], self.lives[t], t)),
            sorted(sizes, key=lambda t: (self.lives[t], -sizes[t], t)),
        ):
            offsets: dict[str, int] = {}
            for t in order:
                begin, end = self.lives[t]
                taken = sorted(
                    (offsets[u], offsets[u] + sizes[u])
                    for u in offsets
                    if self.lives[u][0] < end and begin < self.lives[u][1]
                )
                at = 0
                for low, high in taken:
                    if at + sizes[t] <= low:
                        break
                    at = max(at, high)
                offsets[t] = at
            top = max((offsets[t] + sizes[t] for t in sizes), default=0)
            if best is None or top < best[1]:
                best = offsets, top
        assert best is not None
        return best

    def stage(
        self, patches: int, resident: Collection[str], workspace: str, weight_memory: int | None
    ) -> tuple[Stage, int]:
        """The stage, exactly, and the bytes of its workspace.

        Parameters
        ----------
        patches : int
        resident : collection of str
            Inputs and outputs that are whole in the scratchpad; the others are streamed.
        workspace : str
            Name of the tensor that will hold the buffers.
        weight_memory : int or None
            Bytes of the memory that weights are loaded into; None when nothing is kept.
        """
        assert self.axis != "columns", "only tiles have columns"
        done = {t: 0 for t in self.outputs if t in resident}
        touched = []
        for patch in range(patches):
            rows = self.rows(patch, patches, done)
            touched.append(rows)
            done = {t: max(n, rows[t][1]) for t, n in done.items()}
        local = [t for t in self.lives if t not in resident]
        most = {t: max(rows[t][1] - rows[t][0] for rows in touched) for t in local}
        offsets, size = self.place(most, local)
        made = tuple(
            self._patch(n, patches, rows, offsets, resident) for n, rows in enumerate(touched)
        )
        # Parts below it are computed already; a row that nobody needs never is.
        seen = {o.name: 0 for o in self.operators}
        runs: dict[str, list[Rows]] = {name: [] for name in seen}
        macs = 0
        by_name = {o.name: o for o in self.operators}
        for part in (part for patch in made for part in patch.parts):
            name, first, last = part.operator, part.first, part.last
            o = by_name[name]
            again = max(0, min(last, seen[name]) - first)
            macs += o.macs * again // self.parts(o.outputs[0])
            seen[name] = max(seen[name], last)
            runs[name].append((first, last))
        loaded = {o.name: self.loaded_weights(o, runs[o.name]) for o in self.operators}
        return (
            Stage(
                axis=self.axis,
                members=tuple(
                    Member(
                        o.name,
                        o.kind,
                        o.inputs,
                        o.outputs,
                        self.windows(o),
                        o.macs,
                        o.weight_bytes,
                        loaded[o.name],
                        o.reduction,
                    )
                    for o in self.operators
                ),
                workspace=workspace if size else "",
                patches=made,
                recomputed_macs=macs,
                reread_weight_bytes=(
                    0
                    if self.keeps_weights(weight_memory)
                    else sum(loaded.values()) - self.weight_bytes
                ),
            ),
            size,
        )

    def _patch(
        self,
        patch: int,
        patches: int,
        rows: Mapping[str, Rows],
        offsets: Mapping[str, int],
        resident: Collection[str],
    ) -> Patch:
        loads = [t for t in self.inputs if t not in resident]
        stores = [t for t in self.outputs if t not in resident]
        return Patch(
            buffers=tuple(
                Buffer(t, offset, *rows[t]) for t, offset in offsets.items() if _some(rows[t])
            ),
            loads=tuple(Slice(t, *rows[t]) for t in loads if _some(rows[t])),
            parts=tuple(
                Part(o.name, *rows[o.outputs[0]])
                for o in self.operators
                if _some(rows[o.outputs[0]])
            ),
            stores=tuple(
                Slice(t, *own) for t in stores if _some(own := self.slice(t, patch, patches))
            ),
        )


def _hull(one: Rows, other: Rows) -> Rows:
    if one[0] >= one[1]:
        return other
    if other[0] >= other[1]:
        return one
    return min(one[0], other[0]), max(one[1], other[1])


def _some(rows: Rows) -> bool:
    return rows[0] < rows[1]
