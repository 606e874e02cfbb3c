"""Every field of a plan is edited by hand: the checker refuses, or the plan still holds."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from mapper.budget import Budget
from mapper.check import RULES, check_plan
from mapper.graph import Graph, Operator, Tensor
from mapper.mapping import map_graph
from mapper.stage import Window
from tests.mapper_graphs import SOURCE

Path = tuple[str | int, ...]

# What a plan says about its origin, and of what it knows nothing else: any value is as good.
# Figures of the model are compared with it by `bitweft check --model`.
FREE = {
    "model.file",
    "model.sha256",
    "activation_bits",
    "weight_bits",
    "channel_multiple",
    "seed",
    "method",
    "budget",
    "baselines.*",
    "operators.kind",
    "operators.nodes",
    "operators.macs",
    "operators.stage.members.kind",
    "tensors.shape",
}

# Some edits leave a plan that holds: a set in another order, more room, another free address, other
# figures of the model, fewer rows that a patch needs.
SOMETIMES = {
    "baselines",
    "gap",
    "operators",
    "operators.after",
    "operators.inputs",
    "operators.outputs",
    "operators.stage.members",
    "operators.stage.members.windows",
    "operators.stage.members.windows.dilation",
    "operators.stage.members.windows.kernel",
    "operators.stage.members.windows.padding",
    "operators.stage.members.windows.stride",
    "operators.stage.patches.buffers",
    "operators.stage.patches.buffers.offset",
    "scratchpad_bytes",
    "tensors",
    "tensors.bytes",
    "tensors.channels",
    "tensors.intervals.address",
    "tensors.rows",
    "transfers",
}


def _plan() -> dict[str, Any]:
    """Two convolutions in a stage of patches, and a tensor that leaves and returns."""

    def image(name: str, rows: int, size: int, **flags: bool) -> Tensor:
        return Tensor(name=name, shape=(1, 1, rows, 8), bytes=rows * size, rows=rows, **flags)

    window = (Window(3, 1, 1, 1),)
    chain = [("a", "in", "x"), ("b", "x", "y"), ("c", "y", "z"), ("d", "z", "out")]
    operators = tuple(
        Operator(
            name=n, kind="Conv", inputs=(r,), outputs=(w,), nodes=(n,), weight_bytes=7, macs=160,
            windows=window,
        )
        for n, r, w in chain
    )  # fmt: skip
    last = Operator(
        name="e", kind="Add", inputs=("out", "in"), outputs=("end",), nodes=("e",),
        windows=(Window(), Window()),
    )  # fmt: skip
    tensors = (
        image("in", 16, 2, network_input=True),
        image("x", 16, 4),
        image("y", 16, 4),
        image("z", 16, 1),
        image("out", 16, 1),
        image("end", 16, 1, network_output=True),
    )
    graph = Graph(name="g", operators=(*operators, last), tensors=tensors)
    plan = map_graph(graph, Budget("bytes", 88), SOURCE, weight_memory=8).plan
    assert plan is not None
    content: dict[str, Any] = json.loads(plan.text())
    return content


PLAN = _plan()


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every part of a plan: scalars, lists and objects."""
    if path:
        yield path, value
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _leaves(below, (*path, name))
    elif isinstance(value, list):
        for n, below in enumerate(value):
            yield from _leaves(below, (*path, n))


def _kind(path: Path) -> str:
    """The field that a path leads to, whichever element of a list it is in."""
    names = [p for p in path if isinstance(p, str)]
    return "baselines.*" if len(names) > 1 and names[0] == "baselines" else ".".join(names)


def _edits(value: Any) -> Iterator[Any]:
    """Other values of the same type, and of others."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int | float):
        yield from (value + 1, value - 1, value * 2 + 3, 0, -1, 10**30, 1.5)
    elif isinstance(value, str):
        yield from (value + "'", "")
    elif isinstance(value, list):
        yield from (value[1:], value[::-1], [*value, *value[:1]], [])
    yield from (None, "x", [0], {}, float("nan"), float("inf"))


CLASSES = sorted({_kind(path) for path, _ in _leaves(PLAN)})


def test_the_plan_has_every_field() -> None:
    assert check_plan(PLAN) is None
    assert PLAN["reread_weight_bytes"] > 0
    assert {t["kind"] for t in PLAN["transfers"]} == {"load", "store", "fetch", "spill"}
    assert any(o["stage"] for o in PLAN["operators"])
    assert set(CLASSES) >= FREE


@pytest.mark.parametrize("kind", CLASSES)
def test_an_edited_field_is_refused_or_free(kind: str) -> None:
    refused = 0
    for path, value in _leaves(PLAN):
        if _kind(path) != kind:
            continue
        for edit in _edits(value):
            if type(edit) is type(value) and edit == value:
                continue
            edited: Any = copy.deepcopy(PLAN)
            node = edited
            for step in path[:-1]:
                node = node[step]
            node[path[-1]] = edit
            verdict = check_plan(edited)
            assert verdict is None or (verdict.rule in RULES and verdict.detail)
            refused += verdict is not None
            if verdict is None and kind not in FREE | SOMETIMES:
                pytest.fail(f"{path} may not be {edit!r} instead of {value!r}")
    assert refused > 0


@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_member_lists_an_operand_once(side: str) -> None:
    edited = copy.deepcopy(PLAN)
    stage = next(o["stage"] for o in edited["operators"] if o["stage"])
    stage["members"][0][side] *= 2
    stage["members"][0]["windows"] *= 1 + (side == "inputs")
    verdict = check_plan(edited)
    assert verdict is not None
    assert (verdict.rule, f"{side} of 'a' must be listed once" in verdict.detail) == (
        "stages",
        True,
    )
