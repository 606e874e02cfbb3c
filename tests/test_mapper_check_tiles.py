"""mapper.check_tiles: a stage in tiles that is broken on purpose is refused, with what is wrong."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw.spec import load_spec
from mapper.budget import Budget
from mapper.check import check_plan
from mapper.check_tiles import _Box, _covered
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Source
from mapper.smallest import least_scratchpad
from sim.random_networks import wide_network
from tests.reductions import conv, single

SPEC = load_spec("tiny")
Content = dict[str, Any]


def _plan(network: Any, capacity: int) -> Content:
    graph = network_graph(network, SPEC)
    source = Source("x", "0" * 64, 8, 8, 4, "bytes")
    plan = map_graph(graph, Budget("bytes", capacity), source, weight_memory=4096).plan
    assert plan is not None
    content: Content = json.loads(plan.text())
    return content


def _least(network: Any) -> int:
    return least_scratchpad(network_graph(network, SPEC))[1]


SEVERAL = _plan(wide_network(2), 2 * _least(wide_network(2)))
PARTS = _plan(
    single(conv((4, 10, 128), 6, 3, padding=(1, 1, 1, 1), stride=(2, 1)), (4, 10, 128)), 3000
)


def _stage(plan: Content) -> Content:
    """A stage in tiles, of several members if there is one."""
    stages = [o["stage"] for o in plan["operators"] if o["stage"]]
    found: Content = max(
        (s for s in stages if s["axis"] == "tiles"), key=lambda s: len(s["members"])
    )
    return found


def _moved(stage: Content, kind: str) -> list[Content]:
    return [x for p in stage["patches"] for x in p[kind]]


def _smaller(side: str) -> Callable[[Content], None]:
    """A load, and its buffer, without pixels that a part reads."""

    def edit(stage: Content) -> None:
        for patch in stage["patches"]:
            for load in patch["loads"]:
                (buffer,) = [b for b in patch["buffers"] if b["tensor"] == load["tensor"]]
                low, high = ("first", "last") if side in ("first", "last") else ("left", "right")
                if load[high] - load[low] > 1:
                    change = 1 if side in ("first", "left") else -1
                    load[side] += change
                    buffer[side] += change
                    return
        raise AssertionError("no load is large enough")

    return edit


def _lift_a_buffer(stage: Content) -> None:
    stage["patches"][0]["buffers"][0]["offset"] += 1 << 20


def _overlap(stage: Content) -> None:
    """What a part reads and what it writes at one place, the lower one."""
    for patch in stage["patches"]:
        read, written = patch["loads"][0]["tensor"], patch["parts"][0]
        member = next(m for m in stage["members"] if m["name"] == written["operator"])
        both = [b for b in patch["buffers"] if b["tensor"] in (read, *member["outputs"])]
        if read in member["inputs"] and len(both) == 2:
            both[0]["offset"] = both[1]["offset"] = min(b["offset"] for b in both)
            return
    raise AssertionError("no part has a buffer on both sides")


EDITS: dict[str, tuple[Callable[[Content], None], str]] = {
    "no row above": (_smaller("first"), "must be there"),
    "no row below": (_smaller("last"), "must be there"),
    "no column to the left": (_smaller("left"), "must be there"),
    "no column to the right": (_smaller("right"), "must be there"),
    "a load is missing": (lambda s: s["patches"][0]["loads"].pop(), "must be there"),
    "a load is not its buffer": (
        lambda s: _moved(s, "loads")[0].update(right=_moved(s, "loads")[0]["right"] - 1),
        "must fill its buffer",
    ),
    "a patch is missing": (lambda s: s["patches"].pop(), "once each"),
    "a patch runs twice": (
        lambda s: s["patches"].append(copy.deepcopy(s["patches"][0])), "once each",
    ),
    "parts in another order": (lambda s: s["patches"][0]["parts"].reverse(), "must be there"),
    "beyond the workspace": (_lift_a_buffer, "must end within"),
    "buffers overlap": (_overlap, "must not overlap"),
    "a wider window": (
        lambda s: s["members"][-1]["column_windows"][0].update(kernel=9), "must be there",
    ),
    "a higher window": (lambda s: s["members"][-1]["windows"][0].update(kernel=9), "must be there"),
    "no windows": (lambda s: s["members"][0].update(windows=[]), "one of windows per input"),
    "macs": (lambda s: s.update(recomputed_macs=s["recomputed_macs"] + 1), "recomputed_macs must"),
    "weights": (lambda s: s.update(reread_weight_bytes=s["reread_weight_bytes"] + 1), "reread_wei"),
    "weights of a member": (
        lambda s: s["members"][0].update(loaded_weight_bytes=1), "loaded_weight_bytes of",
    ),
    "nobody": (lambda s: _moved(s, "parts")[0].update(operator="nobody"), "must name a member"),
    "beyond the image": (
        lambda s: _moved(s, "parts")[-1].update(right=_moved(s, "parts")[-1]["right"] + 99),
        "must be some of its",
    ),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_a_broken_stage_is_named(edit: str) -> None:
    assert check_plan(SEVERAL) is None
    assert len(_stage(SEVERAL)["members"]) > 1
    broken = copy.deepcopy(SEVERAL)
    change, detail = EDITS[edit]
    change(_stage(broken))
    verdict = check_plan(broken)
    assert verdict is not None
    assert verdict.rule == "stages"
    assert detail in verdict.detail


def test_a_store_that_is_missing_or_twice_is_named() -> None:
    changes: list[Callable[[list[Content]], object]] = [
        lambda stores: stores.pop(),
        lambda stores: stores.append(dict(stores[0])),
    ]
    for change in changes:
        broken = copy.deepcopy(SEVERAL)
        stages = [o["stage"] for o in broken["operators"] if o["stage"]]
        patches = [p for s in stages if s["axis"] == "tiles" for p in s["patches"]]
        change(next(p["stores"] for p in patches if p["stores"]))
        verdict = check_plan(broken)
        assert verdict is not None
        assert (verdict.rule, "stored, once each" in verdict.detail) == ("stages", True)


def test_only_tiles_have_columns() -> None:
    broken = copy.deepcopy(SEVERAL)
    other = next(
        o["stage"] for o in broken["operators"] if o["stage"] and o["stage"]["axis"] != "tiles"
    )
    _moved(other, "parts")[0]["right"] = 3
    verdict = check_plan(broken)
    assert verdict is not None
    assert "only tiles have columns" in verdict.detail


@pytest.mark.parametrize("field", ["blocks", "shared"])
def test_figures_of_a_reduction_in_parts_are_counted_again(field: str) -> None:
    assert check_plan(PARTS) is None
    broken = copy.deepcopy(PARTS)
    (member,) = _stage(broken)["members"]
    member["reduction"][field] += 1
    verdict = check_plan(broken)
    assert verdict is not None
    assert verdict.rule == "stages"


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.integers(0, 5), st.integers(0, 8), st.integers(0, 5)),
        max_size=8,
    )
)
def test_pixels_in_overlapping_boxes_are_counted_once(sizes: list[tuple[int, ...]]) -> None:
    boxes = [_Box(y, y + h, x, x + w) for y, h, x, w in sizes]
    image = np.zeros((13, 13), bool)
    for box in boxes:
        image[box.top : box.bottom, box.left : box.right] = True
    assert _covered(boxes) == image.sum()
