"""reports.waterline, reports.roofline, reports.bars: what the figures show, and that it is readable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from reports.bars import longest
from reports.layers import Part, Waterline, waterline
from reports.roofline import roofline
from reports.style import fixed_style, save, shortened
from reports.waterline import cycles_per_layer, utilisation, waterline_figure
from tests.planned_networks import Planned, digits_on_tiny, in_patches, spilling

ODD = "$\\frac{слой}\n🙂 and a name that is much longer than any figure has room for /conv_"


def _many(count: int) -> tuple[Waterline, Planned]:
    """Layers of the digits classifier, again and again, with long names."""
    case = digits_on_tiny()
    found = waterline(*case)
    layers = [found.layers[n % len(found.layers)] for n in range(count)]
    named = tuple(replace(x, name=f"{ODD}{n}") for n, x in enumerate(layers))
    return Waterline(named, found.end, found.end_bytes), case


def _figures(found: Waterline, case: Planned) -> list[Figure]:
    with fixed_style():
        return [
            waterline_figure(found, ODD),
            cycles_per_layer(found, ODD),
            utilisation(found, case.spec, ODD),
            roofline(found, case.spec, ODD),
        ]


def test_a_bar_per_part_each_from_the_end_of_the_one_before() -> None:
    found = waterline(*digits_on_tiny())
    (axes,) = waterline_figure(found, "digits").axes
    end = 0
    *bars, total = axes.containers
    for (bar,), count in zip(bars, found.parts.values(), strict=True):
        assert (bar.get_x(), bar.get_width()) == (end, count)
        end += count
    assert end == found.cycles == next(iter(total)).get_width()
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == [*(part.value for part in Part), "all cycles"]


def test_a_bar_per_layer_as_long_as_its_cycles() -> None:
    found = waterline(*in_patches(1))
    (axes,) = cycles_per_layer(found, "patches").axes
    ends: dict[float, float] = {}
    for collection in axes.collections:
        assert isinstance(collection, PolyCollection)
        for path in collection.get_paths():
            box = path.get_extents()
            row = round((box.y0 + box.y1) / 2)
            ends[row] = max(ends.get(row, 0), box.x1)
    assert [ends[n] for n in range(len(found.layers))] == [x.cycles for x in found.layers]


def test_depthwise_layers_have_a_panel_of_their_own() -> None:
    case = digits_on_tiny()
    array, depthwise, vector = utilisation(waterline(*case), case.spec, "digits").axes
    assert array.get_title().startswith("Array: ")
    assert [t.get_text().split()[0] for t in depthwise.get_yticklabels()] == [
        "inverted/conv_2", "separable/conv_1",
    ]  # fmt: skip
    assert "4 taps per cycle" in depthwise.get_title()
    assert "of the 16 MACs that the array could do" in depthwise.get_title()
    assert len(vector.get_yticklabels()) == 11


@pytest.mark.parametrize("count", [1, 130])
def test_names_do_not_overlap_and_nothing_leaves_the_figure(count: int) -> None:
    found, case = _many(count)
    for figure in _figures(found, case):
        with fixed_style():
            figure.draw_without_rendering()
        width, height = figure.bbox.width, figure.bbox.height
        for axes in figure.axes:
            low, high = sorted(axes.get_ylim())
            ticks = zip(axes.get_yticks(), axes.get_yticklabels(), strict=True)
            labels = [t.get_window_extent() for y, t in ticks if low <= y <= high]
            # Without the lines that lead to the marks.
            texts = [t for t in axes.texts if not t.get_rotation()]
            notes = [Text.get_window_extent(t) for t in texts]
            for boxes in (labels, notes):
                for n, box in enumerate(boxes):
                    assert box.x0 >= -1 and box.x1 <= width + 1
                    assert box.y0 >= -1 and box.y1 <= height + 1
                    assert not any(box.overlaps(other) for other in boxes[:n])


def test_only_the_longest_layers_are_drawn_and_the_title_says_so() -> None:
    found, _ = _many(130)
    (axes,) = cycles_per_layer(found, "many").axes
    assert len(axes.get_yticklabels()) == 100
    titles = axes.get_title(loc="left") + axes.get_title()
    assert titles.endswith("(the 100 longest of 130)")
    assert longest([3, 9, 9, 1, 5], 3) == [1, 2, 4]


def test_files_are_the_same_each_time(tmp_path: Path) -> None:
    case = spilling(0)
    contents = []
    for run in range(2):
        for n, figure in enumerate(_figures(waterline(*case), case)[2:]):
            save(figure, tmp_path, str(n))
        contents.append({p.name: p.read_bytes() for p in tmp_path.iterdir()})
        assert len(contents[run]) == 4
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [("conv", 9, "conv"), ("/a/b/c/conv_1", 10, "/a/...nv_1"), ("é" * 12, 9, "??...????")],
)
def test_shortened(text: str, limit: int, shown: str) -> None:
    assert shortened(text, limit) == shown
    assert len(shown) <= limit
