"""Operators in tiles, some columns of some rows at a time: where not even a row of theirs fits.

What a tile needs of rows and what it needs of columns do not depend on one another, so a tile of a
tensor is a range of rows times a range of columns, and each comes from a segment along it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from mapper.graph import Operator
from mapper.segment import MOST_PATCHES, Rows, Segment
from mapper.stage import Buffer, Member, Part, Patch, Slice, Stage

__all__ = ["TileSegment", "strips_of"]

# Some numbers of strips, each about a third or a half more than the one before it.
_STRIPS = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128)


def strips_of(columns: int) -> list[int]:
    """Numbers of strips that are tried for an output of so many columns, the most last."""
    most = min(columns, MOST_PATCHES)
    return [n for n in _STRIPS if n < most] + ([most] if most > 1 else [])


@dataclass(frozen=True, eq=False)
class TileSegment(Segment):
    """Operators that may run as one stage in tiles; parts are pixels.

    A patch is a tile, `strips` of them side by side; so many patches as a method takes are bands of
    tiles above one another. Halo pixels are loaded, or computed, again for every tile. Only the last
    member's output is needed outside: nobody reads it inside.
    """

    @cached_property
    def down(self) -> Segment:
        """Along the rows."""
        return Segment("rows", self.operators, self.tensors, self.inputs, self.outputs)

    @cached_property
    def across(self) -> Segment:
        """Along the columns."""
        return Segment("columns", self.operators, self.tensors, self.inputs, self.outputs)

    @cached_property
    def _columns(self) -> dict[str, list[Rows]]:
        """Columns of each tensor that the strips touch."""
        return self.across.runs(self.strips)

    def _bands(self, patches: int) -> dict[str, list[Rows]]:
        """Rows of each tensor that so many bands touch."""
        if patches not in self._known:
            self._known[patches] = self.down.runs(patches)
        return self._known[patches]

    @cached_property
    def _known(self) -> dict[int, dict[str, list[Rows]]]:
        return {}

    @cached_property
    def most_patches(self) -> int:
        """How many bands; 1 where the tiles would be none."""
        read = {t for o in self.operators for t in o.inputs}
        if self.across.most_patches < self.strips or read & set(self.outputs):
            return 1
        return min(self.down.most_patches, max(1, MOST_PATCHES // self.strips))

    def allows(self, resident: Collection[str]) -> bool:
        return True

    def loaded_weights(self, operator: Operator, runs: Sequence[Rows]) -> int:
        """Bytes that parts of an operator's output, so many rows and columns each, load when
        nothing is kept between them."""
        if (r := operator.reduction) is None:
            return operator.weight_bytes * len(runs)
        width = self.tensors[operator.outputs[0]].columns
        sweeps = Counter(r.narrow_sweeps(*size, width) for size in runs)
        return r.blocks * sum(r.loaded(s) * count for s, count in sweeps.items())

    def amounts(self, patches: int) -> tuple[dict[str, int], int]:
        down, across = self._bands(patches), self._columns
        totals = {t: _length(down[t]) * _length(across[t]) for t in self.lives}
        loaded = 0
        for o in self.operators:
            sizes = [_sizes(of[o.outputs[0]]) for of in (down, across)]
            loaded += self.loaded_weights(o, [(h, w) for h in sizes[0] for w in sizes[1]])
        return totals, loaded

    def transfers(self, tensors: Iterable[str], patches: int) -> int:
        down, across = self._bands(patches), self._columns
        return sum(_length(down[t]) * len(_sizes(across[t])) for t in tensors)

    def widest(self, patches: int) -> dict[str, int]:
        down, across = self.down.widest(patches), self.across.widest(self.strips)
        return {t: down[t] * across[t] for t in self.lives}

    def stage(
        self, patches: int, resident: Collection[str], workspace: str, weight_memory: int | None
    ) -> tuple[Stage, int]:
        down = [self.down.rows(n, patches) for n in range(patches)]
        across = [self.across.rows(n, self.strips) for n in range(self.strips)]
        local = [t for t in self.lives if t not in resident]
        most = {t: max(_length([d[t]]) for d in down) * max(_length([a[t]]) for a in across)
                for t in local}  # fmt: skip
        offsets, size = self.place(most, local)
        made = tuple(self._tile(d, a, offsets, resident) for d in down for a in across)
        macs = 0
        members = []
        for o in self.operators:
            output = o.outputs[0]
            parts = [p for patch in made for p in patch.parts if p.operator == o.name]
            pixels = _union(d[output] for d in down) * _union(a[output] for a in across)
            again = sum((p.last - p.first) * (p.right - p.left) for p in parts) - pixels
            macs += o.macs * again // self.parts(output)
            loaded = self.loaded_weights(o, [(p.last - p.first, p.right - p.left) for p in parts])
            members.append(
                Member(
                    o.name,
                    o.kind,
                    o.inputs,
                    o.outputs,
                    o.windows,
                    o.macs,
                    o.weight_bytes,
                    loaded,
                    o.reduction,
                    o.column_windows,
                )
            )
        reread = sum(m.loaded_weight_bytes for m in members) - self.weight_bytes
        stage = Stage(
            axis="tiles",
            members=tuple(members),
            workspace=workspace if size else "",
            patches=made,
            recomputed_macs=macs,
            reread_weight_bytes=0 if self.keeps_weights(weight_memory) else reread,
        )
        return stage, size

    def _tile(
        self,
        down: Mapping[str, Rows],
        across: Mapping[str, Rows],
        offsets: Mapping[str, int],
        resident: Collection[str],
    ) -> Patch:
        there = {t for t in self.lives if _length([down[t]]) and _length([across[t]])}
        moved = there.difference(resident)
        return Patch(
            buffers=tuple(
                Buffer(t, offset, *down[t], *across[t])
                for t, offset in offsets.items()
                if t in there
            ),
            loads=tuple(Slice(t, *down[t], *across[t]) for t in self.inputs if t in moved),
            parts=tuple(
                Part(o.name, *down[t], *across[t])
                for o in self.operators
                for t in o.outputs
                if t in there
            ),
            stores=tuple(Slice(t, *down[t], *across[t]) for t in self.outputs if t in moved),
        )


def _sizes(runs: Collection[Rows]) -> list[int]:
    """Of those that are not empty."""
    return [b - a for a, b in runs if a < b]


def _length(runs: Collection[Rows]) -> int:
    return sum(_sizes(runs))


def _union(runs: Iterable[Rows]) -> int:
    """How many rows, or columns, are in one of some ranges at least."""
    return len({n for a, b in runs for n in range(a, b)})
