"""reports.layers: parts of cycles, layer by layer, against what networks and programs say."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest

from bitweft.run_figures import layers_of
from hw.isa import INSTRUCTION_BYTES, Compute, Load, Store, Target
from hw.pe.base import ProcessingElement
from hw.pe.fast_inner import FreePipeline
from hw.pe.sparse_digit import Opt4c
from hw.spec import load_spec
from reports.layers import Part, waterline
from reports.roofline import network_point, roof_of, roofline_point
from sim.quantised import Conv, Dense
from tests.planned_networks import (
    Planned,
    digits_on_tiny,
    digits_with,
    in_patches,
    in_tiles,
    spilling,
    whole,
)

WAITS = {Part.WEIGHTS, Part.ACTIVATIONS, Part.STORES, Part.DISPATCH}


@cache
def _cases() -> tuple[Planned, ...]:
    return (
        digits_on_tiny(),
        *(whole(seed) for seed in range(6)),
        *(spilling(seed) for seed in range(2)),
        *(in_patches(seed) for seed in range(6)),
        *(in_tiles(seed) for seed in range(2)),
    )


@pytest.mark.parametrize("number", range(17))
def test_parts_sum_to_all_cycles(number: int) -> None:
    case = _cases()[number]
    found = waterline(*case)
    assert sum(found.parts.values()) == found.cycles == case.timing.cycles
    assert sum(x.cycles for x in found.layers) + sum(found.end.values()) == case.timing.cycles
    for layer in found.layers:
        assert all(count > 0 for count in layer.parts.values())
        assert layer.cycles >= layer.waiting == sum(layer.parts.get(p, 0) for p in WAITS)
    assert found.end.keys() <= WAITS
    assert [x.name for x in found.layers] == list(case.lowered.operators)


@pytest.mark.parametrize("number", range(17))
def test_layers_have_the_cycles_and_the_utilisation_of_a_run(number: int) -> None:
    network, plan, lowered, spec, timing = case = _cases()[number]
    ends = np.array(timing.computes, np.int64) + 1
    missing = _pixels_left_out(case)
    for run, layer in zip(
        layers_of(network, plan, lowered, spec, ends, ends), waterline(*case).layers, strict=True
    ):
        assert (run.name, run.kind, run.macs) == (layer.name, layer.kind, layer.macs)
        assert run.cycles == layer.cycles
        if not missing[layer.name] or not layer.operations:
            assert run.utilisation == layer.utilisation
        else:
            # Pixels that nobody reads are not computed, and not counted.
            assert (layer.utilisation or 0) < (run.utilisation or 0)


def test_some_cases_have_patches_that_compute_again() -> None:
    again = left_out = 0
    for case in _cases():
        found = waterline(*case)
        macs = {layer.name: [layer.macs, layer.computed_macs] for layer in found.layers}
        for name, pixels in _pixels_left_out(case).items():
            output = next(o.output for o in case.network.operators if o.name == name)
            _, height, width, _ = case.network.tensor(output).shape
            macs[name][0] -= macs[name][0] // (height * width) * pixels
            left_out += pixels
        assert sum(b - a for a, b in macs.values()) == case.plan.recomputed_macs
        if not any(o.stage for o in case.plan.operators):
            assert found.parts[Part.AGAIN] == 0
        again += found.parts[Part.AGAIN]
    assert again > 0
    assert left_out > 0


def _pixels_left_out(case: Planned) -> dict[str, int]:
    """How many pixels of each result no patch computes, by a picture of them."""
    missing = {}
    for o in case.network.operators:
        seen = np.zeros(case.network.tensor(o.output).shape[1:3], bool)
        for result in case.lowered.results:
            if result.operator == o.name:
                _, first, last, left, right = result.part
                rows = slice(first, last) if result.axis in ("rows", "tiles") else slice(None)
                columns = slice(left, right) if result.axis == "tiles" else slice(None)
                seen[rows, columns] = True
        missing[o.name] = int((~seen).sum())
    return missing


def test_the_digits_classifier_by_its_shapes() -> None:
    network, _, _, spec, _ = case = digits_on_tiny()
    found = {layer.name: layer for layer in waterline(*case).layers}
    rows, cols = spec.engine.rows, spec.engine.cols
    depthwise = 0
    for o in network.operators:
        if not isinstance(o, Conv | Dense):
            continue
        _, height, width, channels = network.tensor(o.output).shape
        layer, pixels, words = found[o.name], height * width, -(-channels // cols)
        if isinstance(o, Conv) and o.depthwise:
            depthwise += 1
            assert layer.unit == "depthwise"
            assert layer.parts[Part.DEPTHWISE] == words * pixels * o.weight.shape[1] ** 2
            continue
        outputs, *taps, depth = o.weight.shape
        if isinstance(o, Dense):
            # Its kernel is the whole image.
            _, high, wide, depth = network.tensor(o.inputs[0]).shape
            taps, pixels = [high, wide], 1
        macs = outputs * int(np.prod(taps)) * depth * pixels
        depth = -(-depth // cols) * cols
        steps = int(np.prod(taps)) * depth * words
        dense = -(-steps * pixels * cols // (rows * cols))
        assert layer.macs == macs
        parts = [layer.parts.get(p, 0) for p in (Part.MACS, Part.PADDING, Part.TAILS)]
        marks = [0, -(-macs // (rows * cols)), dense, steps * -(-pixels // rows)]
        assert parts == [b - a for a, b in pairwise(marks)]
        assert layer.parts[Part.SETUP] > 0
    assert depthwise == 2


@pytest.mark.parametrize("number", range(17))
def test_bytes_of_layers_are_those_of_the_program(number: int) -> None:
    case = _cases()[number]
    found, word = waterline(*case), case.spec.word_bytes
    moved = [found.end_bytes, *(layer.bytes for layer in found.layers)]
    loads = [i for i in case.lowered.program if isinstance(i, Load)]
    stores = [i for i in case.lowered.program if isinstance(i, Store)]
    weights = sum(i.words for i in loads if i.target == Target.WEIGHTS)
    assert sum(m.weights for m in moved) == weights * word
    assert sum(m.read for m in moved) == (
        sum(i.words for i in loads) * word + len(case.lowered.program) * INSTRUCTION_BYTES
    )
    assert sum(m.stored for m in moved) == sum(i.words for i in stores) * word
    computes = sum(isinstance(i, Compute) for i in case.lowered.program)
    assert sum(m.instructions for m in moved) >= (computes + 2) * INSTRUCTION_BYTES


@pytest.mark.parametrize("number", range(17))
def test_points_keep_under_the_peaks_and_the_network_under_the_roof(number: int) -> None:
    case = _cases()[number]
    found, roof = waterline(*case), roof_of(case.spec)
    for layer in found.layers:
        point = roofline_point(layer, 1)
        assert (point is None) == (layer.operations == 0)
        if point is not None:
            assert point.rate <= (roof.array if layer.per_cycle > roof.lanes else roof.lanes)
            assert layer.utilisation == pytest.approx(point.rate / layer.per_cycle)
    whole_network = network_point(found)
    if whole_network is not None:
        assert whole_network.rate <= roof.at(whole_network.intensity, "array")


def test_the_roof_of_a_spec() -> None:
    base = load_spec("base")
    roof = roof_of(base)
    assert (roof.array, roof.lanes, roof.bus) == (256, 16, 16)
    assert [roof.at(x, "array") for x in (1, 16, 99)] == [16, 256, 256]
    assert [roof.at(x, "depthwise") for x in (0.5, 99)] == [8, 16]
    # A word of 16 bytes takes two cycles at 9 to 15 bytes per cycle.
    slow = base.model_copy(update={"memory": base.memory.model_copy(update={"bytes_per_cycle": 9})})
    assert roof_of(slow).bus == 8


@pytest.mark.parametrize("pe", [FreePipeline(), Opt4c(segment=64)], ids=lambda pe: pe.kind)
def test_cycles_of_other_pes_sum_up_and_their_rate_is_that_of_whole_beats(
    pe: ProcessingElement,
) -> None:
    case = digits_with(pe)
    found = waterline(*case)
    assert found.cycles == case.timing.cycles
    on_array = [layer for layer in found.layers if layer.unit == "array"]
    assert {layer.per_cycle for layer in on_array} == {16 * pe.k_granularity}
    for layer in on_array:
        assert (Part.DIGITS in layer.parts) == (pe.kind == "opt4c")
        assert layer.parts[Part.MACS] == -(-layer.operations // layer.per_cycle)
