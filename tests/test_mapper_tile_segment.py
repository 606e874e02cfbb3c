"""mapper.tile_segment: what a tile reads and computes, against masks of pixels."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapper.graph import Graph, Operator, Tensor
from mapper.segments import segment_of
from mapper.stage import Reduction, Stage, Window
from mapper.tile_segment import TileSegment, strips_of

Mask = npt.NDArray[np.bool_]
Windows = list[tuple[Window, Window]]


def _after(size: int, w: Window) -> int:
    return (size + 2 * w.padding - (w.kernel - 1) * w.dilation - 1) // w.stride + 1


def _segment(size: tuple[int, int], windows: Windows, strips: int) -> TileSegment | None:
    """Members one after another; None where an image would be empty."""
    sizes = [size]
    for w in windows:
        sizes.append((_after(sizes[-1][0], w[0]), _after(sizes[-1][1], w[1])))
        if min(sizes[-1]) < 1:
            return None
    tensors = tuple(
        Tensor(
            name=f"t{n}", shape=(1, 2, *s), bytes=2 * prod(s), rows=s[0], columns=s[1],
            network_input=n == 0, network_output=n == len(windows),
        )
        for n, s in enumerate(sizes)
    )  # fmt: skip
    operators = tuple(
        Operator(
            name=f"o{n}", kind="Test", inputs=(f"t{n}",), outputs=(f"t{n + 1}",), windows=(w[0],),
            column_windows=(w[1],), macs=prod(sizes[n + 1]) * 10, weight_bytes=7,
        )
        for n, w in enumerate(windows)
    )  # fmt: skip
    graph = Graph(name="chain", operators=operators, tensors=tensors)
    segment = segment_of(graph, operators, "tiles", strips)
    assert isinstance(segment, TileSegment)
    return segment


def _read(wanted: Mask, window: tuple[Window, Window], size: tuple[int, int]) -> Mask:
    """The pixels of an input that some of an output read, tap by tap."""
    read = np.zeros(size, bool)
    for y, x in np.argwhere(wanted):
        for ky in range(window[0].kernel):
            for kx in range(window[1].kernel):
                row = y * window[0].stride - window[0].padding + ky * window[0].dilation
                column = x * window[1].stride - window[1].padding + kx * window[1].dilation
                if 0 <= row < size[0] and 0 <= column < size[1]:
                    read[row, column] = True
    return read


def _hull(mask: Mask) -> Mask:
    """A rectangle has no holes."""
    hull = np.zeros_like(mask)
    if mask.any():
        (top, left), (bottom, right) = np.argwhere(mask).min(0), np.argwhere(mask).max(0)
        hull[top : bottom + 1, left : right + 1] = True
    return hull


def _mask(stage: Stage, patch: int, tensor: str, size: tuple[int, int]) -> Mask:
    mask = np.zeros(size, bool)
    for b in stage.patches[patch].buffers:
        if b.tensor == tensor:
            mask[b.first : b.last, b.left : b.right] = True
    return mask


_WINDOW = st.builds(
    Window,
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.integers(0, 3),
    st.just(1),
)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(3, 11), st.integers(3, 11)),
    st.lists(st.tuples(_WINDOW, _WINDOW), min_size=1, max_size=3),
    st.integers(1, 4),
    st.integers(2, 4),
)
def test_a_tile_has_the_pixels_that_a_walk_from_tap_to_tap_finds(
    size: tuple[int, int], windows: Windows, bands: int, strips: int
) -> None:
    segment = _segment(size, windows, strips)
    if segment is None or segment.most_patches == 1:
        return
    bands = min(bands, segment.most_patches)
    stage, room = segment.stage(bands, (), "space", None)
    assert len(stage.patches) == bands * strips
    last = f"t{len(windows)}"
    sizes = {t.name: (t.rows, t.columns) for t in segment.tensors.values()}
    computed = {t: np.zeros(s, np.int64) for t, s in sizes.items()}
    stored = np.zeros(sizes[last], np.int64)
    for n, patch in enumerate(stage.patches):
        for x in patch.stores:
            assert x.tensor == last
            stored[x.first : x.last, x.left : x.right] += 1
        wanted = _mask(stage, n, last, sizes[last])
        for k in range(len(windows) - 1, -1, -1):
            computed[f"t{k + 1}"] += wanted
            read = _read(_hull(wanted), windows[k], sizes[f"t{k}"])
            wanted = _mask(stage, n, f"t{k}", sizes[f"t{k}"])
            assert not (read & ~wanted).any()
            # Taps that all lie beyond an edge pin a slice to it; else there is not a pixel more.
            assert (_hull(read) == wanted).all() or not read.any() or _touches(wanted)
        computed["t0"] += wanted
        assert max((b.offset for b in patch.buffers), default=0) < room
    assert (stored == 1).all()
    again = 0
    for k, o in enumerate(segment.operators):
        count = computed[f"t{k + 1}"]
        again += o.macs * int((count - (count > 0)).sum()) // count.size
        (member,) = [m for m in stage.members if m.name == o.name]
        parts = [p for patch in stage.patches for p in patch.parts if p.operator == o.name]
        assert member.loaded_weight_bytes == 7 * len(parts)
    assert stage.recomputed_macs == again
    # The search counts with just these.
    totals, loaded = segment.amounts(bands)
    assert totals == {t: int(count.sum()) for t, count in computed.items()}
    assert loaded == sum(m.loaded_weight_bytes for m in stage.members)
    assert segment.transfers(["t0"], bands) == sum(
        x.last - x.first for patch in stage.patches for x in patch.loads
    )


def _touches(mask: Mask) -> bool:
    """Whether a slice is at an edge of its image."""
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def test_a_tile_never_is_wider_than_what_the_search_counts_with() -> None:
    windows = [(Window(3, 1, 1, 1), Window(5, 2, 1, 2)), (Window(3, 2, 1, 1), Window(3, 1, 2, 2))]
    for strips in (2, 3, 5):
        segment = _segment((23, 37), windows, strips)
        assert segment is not None
        for bands in range(1, segment.most_patches + 1):
            stage, room = segment.stage(bands, {"t2"}, "space", None)
            assert room <= segment.place(segment.widest(bands), ["t0", "t1"])[1]
            assert all(not p.stores for p in stage.patches)


def test_nothing_is_cut_whose_result_is_read_inside_and_outside() -> None:
    segment = _segment((9, 9), [(Window(), Window()), (Window(), Window())], 3)
    assert segment is not None
    assert segment.most_patches == 9
    assert replace(segment, outputs=("t1", "t2")).most_patches == 1
    assert replace(segment, strips=10).most_patches == 1


@pytest.mark.parametrize("columns", [1, 2, 7, 56, 224, 5000])
def test_strips_go_from_two_to_a_column_each(columns: int) -> None:
    strips = strips_of(columns)
    assert strips == sorted(set(strips))
    assert (strips[0], strips[-1]) == (2, min(columns, 4096)) if columns > 1 else not strips


def test_a_reduction_in_parts_sweeps_over_them_for_every_short_row() -> None:
    """Of 10 columns a tile of whole rows has 4 pixels: a tile 6 wide has two sweeps a row."""
    segment = _segment((4, 12), [(Window(), Window())], 2)
    assert segment is not None
    parts = (5, 6, 7)
    operator = replace(
        segment.operators[0],
        weight_bytes=36,
        reduction=Reduction(blocks=2, parts=parts, tile_rows=1, row_tiles=3),
    )
    loaded = 0
    for _ in range(2):  # tiles
        for _ in range(2):  # words of output channels
            held = {0: 0, 1: 0}  # in the two places that parts take in turn
            order = list(enumerate(parts))
            for _ in range(4 * 2):  # rows, two sweeps each
                for n, part in order:
                    loaded += part * (held[n % 2] != part)
                    held[n % 2] = part
                order.reverse()
    stage, _ = replace(segment, operators=(operator,)).stage(1, (), "space", 1000)
    assert stage.members[0].loaded_weight_bytes == loaded
    assert stage.reread_weight_bytes == loaded - 36
