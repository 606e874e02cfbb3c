"""What is synthesised: PEs by themselves, and whole engines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from hw.emit import to_verilog
from hw.engine.catalogue import EngineKind, create_array, engine_conflict, engine_kind_of
from hw.engine.weight_stationary import WeightStationaryArray
from hw.operand import Operand
from hw.pe.base import ProcessingElement
from hw.pe.mac import Mac
from hw.pe.merged_mac import MergedMac
from hw.pe.sparse_digit import DigitElement
from hw.registry import PES
from reports.ppa.digits import Distribution, count
from reports.ppa.memories import equivalent_bits, memory_bits
from sim.timing.engine import engine_trace
from sim.timing.weight_stationary import StationaryTile, WeightStationaryTiming

__all__ = ["ENGINE_SIZE", "Design", "Level", "design_names", "find_designs"]

Level = Literal["pe", "engine"]

ENGINE_SIZE = 16
"""Rows and columns of the engines."""

SEGMENT = 32
"""Elements of K that the operand buffers of an engine hold twice: the least that every digit PE
takes, since each row of a digit array has the weights for itself."""

_INSTANCE = re.compile(r"^  (\w+) (?:\\\S+ |\w+ )\($", re.M)


@dataclass(frozen=True)
class Design:
    """A unit that is measured.

    Attributes
    ----------
    name : str
    level : str
    about : str
        One line for the report.
    bits : int
        Width of a result.
    macs : float
        MACs per cycle of the whole unit; where it depends on the operands, as counted for them.
    create : callable
        Makes the component.
    pe : ProcessingElement
        What is in it; of `mac-merged`, a MAC, which behaves alike.
    size : int
        Rows and columns of an engine; 1 for a PE.
    pes : int
        PEs in the unit, for the area of one; 1 for an engine, which is compared whole.
    """

    name: str
    level: Level
    about: str
    bits: int
    macs: float
    create: Callable[[], Any]
    pe: ProcessingElement
    pes: int = 1
    size: int = 1

    @property
    def top(self) -> str:
        """Name of the Verilog module."""
        return "unit"

    @cached_property
    def verilog(self) -> str:
        return to_verilog(self.create(), self.top)

    @cached_property
    def memory_bits(self) -> int:
        """Bits of the memories in it, which a cell library has not."""
        return memory_bits(self.verilog, self.top)

    @property
    def buffer_bits(self) -> int:
        """Bits of an engine's memories, and of the operand buffers beside one that has none inside."""
        size = self.size
        if isinstance(self.pe, DigitElement):
            return self.memory_bits
        beside = equivalent_bits(self.pe, rows=size, cols=size, segment=SEGMENT)
        return self.memory_bits + beside

    @property
    def shared(self) -> tuple[str, ...]:
        """Modules that are instantiated more than once, and so are mapped once."""
        uses = Counter(_INSTANCE.findall(self.verilog))
        return tuple(sorted(name for name, count in uses.items() if count > 1))


_VARIANTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "mac": ("mac", {}, "Booth multiplier, adder, accumulator: the baseline"),
    "opt1": ("opt1", {}, "carry-save accumulation without sign extension"),
    "opt1-extended": ("opt1", {"sign_extension": True}, "the same with sign extension"),
    "fip": ("fip", {}, "fast inner product, carry-save"),
    "fip-plain": ("fip", {"carry_save": False}, "fast inner product, plain accumulator"),
    "ffip": ("ffip", {}, "free-pipeline fast inner product, carry-save"),
    "opt2": ("opt2", {}, "an adder tree per bit weight; 16 PEs with their encoders"),
    "opt3": ("opt3", {}, "one nonzero digit per cycle, own sparse encoder"),
    "opt4c": ("opt4c", {}, "the same, 16 PEs share an encoder"),
    "opt4e": ("opt4e", {}, "four lanes per PE; 16 PEs share four encoders"),
    "ffip-plain": ("ffip", {"carry_save": False}, "the same with a plain accumulator"),
}
_MERGED = "mac-merged"

_STATIONARY = {
    "mac-ws": (
        "mac",
        "weight-stationary array of MACs: partial sums move, and are kept in a memory",
    ),
    "opt1-ws": ("opt1", "the same with carry-save partial sums"),
}
_TILE_ROWS = 64
_ENGINES: dict[str, tuple[str, EngineKind, int | None, str]] = {
    "matrix-mac": ("mac", "matrix", None, "operands broadcast: its baseline"),
    "matrix-opt1": ("opt1", "matrix", None, "the same, carry-save"),
    "matrix-fip": ("fip", "matrix", None, "the same, fast inner product, carry-save"),
    "tree-mac": ("mac", "tree", 4, "four multipliers per cell, adder tree: its baseline"),
    "tree-opt1": ("opt1", "tree", 4, "the same, one carry-save tree"),
    "tree-opt2": ("opt2", "tree", 4, "the same, a tree per bit weight, encoders at the border"),
    "cube-mac": ("mac", "cube", 4, "chains of four multipliers along K: its baseline"),
    "cube-opt1": ("opt1", "cube", 4, "the same, carry-save"),
}
"""Engines of another kind than the usual one of their PE; compare each with its own baseline."""

