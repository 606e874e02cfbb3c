from __future__ import annotations

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapper.budget import largest_operator
from mapper.check import RULES, check_plan
from mapper.schedule.solver import Limits
from tests.mapper_graphs import graph_from, mapped, random_graph

Plan = dict[str, Any]


def _plan(seed: int) -> Plan:
    """A valid plan that spills, fetches a network input and has a multi-output operator."""
    graph = random_graph(seed, 9, largest=9)
    plan = mapped(graph, largest_operator(graph)[1], Limits(effort=2)).plan
    assert plan is not None
    content: Plan = json.loads(plan.text())
    return content


def _spilling_plans() -> list[Plan]:
    plans = [_plan(seed) for seed in range(60)]
    return [p for p in plans if {"spill", "fetch"} <= {t["kind"] for t in p["transfers"]}][:8]


PLANS = _spilling_plans()


def _tensor(plan: Plan, name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(t for t in plan["tensors"] if t["name"] == name)
    return found


def _some_transfer(plan: Plan, random: Random, *kinds: str) -> dict[str, Any]:
    chosen: dict[str, Any] = random.choice([t for t in plan["transfers"] if t["kind"] in kinds])
    return chosen


def _produced(plan: Plan) -> list[dict[str, Any]]:
    return [t for t in plan["tensors"] if not t["network_input"]]


def _drop_field(plan: Plan, random: Random) -> None:
    del plan[random.choice(sorted(plan))]


def _add_field(plan: Plan, random: Random) -> None:
    random.choice([plan, plan["model"], *plan["operators"], *plan["tensors"]])["surprise"] = 1


def _wrong_type(plan: Plan, random: Random) -> None:
    plan[random.choice(sorted(plan))] = random.choice([None, 1.5, "many", [[]], True])
    if check_plan(plan) is None:  # "many" is a fine value nowhere
        plan["version"] = True


def _huge_number(plan: Plan, random: Random) -> None:
    random.choice(plan["tensors"])["bytes"] = 10 ** random.choice([19, 400])


def _negative_address(plan: Plan, random: Random) -> None:
    random.choice([i for t in plan["tensors"] for i in t["intervals"]])["address"] = -1


def _twin_tensor(plan: Plan, random: Random) -> None:
    plan["tensors"].append(copy.deepcopy(random.choice(plan["tensors"])))


def _unknown_operand(plan: Plan, random: Random) -> None:
    random.choice(plan["operators"])["inputs"].append("nobody")


def _unknown_transfer(plan: Plan, random: Random) -> None:
    random.choice(plan["transfers"])["tensor"] = "nobody"


def _orphan(plan: Plan, random: Random) -> None:
    maker = random.choice(plan["operators"])
    maker["outputs"].pop()


def _produced_input(plan: Plan, random: Random) -> None:
    random.choice(_produced(plan))["network_input"] = True


def _run_twice(plan: Plan, random: Random) -> None:
    plan["order"].append(random.choice(plan["order"]))


def _forget_operator(plan: Plan, random: Random) -> None:
    plan["order"].remove(random.choice(plan["order"]))


def _reverse(plan: Plan, random: Random) -> None:
    plan["order"].reverse()


def _empty_interval(plan: Plan, random: Random) -> None:
    interval = random.choice([i for t in plan["tensors"] for i in t["intervals"]])
    interval["last_step"] = interval["first_step"]


def _beyond_the_end(plan: Plan, random: Random) -> None:
    random.choice(plan["tensors"])["intervals"][-1]["last_step"] = len(plan["order"]) + 1


def _out_of_order(plan: Plan, random: Random) -> None:
    fetched = _tensor(plan, _some_transfer(plan, random, "fetch")["tensor"])
    fetched["intervals"].reverse()


def _forget_interval(plan: Plan, random: Random) -> None:
    random.choice(plan["tensors"])["intervals"].pop()


def _resident_too_soon(plan: Plan, random: Random) -> None:
    late = [t for t in _produced(plan) if t["intervals"][0]["first_step"] > 0]
    random.choice(late)["intervals"][0]["first_step"] -= 1


def _above_the_top(plan: Plan, random: Random) -> None:
    tensor = random.choice(plan["tensors"])
    interval = random.choice(tensor["intervals"])
    interval["address"] = plan["scratchpad_bytes"] - tensor["bytes"] + 1


def _shrink_scratchpad(plan: Plan, random: Random) -> None:
    top = max(i["address"] + t["bytes"] for t in plan["tensors"] for i in t["intervals"])
    plan["scratchpad_bytes"] = top - 1


def _collide(plan: Plan, random: Random) -> None:
    """Moves one operand of an operator onto another."""
    step = random.randrange(len(plan["order"]))
    operator = next(o for o in plan["operators"] if o["name"] == plan["order"][step])
    one, other = random.sample([*operator["inputs"], *operator["outputs"]], 2)
    place = {}
    for name in (one, other):
        for interval in _tensor(plan, name)["intervals"]:
            if interval["first_step"] <= step < interval["last_step"]:
                place[name] = interval
    small, large = sorted((one, other), key=lambda n: int(_tensor(plan, n)["bytes"]))
    # The smaller one onto the larger: it stays within the scratchpad.
    place[small]["address"] = place[large]["address"]


def _forget_spill(plan: Plan, random: Random) -> None:
    plan["transfers"].remove(_some_transfer(plan, random, "spill"))


def _spill_too_late(plan: Plan, random: Random) -> None:
    spill = _some_transfer(plan, random, "spill")
    fetch = next(
        t for t in plan["transfers"] if t["kind"] == "fetch" and t["tensor"] == spill["tensor"]
    )
    spill["step"] = fetch["step"]


def _forget_transfer(plan: Plan, random: Random) -> None:
    plan["transfers"].remove(_some_transfer(plan, random, "load", "fetch"))


def _extra_transfer(plan: Plan, random: Random) -> None:
    plan["transfers"].append(dict(_some_transfer(plan, random, "load", "store", "spill")))


def _wrong_bytes(plan: Plan, random: Random) -> None:
    random.choice(plan["transfers"])["bytes"] += 1


def _wrong_weights(plan: Plan, random: Random) -> None:
    random.choice(plan["operators"])["weight_bytes"] += 1


def _wrong_total(plan: Plan, random: Random) -> None:
    plan["compulsory_bytes"][random.choice(sorted(plan["compulsory_bytes"]))] += 1


def _wrong_objective(plan: Plan, random: Random) -> None:
    plan["objective_bytes"] += random.choice([-1, 1])


def _boastful_bound(plan: Plan, random: Random) -> None:
    plan["bound_bytes"] = plan["objective_bytes"] + 1


def _baseline_below_the_bound(plan: Plan, random: Random) -> None:
    plan["bound_bytes"] = max(plan["bound_bytes"], 1)
    plan["baselines"]["miracle"] = 0


def test_a_baseline_without_addresses_may_cost_less_than_the_bound() -> None:
    plan = json.loads(json.dumps(next(p for p in PLANS if p["bound_bytes"])))
    for name in [n for n in plan["baselines"] if not n.startswith("tflite_")]:
        plan["baselines"][name] = 0
    assert check_plan(plan) is None
    plan["baselines"]["tflite_belady_file_order"] = plan["bound_bytes"] - 1
    broken = check_plan(plan)
    assert broken is not None
    assert broken.rule == "bound"


def _wrong_gap(plan: Plan, random: Random) -> None:
    plan["gap"] = 0.5 if plan["gap"] < 0.4 else 0.0


def _modest_bound(plan: Plan, random: Random) -> None:
    """Consistent but for the status."""
    plan["bound_bytes"] = 0
    plan["gap"] = 1.0
    plan["status"] = "optimal"


MUTATIONS: list[tuple[str, Callable[[Plan, Random], None]]] = [
    ("schema", _drop_field),
    ("schema", _add_field),
    ("schema", _wrong_type),
    ("schema", _huge_number),
    ("schema", _negative_address),
    ("names", _twin_tensor),
    ("names", _unknown_operand),
    ("names", _unknown_transfer),
    ("producers", _orphan),
    ("producers", _produced_input),
    ("operators", _run_twice),
    ("operators", _forget_operator),
    ("intervals", _empty_interval),
    ("intervals", _beyond_the_end),
    ("intervals", _out_of_order),
    ("precedence", _reverse),
    ("residency", _forget_interval),
    ("begins", _resident_too_soon),
    ("addresses", _above_the_top),
    ("addresses", _shrink_scratchpad),
    ("overlap", _collide),
    ("copies", _forget_spill),
    ("copies", _spill_too_late),
    ("transfers", _forget_transfer),
    ("transfers", _extra_transfer),
    ("transfers", _wrong_bytes),
    ("compulsory", _wrong_weights),
    ("compulsory", _wrong_total),
    ("objective", _wrong_objective),
    ("bound", _boastful_bound),
    ("bound", _baseline_below_the_bound),
    ("gap", _wrong_gap),
    ("status", _modest_bound),
]


def test_the_plans_are_valid_and_there_are_enough() -> None:
    assert len(PLANS) == 8
    for plan in PLANS:
        assert check_plan(plan) is None


def test_every_rule_has_a_mutation() -> None:
    # The rules about stages and shared weights are broken in modules of their own.
    assert {rule for rule, _ in MUTATIONS} == set(RULES) - {"stages", "weights"}


@pytest.mark.parametrize(("rule", "mutate"), MUTATIONS, ids=lambda x: getattr(x, "__name__", x))
@settings(max_examples=25, deadline=None)
@given(plan=st.sampled_from(PLANS), random=st.randoms(use_true_random=False))
def test_a_broken_plan_names_its_rule(
    rule: str, mutate: Callable[[Plan, Random], None], plan: Plan, random: Random
) -> None:
    broken = copy.deepcopy(plan)
    mutate(broken, random)
    verdict = check_plan(broken)
    assert verdict is not None
    assert (verdict.rule, verdict.detail != "") == (rule, True)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=10**20)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(value=JSON)
