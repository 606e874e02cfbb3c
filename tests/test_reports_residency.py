from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure

from mapper.budget import largest_operator
from mapper.mapping import map_model
from mapper.plan import Plan
from reports.residency import residency_map, traffic_per_step, write_plots
from reports.style import label, rounded_bytes
from tests.mapper_graphs import graph_from, light_model, mapped, random_graph

PNG = b"\x89PNG\r\n\x1a\n"


def _plan(seed: int = 0) -> Plan:
    graph = random_graph(seed, 10, largest=9)
    plan = mapped(graph, largest_operator(graph)[1]).plan
    assert plan is not None
    return plan


def _boxes(figure: Figure) -> int:
    """Rectangles drawn in the first axes."""
    return sum(
        len(c.get_paths()) for c in figure.axes[0].collections if isinstance(c, PolyCollection)
    )


def _texts(figure: Figure) -> str:
    return " ".join(t.get_text() for t in figure.findobj(matplotlib.text.Text))


def test_one_rectangle_per_interval() -> None:
    for seed in range(5):
        plan = _plan(seed)
        assert _boxes(residency_map(plan)) == sum(len(t.intervals) for t in plan.tensors)


def test_axes_name_their_units_and_the_limit() -> None:
    plan = map_model(light_model("shufflenet")).plan
    assert plan is not None
    figure = residency_map(plan)
    (axes,) = figure.axes
    assert axes.get_xlabel() == "step (one operator or stage each)"
    assert axes.get_ylabel() == "scratchpad address (KiB)"
    assert "37632 B of non-compulsory traffic (optimal), scratchpad 686 KiB (MR)" in _texts(figure)
    assert axes.get_xlim() == (0, 87)
    (limit,) = (line for line in axes.lines if line.get_linestyle() == "--")
    assert set(np.asarray(limit.get_ydata())) == {702464}


def test_spills_and_fetches_are_marked_where_they_happen() -> None:
    plan = map_model(light_model("densenet121")).plan
    assert plan is not None
    moves = {t.kind: t.step for t in plan.transfers}
    (axes,) = residency_map(plan).axes
    marks = sorted(
        float(x)
        for line in axes.lines
        if line.get_marker() == ">"
        for x in np.asarray(line.get_xdata())
    )
    # A fetch comes just before its step, a spill just after.
    assert marks == sorted([moves["fetch"], moves["spill"] + 1])


def test_traffic_stacks_every_transfer() -> None:
    plan = map_model(light_model("densenet121")).plan
    assert plan is not None
    figure = traffic_per_step(plan)
    assert [axes.get_ylabel() for axes in figure.axes] == ["activations (KiB)", "weights (KiB)"]
    assert _boxes(figure) == len(plan.transfers)
    legend = figure.legends[0]
    words = [t.get_text() for t in legend.get_texts()]
    assert "spill, 686 KiB in all" in words
    assert "load, 147 KiB in all" in words


def test_files_are_complete_and_the_same_each_time(tmp_path: Path) -> None:
    contents: list[dict[str, bytes]] = []
    for run in ("one", "two"):
        folder = tmp_path / run
        folder.mkdir()
        # What the user has set for matplotlib must not show.
        with matplotlib.rc_context({"font.size": 10 + len(contents), "svg.hashsalt": run}):
            paths = write_plots(_plan(), folder)
        assert sorted(p.name for p in paths) == [
            "residency.png",
            "residency.svg",
            "traffic.png",
            "traffic.svg",
        ]
        contents.append({p.name: p.read_bytes() for p in paths})
    assert contents[0] == contents[1]
    for name, content in contents[0].items():
        if name.endswith(".png"):
            assert content.startswith(PNG)
        else:
            assert ElementTree.fromstring(content).tag.endswith("svg")
            assert b"date" not in content


def test_a_single_step_and_odd_names_are_drawn(tmp_path: Path) -> None:
    odd = "$\\frac{слой}\n🙂"
    graph = graph_from([(odd, ["$x^2"], [odd + "y"])], {"$x^2": 1, odd + "y": 3}, [odd + "y"])
    plan = mapped(graph, 4).plan
    assert plan is not None
    assert len(write_plots(plan, tmp_path)) == 4


def test_names_stay_inside_their_rectangles() -> None:
    for seed in range(4):
        figure = residency_map(_plan(seed))
        figure.canvas.draw()
        (axes,) = figure.axes
        boxes = [
            path.get_extents(collection.get_transform())
            for collection in axes.collections
            for path in collection.get_paths()
        ]
        for text in axes.texts:
            extent = text.get_window_extent()
            assert any(
                box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 <= box.y1
                for box in boxes
            ), text


@pytest.mark.parametrize(
    ("text", "shown"), [("a" * 61, "a" * 57 + "..."), ("é\n$", "??$"), ("conv1", "conv1")]
)
def test_label(text: str, shown: str) -> None:
    assert label(text) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (1000, "1000 bytes"),
        (1024, "1 KiB"),
        (1404928, "1.34 MiB"),
        (702464, "686 KiB"),
        (8146152, "7.77 MiB"),
        (1023 * 1024 + 1, "1023 KiB"),
    ],
)
def test_rounded_bytes(count: int, shown: str) -> None:
    assert rounded_bytes(count) == shown