_SEED = 1
_REDUCTIONS = 4096
_TILES, _TILE_K = 16, 1152


def design_names(level: Level) -> tuple[str, ...]:
    """Names of the designs of a level, baseline first."""
    names = [
        name for name, (kind, options, _) in _VARIANTS.items() if _exists(kind, options, level)
    ]
    if level == "pe":
        names.insert(1, _MERGED)
    else:
        names += [*_STATIONARY, *_ENGINES]
    return tuple(names)


def _exists(kind: str, options: dict[str, Any], level: Level) -> bool:
    if kind not in PES:
        return False
    pe: ProcessingElement = PES[kind](**{"kind": kind, **options})
    return level == "pe" or engine_conflict(engine_kind_of(pe), pe) is None


def find_designs(
    names: tuple[str, ...],
    level: Level,
    bits: int,
    distribution: Distribution,
    *,
    size: int = ENGINE_SIZE,
) -> list[Design]:
    """The designs `names` with results of `bits` bits; all of the level where none is named.

    Engines have `size` rows and columns.

    The baseline is always among them. A name that exists at another level only is passed over.
    """
    known = design_names(level)
    chosen = [n for n in known if not names or n in names or n == "mac"]
    return [_design(name, level, bits, distribution, size) for name in chosen]


def _design(name: str, level: Level, bits: int, distribution: Distribution, size: int) -> Design:
    if name == _MERGED:
        about = "Booth rows and accumulator in one tree, then one adder: a stronger baseline"
        mac = Mac(accumulator_bits=bits)
        return Design(name, level, about, bits, 1, lambda: MergedMac(Operand(8), bits=bits), mac)
    if name in _STATIONARY:
        return _stationary(name, bits, size)
    if name in _ENGINES:
        return _other_engine(name, bits, size)
    kind, options, about = _VARIANTS[name]
    if level == "engine" and issubclass(PES[kind], DigitElement):
        options = {**options, "segment": SEGMENT}
    pe: ProcessingElement = PES[kind](accumulator_bits=bits, **options)
    if level == "pe":
        pes = pe.standalone_cells if isinstance(pe, DigitElement) else 1
        return Design(name, level, about, bits, _pe_rate(pe, distribution), pe.standalone, pe, pes)
    return Design(
        name,
        level,
        about,
        bits,
        _engine_rate(pe, distribution, size),
        lambda: create_array(pe, rows=size, cols=size),
        pe,
        size=size,
    )


def _stationary(name: str, bits: int, size: int) -> Design:
    """A weight-stationary array; MACs per cycle of long tiles by its exact timing."""
    kind, about = _STATIONARY[name]
    options: dict[str, Any] = {"accumulator_bits": bits}
    pe = PES[kind](**options)
    tiles = [StationaryTile(_TILE_ROWS, _TILE_K // size)] * _TILES
    rate = size * size * WeightStationaryTiming.of(pe, size, size).utilisation(tiles)
    return Design(
        name,
        "engine",
        about,
        bits,
        rate,
        lambda: WeightStationaryArray(pe, rows=size, cols=size, tile_rows=_TILE_ROWS),
        pe,
        size=size,
    )


def _other_engine(name: str, bits: int, size: int) -> Design:
    pe_kind, kind, depth, about = _ENGINES[name]
    options: dict[str, Any] = {"products": depth} if pe_kind == "opt2" else {}
    pe: ProcessingElement = PES[pe_kind](accumulator_bits=bits, **options)
    # Operands of these engines do not matter; each row of A is there once per element of K.
    operands = np.zeros((_TILES * _TILE_K, size), np.int64)
    cycles = engine_trace(
        pe, operands, [_TILE_K] * _TILES, rows=size, cols=size, kind=kind, depth=depth
    ).total
    return Design(
        name,
        "engine",
        about,
        bits,
        _TILES * _TILE_K * size * size / cycles,
        lambda: create_array(pe, rows=size, cols=size, kind=kind, depth=depth),
        pe,
        size=size,
    )


def _pe_rate(pe: ProcessingElement, distribution: Distribution) -> float:
    """MACs per cycle of `pe.standalone`; reductions of one segment, whose lanes meet per weight."""
    if not isinstance(pe, DigitElement):
        return pe.k_granularity
    if pe.group == 1:  # zero digits are issued too
        return pe.standalone_cells * pe.lanes / pe.digit_count
    values = distribution.draw(_REDUCTIONS, pe.segment, _SEED)
    recoding = "en-t" if pe.recoding == "ent" else "booth"
    cycles = count(values, recoding=recoding, group=pe.group, lanes=pe.lanes)  # type: ignore[arg-type]
    return pe.standalone_cells / cycles.per_mac_synchronised


def _engine_rate(pe: ProcessingElement, distribution: Distribution, size: int) -> float:
    """MACs per cycle of the array over some long tiles, filling and draining included.

    The timing is the exact one of `sim.timing`, which the regression compares with the RTL: for
    digit engines it takes the operands, and rows wait for each other.
    """
    operands = distribution.draw(_TILES * _TILE_K, size, _SEED)
    cycles = engine_trace(pe, operands, [_TILE_K] * _TILES, rows=size, cols=size).total
    return _TILES * _TILE_K * size * size / cycles
