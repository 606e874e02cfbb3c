"""Testbench of any array with one stream of operands: values against NumPy, every transfer against the timing model.

Test plan (each test compares all values, the `last` flag of every beat, and the cycle of every
transfer on both streams):

========================  ==========================================================================
single_tiles              one tile of each K from 1 past the size of the array
sizes_with_tails          GEMMs around multiples of the array's size, tails included
back_to_back              tiles of mixed K in one stream, without a bubble between them
random_stalls             GEMMs with an idle producer and a blocking consumer
blocked_consumer          a consumer that is ready in one cycle of nine
reset_in_mid_tile         a reset while operands and results are in flight, then a whole GEMM
extremes                  all operands at their least and greatest values
random_gemms              200 GEMMs of random M, N, K and stalls
========================  ==========================================================================
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import cocotb
import numpy as np
import numpy.typing as npt

from hw.engine.catalogue import array_element, engine_kind_of
from sim.reference import gemm
from sim.streams import Stalls, pack_fields, unpack_field
from sim.tiles import GemmTiles, grouped_steps
from sim.timing.engine import engine_trace
from tb.streams import StreamBench
from tb.suite import Bench

RANDOM_CASES = 200


class ArrayBench:
    """Runs tiles on the array under test and compares all that can be observed."""

    def __init__(self, dut: Any) -> None:
        bench = Bench.from_json(os.environ["BITWEFT_BENCH"])
        self.pe, self.rows, self.cols = bench.pe, bench.rows, bench.cols
        self.kind, self.depth = bench.kind, bench.depth
        # Elements of K in an operand beat.
        self.step = array_element(
            bench.pe, bench.kind or engine_kind_of(bench.pe), bench.depth
        ).k_granularity
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.streams = StreamBench(dut)

    def random_operand(self, which: str, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
        operand = self.pe.activation if which == "a" else self.pe.weight
        return self.rng.integers(operand.min, operand.max + 1, shape)

    def beats(self, lengths: Sequence[int]) -> int:
        """Operand beats of tiles of the given K."""
        return sum(-(-k // self.step) for k in lengths)

    def random_stalls(self, beats: int) -> Stalls:
        return Stalls.random(
            beats,
            seed=int(self.rng.integers(1 << 32)),
            idle=float(self.rng.uniform(0, 0.8)),
            blocked=float(self.rng.uniform(0, 0.8)),
        )

    async def check(
        self,
        tiles: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]],
        stalls: Stalls | None = None,
        *,
        after: str = "reset",
    ) -> None:
        """Streams tiles a (rows, K) by b (K, cols) after a reset and compares with the models."""
        lengths = [a.shape[1] for a, _ in tiles]
        stalls = stalls or Stalls.none(self.beats(lengths))
        expected = engine_trace(
            self.pe,
            np.concatenate([a.T for a, _ in tiles]),
            lengths,
            rows=self.rows,
            cols=self.cols,
            kind=self.kind,
            depth=self.depth,
            gaps=stalls.gaps,
            ready=stalls.ready,
        )
        values = np.concatenate([gemm(a, b, bits=self.pe.accumulator_bits) for a, b in tiles])

        await self.streams.reset()
        done = await self.streams.transfer(
            self.pack(tiles),
            [int(gap) for gap in stalls.gaps],
            stalls.ready,
            len(values),
            limit=expected.total + 64,
        )
        where = f"after {after}, K = {lengths}"
        assert len(done.results) == len(values), (
            f"{len(done.results)} of {len(values)} result beats came, {where}"
        )
        width = self.cols * self.pe.accumulator_bits
        words = np.array(
            [list(word.to_bytes(width // 8 + 1, "little")) for word in done.results], np.uint8
        )
        got = unpack_field(words, count=self.cols, bits=self.pe.accumulator_bits)
        for beat, column in zip(*np.nonzero(got != values), strict=True):
            raise AssertionError(
                f"result beat {beat} column {column} is {got[beat, column]}, "
                f"not {values[beat, column]}, {where}"
            )
        for beat, word in enumerate(done.results):
            assert word >> width == (beat % self.rows == self.rows - 1), f"last of {beat}, {where}"
        assert done.accepted == expected.accepted.tolist(), f"cycles of operands, {where}"
        assert done.emitted == expected.emitted.tolist(), f"cycles of results, {where}"

    async def check_gemm(self, m: int, n: int, k: int, stalls: bool) -> None:
        """One GEMM of random operands, tails padded with zeros, assembled and compared whole."""
        tiles = GemmTiles(m, n, k, self.rows, self.cols)
        a, b = self.random_operand("a", (m, k)), self.random_operand("b", (k, n))
        beats_a, beats_b = tiles.operands(a, b)
        parts = [
            (beats_a[t * k : (t + 1) * k].T, beats_b[t * k : (t + 1) * k])
            for t in range(tiles.count)
        ]
        beats = self.beats([k] * tiles.count)
        await self.check(parts, self.random_stalls(beats) if stalls else None)

    def pack(
        self, tiles: Sequence[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]
    ) -> list[int]:
        """Operand beats as payload words."""
        words = []
        step = self.step
        bits = step * (self.rows * self.pe.activation.bits + self.cols * self.pe.weight.bits) + 1
        for a, b in tiles:
            left, _ = grouped_steps(a.T, [len(b)], step)
            right, _ = grouped_steps(b, [len(b)], step)
            last = np.zeros((len(right), 1), np.int64)
            last[-1] = 1
            fields = [(left, self.pe.activation.bits), (right, self.pe.weight.bits), (last, 1)]
            packed = pack_fields(fields, -(-bits // 8))
            words += [int.from_bytes(row.tobytes(), "little") for row in packed]
        return words

    def random_tile(self, k: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        return self.random_operand("a", (self.rows, k)), self.random_operand("b", (k, self.cols))


@cocotb.test()
async def single_tiles(dut: Any) -> None:
    bench = ArrayBench(dut)
    for k in [*range(1, bench.rows + bench.cols + 2), 64]:
        await bench.check([bench.random_tile(k)])


@cocotb.test()
async def sizes_with_tails(dut: Any) -> None:
    bench = ArrayBench(dut)
    for m in {1, bench.rows - 1, bench.rows, bench.rows + 1, 2 * bench.rows + 1} - {0}:
        for n in {1, bench.cols - 1, bench.cols, bench.cols + 1} - {0}:
            for k in (1, 7):
                await bench.check_gemm(m, n, k, stalls=False)


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    bench = ArrayBench(dut)
    lengths = [bench.rows + 3, 1, 1, 2, bench.rows, bench.rows, 1, 3 * bench.rows, bench.rows - 1]
    await bench.check([bench.random_tile(k) for k in lengths if k])


@cocotb.test()
async def random_stalls(dut: Any) -> None:
    bench = ArrayBench(dut)
    for _ in range(8):
        lengths = bench.rng.integers(1, 2 * bench.rows + 3, 6)
        tiles = [bench.random_tile(int(k)) for k in lengths]
        await bench.check(tiles, bench.random_stalls(bench.beats(lengths.tolist())))


@cocotb.test()
async def blocked_consumer(dut: Any) -> None:
    bench = ArrayBench(dut)
    tiles = [bench.random_tile(k) for k in (1, 5, 2, 2 * bench.rows, 1, 9)]
    beats = bench.beats([b.shape[0] for _, b in tiles])
    ready = (False,) * 8 + (True,)
    await bench.check(tiles, Stalls(np.zeros(beats, np.int64), ready))


@cocotb.test()
async def reset_in_mid_tile(dut: Any) -> None:
    bench = ArrayBench(dut)
    size = bench.rows + bench.cols
    for cut in [1, 2, bench.rows, size, size + 5, 2 * size + 4]:
        operands = bench.pack([bench.random_tile(size), bench.random_tile(size)])
        await bench.streams.reset()
        await bench.streams.transfer(
            operands, [0] * len(operands), (True, False), wanted=-1, limit=cut
        )
        await bench.check([bench.random_tile(3), bench.random_tile(size)], after=f"{cut} cycles")


@cocotb.test()
async def extremes(dut: Any) -> None:
    bench = ArrayBench(dut)
    a, b, k = bench.pe.activation, bench.pe.weight, 150
    for left in (a.min, a.max):
        for right in (b.min, b.max):
            tile = (np.full((bench.rows, k), left), np.full((k, bench.cols), right))
            await bench.check([tile, bench.random_tile(4)])
    for values in ([a.min, a.max, 0, -1 if a.signed else 1],):
        left_values = np.resize(np.array(values), (bench.rows, k))
        right_values = np.resize(np.array([b.max, b.min, b.min]), (k, bench.cols))
        await bench.check([(left_values, right_values)])


@cocotb.test()
async def random_gemms(dut: Any) -> None:
    bench = ArrayBench(dut)
    for case in range(RANDOM_CASES):
        m, n = (int(bench.rng.integers(1, 2 * side + 2)) for side in (bench.rows, bench.cols))
        await bench.check_gemm(m, n, int(bench.rng.integers(1, 25)), stalls=case % 4 != 0)
