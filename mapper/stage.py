"""Operators that run in patches: rows of their output at a time, halo rows included.

A stage is one step of the schedule. Its members are operators of the network; each patch computes
some rows of what the stage produces, and of everything in between the rows that these need (the
patch-by-patch inference of MCUNetV2, Lin et al., NeurIPS 2021; a single member is an operator split
along rows). Tensors at its border are either whole in the scratchpad, or off chip and then loaded
and stored a slice at a time. What only a patch needs lies in the stage's workspace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Buffer", "Member", "Part", "Patch", "Slice", "Stage", "Window"]


class Window(NamedTuple):
    """Input rows that an output row needs: `kernel` rows, from ``row * stride - padding``."""

    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    padding: int = 0

    def rows(self, first: int, last: int, height: int) -> tuple[int, int]:
        """Rows of an input of `height` rows that output rows ``first, ..., last - 1`` need."""
        begin = first * self.stride - self.padding
        end = (last - 1) * self.stride - self.padding + (self.kernel - 1) * self.dilation + 1
        begin = min(max(begin, 0), height)
        return begin, max(begin, min(end, height))


class Slice(NamedTuple):
    """Rows ``first_row, ..., last_row - 1`` of a tensor."""

    tensor: str
    first_row: int
    last_row: int


class Buffer(NamedTuple):
    """Rows of a tensor in the workspace, `offset` bytes from its begin, during one patch."""

    tensor: str
    offset: int
    first_row: int
    last_row: int


class Part(NamedTuple):
    """A member for some rows of its output."""

    operator: str
    first_row: int
    last_row: int


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
    """An operator of the network within a stage, as `mapper.graph.Operator`."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    windows: tuple[Window | None, ...]
    macs: int
    weight_bytes: int


@dataclass(frozen=True)
class Stage:
    """How an operator of the schedule runs in patches.

    Attributes
    ----------
    members : tuple of Member
        In the order in which they run in a patch.
    workspace : str
        Tensor that holds the buffers; empty if there are none.
    patches : tuple of Patch
    recomputed_macs : int
        Of rows that more than one patch computes.
    reread_weight_bytes : int
        Weights that are loaded again for later patches, where the weight memory does not hold all
        of the stage's.
    """

    members: tuple[Member, ...]
    workspace: str
    patches: tuple[Patch, ...]
    recomputed_macs: int = 0
    reread_weight_bytes: int = 0
