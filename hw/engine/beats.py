"""What one beat on an engine's streams carries."""

from __future__ import annotations

from amaranth import unsigned
from amaranth.lib import data

from hw.pe.base import ProcessingElement

__all__ = ["activation_beat", "operand_beat", "result_beat", "weight_beat"]


def operand_beat(rows: int, cols: int, pe: ProcessingElement) -> data.StructLayout:
    """One step of a tile: ``a[i] = A[i, k]``, ``b[j] = B[k, j]``; `last` marks the last of the K.

    A PE that takes g elements of K per step gets arrays of g: ``a[i][e] = A[i, g*k + e]``; the last
    step of a K that is no multiple of g is filled with zeros.
    """
    return data.StructLayout(
        {
            "a": data.ArrayLayout(pe.a_beat, rows),
            "b": data.ArrayLayout(pe.b_beat, cols),
            "last": 1,
        }
    )


def result_beat(cols: int, pe: ProcessingElement) -> data.StructLayout:
    """One row i of a tile: ``c[j] = C[i, j]``, W bits each; `last` marks the tile's last row."""
    return data.StructLayout(
        {"c": data.ArrayLayout(unsigned(pe.accumulator_bits), cols), "last": 1},
    )


def weight_beat(cols: int, pe: ProcessingElement) -> data.StructLayout:
    """One row k of a block of weights that is to stand still: ``b[j] = B[k, j]``, rows in order."""
    return data.StructLayout({"b": data.ArrayLayout(pe.b_beat, cols)})


def activation_beat(rows: int, pe: ProcessingElement) -> data.StructLayout:
    """One row m of a tile, `rows` elements of K that meet a block of weights: ``a[k] = A[m, k]``.

    `block_end` marks the tile's last row; `tile_end` all rows of the last block of K.
    """
    return data.StructLayout(
        {"a": data.ArrayLayout(pe.a_beat, rows), "block_end": 1, "tile_end": 1},
    )
