"""The counts of a PE's nest beside those of its elaborated hardware.

Both sides are computed: one from the loop nest that the PE is derived to, the other from the
netlist. `NESTS` says which derivation leads to which PE; a new PE adds a line.
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
from hw.notation.nest import Loop, Nest
from hw.notation.netlist import elaborated
from hw.notation.retime import latencies
from hw.notation.widths import pair_bias
from hw.pe.base import CellElement, CellSignature, ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.digit_column import DigitColumn
from hw.pe.sparse_digit import DigitElement, Opt4e
from hw.registry import PES

__all__ = ["ELEMENTS", "NESTS", "Row", "compare", "element_of", "nest_of"]

_K = 2
_BORDER = ("alpha", "q")
"""Made once per row, by a cell of its own at the border of an array."""


@dataclass(frozen=True)
class Row:
    """One figure, counted twice.

    Attributes
    ----------
    what : str
    least, most : int
        What the nest says. They differ where the nest leaves the hardware a choice, which is in
        the shape of a compressor tree.
    hardware : int
    """

    what: str
    least: int
    most: int
    hardware: int

    @property
    def agrees(self) -> bool:
        return self.least <= self.hardware <= self.most


NESTS: dict[str, Callable[[Any], str]] = {
    "mac": lambda pe: "mac",
    "opt1": lambda pe: "opt1" if pe.sign_extension else "opt1x",
    "opt2": lambda pe: "opt2-shared",
    "opt3": lambda pe: "opt3",
    "opt4c": lambda pe: "opt4c",
    "opt4e": lambda pe: "opt4e",
    "fip": lambda pe: "fip" if pe.carry_save else "fip-mac",
    "ffip": lambda pe: "ffip" if pe.carry_save else "ffip-mac",
}
"""The derivation that leads to a PE, by the PE's kind."""


def nest_of(pe: ProcessingElement, *, k: int = _K, cols: int = 1) -> Nest:
    """The nest of one row of `cols` cells of `pe` that sum `k` products.

    Raises
    ------
    InputError
        No derivation leads to this PE.
    """
    if pe.kind not in NESTS:
        raise InputError(f"PE must be one of {', '.join(NESTS)}, not {pe.kind!r}.")
    a, b = pe.activation, pe.weight
    recoding, group, lanes = "mbe", 4, 4
    if isinstance(pe, CarrySave) and pe.recodes_weight:
        # A product does not say which of its factors is recoded; the notation recodes A.
        a, b = b, a
    if isinstance(pe, DigitElement):
        recoding = "ent" if pe.recoding == "ent" else "mbe"
        # An adder tree per bit weight takes its operands in space; an encoder takes a group.
        group = pe.lanes if pe.kind == "opt2" else pe.group
        lanes = max(2, pe.lanes)
    sizes = Sizes(
        m=1,
        n=cols,
        k=k,
        rows=1,
        cols=cols,
        group=group,
        lanes=lanes,
        a=a,
        b=b,
        recoding=recoding,
        accumulator_bits=pe.accumulator_bits,
    )
    return derive(NESTS[pe.kind](pe), sizes)[-1].nest


ELEMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "mac": ("mac", {}),
    "opt1": ("opt1", {"sign_extension": True}),
    "opt1x": ("opt1", {}),
    "opt2-shared": ("opt2", {}),
    "opt3": ("opt3", {}),
    "opt4c": ("opt4c", {}),
    "opt4e": ("opt4e", {}),
    "fip": ("fip", {}),
    "fip-mac": ("fip", {"carry_save": False}),
    "ffip": ("ffip", {}),
    "ffip-mac": ("ffip", {"carry_save": False}),
}
"""The kind and options of the PE that each derivation leads to."""


def element_of(name: str, sizes: Sizes) -> ProcessingElement:
    """The PE that the derivation `name` leads to, for the formats and widths of `sizes`.

    Raises
    ------
    InputError
        There is none, or it has no digits of that recoding, or lanes of that number.
    pydantic.ValidationError
        The PE refuses its parameters.
    """
    kind, options = ELEMENTS.get(name, ("", {}))
    if kind not in PES:
        raise InputError(f"PE with hardware must be one of {', '.join(ELEMENTS)}, not {name!r}.")
    options = options | {
        "activation": sizes.a,
        "weight": sizes.b,
        "accumulator_bits": sizes.accumulator_bits,
    }
    if issubclass(PES[kind], DigitElement):
        if sizes.recoding not in ("mbe", "ent"):
            raise InputError(f"recoding must be mbe or ent in hardware, not {sizes.recoding}.")
        options["recoding"] = "ent" if sizes.recoding == "ent" else "booth"
        options["products" if kind == "opt2" else "group"] = sizes.group
    elif sizes.recoding != "mbe":
        raise InputError(f"recoding of {name} must be mbe in hardware, not {sizes.recoding}.")
    pe = PES[kind](**options)
    if isinstance(pe, Opt4e) and pe.lanes != sizes.lanes:
        raise InputError(f"lanes must be {pe.lanes} in hardware, not {sizes.lanes}.")
    return pe


