"""Operators that run in patches: some rows, or some channels, of their output at a time.

A stage is one step of the schedule. Its members are operators of the network; each patch computes
some rows of what the stage produces, and of everything in between the rows that these need, halo
included (the patch-by-patch inference of MCUNetV2, Lin et al., NeurIPS 2021; a single member is an
operator split along rows). Along channels a patch needs no halo and only its share of the weights,
but a member that mixes channels must find its input outside. Along the reduction a patch has some
of the input of its only member, and all patches of a sweep together compute a word of output
channels, which is whole in the scratchpad. Where not even a row fits, a patch is a tile: some
columns of some rows, with halo rows and halo columns. Tensors at its border are either whole in the scratchpad, or off chip and then loaded
and stored a slice at a time. What only a patch needs lies in the stage's workspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = [
    "Axis",
    "Buffer",
    "Direction",
    "Member",
    "Part",
    "Patch",
    "Reduction",
    "Slice",
    "Stage",
    "Window",
]


Axis = Literal["rows", "channels", "reduction", "tiles"]
"""What a patch has some of. Channels are counted in words of the layout, the reduction in bytes of
the input. Tiles have some columns of some rows."""

Direction = Literal["rows", "channels", "reduction", "tiles", "columns"]
"""What windows and parts count along: an axis, or the columns that tiles have beside their rows."""


class Window(NamedTuple):
    """Input rows that an output row needs: `kernel` rows, from ``row * stride - padding``.

    Where an image is enlarged the stride is a fraction: the first row is
    ``floor((row * stride - padding) / up)``. The default also says that a channel word needs the
    same word of the input. Columns have windows as rows do.
    """

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: int = 0
    up: int = 1

    def rows(self, first: int, last: int, height: int) -> tuple[int, int]:
        """Rows of an input of `height` rows that output rows ``first, ..., last - 1`` need."""
        begin = (first * self.stride - self.padding) // self.up
        end = ((last - 1) * self.stride - self.padding) // self.up
        end += (self.kernel - 1) * self.dilation + 1
        begin = min(max(begin, 0), height)
        return begin, max(begin, min(end, height))


class Slice(NamedTuple):
    """Rows, or channel words, ``first, ..., last - 1`` of a tensor.

    Of a tile only their columns ``left, ..., right - 1``; elsewhere both are 0, here and below.
    """

    tensor: str
    first: int
    last: int
    left: int = 0
    right: int = 0

    @property
    def parts(self) -> int:
        """How many rows or channel words, or pixels of a tile."""
        return (self.last - self.first) * max(1, self.right - self.left)


class Buffer(NamedTuple):
    """A slice of a tensor in the workspace, `offset` bytes from its begin, during one patch."""

    tensor: str
    offset: int
    first: int
    last: int
    left: int = 0
    right: int = 0


class Part(NamedTuple):
    """A member for some rows, or channel words, of its output."""

    operator: str
    first: int
    last: int
    left: int = 0
    right: int = 0


class Reduction(NamedTuple):
    """A reduction in parts, because the weights of one word of output channels do not fit at once,
    or the input does not.

    Sums stay in the accumulators from part to part, and there is one accumulator per element of a
    tile. So every tile of output pixels sweeps over all parts, for one word of output channels
    after another; and since the next tile sweeps back, it finds the two parts that came last: the
    weight memory holds two.

    Attributes
    ----------
    blocks : int
        Words of output channels.
    parts : tuple of int
        Bytes of weights of each part of one of them, two or more. Those of a global average are all
        0: its parameters are read once.
    tile_rows : int
        Output rows of a tile.
    row_tiles : int
        Tiles side by side.
    ends : tuple of int
        Of a dense layer or a global average, the byte of the input behind what each part reads.
    shared : int
        Bytes of weights that all parts of all words read.
    """

    blocks: int
    parts: tuple[int, ...]
    tile_rows: int
    row_tiles: int
    ends: tuple[int, ...] = ()
    shared: int = 0

    def sweeps(self, rows: int) -> int:
        """Tiles of so many output rows."""
        return -(-rows // self.tile_rows) * self.row_tiles

    def narrow_sweeps(self, rows: int, columns: int, width: int) -> int:
        """Tiles of so many output rows and columns of an output of some width: rows one by one."""
        return rows * -(-columns // self.pixels(width))

    def pixels(self, width: int) -> int:
        """Pixels that a tile may have, for an output of so many columns."""
        return self.tile_rows * -(-width // self.row_tiles)

    def loaded(self, sweeps: int) -> int:
        """Bytes that so many sweeps load for a block: the first all parts, each other what the one
        before has not left."""
        back, forth = sum(self.parts[:-2]), sum(self.parts[2:])
        return sum(self.parts) + sweeps // 2 * back + (sweeps - 1) // 2 * forth


@dataclass(frozen=True)
class Patch:
    """One pass through the members.

    Attributes
    ----------
    buffers : tuple of Buffer
        What it keeps in the workspace.
    loads : tuple of Slice
        Into their buffers, each before the first part that reads it.
    parts : tuple of Part
        In the order in which they run.
    stores : tuple of Slice
        From their buffers, each after the part that produces it.
    """

    buffers: tuple[Buffer, ...]
    loads: tuple[Slice, ...]
    parts: tuple[Part, ...]
    stores: tuple[Slice, ...]


@dataclass(frozen=True)
class Member:
    """An operator of the network within a stage, as `mapper.graph.Operator`.

    The windows are those of the stage's axis; of tiles, those of rows and of columns.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    windows: tuple[Window | None, ...]
    macs: int
    weight_bytes: int
    loaded_weight_bytes: int  # by all its parts together, when nothing is kept between them
    reduction: Reduction | None = None
    column_windows: tuple[Window | None, ...] = ()


@dataclass(frozen=True)
class Stage:
    """How an operator of the schedule runs in patches.

    Attributes
    ----------
    axis : Axis
    members : tuple of Member
        In the order in which they run in a patch.
    workspace : str
        Tensor that holds the buffers; empty if there are none.
    patches : tuple of Patch
    recomputed_macs : int
        Of rows, or pixels, that more than one patch computes.
    reread_weight_bytes : int
        Weights that are loaded again for later patches, where the weight memory does not hold all
        of the stage's.
    """

    axis: Axis
    members: tuple[Member, ...]
    workspace: str
    patches: tuple[Patch, ...]
    recomputed_macs: int = 0
    reread_weight_bytes: int = 0
