"""hw.pe.sparse_digit, hw.pe.digit_column: values and cycles of digit PEs that share encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.operand import Operand
from hw.pe.digit_column import PAIRS_AFTER, DigitColumn
from hw.pe.sparse_digit import DigitElement, Opt2, Opt3, Opt4c, Opt4e
from sim.digits import lane_groups, pass_cycles, recode

S4, U4, S16 = Operand(4), Operand(4, False), Operand(16)

FORMS = [
    pytest.param(pe, size, turns, id=f"{pe.kind}-{pe.recoding}-{pe.activation}-{size}-{turns}")
    for pe, size, turns in [
        (Opt3(), 1, 1),
        (Opt3(sign_extension=False, recoding="booth", activation=Operand(8, False)), 1, 3),
        (Opt4c(), 5, 2),
        (Opt4e(sign_extension=True, weight=U4), 1, 1),
        (Opt4c(recoding="booth", group=8), 3, 1),
        (Opt4c(activation=U4, weight=S4, group=2), 3, 4),
        (Opt4c(activation=S16, weight=S16), 2, 1),
        (Opt4e(), 3, 1),
        (Opt2(), 2, 1),
        (Opt2(products=4, recoding="booth", activation=U4), 3, 2),
        (Opt4e(recoding="booth", weight=Operand(8, False)), 4, 3),
        (Opt4e(activation=S4, weight=U4, group=2), 1, 2),
    ]
]


def as_group(digits: Any, last: bool) -> dict[str, Any]:
    """Payload of a group stream."""
    fields = [{"one": abs(d) == 1, "two": abs(d) == 2, "neg": d < 0} for d in digits.tolist()]
    return {"digits": fields, "last": last}


def reductions(pe: DigitElement, size: int, seed: int) -> list[tuple[Any, Any]]:
    """Activations (K,) and weights (K, size): zeros, extremes, tails, random ones."""
    rng = np.random.default_rng(seed)
    a, b = pe.activation, pe.weight

    def draw(operand: Operand, *shape: int) -> Any:
        return rng.integers(operand.min, operand.max + 1, shape)

    return [
        (draw(a, 13), draw(b, 13, size)),
        (np.zeros(9, np.int64), draw(b, 9, size)),
        (np.full(16, a.min), np.full((16, size), b.min)),
        (np.full(16, a.max), np.full((16, size), b.min)),
        # Every digit of the lowest weight is -2 where the format has one.
        (np.full(16, max(a.min, -2)), np.full((16, size), b.min)),
        (draw(a, 1), draw(b, 1, size)),
        (np.where(rng.random(50) < 0.7, 0, draw(a, 50)), draw(b, 50, size)),
    ]


@pytest.mark.parametrize("stalls", [0.0, 0.6], ids=["free", "stalled"])
@pytest.mark.parametrize(("pe", "size", "turns"), FORMS)
def test_sums_and_cycles(pe: DigitElement, size: int, turns: int, stalls: float) -> None:
    rng = np.random.default_rng(size)
    cases = reductions(pe, size, seed=size)
    streams: list[list[tuple[Any, Any]]] = [[] for _ in range(pe.lanes)]
    sums, cycles = [], []
    for a, b in cases:
        digits = recode(a, pe.activation, pe.recoding)
        assert (digits @ 4 ** np.arange(pe.digit_count) == a).all()
        groups = lane_groups(digits, pe.group, pe.lanes)
        used = -(-len(a) // pe.group)
        cycles += pass_cycles(digits, pe.group, pe.lanes).tolist()
        for weight in range(pe.digit_count):
            sums.append(digits[:, weight] @ b)
            for lane, stream in enumerate(streams):
                count = max(1, -(-(used - lane) // pe.lanes))
                for g in range(count):
                    base = (g * pe.lanes + lane) * pe.group
                    rows = np.zeros((pe.group, size), np.int64)
                    part = b[base : base + pe.group]
                    rows[: len(part)] = part
                    payload = as_group(groups[lane, g, :, weight], g == count - 1)
                    stream.append((payload, rows))

    dut = DigitColumn(pe, size=size, turns=turns)
    ends: list[int] = []
    behind = [n % turns for n in range(size)]
    # The sums of every cell, and the biases of the passes; cells follow one another.
    seen: list[list[int]] = [[] for _ in range(size)]
    biases: list[int] = []

    async def run(ctx: Any) -> None:
        position = [0] * pe.lanes
        current: list[Any] = [None] * pe.lanes
        # What was asked for in the cycles before, the last first; rubbish in between.
        asked = [np.zeros((size, pe.lanes), np.int64)] * turns
        for cycle in range(4000):
            if all(len(cell) == len(sums) for cell in seen):
                return
            offers = [
                rng.random() >= stalls and position[n] < len(s) for n, s in enumerate(streams)
            ]
            may_end = rng.random() >= stalls
            ctx.set(dut.may_end, may_end)
            for n, stream in enumerate(streams):
                port = getattr(dut, f"groups_{n}")
                ctx.set(port.valid, offers[n])
                if offers[n]:
                    ctx.set(port.payload, stream[position[n]][0])
            ctx.set(dut.b, [asked[late][n].tolist() for n, late in enumerate(behind)])
            fetched = rng.integers(pe.weight.min, pe.weight.max + 1, (size, pe.lanes))
            for n in range(pe.lanes):
                if ctx.get(dut.issues) >> n & 1:
                    fetched[:, n] = current[n][ctx.get(dut.position[n])]
            asked = [fetched, *asked[:-1]]
            width = 2**pe.pair_bits
            if cycle - PAIRS_AFTER in ends:
                biases.append(ctx.get(dut.bias))
            for n, late in enumerate(behind):
                if cycle - PAIRS_AFTER - late in ends:
                    pair = ctx.get(dut.pairs[n])
                    value = (pair.sum + pair.carry - biases[len(seen[n])]) % width
                    seen[n].append(value - width if value >= width // 2 else value)
            if ctx.get(dut.ends):
                assert may_end
                ends.append(cycle)
            for n, stream in enumerate(streams):
                if offers[n] and ctx.get(getattr(dut, f"groups_{n}").ready):
                    current[n] = stream[position[n]][1]
                    position[n] += 1
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(run)
    simulator.run()
    assert seen == np.array(sums).T.tolist()
    if not stalls:
        # The first group is taken in cycle 0, and its first digit issued in cycle 1.
        assert ends[0] == cycles[0]
        assert np.diff(ends).tolist() == [max(c, turns) for c in cycles[1:]]


@pytest.mark.parametrize(
    ("pe", "bits"),
    [
        # 16 * 256 = 4096 does not fit 13 signed bits.
        (Opt4c(segment=16), 14),
        (Opt4c(segment=8), 13),
        (Opt4c(segment=65536), 26),
        (Opt4c(segment=64, weight=U4), 12),
        (Opt4e(segment=32, weight=S4), 11),
        (Opt2(segment=32), 15),
    ],
)
def test_width_of_a_pair(pe: DigitElement, bits: int) -> None:
    assert pe.pair_bits == bits


def test_refuses_segments_that_are_no_whole_groups() -> None:
    with pytest.raises(
        ValueError, match=r"must be a power of two of at least 32, not 16: change it"
    ):
        Opt4e(segment=16)
    with pytest.raises(
        ValueError, match=r"must be a power of two of at least 8, not 12: change it"
    ):
        Opt4c(segment=12)
    with pytest.raises(
        ValueError, match=r"must be 1 for opt2, which issues zero digits too, not 4"
    ):
        Opt2(group=4)
