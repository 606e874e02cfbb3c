"""The counts of a PE's nest beside those of its elaborated hardware.

Both sides are computed: the left one from the loop nest that the PE is derived to, the right one
from the netlist of the cell. `NESTS` says which nest describes which PE; a new PE adds a line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hw.errors import InputError
from hw.notation.count import Counts, count
from hw.notation.derive import Sizes, derive
from hw.notation.inner import latencies
from hw.notation.nest import Loop, Nest
from hw.notation.netlist import elaborated
from hw.notation.widths import pair_bias
from hw.pe.base import CellElement, CellSignature, ProcessingElement
from hw.pe.carry_save import CarrySave

__all__ = ["NESTS", "Row", "compare", "nest_of"]


_K = 2


@dataclass(frozen=True)
class Row:
    """One figure, counted twice."""

    what: str
    nest: int
    hardware: int


def _opt1(pe: Any) -> str:
    return "opt1" if pe.sign_extension else "opt1x"


def _fast(pe: Any) -> str:
    return pe.kind if pe.carry_save else f"{pe.kind}-mac"


NESTS: dict[str, Callable[[Any], str]] = {
    "mac": lambda pe: "mac",
    "opt1": _opt1,
    "fip": _fast,
    "ffip": _fast,
}
"""The derivation that leads to a PE, by the PE's kind."""


def nest_of(pe: ProcessingElement, *, k: int = 2) -> Nest:
    """The nest of one cell of `pe` that sums `k` products.

    Raises
    ------
    InputError
        No derivation leads to this PE.
    """
    if pe.kind not in NESTS:
        raise InputError(f"PE must be one of {', '.join(NESTS)}, not {pe.kind!r}.")
    a, b = pe.activation, pe.weight
    if isinstance(pe, CarrySave) and pe.recodes_weight:
        # A product does not say which of its factors is recoded; the notation recodes A.
        a, b = b, a
    sizes = Sizes(m=1, n=1, k=k, rows=1, cols=1, a=a, b=b, accumulator_bits=pe.accumulator_bits)
    return derive(NESTS[pe.kind](pe), sizes)[-1].nest


def compare(pe: CellElement) -> list[Row]:
    """Every figure of a cell of `pe`, and of its resolve stage, that both sides have.

    Raises
    ------
    InputError
        No derivation leads to this PE.
    """
    nest = nest_of(pe, k=_K)
    counts, cell = count(nest), elaborated(pe.create())
    rows = [
        Row("register bits of the cell", _cell_registers(pe, nest, counts), cell.flip_flops),
        Row("carry chains of the cell", _cell_chains(pe, counts), cell.adders + cell.multipliers),
        Row("3:2 rows of the cell", _rows(pe, counts), len(cell.named("csa_sum_"))),
        Row("bias of a step", pair_bias(nest, "(s, c)") // pe.steps(_K), pe.step_bias),
    ]
    if not cell.multipliers:
        # A multiplier cell hides its encoder and its rows.
        loops = {node.var: node for _, _, node in nest.walk() if isinstance(node, Loop)}
        digits = counts.copies("encoder") * loops["bw"].extent
        compressor = counts.of("compressor")[0]
        rows += [
            Row("digits", digits, len(cell.named("one_"))),
            Row("words into the compressor", compressor.inputs - 2, len(cell.named("row_"))),
            Row("width of the compressor", compressor.bits, max(cell.named("csa_sum_"))),
        ]
    resolve = elaborated(_Resolve(pe))
    added = sum(u.copies for u in counts.of("adder", in_loop=False))
    if pe.correction is not None and pe.step_bias:
        # The row's correction starts from the bias, which then takes no word of its own.
        added -= 1
    rows.append(
        Row(
            "words added after the sum",
            added,
            resolve.adders + len(resolve.named("csa_sum_")),
        )
    )
    return rows


_BORDER = ("alpha", "q")
"""Made once per row, by a cell of its own at the border of an array."""


def _cell_registers(pe: CellElement, nest: Nest, counts: Counts) -> int:
    """Accumulator and pipeline of one cell, and the tags that are delayed with the pipeline."""
    bits = sum(r.flip_flops for r in counts.registers if r.name not in _BORDER)
    tags = {"valid", "first"} & set(CellSignature(pe).members)
    return bits + latencies(nest)["C"] * len(tags)


def _cell_chains(pe: CellElement, counts: Counts) -> int:
    """What propagates a carry in every cycle: additions, pre-sums, and negated multiplicands."""
    border = sum(u.copies for u in counts.of("adder", in_loop=True) if "alpha" in u.what)
    chains = counts.adders - border + counts.copies("presum")
    hidden = bool(counts.of("adder", in_loop=True)) and not _redundant(counts)
    return chains + (0 if hidden else counts.copies("negator"))


def _rows(pe: CellElement, counts: Counts) -> int:
    """A plain multiplier is one cell, whose inside is the synthesiser's."""
    return counts.full_adder_rows if _redundant(counts) else 0


def _redundant(counts: Counts) -> bool:
    return any(r.words == 2 for r in counts.registers)


class _Resolve(wiring.Component):
    """The resolve stage of a PE by itself."""

    def __init__(self, pe: CellElement) -> None:
        self._pe = pe
        w = pe.accumulator_bits
        super().__init__(
            {
                "accumulator": In(pe.accumulator),
                "correction": In(w),
                "row": In(w),
                "enable": In(1),
                "o": Out(w),
            }
        )

    def elaborate(self, platform: object) -> Any:
        m = Module()
        row = self.row if self._pe.correction is not None else None
        value = self._pe.resolve(m, self.accumulator, self.correction, self.enable, row)
        m.d.comb += self.o.eq(value)
        return m
