"""Operands for the mapped netlist of a PE, and the check that it computes with them what it should.

Every stream of the simulator has operands of its own, drawn from the distribution of the report:
activations and weights alike. The results of the netlist are compared with NumPy's, so a figure is
only ever made of a netlist that computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hw.pe.base import CellElement, ProcessingElement
from hw.pe.digit_column import PAIRS_AFTER
from hw.pe.fast_inner import FastInnerElement
from hw.pe.sparse_digit import DigitElement
from reports.ppa.digits import Distribution, Recoding, digits
from reports.ppa.gatesim import STREAMS, GateSimulator

__all__ = ["Work", "exercise"]

Values = npt.NDArray[np.int64]

_SEED = 2
_STEPS, _SUMS = 64, 2
_MOST_CYCLES = 1 << 14


@dataclass(frozen=True)
class Work:
    """What was counted: MACs of all PEs, and cycles, each summed over the streams."""

    macs: int
    cycles: int


def exercise(pe: ProcessingElement, simulator: GateSimulator, distribution: Distribution) -> Work:
    """Runs ``pe.standalone()`` on operands; toggles are counted while it works.

    Raises
    ------
    RuntimeError
        The netlist computes something else.
    """
    if isinstance(pe, DigitElement):
        return _Column(pe, simulator, distribution).run()
    assert isinstance(pe, CellElement)
    return _dense(pe, simulator, distribution)


def _dense(pe: CellElement, simulator: GateSimulator, distribution: Distribution) -> Work:
    """Sums one after another, without a pause; the first is not counted."""
    g, width = pe.k_granularity, pe.accumulator_bits
    steps = _STEPS * (_SUMS + 1)
    shape = (3 * STREAMS, steps * g)
    a, b, west = distribution.draw(*shape, _SEED).reshape(3, STREAMS, steps, g)
    first = np.arange(steps) % _STEPS == 0
    products = (a * b).sum(axis=-1)
    into_a_b, formats = (a, b), (pe.activation.bits, pe.weight.bits)
    if isinstance(pe, FastInnerElement):
        if pe.passes_operands:  # pre-sums with the western neighbour's weights, and differences
            into_a_b = (a + west[..., ::-1], (b - west)[..., ::-1])
            formats = (pe.presum.bits, pe.presum.bits)
        products = (a[..., 0] + b[..., 1]) * (a[..., 1] + b[..., 0])
    simulator.cycle({"rst": _word(1, 1)}, np.zeros(STREAMS))
    counted = 0
    for t in range(steps + 2):
        n = min(t, steps - 1)
        inputs = {
            name: _words(values[:, n], bits)
            for name, values, bits in zip("ab", into_a_b, formats, strict=True)
        }
        inputs |= {"rst": _word(0, 1), "first": _word(int(first[n] or t >= steps), 1)}
        # A step's operands are registered in the cycle after they are driven.
        counts = _STEPS < t <= steps
        simulator.cycle(inputs, np.full(STREAMS, counts))
        counted += counts
        end = t - 2
        if end >= 0 and end % _STEPS == _STEPS - 1:
            words = range(len(pe.accumulator.members))
            found = sum(simulator.bits("accumulator", w * width, width) for w in words)
            expected = products[:, end + 1 - _STEPS : end + 1].sum(axis=1) + _STEPS * pe.step_bias
            _same(found, expected, width)
    return Work(counted * STREAMS * g, counted * STREAMS)


class _Column:
    """A digit column with a source of groups for each lane; one segment in every stream."""

    def __init__(
        self, pe: DigitElement, simulator: GateSimulator, distribution: Distribution
    ) -> None:
        self.pe, self.simulator = pe, simulator
        self.cells = pe.standalone_cells
        k, lanes = pe.segment, pe.lanes
        drawn = distribution.draw(STREAMS, k * (1 + self.cells), _SEED)
        self.groups = k // (pe.group * lanes)
        # stream, group of the lane, lane, place in the group, then digit or cell
        shape = (STREAMS, self.groups, lanes, pe.group, -1)
        recoding: Recoding = "en-t" if pe.recoding == "ent" else "booth"
        self.digits = digits(drawn[:, :k], recoding).reshape(shape)
        self.weights = drawn[:, k:].reshape(shape)
        self.streams = np.arange(STREAMS)[:, None]
        self.lanes = np.arange(lanes)[None]
        self.place_bits = max(1, (pe.group - 1).bit_length())

    def run(self) -> Work:
        pe, simulator = self.pe, self.simulator
        # By stream and lane: which group is offered, and the weights that were asked for.
        offered = np.zeros((STREAMS, pe.lanes), np.int64)
        taken, weights = offered.copy(), self._weights(offered, offered)
        done = np.zeros(STREAMS, np.int64)  # passes that have ended
        due: dict[int, list[tuple[int, int]]] = {}
        cycles = 0
        simulator.cycle({"rst": _word(1, 1), "may_end": _word(1, 1)}, np.zeros(STREAMS))
        for t in range(_MOST_CYCLES):
            active = done < pe.digit_count
            if not active.any() and not due:
                return Work(STREAMS * pe.segment * self.cells, cycles)
            simulator.cycle({**self._offer(offered), "b": weights}, active)
            cycles += int(active.sum())
            for stream, weight in due.pop(t, ()):
                self._check(stream, weight)
            weights = self._weights(taken, self._positions())
            ready = self._ready()
            taken = np.where(ready, offered, taken)
            offered = offered + ready
            ends = (simulator.bits("ends", 0, 1) == 1) & active
            ended = [(int(n), int(done[n])) for n in np.flatnonzero(ends)]
            if ended:
                due[t + PAIRS_AFTER] = ended
            done += ends
        raise RuntimeError(f"netlist of {pe.kind} must come to an end, but has not")

    def _offer(self, offered: Values) -> dict[str, Any]:
        """Inputs of every lane's stream: the group that follows those that were taken."""
        pe = self.pe
        group, weight = offered % self.groups, offered // self.groups % pe.digit_count
        last = (group == self.groups - 1).astype(np.int64)
        inputs = {"rst": _word(0, 1)}
        for lane in range(pe.lanes):
            column = self.streams[:, 0], group[:, lane], lane
            digit = self.digits[(*column, slice(None), weight[:, lane])]
            size = np.abs(digit)
            # one, two, neg of every place, as `DIGIT` has them; then the mark.
            fields = np.stack([size == 1, size == 2, digit < 0], axis=-1).reshape(STREAMS, -1)
            bits = np.concatenate([fields, last[:, lane, None]], axis=1)
            inputs |= {f"groups_{lane}__payload": bits.T, f"groups_{lane}__valid": _word(1, 1)}
        return inputs

    def _weights(self, taken: Values, position: Values) -> Any:
        """Bits of port b: every cell's weight of the element that each lane asks for."""
        found = self.weights[self.streams, taken % self.groups, self.lanes, position]
        cells_first = found.transpose(2, 1, 0)  # cell, lane, stream
        return np.concatenate([_word(w, self.pe.weight.bits) for c in cells_first for w in c])

    def _positions(self) -> Values:
        bits = self.place_bits
        lanes = range(self.pe.lanes)
        return np.stack([self.simulator.bits("position", n * bits, bits) for n in lanes], axis=1)

    def _ready(self) -> npt.NDArray[np.bool_]:
        ports = [self.simulator.bits(f"groups_{n}__ready", 0, 1) for n in range(self.pe.lanes)]
        return np.asarray(np.stack(ports, axis=1) == 1)

    def _check(self, stream: int, weight: int) -> None:
        width = self.pe.pair_bits
        products = self.digits[stream, ..., weight, None] * self.weights[stream]
        expected = products.sum(axis=(0, 1, 2))
        bias = self.simulator.bits("bias", 0, width)[stream]
        for cell in range(self.cells):
            low = 2 * cell * width
            pair = [self.simulator.bits("pairs", low + n * width, width)[stream] for n in (0, 1)]
            _same(np.array(sum(pair) - bias), expected[cell], width)


def _word(values: Any, bits: int) -> npt.NDArray[np.bool_]:
    """Bits of `values` in every stream, least significant first."""
    spread = np.broadcast_to(np.asarray(values), (STREAMS,))
    return np.asarray((spread[None] >> np.arange(bits)[:, None]) & 1, np.bool_)


def _words(values: Values, bits: int) -> npt.NDArray[np.bool_]:
    """Bits of an array port, from `values` of shape (streams, elements)."""
    return np.concatenate([_word(v, bits) for v in values.T])


def _same(found: Any, expected: Any, width: int) -> None:
    if ((np.asarray(found) - expected) % (1 << width)).any():
        raise RuntimeError("netlist must compute the products, but its result differs")
