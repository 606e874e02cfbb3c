"""hw.pe: every PE by itself, exhaustively, on a 1 × 1 array of its Verilog."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

from hw.operand import Operand
from hw.pe.base import CellElement, ProcessingElement, accumulator_bits_for
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2, Opt3, Opt4c, Opt4e
from hw.registry import PES
from sim.reference import wrap
from sim.runner.native import NativeEngine

U8 = Operand(8, False)

CELLS: list[CellElement] = [
    Mac(),
    CarrySave(),
    CarrySave(sign_extension=True),
    CarrySave(activation=U8),
    CarrySave(activation=U8, weight=U8, accumulator_bits=20),
    FreePipeline(),
]
FORMS: list[ProcessingElement] = [*CELLS, Opt4e()]
# One result, with the longest pass of each bit weight and what lies between passes.
CYCLES = 60


@pytest.mark.parametrize("pe", FORMS, ids=repr)
def test_every_product_and_a_sum_of_all(pe: ProcessingElement) -> None:
    a, b = (
        grid.reshape(-1, 1).astype(np.int64)
        for grid in np.meshgrid(
            np.arange(pe.activation.min, pe.activation.max + 1),
            np.arange(pe.weight.min, pe.weight.max + 1),
        )
    )
    assert len(a) == 65536
    engine = NativeEngine(pe, rows=1, cols=1)
    single = engine.run(a, b, [1] * len(a), limit=CYCLES * 65536)
    assert np.array_equal(single.values, wrap(a * b, pe.accumulator_bits))

    # One reduction over all pairs, in an order that mixes signs, and one over each of 256 runs.
    order = np.random.default_rng(5).permutation(len(a))
    a, b = a[order], b[order]
    whole = engine.run(a, b, [65536], limit=CYCLES * 65536)
    assert whole.values.tolist() == [[int(wrap((a * b).sum(), pe.accumulator_bits))]]
    runs = engine.run(a, b, [256] * 256, limit=CYCLES * 65536)
    sums = (a * b).reshape(256, 256).sum(axis=1, keepdims=True)
    assert np.array_equal(runs.values, wrap(sums, pe.accumulator_bits))


def test_int8_bias_of_the_sign_extension_free_form() -> None:
    assert CarrySave().step_bias == 256 * (1 + 4 + 16 + 64) == 21760
    assert CarrySave(sign_extension=True).step_bias == 0
    assert Mac().step_bias == 0
    # Two 9-bit factors: five digits of a 10-bit row.
    assert FastInner().step_bias == 512 * (1 + 4 + 16 + 64 + 256) == 174592
    assert FastInner().presum == Operand(9)
    assert FastInner(activation=U8).presum == Operand(10)
    assert FastInner(activation=U8, weight=U8).presum == Operand(9, False)


def test_the_operand_with_fewer_digits_is_recoded() -> None:
    assert not CarrySave().recodes_weight
    assert CarrySave(activation=U8).recodes_weight
    assert not CarrySave(activation=Operand(4)).recodes_weight


@pytest.mark.parametrize(
    ("a", "b", "k", "bits"),
    [
        ("int8", "int8", 1, 16),
        ("int8", "int8", 2, 17),
        ("int8", "int8", 131071, 32),
        ("int8", "int8", 131072, 33),
        ("uint8", "uint8", 1, 17),
        ("uint8", "int8", 1, 16),
        ("uint4", "uint4", 1, 9),
        ("int2", "int2", 1, 4),
    ],
)
def test_accumulator_width_for_k_products(a: str, b: str, k: int, bits: int) -> None:
    assert accumulator_bits_for(Operand.parse(a), Operand.parse(b), k) == bits


def test_registry_knows_each_kind_by_name() -> None:
    assert PES == {
        "mac": Mac,
        "opt1": CarrySave,
        "opt2": Opt2,
        "opt3": Opt3,
        "opt4c": Opt4c,
        "opt4e": Opt4e,
        "fip": FastInner,
        "ffip": FreePipeline,
    }


@pytest.mark.parametrize("pe", CELLS[:3], ids=repr)
def test_standalone_is_the_cell_behind_one_register(pe: CellElement) -> None:
    dut = pe.standalone()
    rng = np.random.default_rng(3)
    a, b = rng.integers(-128, 128, (2, 40)).tolist()
    starts = [n % 13 == 0 for n in range(40)]

    async def check(ctx: Any) -> None:
        total = steps = 0
        for n in range(42):
            if n < 40:
                ctx.set(dut.a, a[n])
                ctx.set(dut.b, b[n])
                ctx.set(dut.first, starts[n])
            if n >= 2:
                total, steps = (0, 0) if starts[n - 2] else (total, steps)
                total, steps = total + a[n - 2] * b[n - 2], steps + 1
                words = ctx.get(dut.accumulator)
                value = words.sum + (words.carry if pe.kind == "opt1" else 0)
                assert (value - total - steps * pe.step_bias) % 2**pe.accumulator_bits == 0
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(check)
    simulator.run()