def test_any_json_is_judged_without_an_error(value: Any) -> None:
    verdict = check_plan(value)
    assert verdict is not None
    assert verdict.rule == "schema"


@settings(max_examples=300, deadline=None)
@given(plan=st.sampled_from(PLANS), value=JSON, random=st.randoms(use_true_random=False))
def test_any_value_anywhere_is_judged_without_an_error(
    plan: Plan, value: Any, random: Random
) -> None:
    broken: Any = copy.deepcopy(plan)
    node = broken
    while True:
        key = random.choice(list(node) if isinstance(node, dict) else range(len(node)))
        below = node[key]
        if not isinstance(below, dict | list) or not below or random.random() < 0.2:
            break
        node = below
    node[key] = value
    verdict = check_plan(broken)
    assert verdict is None or verdict.rule in RULES


class TestDetails:
    """The sentence says where and what."""

    @staticmethod
    def _small() -> Plan:
        graph = graph_from(
            [("a", ["in"], ["x"]), ("b", ["x"], ["out"])], {"in": 2, "x": 3, "out": 1}, ["out"]
        )
        plan = mapped(graph, 5).plan
        assert plan is not None
        content: Plan = json.loads(plan.text())
        return content

    def test_overlap(self) -> None:
        plan = self._small()
        for tensor in plan["tensors"]:
            tensor["intervals"][0]["address"] = 0
        verdict = check_plan(plan)
        assert verdict is not None
        assert verdict.detail == "in step 0 tensor 'in' at 0 to 2 must end before 'x' at 0"

    def test_residency(self) -> None:
        plan = self._small()
        plan["tensors"][1]["intervals"][0]["last_step"] = 1
        verdict = check_plan(plan)
        assert verdict is not None
        assert verdict == (
            "residency",
            "tensor 'x' must be resident in step 1, in which operator 'b' uses it",
        )

    def test_schema(self) -> None:
        plan = self._small()
        plan["tensors"][1]["bytes"] = "3"
        verdict = check_plan(plan)
        assert verdict == ("schema", "plan.tensors[1].bytes must be an integer, not '3'")

    def test_two_fetches_touching_at_a_step_are_legal(self) -> None:
        # x is dropped after b and fetched for c at once, to another address.
        graph = graph_from(
            [("a", ["in"], ["x"]), ("b", ["x"], ["y"]), ("c", ["x", "y"], ["out"])],
            {"in": 1, "x": 2, "y": 1, "out": 1},
            ["out"],
        )
        result = mapped(graph, 8).plan
        assert result is not None
        plan = json.loads(result.text())
        x = _tensor(plan, "x")
        x["intervals"] = [
            {"first_step": 0, "last_step": 2, "address": x["intervals"][0]["address"]},
            {"first_step": 2, "last_step": 3, "address": 6},
        ]
        plan["transfers"] += [
            {"step": step, "kind": kind, "tensor": "x", "bytes": 2, "first": 0, "last": 1}
            for step, kind in ((1, "spill"), (2, "fetch"))
        ]
        plan["baselines"] = {}
        plan["traffic_bytes"]["activations"]["non_compulsory"] = 4
        plan |= {"objective_bytes": 4, "bound_bytes": 0, "gap": 1.0, "status": "feasible"}
        assert check_plan(plan) is None
