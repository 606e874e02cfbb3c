"""mapper.check_stage: what each stage must hold, by breaking sound plans in one place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw.spec import load_spec
from mapper.budget import Budget
from mapper.check import RULES, check_plan
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Source
from sim.random_networks import deep_network

Plan = dict[str, Any]

SPEC = load_spec("tiny")


def _plan(seed: int) -> Plan | None:
    graph = network_graph(deep_network(seed), SPEC)
    need = max(graph.operand_bytes(o) for o in graph.operators)
    source = Source("x", "0" * 64, 8, 8, SPEC.word_bytes, "bytes")
    # Weights that are not kept between patches, so that both counts occur.
    plan = map_graph(graph, Budget("bytes", need * 3 // 8 // 4 * 4), source, weight_memory=400).plan
    return None if plan is None else json.loads(plan.text())


PLANS = [
    plan
    for plan in map(_plan, range(24))
    if plan is not None
    and any(p["loads"] for o in plan["operators"] if o["stage"] for p in o["stage"]["patches"])
    and any(
        sum(map(bool, (p["stores"] for p in o["stage"]["patches"]))) > 1
        for o in plan["operators"]
        if o["stage"]
    )
    and any(len(o["stage"]["members"]) > 1 for o in plan["operators"] if o["stage"])
][:5]


def _stages(plan: Plan) -> list[Plan]:
    return [o["stage"] for o in plan["operators"] if o["stage"]]


def _patches(plan: Plan, field: str) -> list[Plan]:
    return [p for s in _stages(plan) for p in s["patches"] if p[field]]


def _forget_a_load(plan: Plan, random: Random) -> None:
    random.choice(_patches(plan, "loads"))["loads"].pop()


def _forget_a_part(plan: Plan, random: Random) -> None:
    parts = random.choice(_patches(plan, "parts"))["parts"]
    parts.pop(random.randrange(len(parts)))


def _forget_a_store(plan: Plan, random: Random) -> None:
    stages = [s for s in _stages(plan) if sum(bool(p["stores"]) for p in s["patches"]) > 1]
    random.choice([p for p in random.choice(stages)["patches"] if p["stores"]])["stores"].pop()


def _store_twice(plan: Plan, random: Random) -> None:
    stores = random.choice(_patches(plan, "stores"))["stores"]
    stores.append(dict(random.choice(stores)))


def _forget_a_patch(plan: Plan, random: Random) -> None:
    stage = random.choice([s for s in _stages(plan) if len(s["patches"]) > 1])
    stage["patches"].pop(random.randrange(len(stage["patches"])))


def _smaller_halo(plan: Plan, random: Random) -> None:
    """A load without its last row."""
    patch = random.choice([p for p in _patches(plan, "loads") if _height(p["loads"][0]) > 1])
    load = patch["loads"][0]
    buffer = next(b for b in patch["buffers"] if b["tensor"] == load["tensor"])
    load["last"] -= 1
    buffer["last"] -= 1


def _height(x: Plan) -> int:
    return int(x["last"] - x["first"])


def _wider_window(plan: Plan, random: Random) -> None:
    """A member that needs more rows than its patches have."""
    stages = [s for s in _stages(plan) if len(s["patches"]) > 1]
    windows = [
        w
        for s in stages
        for m in s["members"]
        for t, w in zip(m["inputs"], m["windows"], strict=True)
        if any(b["tensor"] == t for p in s["patches"] for b in p["buffers"])
    ]
    random.choice(windows)["kernel"] += 99


def _beyond_the_workspace(plan: Plan, random: Random) -> None:
    stage = random.choice([s for s in _stages(plan) if s["workspace"]])
    patch = random.choice([p for p in stage["patches"] if p["buffers"]])
    size = next(t["bytes"] for t in plan["tensors"] if t["name"] == stage["workspace"])
    random.choice(patch["buffers"])["offset"] = size


def _swap_parts(plan: Plan, random: Random) -> None:
    """The last member first: it reads what is not there yet."""
    patches = [
        p
        for p in _patches(plan, "parts")
        if len(p["parts"]) > 1 and any(b["tensor"] not in _loaded(p) for b in p["buffers"])
    ]
    random.choice(patches)["parts"].reverse()


def _loaded(patch: Plan) -> set[str]:
    return {x["tensor"] for x in patch["loads"]}


def _overlap(plan: Plan, random: Random) -> None:
    """Operands of one part at one place."""
    choices = []
    for stage in _stages(plan):
        members = {m["name"]: m for m in stage["members"]}
        for patch in stage["patches"]:
            buffers = {b["tensor"]: b for b in patch["buffers"]}
            for part in patch["parts"]:
                m = members[part["operator"]]
                touched = [buffers[t] for t in (*m["inputs"], *m["outputs"]) if t in buffers]
                if len(touched) > 1:
                    choices.append(touched)
    one, other, *_ = random.choice(choices)
    # The upper one down: it stays within the workspace.
    low, high = sorted((one, other), key=lambda b: int(b["offset"]))
    high["offset"] = low["offset"]


def _macs(plan: Plan, random: Random) -> None:
    random.choice(_stages(plan))["recomputed_macs"] += 1


def _weights(plan: Plan, random: Random) -> None:
    random.choice(_stages(plan))["reread_weight_bytes"] += 1


def _unknown_member(plan: Plan, random: Random) -> None:
    random.choice(_patches(plan, "parts"))["parts"][0]["operator"] = "nobody"


def _no_members(plan: Plan, random: Random) -> None:
    stage = random.choice(_stages(plan))
    stage["members"].append(dict(stage["members"][0]))


MUTATIONS: list[Callable[[Plan, Random], None]] = [
    _forget_a_load,
    _forget_a_part,
    _forget_a_store,
    _store_twice,
    _forget_a_patch,
    _smaller_halo,
    _wider_window,
    _beyond_the_workspace,
    _swap_parts,
    _overlap,
    _macs,
    _weights,
    _unknown_member,
    _no_members,
]


def test_the_plans_are_valid_and_there_are_enough() -> None:
    assert len(PLANS) >= 3
    for plan in PLANS:
        assert check_plan(plan) is None


@pytest.mark.parametrize("mutate", MUTATIONS, ids=lambda m: m.__name__)
@settings(max_examples=20, deadline=None)
@given(plan=st.sampled_from(PLANS), random=st.randoms(use_true_random=False))
def test_a_broken_stage_is_named(
    mutate: Callable[[Plan, Random], None], plan: Plan, random: Random
) -> None:
    broken = copy.deepcopy(plan)
    mutate(broken, random)
    verdict = check_plan(broken)
    assert verdict is not None
    assert verdict.rule == "stages"
    assert verdict.detail.startswith("stage '")


@settings(max_examples=200, deadline=None)
@given(
    plan=st.sampled_from(PLANS),
    value=st.none() | st.integers(0, 99) | st.text(max_size=3) | st.lists(st.integers()),
    random=st.randoms(use_true_random=False),
)
def test_any_value_anywhere_is_judged_without_an_error(
    plan: Plan, value: Any, random: Random
) -> None:
    broken: Any = copy.deepcopy(plan)
    node: Any = random.choice(_stages(broken))
    while True:
        key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        below = node[key]
        if not isinstance(below, dict | list) or not below or random.random() < 0.1:
            break
        node = below
    node[key] = value
    verdict = check_plan(broken)
    assert verdict is None or verdict.rule in RULES
