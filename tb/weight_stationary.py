"""Testbench of a weight-stationary array: values against NumPy, every transfer against the model.

Test plan (each test compares all values, the `last` flag of every beat, and the cycle of every
transfer on all three streams):

========================  ==========================================================================
single_rows               tiles of one row (M = 1) of K up to three blocks and a tail
sizes_with_tails          GEMMs around multiples of the array's size, tails included
back_to_back              tiles of mixed heights in one stream, one more of a single block
reload_while_idle         weights that come long before, or long after, the activations are there
random_stalls             GEMMs with idle producers and a blocking consumer
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
from cocotb.clock import Clock
from cocotb.triggers import ReadOnly, RisingEdge

from sim.reference import Integers, gemm
from sim.stationary import StationaryGemm, StationaryStalls
from sim.streams import pack_fields, unpack_field
from sim.timing.weight_stationary import WeightStationaryTiming
from tb.suite import Bench

RANDOM_CASES = 200
_IN = ("weights", "activations")


class Producer:
    """Offers the beats of one stream, each some cycles after the transfer of the one before."""

    def __init__(self, valid: Any, payload: Any, ready: Any, beats: list[int], gaps: Integers):
        self._valid, self._payload, self._ready = valid, payload, ready
        self._beats, self._gaps = beats, gaps.tolist()
        self._offered_at = self._gaps[0]
        self._offers = False
        self.accepted: list[int] = []

    def offer(self, cycle: int) -> None:
        """Drives the stream in `cycle`."""
        sent = len(self.accepted)
        self._offers = sent < len(self._beats) and cycle >= self._offered_at
        self._valid.value = int(self._offers)
        if self._offers:
            self._payload.value = self._beats[sent]

    def note(self, cycle: int) -> None:
        """Looks whether the beat was taken, once all signals of `cycle` have settled."""
        if self._offers and self._ready.value:
            self.accepted.append(cycle)
            if len(self.accepted) < len(self._beats):
                self._offered_at = cycle + 1 + self._gaps[len(self.accepted)]


class StationaryBench:
    """Owns clock, reset and all streams of the array under test, and compares what it observes."""

    def __init__(self, dut: Any) -> None:
        bench = Bench.from_json(os.environ["BITWEFT_BENCH"])
        assert bench.tile_rows is not None
        self.pe, self.rows, self.cols = bench.pe, bench.rows, bench.cols
        self.tile_rows = bench.tile_rows
        self.timing = WeightStationaryTiming.of(self.pe, self.rows, self.cols)
        self.rng = np.random.default_rng(cocotb.RANDOM_SEED)
        self.dut = dut
        for stream in _IN:
            getattr(dut, f"{stream}__payload").value = 0
        self._hold()
        Clock(dut.clk, 10, unit="ns").start()

    def _hold(self) -> None:
        self.dut.rst.value = 1
        self.dut.results__ready.value = 0
        for stream in _IN:
            getattr(self.dut, f"{stream}__valid").value = 0

    async def reset(self) -> None:
        """Holds the reset for two cycles with all streams idle."""
        self._hold()
        for _ in range(2):
            await RisingEdge(self.dut.clk)
        self.dut.rst.value = 0

    def work(self, m: int, n: int, k: int) -> StationaryGemm:
        return StationaryGemm(m, n, k, self.rows, self.cols, self.tile_rows)

    def operands(self, work: StationaryGemm) -> tuple[Integers, Integers]:
        """Random a (M, K) and b (K, N)."""
        a, b = self.pe.activation, self.pe.weight
        return (
            self.rng.integers(a.min, a.max + 1, (work.m, work.k)),
            self.rng.integers(b.min, b.max + 1, (work.k, work.n)),
        )

    def random_stalls(self, work: StationaryGemm) -> StationaryStalls:
        by_weights, by_activations, blocked = (float(x) for x in self.rng.uniform(0, 0.8, 3))
        seed = int(self.rng.integers(1 << 32))
        return StationaryStalls.random(
            work, seed=seed, idle=(by_weights, by_activations), blocked=blocked
        )

    def producers(
        self, work: StationaryGemm, a: Integers, b: Integers, stalls: StationaryStalls
    ) -> list[Producer]:
        """Of weights and of activations."""
        fields: list[Sequence[tuple[npt.ArrayLike, int]]] = [
            [(work.weights(b), self.pe.weight.bits)],
            [(work.activations(a), self.pe.activation.bits), (work.flags, 1)],
        ]
        producers = []
        for stream, parts, gaps in zip(
            _IN, fields, (stalls.weights, stalls.activations), strict=True
        ):
            bits = sum(np.asarray(values).shape[1] * width for values, width in parts)
            words = pack_fields(parts, -(-bits // 8))
            beats = [int.from_bytes(word.tobytes(), "little") for word in words]
            valid, payload, ready = (
                getattr(self.dut, f"{stream}__{name}") for name in ("valid", "payload", "ready")
            )
            producers.append(Producer(valid, payload, ready, beats, gaps))
        return producers

    async def transfer(
        self, producers: list[Producer], ready: Sequence[bool], wanted: int, limit: int
    ) -> tuple[list[int], list[int]]:
        """Takes results until `wanted` have come or `limit` cycles are over; payloads and cycles."""
        dut, edge, settled = self.dut, RisingEdge(self.dut.clk), ReadOnly()
        results: list[int] = []
        emitted: list[int] = []
        for cycle in range(limit):
            for producer in producers:
                producer.offer(cycle)
            willing = not ready or ready[cycle % len(ready)]
            dut.results__ready.value = int(willing)
            await settled
            if willing and dut.results__valid.value:
                results.append(int(dut.results__payload.value))
                emitted.append(cycle)
            for producer in producers:
                producer.note(cycle)
            await edge
            if len(results) == wanted:
                break
        return results, emitted

    async def check(
        self,
        work: StationaryGemm,
        stalls: StationaryStalls | None = None,
        operands: tuple[Integers, Integers] | None = None,
        *,
        after: str = "reset",
    ) -> None:
        """Streams a GEMM after a reset and compares with the models."""
        a, b = operands or self.operands(work)
        stalls = stalls or StationaryStalls.none(work)
        expected = self.timing.trace(work.tiles, stalls.weights, stalls.activations, stalls.ready)
        await self.reset()
        producers = self.producers(work, a, b, stalls)
        wanted = len(work.last)
        results, emitted = await self.transfer(producers, stalls.ready, wanted, expected.total + 64)
        where = f"after {after}, {work}"
        assert len(results) == wanted, f"{len(results)} of {wanted} result beats came, {where}"
        bits = self.pe.accumulator_bits
        width = self.cols * bits
        words = np.array(
            [list(word.to_bytes(width // 8 + 1, "little")) for word in results], np.uint8
        )
        got = work.assemble(unpack_field(words, count=self.cols, bits=bits))
        values = gemm(a, b, bits=bits)
        for i, j in zip(*np.nonzero(got != values), strict=True):
            raise AssertionError(f"C[{i}, {j}] is {got[i, j]}, not {values[i, j]}, {where}")
        assert [word >> width for word in results] == work.last.tolist(), f"last, {where}"
        accepted = [producer.accepted for producer in producers]
        assert accepted[0] == expected.weights.tolist(), f"cycles of weights, {where}"
        assert accepted[1] == expected.activations.tolist(), f"cycles of activations, {where}"
        assert emitted == expected.emitted.tolist(), f"cycles of results, {where}"


@cocotb.test()
async def single_rows(dut: Any) -> None:
    bench = StationaryBench(dut)
    for k in range(1, 3 * bench.rows + 2):
        await bench.check(bench.work(1, bench.cols, k))


@cocotb.test()
async def sizes_with_tails(dut: Any) -> None:
    bench = StationaryBench(dut)
    for m in {1, bench.rows - 1, bench.rows + 1, bench.tile_rows, 2 * bench.tile_rows + 1} - {0}:
        for n in {1, bench.cols, bench.cols + 1}:
            for k in {bench.rows - 1, bench.rows, 2 * bench.rows + 1} - {0}:
                await bench.check(bench.work(m, n, k))


@cocotb.test()
async def back_to_back(dut: Any) -> None:
    bench = StationaryBench(dut)
    rows, tile = bench.rows, bench.tile_rows
    await bench.check(bench.work(5 * tile + 1, 2 * bench.cols, 2 * rows))
    # A tile of one block needs no memory of sums, so it may be as high as it likes.
    work = StationaryGemm(3 * tile + 2, bench.cols, rows, rows, bench.cols, 4 * tile)
    await bench.check(work)


@cocotb.test()
async def reload_while_idle(dut: Any) -> None:
    bench = StationaryBench(dut)
    work = bench.work(2 * bench.tile_rows, bench.cols, 2 * bench.rows)
    pause = 5 * (bench.rows + bench.cols)
    for late in ("weights", "activations"):
        for every in (1, bench.rows, bench.tile_rows):
            stalls = StationaryStalls.none(work)
            getattr(stalls, late)[::every] = pause
            await bench.check(work, stalls)


@cocotb.test()
async def random_stalls(dut: Any) -> None:
    bench = StationaryBench(dut)
    for _ in range(8):
        m, k = (int(x) for x in bench.rng.integers(1, 3 * max(bench.rows, bench.tile_rows), 2))
        work = bench.work(m, bench.cols + 1, k)
        await bench.check(work, bench.random_stalls(work))


@cocotb.test()
async def blocked_consumer(dut: Any) -> None:
    bench = StationaryBench(dut)
    work = bench.work(2 * bench.tile_rows + 1, bench.cols, bench.rows)
    free = StationaryStalls.none(work)
    ready = (False,) * 8 + (True,)
    await bench.check(work, StationaryStalls(free.weights, free.activations, ready))


@cocotb.test()
async def reset_in_mid_tile(dut: Any) -> None:
    bench = StationaryBench(dut)
    size = bench.rows + bench.cols
    work = bench.work(2 * bench.tile_rows, bench.cols, 3 * bench.rows)
    for cut in [1, 2, bench.rows, bench.rows + 2, size, size + 5, 3 * size, 3 * size + 4]:
        await bench.reset()
        producers = bench.producers(work, *bench.operands(work), StationaryStalls.none(work))
        await bench.transfer(producers, (True, False), -1, cut)
        await bench.check(bench.work(3, bench.cols + 1, 2 * bench.rows), after=f"{cut} cycles")


@cocotb.test()
async def extremes(dut: Any) -> None:
    bench = StationaryBench(dut)
    a, b = bench.pe.activation, bench.pe.weight
    work = bench.work(2, bench.cols, 150)
    for left in (a.min, a.max):
        for right in (b.min, b.max):
            await bench.check(
                work, operands=(np.full((work.m, work.k), left), np.full((work.k, work.n), right))
            )
    mixed = np.array([a.min, a.max, 0, -1 if a.signed else 1])
    await bench.check(
        work,
        operands=(
            np.resize(mixed, (work.m, work.k)),
            np.resize(np.array([b.max, b.min, b.min]), (work.k, work.n)),
        ),
    )


@cocotb.test()
async def random_gemms(dut: Any) -> None:
    bench = StationaryBench(dut)
    for case in range(RANDOM_CASES):
        m = int(bench.rng.integers(1, 2 * bench.tile_rows + 2))
        n = int(bench.rng.integers(1, 2 * bench.cols + 2))
        work = bench.work(m, n, int(bench.rng.integers(1, 4 * bench.rows)))
        await bench.check(work, bench.random_stalls(work) if case % 4 else None)
