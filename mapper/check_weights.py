"""The rule ``weights``: what operators share is theirs, and what stays of it has its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapper.check_rule import require

__all__ = ["judge_weights"]

Content = dict[str, Any]


def judge_weights(plan: Content, step: Mapping[str, int]) -> None:
    """Judges the shared weights of a plan, given the step of each operator.

    Raises
    ------
    BrokenRule
        An operator is unknown, shares twice or has other bytes; weights that stay overlap, leave
        the weight memory, or leave no room for a stage that keeps its own from patch to patch.
    """
    operators = {o["name"]: o for o in plan["operators"]}
    memory = plan["weight_memory_bytes"]
    taken: set[str] = set()
    staying: list[tuple[int, int, int, int, str]] = []  # steps and addresses, half-open; a name
    for shared in plan["shared_weights"]:
        names, count = shared["operators"], shared["bytes"]
        _need(len(names) > 1, "shared weights must have several operators, not one or none")
        for name in names:
            _need(name in operators, f"shared weights must name operators, not {name!r}")
            _need(name not in taken, f"operator {name!r} must share its weights once, not twice")
            taken.add(name)
            own = operators[name]["weight_bytes"]
            _need(own == count, f"shared weights of {name!r} must have {own} bytes, not {count}")
        if shared["address"] is None:
            continue
        end = shared["address"] + count
        _need(memory is not None, "weight_memory_bytes must be given where weights stay, not null")
        _need(
            end <= memory,
            f"weights of {names[0]!r} must end within the {memory} bytes of the weight memory, "
            f"not at {end}",
        )
        staged = next((name for name in names if operators[name]["stage"]), None)
        _need(staged is None, f"weights of stage {staged!r} must not stay for other operators")
        when = [step[name] for name in names]
        staying.append((min(when), max(when) + 1, shared["address"], end, names[0]))
    _apart(staying)
    for name, o in operators.items():
        in_parts = o["stage"] and any(map(_parts, o["stage"]["members"]))
        if o["stage"] and (in_parts or not o["stage"]["reread_weight_bytes"]) and staying:
            t = step[name]
            top = max((end for a, b, _, end, _ in staying if a <= t < b), default=0)
            parts = [x for m in o["stage"]["members"] for x in _parts(m)]
            need = 2 * max(parts) if parts else o["weight_bytes"]
            _need(
                top + need <= memory,
                f"weights of stage {name!r} must fit behind the {top} bytes that stay, not need "
                f"{need} of {memory}",
            )


def _apart(staying: list[tuple[int, int, int, int, str]]) -> None:
    """Weights that stay at the same time share no byte."""
    active: list[tuple[int, int, int, int, str]] = []
    for one in sorted(staying):
        active = [other for other in active if other[1] > one[0]]
        for other in active:
            _need(
                one[3] <= other[2] or other[3] <= one[2],
                f"weights of {one[4]!r} at {one[2]} to {one[3]} and of {other[4]!r} at {other[2]} "
                f"to {other[3]} must not overlap: both stay in step {one[0]}",
            )
        active.append(one)


def _parts(member: Content) -> list[int]:
    """Bytes of the parts that the weights of a member of a stage come in, of which two fit."""
    return list((member.get("reduction") or {"parts": ()})["parts"])


def _need(holds: bool, detail: str) -> None:
    require(holds, "weights", detail)
