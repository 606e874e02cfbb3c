"""The proofs of streams and of engines."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from hw.engine.catalogue import EngineKind
from hw.operand import Operand
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import DigitElement, Opt2, Opt4c, Opt4e
from hw.pe.stationary import stationary_form
from tb.formal.block_sums import blocks_add_up
from tb.formal.column import cells_follow, column_issues_all
from tb.formal.engines import engine_multiplies
from tb.formal.feeder import feeder_streams_in_order
from tb.formal.proof import Proof, label, solved
from tb.formal.stationary import stationary_array_multiplies
from tb.formal.streams import delay_keeps_order, encoder_issues_once, queue_keeps_order

__all__ = ["block_sums", "engines", "streams"]

_I2, _I3 = Operand(2), Operand(3)


def streams() -> Iterator[Proof]:
    """Nothing lost, repeated or exchanged under any stalls, from reset on.

    What is proved by induction holds for ever; the rest for as many cycles as are named.
    """
    yield solved("queue", partial(queue_keeps_order, 2), "induction", 2, faulted=True)
    for cycles in (1, 2, 5, 15):
        statement = partial(delay_keeps_order, 2, cycles)
        yield solved(f"delay[{cycles}]", statement, "induction", 2, quick=cycles < 15)
    for group in (1, 2, 4, 8):
        encoder = Opt2() if group == 1 else Opt4c(group=group)
        statement = partial(encoder_issues_once, encoder)
        yield solved(f"encoder[group {group}]", statement, "induction", 2, faulted=group == 4)
    for rows, cols, paced, quick in (
        (2, 1, False, True),
        (3, 2, False, False),
        (1, 2, False, True),
        (2, 2, False, False),
        (2, 2, True, False),
    ):
        yield solved(
            f"feeder[{rows}x{cols}{'-paced' if paced else ''}]",
            partial(feeder_streams_in_order, rows=rows, cols=cols, paced=paced),
            "induction",
            2,
            quick=quick,
            faulted=quick,
        )
    small: dict[str, Any] = {"activation": _I3, "weight": _I2}
    columns: list[tuple[DigitElement, int, bool]] = [
        (Opt4c(segment=8, group=2, **small), 2, True),
        (Opt4c(segment=8, group=2, **small), 4, False),
        (Opt4c(segment=8, group=4, **small), 1, False),
    ]
    for pe, turns, quick in columns:
        yield solved(
            f"column[{pe.kind}-{pe.lanes}x{pe.group}-turns {turns}]",
            partial(column_issues_all, pe, turns=turns),
            "induction",
            2,
            quick=quick,
            faulted=quick,
        )
    cells: list[tuple[DigitElement, int, bool]] = [
        (Opt4c(segment=8, group=2, **small), 3, True),
        (Opt4e(segment=16, group=2, **small), 2, False),
    ]
    for pe, turns, quick in cells:
        yield solved(
            f"cells[{pe.kind}-{pe.lanes}x{pe.group}-turns {turns}]",
            partial(cells_follow, pe, turns=turns),
            "induction",
            turns + 1,
            quick=quick,
        )


def engines() -> Iterator[Proof]:
    """Whole streams through small engines."""
    tiny: dict[str, Any] = {"activation": _I2, "weight": _I2, "accumulator_bits": 4}
    digit: dict[str, Any] = {"segment": 8, "group": 2, "cells_per_adder": 1}
    mac, opt1 = Mac(**tiny), CarrySave(**tiny)
    opt4c = Opt4c(**digit, **tiny)
    # Kind and multipliers of a cell, size, cycles (0: for ever), part of the test suite.
    arrays: list[tuple[ProcessingElement, EngineKind, int | None, str, int, bool]] = [
        (mac, "systolic", None, "1x1", 0, True),
        (mac, "systolic", None, "2x1", 10, False),
        (opt1, "systolic", None, "1x1", 10, True),
        (FreePipeline(carry_save=False, **tiny), "systolic", None, "1x1", 10, False),
        (opt4c, "columns", None, "1x1", 16, True),
        (opt4c, "columns", None, "2x1", 16, False),
        (Opt2(segment=8, products=4, cells_per_adder=1, **tiny), "columns", None, "1x1", 16, False),
        (Opt4e(segment=8, group=1, cells_per_adder=1, **tiny), "columns", None, "1x1", 16, False),
        (mac, "matrix", None, "2x1", 0, False),
        (opt1, "matrix", None, "1x2", 12, False),
        (FastInner(carry_save=False, **tiny), "matrix", None, "1x1", 10, False),
        (mac, "cube", 2, "1x1", 12, False),
        (opt1, "cube", 2, "1x1", 13, True),
        (mac, "tree", 2, "1x1", 12, False),
        (opt1, "tree", 2, "1x1", 13, True),
        (Opt2(products=4, **tiny), "tree", 4, "1x1", 10, False),
    ]
    for pe, kind, depth, size, cycles, quick in arrays:
        rows, cols = map(int, size.split("x"))
        deep = "" if depth is None else f" x {depth}"
        yield solved(
            f"{kind}[{label(pe)}{deep}-{size}]",
            partial(engine_multiplies, pe, rows=rows, cols=cols, kind=kind, depth=depth),
            "bounded" if cycles else "reachable",
            cycles,
            quick=quick,
            # The cells of cubes and trees have proofs, and faults, of their own.
            faulted=not cycles or (pe == opt1 and kind == "cube"),
            apart=() if depth is None else ("cell",),
        )
    # A row comes again, and its sum leaves an array of opt1, within 18 cycles or more.
    for pe, size, cycles in (
        (mac, "1x1", 14),
        (mac, "2x1", 14),
        (opt1, "1x2", 16),
        (opt1, "1x1", 20),
    ):
        rows, cols = map(int, size.split("x"))
        yield solved(
            f"weight_stationary[{label(pe)}-{size}]",
            partial(stationary_array_multiplies, pe, rows=rows, cols=cols, tile_rows=2),
            "bounded",
            cycles,
            quick=False,
            faulted=size == "1x2",
            apart=("cell", "column", "block_sums"),
        )


def block_sums() -> Iterator[Proof]:
    """Sums over the blocks of weights of a tile, for ever."""
    two: dict[str, Any] = {"activation": _I2, "weight": _I2, "accumulator_bits": 4}
    four: dict[str, Any] = {"activation": Operand(4), "weight": Operand(4), "accumulator_bits": 10}
    for pe, cols, rows, quick in (
        (CarrySave(**two), 1, 2, True),
        (Mac(**two), 2, 2, False),
        (Mac(**two), 1, 3, False),
        (Mac(**four), 2, 2, False),
    ):
        form = stationary_form(pe, 2)
        yield solved(
            f"block_sums[{label(pe)}-{rows} rows x {cols}]",
            partial(blocks_add_up, form, cols=cols, tile_rows=rows),
            "reachable",
            quick=quick,
            faulted=quick,
        )
