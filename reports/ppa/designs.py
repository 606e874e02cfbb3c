"""What is synthesised: PEs by themselves, and whole engines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from math import isqrt
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

__all__ = ["BASELINE", "ENGINE_SIZE", "Design", "Level", "design_names", "find_designs"]

BASELINE = "mac"
"""The design that PEs, and engines of the usual kind, are compared with."""

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
    depth : int
        Multipliers of a cell of an engine, along K.
    baseline : str
        The design of MACs that it is compared with.
    holds_operands : bool
        The memories in it are operand buffers; if not, they hold sums.
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
    depth: int = 1
    baseline: str = BASELINE
    holds_operands: bool = False

    @property
    def shape(self) -> str:
        """Rows, columns and multipliers of a cell along K, where it has several."""
        deep = f" x {self.depth}" if self.depth > 1 else ""
        return f"{self.size} x {self.size}{deep}"

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
    def operand_bits(self) -> int:
        """Bits of the operand buffers: its own, or equivalent ones beside it."""
        if self.holds_operands:
            return self.memory_bits
        return equivalent_bits(self.pe, rows=self.size, cols=self.size, segment=SEGMENT)

    @property
    def sum_bits(self) -> int:
        """Bits of memories that hold sums."""
        return 0 if self.holds_operands else self.memory_bits

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
    "ffip-plain": ("ffip", {"carry_save": False}, "the same with a plain accumulator"),
    "opt2": ("opt2", {}, "an adder tree per bit weight; 16 PEs with their encoders"),
    "opt3": ("opt3", {}, "one nonzero digit per cycle, own sparse encoder"),
    "opt4c": ("opt4c", {}, "the same, 16 PEs share an encoder"),
    "opt4e": ("opt4e", {}, "four lanes per PE; 16 PEs share four encoders"),
}
_MERGED = "mac-merged"

_TILE_ROWS = 64
_DEPTH = 4
_ENGINES: dict[str, tuple[str, EngineKind, str]] = {
    "mac-ws": (
        "mac",
        "systolic",
        "weight-stationary array of MACs: partial sums move, and are kept in a memory; its baseline",
    ),
    "opt1-ws": ("opt1", "systolic", "the same with carry-save partial sums"),
    "mac-matrix": ("mac", "matrix", "operands broadcast: its baseline"),
    "opt1-matrix": ("opt1", "matrix", "the same, carry-save"),
    "fip-matrix": ("fip", "matrix", "the same, fast inner product, carry-save"),
    "mac-tree": ("mac", "tree", "four multipliers per cell, adder tree: its baseline"),
    "opt1-tree": ("opt1", "tree", "the same, one carry-save tree"),
    "opt2-tree": ("opt2", "tree", "the same, a tree per bit weight, encoders at the border"),
    "mac-cube": ("mac", "cube", "chains of four multipliers along K: its baseline"),
    "opt1-cube": ("opt1", "cube", "the same, carry-save"),
}
"""Engines that are not the usual one of their PE, ``PE-ENGINE``; each beside MACs in the same one."""

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
        names += _ENGINES
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

    Engines have `size` rows and columns, those with several multipliers per cell half as many: all
    have as many multipliers.

    The MAC and the baselines of all designs are always among them. A name that exists at another
    level only is passed over.
    """
    known = design_names(level)
    wanted = {name for n in names or known for name in (n, _baseline(n))} | {BASELINE}
    return [_design(name, level, bits, distribution, size) for name in known if name in wanted]


def _baseline(name: str) -> str:
    """The design of MACs that `name` is compared with."""
    return f"{BASELINE}-{name.partition('-')[2]}" if name in _ENGINES else BASELINE


def _design(name: str, level: Level, bits: int, distribution: Distribution, size: int) -> Design:
    if name == _MERGED:
        about = "Booth rows and accumulator in one tree, then one adder: a stronger baseline"
        mac = Mac(accumulator_bits=bits)
        return Design(name, level, about, bits, 1, lambda: MergedMac(Operand(8), bits=bits), mac)
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
        holds_operands=isinstance(pe, DigitElement),
    )


def _other_engine(name: str, bits: int, size: int) -> Design:
    """An engine of `_ENGINES`; MACs per cycle of long tiles by its exact timing."""
    pe_kind, kind, about = _ENGINES[name]
    depth = _DEPTH if kind in ("tree", "cube") else None
    options: dict[str, Any] = {"products": depth} if pe_kind == "opt2" else {}
    pe: ProcessingElement = PES[pe_kind](accumulator_bits=bits, **options)
    side = isqrt(size * size // (depth or 1))
    macs, create = _stationary(pe, side) if kind == "systolic" else _moving(pe, side, kind, depth)
    return Design(
        name, "engine", about, bits, macs, create, pe,
        size=side, depth=depth or 1, baseline=_baseline(name),
    )  # fmt: skip


def _stationary(pe: ProcessingElement, size: int) -> tuple[float, Callable[[], Any]]:
    tiles = [StationaryTile(_TILE_ROWS, _TILE_K // size)] * _TILES
    rate = size * size * WeightStationaryTiming.of(pe, size, size).utilisation(tiles)
    return rate, lambda: WeightStationaryArray(pe, rows=size, cols=size, tile_rows=_TILE_ROWS)


def _moving(
    pe: ProcessingElement, size: int, kind: EngineKind, depth: int | None
) -> tuple[float, Callable[[], Any]]:
    # Operands of these engines do not matter; each row of A is there once per element of K.
    operands = np.zeros((_TILES * _TILE_K, size), np.int64)
    cycles = engine_trace(
        pe, operands, [_TILE_K] * _TILES, rows=size, cols=size, kind=kind, depth=depth
    ).total
    create = partial(create_array, pe, rows=size, cols=size, kind=kind, depth=depth)
    return _TILES * _TILE_K * size * size / cycles, create


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
