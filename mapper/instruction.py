"""A piece of an operator as an instruction: the same computation, with addresses."""

from __future__ import annotations

from collections.abc import Mapping

from hw.isa import Compute, Path
from mapper.lowered import Place
from mapper.pieces import Piece
from sim.quantised import Network, Operator

__all__ = ["Region", "compute_instruction"]

Region = tuple[int, int, int, int]
"""Output rows ``[0], ..., [1] - 1`` and columns ``[2], ..., [3] - 1``."""


def compute_instruction(
    network: Network,
    operator: Operator,
    piece: Piece,
    region: Region,
    *,
    places: Mapping[str, Place],
    weights: int,
    keep: bool = False,
) -> Compute:
    """The computation of a region that lies in the piece's.

    Parameters
    ----------
    places : mapping of str to Place
        Where the operator's tensors lie.
    weights : int
        Word address of the piece's block.
    keep : bool
        Another part of the reduction follows.
    """
    top, bottom, left, right = region
    name = operator.inputs[piece.operand]
    shape = network.tensor(name).shape
    base, pixel, row = places[name]
    (sy, sx), (dy, dx) = piece.geometry.stride, piece.geometry.dilation
    pad_top = piece.geometry.padding[0] - top * sy - piece.first_tap[0]
    pad_left = piece.geometry.padding[1] - left * sx - piece.first_tap[1]
    width = right - left
    source = base + piece.first_word - pad_top * row - pad_left * pixel
    tap_x = dx * pixel
    tap_y = dy * row - (piece.kernel[1] - 1) * dx * pixel
    if len(operator.inputs) == 2 and piece.kernel == (1, 2) and piece.path == Path.SCALARS:
        # An addition: the second tap lies in the other tensor, at the same place.
        tap_x = places[operator.inputs[1]].at(top, left) - places[name].at(top, left)
        dx = 0
    target = places[operator.output]
    return Compute(
        path=piece.path,
        source=source % (1 << 24),
        pixels=(bottom - top) * width,
        out_width=width,
        step_x=sx * pixel,
        step_y=sy * row - (width - 1) * sx * pixel,
        tap_x=tap_x,
        tap_y=tap_y,
        in_height=shape[1],
        in_width=shape[2],
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
        destination=target.at(top, left) + piece.out_word,
        destination_step=target.pixel,
        mask=piece.mask,
        zero_point=piece.post.zero_point,
        low=piece.post.low,
        high=piece.post.high,
        keep=int(keep),
    )