def compare(pe: ProcessingElement) -> list[Row]:
    """Every figure of `pe` that both sides have.

    Raises
    ------
    InputError
        No derivation leads to this PE.
    """
    if pe.kind not in NESTS:
        raise InputError(f"PE must be one of {', '.join(NESTS)}, not {pe.kind!r}.")
    if isinstance(pe, DigitElement):
        return _compare_column(pe)
    assert isinstance(pe, CellElement)
    return _compare_cell(pe)


def _exact(what: str, nest: int, hardware: int) -> Row:
    return Row(what, nest, nest, hardware)


def _compare_cell(pe: CellElement) -> list[Row]:
    nest = nest_of(pe)
    counts, cell = count(nest), elaborated(pe.create())
    # The accumulator and what is retimed; the tags are delayed with it.
    registers = sum(r.flip_flops for r in counts.registers if r.name not in _BORDER)
    tags = latencies(nest)["C"] * len({"valid", "first"} & set(CellSignature(pe).members))
    rows = [
        _exact("register bits of the cell", registers + tags, cell.flip_flops),
        _exact("carry chains of the cell", _chains(counts), cell.adders + cell.multipliers),
        _exact("bias of a step", pair_bias(nest, "(s, c)") // pe.steps(_K), pe.step_bias),
    ]
    if not cell.multipliers:
        # A multiplier is one cell, and hides its digits and its tree.
        loops = {node.var: node for _, _, node in nest.walk() if isinstance(node, Loop)}
        digits = counts.copies("encoder") * loops["bw"].extent
        (compressor,) = counts.of("compressor")
        width = compressor.bits
        # A row in one's complement is one bit longer than its factor, and has its +1 beside it.
        factor = pe.step_bias and (pe.step_bias & -pe.step_bias).bit_length() - 1
        if pe.step_bias:
            rows_in = digits * (factor + 2)
        else:
            rows_in = sum(width - 2 * i for i in range(digits))
        rows += [
            _exact("digits", digits, len(cell.named("one_"))),
            _tree("full adders of the cell", compressor.inputs, rows_in, width, cell.full_adders),
        ]
    resolve = elaborated(_Resolve(pe))
    words = 1 + _redundant(counts)
    words += 2 if pe.correction is not None else bool(pe.step_bias)
    # A chain that is cut into stages has two in each: its share of the words, and the carry.
    chains = max(words - 1, 2 * pe.resolve_latency) if words > 1 else 0
    full_adders = max(0, words - 2) * pe.accumulator_bits
    rows += [
        Row("carry chains after the sum", min(1, words - 1), chains, resolve.adders),
        Row("full adders after the sum", 0, full_adders, resolve.full_adders),
    ]
    return rows


def _compare_column(pe: DigitElement) -> list[Row]:
    size = 3
    nest = nest_of(pe, k=pe.segment, cols=size)
    counts = count(nest)
    cell, column = elaborated(pe.create()), elaborated(DigitColumn(pe, size=size))
    (pair,) = (r for r in counts.registers if r.words == 2)
    selectors = counts.copies("selector")
    # What a digit selects from is fetched by its position, into a register of its own.
    fetched = selectors * pe.weight.bits
    (compressor,) = counts.of("compressor")
    # A row has its +1 beside it.
    row_bits = pair.bits if pe.sign_extension else pe.weight.signed_bits + 1
    row_bits = (compressor.inputs - 2) * (row_bits + 1)
    rows = [
        _exact("width of the pair", pair.bits, pe.pair_bits),
        _exact("register bits of the pairs", pair.flip_flops, column.registers["pair"]),
        _exact("register bits of the cells", pair.flip_flops + fetched, size * cell.flip_flops),
        _exact("selectors of a cell", selectors // size, len(cell.named("row_"))),
        _exact("carry chains of the cells", counts.adders, size * cell.adders),
        _tree("full adders of a cell", compressor.inputs, row_bits, pair.bits, cell.full_adders),
    ]
    encoders = counts.copies("sparse encoder")
    if not encoders:
        # Digits are made outside; the column has one stream of them per encoder of the nest.
        streams = len(column.named("pending"))
        rows.append(_exact("streams of digits of a column", counts.copies("encoder"), streams))
    else:
        # `DigitColumn` is built of any digit PE; each opt3 is a column of its own.
        own = size if pe.kind == "opt3" else 1
        held = sum(column.registers[name] for name in ("pending", "two", "neg"))
        rows += [
            _exact("sparse encoders of a column", encoders // own, len(column.named("pending"))),
            _exact("held digits and positions", counts.flip_flops("held") // own, held),
        ]
    return rows


def _tree(what: str, inputs: int, row_bits: int, width: int, hardware: int) -> Row:
    """Full adders of a tree over `inputs` words, of which the rows have `row_bits` in all.

    Each takes one bit away; those of the top column, at most one per row of adders, drop their
    carry and take two. At most, every row of adders is as wide as the accumulator.
    """
    return Row(what, row_bits - 2 * (inputs - 2), (inputs - 2) * width, hardware)


def _chains(counts: Counts) -> int:
    """What propagates a carry in every cycle: additions, pre-sums, and negated multiplicands."""
    border = sum(u.copies for u in counts.of("adder", in_loop=True) if "alpha" in u.what)
    chains = counts.adders - border + counts.copies("presum")
    return chains + counts.copies("negator") * _redundant(counts)


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
