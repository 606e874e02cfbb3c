"""mapper.footprint: hulls against the addresses that computations use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hw.isa import Begin, Compute, End, Load, Path, Store, Target
from hw.spec import load_spec
from mapper.footprint import Extent, Footprint, Space, footprint
from tests.random_computes import random_compute

SPEC = load_spec("tiny")
WORD = SPEC.word_bytes
BANK = SPEC.scratchpad.bytes // WORD // SPEC.scratchpad.banks


def _read_addresses(c: Compute) -> set[int]:
    """From the definition of the fields, tap by tap."""
    pitch = c.step_y + (c.out_width - 1) * c.step_x
    tap_pitch = c.tap_y + (c.kernel_x - 1) * c.tap_x
    found = set()
    for pixel in range(c.pixels):
        row, column = divmod(pixel, c.out_width)
        for ky in range(c.kernel_y):
            for kx in range(c.kernel_x):
                y = row * c.stride_y - c.pad_top + ky * c.dilation_y
                x = column * c.stride_x - c.pad_left + kx * c.dilation_x
                if 0 <= y < c.in_height and 0 <= x < c.in_width:
                    base = c.source + row * pitch + column * c.step_x
                    base += ky * tap_pitch + kx * c.tap_x
                    found |= {(base + word) % (1 << 24) for word in range(c.words)}
    return found


def _covered(extents: tuple[Extent, ...], space: Space) -> set[int]:
    return {n for e in extents if e.space == space for n in range(e.start, e.end)}


@pytest.mark.parametrize("path", list(Path))
def test_computations_stay_within_their_hulls(path: Path) -> None:
    rng = np.random.default_rng(int(path))
    for _ in range(200):
        compute = random_compute(rng, path, WORD)
        compute = replace(compute, pixels=int(rng.integers(1, compute.pixels + 1)))
        touched = footprint(compute, SPEC)
        read, hull = _read_addresses(compute), _covered(touched.reads, Space.SCRATCHPAD)
        assert read <= hull
        if read and compute.pixels % compute.out_width == 0:
            assert (min(read), max(read)) == (min(hull), max(hull))
        elif compute.pixels % compute.out_width == 0:
            assert not hull
        steps = compute.destination_step * np.arange(compute.pixels)
        written = {int(compute.destination + n) for n in steps}
        hull = _covered(touched.writes, Space.SCRATCHPAD)
        assert written <= hull
        assert (min(written), max(written)) == (min(hull), max(hull))


def _addition(distance: int) -> Compute:
    zero = {name: 0 for name in Compute.widths if name != "opcode"}
    fields = {
        **zero, "path": Path.SCALARS, "source": 10, "pixels": 20, "out_width": 5, "step_x": 1,
        "step_y": 1, "tap_x": distance, "tap_y": -distance, "in_height": 4, "in_width": 5,
        "stride_y": 1, "stride_x": 1, "kernel_y": 1, "kernel_x": 2, "words": 1, "weights": 7,
        "destination": BANK - 3, "destination_step": 2,
    }  # fmt: skip
    return Compute(**fields)


def test_the_operands_of_an_addition_are_apart() -> None:
    touched = footprint(_addition(3000), SPEC)
    assert touched.reads == (
        Extent(Space.SCRATCHPAD, 10, 30),
        Extent(Space.SCRATCHPAD, 3010, 3030),
        Extent(Space.WEIGHTS, 7, 16),
    )
    assert touched.writes == (
        Extent(Space.SCRATCHPAD, BANK - 3, BANK + 36),
        Extent(Space.READ_PORTS, 0, 1),
        Extent(Space.READ_PORTS, 1, 2),
        Extent(Space.WRITE_PORTS, 0, 2),
    )


@pytest.mark.parametrize(
    ("path", "words", "block"), [(Path.ARRAY, 3, 9 + 2 * 3 * WORD), (Path.TAPS, 1, 9 + 2)]
)
def test_weights_follow_the_parameters(path: Path, words: int, block: int) -> None:
    compute = replace(_addition(1), path=path, words=words)
    assert Extent(Space.WEIGHTS, 7, 7 + block) in footprint(compute, SPEC).reads


def test_what_wraps_around_is_everything() -> None:
    compute = replace(_addition(1), destination=(1 << 24) - 1)
    assert Extent(Space.SCRATCHPAD, 0, 1 << 24) in footprint(compute, SPEC).writes


def test_transfers_and_the_ends_of_a_program() -> None:
    load = Load(target=Target.SCRATCHPAD, memory=64, local=BANK - 1, words=2)
    assert footprint(load, SPEC) == Footprint(
        (Extent(Space.MEMORY, 64, 64 + 2 * WORD),),
        (Extent(Space.SCRATCHPAD, BANK - 1, BANK + 1), Extent(Space.WRITE_PORTS, 0, 2)),
    )
    weights = replace(load, target=Target.WEIGHTS)
    assert footprint(weights, SPEC).writes == (Extent(Space.WEIGHTS, BANK - 1, BANK + 1),)
    store = Store(memory=128, local=BANK, words=3)
    assert footprint(store, SPEC) == Footprint(
        (Extent(Space.SCRATCHPAD, BANK, BANK + 3),),
        (Extent(Space.MEMORY, 128, 128 + 3 * WORD), Extent(Space.READ_PORTS, 1, 2)),
    )
    assert footprint(Begin(), SPEC) == footprint(End(), SPEC) == Footprint()
