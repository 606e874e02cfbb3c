"""Operators whose reduction is computed in parts: which parts, and what that costs.

A part is a box of the reduction: some kernel rows, kernel columns and input words. It is a piece
like any other, with weights of its own, and its parameters before them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hw.control.execute import PARAMETER_WORDS
from hw.isa import Path
from hw.spec import Spec
from mapper.graph import Graph, Operator, Tensor
from mapper.pieces import MAXIMA, Piece
from mapper.segments import segment_of
from mapper.stage import Reduction
from sim.quantised import Dense, GlobalAveragePool
from sim.quantised import Operator as AnyOperator

__all__ = ["parts_of", "reduction_of", "rows_of", "stage_reductions", "streams_of"]


class _Box(NamedTuple):
    """Half-open ranges of kernel rows, kernel columns and input words."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    words: tuple[int, int]


def reduction_of(
    operator: AnyOperator, pieces: Sequence[Piece], width: int, spec: Spec
) -> Reduction | None:
    """How an operator is computed in parts; None where its pieces are computed at once, or cannot
    be cut so that two parts fit.

    Parameters
    ----------
    operator : Operator
        Of the network.
    pieces : sequence of Piece
        Its own.
    width : int
        Columns of its output.
    """
    first = pieces[0]
    whole = (0, first.region[1], 0, width)
    alike = all(
        (p.path, p.kernel, p.words, p.region) == (Path.ARRAY, first.kernel, first.words, whole)
        for p in pieces
    )
    if not alike or len({p.out_word for p in pieces}) < len(pieces) or _fits(first, spec):
        return None
    tile = spec.engine.tile
    parts = parts_of(operator, first, spec)
    if not parts:
        return None
    ends = (p.first_word + p.words for p in parts) if isinstance(operator, Dense) else ()
    return Reduction(
        blocks=len(pieces),
        parts=tuple(len(part.block) for part in parts),
        ends=tuple(end * spec.word_bytes for end in ends),
        tile_rows=max(1, tile // width),
        row_tiles=-(-width // tile),
    )


def parts_of(operator: AnyOperator, piece: Piece, spec: Spec) -> list[Piece]:
    """The parts of a piece of an operator, each of at most half of the weight memory.

    Those of a dense layer are ranges of its input, as it lies in the scratchpad.
    """
    word = spec.word_bytes
    if isinstance(operator, Dense):
        words = piece.kernel[0] * piece.kernel[1] * piece.words
        piece = replace(piece, kernel=(1, 1), words=words)
    (rows, columns), words = piece.kernel, piece.words
    head = PARAMETER_WORDS * word
    weights = np.frombuffer(piece.block, np.uint8, offset=head)
    cube = weights.reshape(rows, columns, words, word * word)
    (dilation_y, dilation_x), (y, x) = piece.geometry.dilation, piece.first_tap
    return [
        replace(
            piece,
            kernel=(box.rows[1] - box.rows[0], box.columns[1] - box.columns[0]),
            first_word=piece.first_word + box.words[0],
            words=box.words[1] - box.words[0],
            first_tap=(y + box.rows[0] * dilation_y, x + box.columns[0] * dilation_x),
            block=piece.block[:head]
            + cube[slice(*box.rows), slice(*box.columns), slice(*box.words)].tobytes(),
        )
        for box in _boxes(rows, columns, words, _most_words(spec))
    ]


def streams_of(
    operator: AnyOperator, pieces: Sequence[Piece], reduction: Reduction | None, tensor: Tensor
) -> Reduction | None:
    """The parts that the input of an operator, a tensor, may come in; None where it may not.

    Parameters
    ----------
    pieces : sequence of Piece
        Of the operator.
    reduction : Reduction or None
        What `reduction_of` says of it.
    """
    if isinstance(operator, Dense):
        return reduction
    if not isinstance(operator, GlobalAveragePool) or tensor.rows == 1:
        return None
    row = tensor.part_bytes("rows")
    return Reduction(
        blocks=len(pieces),
        parts=(0,) * tensor.rows,
        tile_rows=1,
        row_tiles=1,
        ends=tuple(row * (n + 1) for n in range(tensor.rows)),
        shared=sum(map(len, {p.block for p in pieces})),
    )


def rows_of(piece: Piece, top: int, bottom: int) -> Piece:
    """The part of a global average that sums up rows ``top, ..., bottom - 1``."""
    return replace(piece, kernel=(bottom - top, piece.kernel[1]), first_tap=(top, 0))


def stage_reductions(graph: Graph, weight_memory: int) -> Graph:
    """The graph with a stage around every operator in parts that is in none yet: its only patch is
    the whole operator, and what it reads again is the stage's."""

    def staged(o: Operator) -> Operator:
        if o.reduction is None or o.stage is not None:
            return o
        segment = segment_of(graph, (o,), "rows")
        stage, _ = segment.stage(1, {*o.inputs, *o.outputs}, "", weight_memory)
        return replace(o, stage=stage)

    operators = tuple(map(staged, graph.operators))
    if not any(m.reduction for o in operators if o.stage for m in o.stage.members):
        return graph
    return replace(graph, operators=operators, weight_memory=weight_memory)


def _fits(piece: Piece, spec: Spec) -> bool:
    sizes = piece.words <= MAXIMA["words"] and max(piece.kernel) <= MAXIMA["kernel"]
    return sizes and len(piece.block) <= spec.weight_buffer.bytes


def _most_words(spec: Spec) -> int:
    """Words of the reduction whose weights half of the weight memory holds, parameters included."""
    word = spec.word_bytes
    return max(0, (spec.weight_buffer.bytes // word // 2 - PARAMETER_WORDS) // word)


def _boxes(rows: int, columns: int, words: int, most: int) -> list[_Box]:
    """As few boxes of at most so many words as there are ways to cut all taps alike."""
    ways = []
    for height, wide in ((rows, columns), (1, columns), (1, 1)):
        fits = most // (height * wide)
        if fits and max(height, wide) <= MAXIMA["kernel"]:
            ways.append((height, wide, min(fits, MAXIMA["words"], words)))
    # All words of some taps.
    if words <= min(most, MAXIMA["words"]):
        taps = most // words
        ways.append((1, min(taps, columns, MAXIMA["kernel"]), words))
        if taps >= columns and columns <= MAXIMA["kernel"]:
            ways.append((min(taps // columns, rows, MAXIMA["kernel"]), columns, words))
    if not ways:
        return []
    found = [
        [
            _Box(r, c, w)
            for r in _ranges(rows, height)
            for c in _ranges(columns, wide)
            for w in _ranges(words, deep)
        ]
        for height, wide, deep in ways
    ]
    return min(found, key=len)


def _ranges(size: int, most: int) -> Iterator[tuple[int, int]]:
    """As few ranges as needed, as equal as they can be."""
    count = -(-size // most)
    for n in range(count):
        yield size * n // count, size * (n + 1) // count
