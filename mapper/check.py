"""An independent judge of plans: integers only, and no code shared with what makes them.

A plan is untrusted input: it may be edited by hand, truncated or made by another program. The
rules are judged in a fixed order and the first broken one is named.

========================  ==========================================================================
rule                      what must hold
========================  ==========================================================================
schema                    every field is there, of its type and in its range, and no other
names                     operators, tensors are unique; operands are known and listed once
producers                 each tensor is a network input or has one producer, never both
stages                    each patch has what its parts read, buffers do not overlap, all is computed
operators                 the order runs every operator exactly once
intervals                 each is within the plan, not empty, after the one before it
precedence                an operator runs after the producers of what it reads
residency                 all operands of an operator are resident in its step
begins                    a produced tensor is first resident in its producer's step, not before
addresses                 each interval lies within the scratchpad
overlap                   no two tensors share a byte in the same step
copies                    what is fetched was stored or spilled in an earlier step, or is an input
transfers                 exactly those that the intervals and stages imply, with their bytes
weights                   what operators share is equal; what stays has a place of its own
compulsory                the three counts and their sum are what the transfers and operators say
objective                 it is the bytes of fetches, spills, repeated loads and weights read again
bound                     it is at most the objective and at most every baseline with addresses
gap                       it is (objective - bound) / objective
status                    optimal exactly when objective and bound agree
========================  ==========================================================================
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from hw.errors import InputError
from mapper.check_accounts import Accounts
from mapper.check_reduction import judge_reduction
from mapper.check_rule import Broken, BrokenRule, require
from mapper.check_schema import PLAN, first_mismatch
from mapper.check_stage import judge_stage
from mapper.check_tiles import judge_columns, judge_tiles
from mapper.check_weights import judge_weights

__all__ = ["RULES", "Broken", "check_plan", "read_json"]

RULES = (
    "schema",
    "names",
    "producers",
    "stages",
    "operators",
    "intervals",
    "precedence",
    "residency",
    "begins",
    "addresses",
    "overlap",
    "copies",
    "transfers",
    "weights",
    "compulsory",
    "objective",
    "bound",
    "gap",
    "status",
)


def read_json(path: Path | str) -> Any:
    """Reads a JSON file strictly: no NaN, no field twice, no number that only Python can hold.

    Raises
    ------
    InputError
        The file cannot be read or is not JSON.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Plan must be a readable JSON file, not {str(path)!r} (not UTF-8 text)."
        ) from error
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise InputError(
            f"Plan must be a readable JSON file, not {str(path)!r} ({reason})."
        ) from error
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twins)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise InputError(
            f"{path}: must be a plan in JSON, not something else ({reason}): map the model again."
        ) from error


def check_plan(plan: Any) -> Broken | None:
    """Judges the content of a ``plan.json``.

    Parameters
    ----------
    plan : any JSON value
        Not assumed to have any form.

    Returns
    -------
    Broken or None
        The first broken rule, or None when the plan holds.
    """
    try:
        mismatch = first_mismatch(plan, PLAN, "plan")
        if mismatch:
            raise BrokenRule("schema", mismatch)
        judge = _Judge(plan)
        for rule in RULES[1:]:
            getattr(judge, rule)()
    except BrokenRule as stop:
        return stop.broken
    return None


class _Judge(Accounts):
    """One method per rule; later ones rely on what earlier ones have established."""

    def __init__(self, plan: dict[str, Any]) -> None:
        super().__init__(plan)
        self.ops = {o["name"]: o for o in plan["operators"]}
        self.order: list[str] = plan["order"]
        self.maker = {name: o["name"] for o in plan["operators"] for name in o["outputs"]}
        self.step = {name: t for t, name in enumerate(self.order)}

    def names(self) -> None:
        for kind in ("tensors", "operators"):
            for name, count in Counter(x["name"] for x in self.plan[kind]).items():
                require(count == 1, "names", f"{kind} must have unique names, not {name!r} twice")
        for o in self.plan["operators"]:
            for side in ("inputs", "outputs"):
                for name, count in Counter(o[side]).items():
                    where = f"{side} of operator {o['name']!r}"
                    require(count == 1, "names", f"{where} must be listed once, not {name!r} twice")
                    require(name in self.tensors, "names", f"{where} must be known, not {name!r}")
            for name, count in Counter(o["after"]).items():
                where = f"after of operator {o['name']!r}"
                require(count == 1, "names", f"{where} must be listed once, not {name!r} twice")
                require(
                    name in self.ops,
                    "names",
                    f"after of operator {o['name']!r} must name operators, not {name!r}",
                )
        for name, t in self.tensors.items():
            for axis in ("rows", "channels"):
                require(
                    t["bytes"] % t[axis] == 0,
                    "names",
                    f"{axis} of tensor {name!r} must divide its {t['bytes']} bytes, not be {t[axis]}",
                )
        for x in self.plan["transfers"]:
            require(
                x["tensor"] in self.tensors,
                "names",
                f"transfer at step {x['step']} must name a tensor, not {x['tensor']!r}",
            )

    def producers(self) -> None:
        makers = Counter(
            name
            for o in self.plan["operators"]
            for name in {
                *o["outputs"],
                *(t for m in (o["stage"] or {"members": ()})["members"] for t in m["outputs"]),
            }
        )
        for name, t in self.tensors.items():
            want = 0 if t["network_input"] else 1
            require(
                makers[name] == want,
                "producers",
                f"tensor {name!r} must have {want} producers, not {makers[name]}",
            )

    def stages(self) -> None:
        for o in self.plan["operators"]:
            if not o["stage"]:
                continue
            judges = {"reduction": judge_reduction, "tiles": judge_tiles}
            if o["stage"]["axis"] != "tiles":
                judge_columns(o)
            judge = judges.get(o["stage"]["axis"], judge_stage)
            judge(o, self.tensors, self.plan["weight_memory_bytes"])

    def operators(self) -> None:
        runs = Counter(self.order)
        for name in self.ops:
            require(
                runs[name] == 1,
                "operators",
                f"operator {name!r} must run once, not {runs[name]} times",
            )
        for t, name in enumerate(self.order):
            require(name in self.ops, "operators", f"step {t} must run an operator, not {name!r}")

    def intervals(self) -> None:
        for name, t in self.tensors.items():
            before = 0
            for i in t["intervals"]:
                first, last = i["first_step"], i["last_step"]
                require(
                    before <= first < last <= len(self.order),
                    "intervals",
                    f"interval [{first}, {last}) of tensor {name!r} must be within "
                    f"[{before}, {len(self.order)}) and not empty",
                )
                before = last

    def precedence(self) -> None:
        for t, name in enumerate(self.order):
            for read in self.ops[name]["inputs"]:
                made = self.step[self.maker[read]] if read in self.maker else -1
                require(
                    made < t,
                    "precedence",
                    f"operator {name!r} at step {t} must run after step {made}, "
                    f"which produces {read!r}",
                )
            for other in self.ops[name]["after"]:
                require(
                    self.step[other] < t,
                    "precedence",
                    f"operator {name!r} at step {t} must run after {other!r} at step "
                    f"{self.step[other]}",
                )

    def residency(self) -> None:
        for t, name in enumerate(self.order):
            for operand in (*self.ops[name]["inputs"], *self.ops[name]["outputs"]):
                require(
                    any(
                        i["first_step"] <= t < i["last_step"]
                        for i in self.tensors[operand]["intervals"]
                    ),
                    "residency",
                    f"tensor {operand!r} must be resident in step {t}, "
                    f"in which operator {name!r} uses it",
                )

    def begins(self) -> None:
        for name, t in self.tensors.items():
            if name not in self.maker:
                continue
            # The rule before has found it resident in its producer's step.
            first, made = t["intervals"][0]["first_step"], self.step[self.maker[name]]
            require(
                first == made,
                "begins",
                f"tensor {name!r} must first be resident in step {made}, "
                f"which produces it, not in step {first}",
            )

    def addresses(self) -> None:
        limit = self.plan["scratchpad_bytes"]
        for name, t in self.tensors.items():
            for i in t["intervals"]:
                end = i["address"] + t["bytes"]
                require(
                    end <= limit,
                    "addresses",
                    f"tensor {name!r} must end within the {limit} bytes of the scratchpad in step "
                    f"{i['first_step']}, not at {end}",
                )

    def overlap(self) -> None:
        present: list[list[tuple[int, int, str]]] = [[] for _ in self.order]
        for name, t in self.tensors.items():
            for i in t["intervals"]:
                for step in range(i["first_step"], i["last_step"]):
                    present[step].append((i["address"], i["address"] + t["bytes"], name))
        for step, here in enumerate(present):
            here.sort()
            for (low, end, one), (start, _, other) in zip(here, here[1:], strict=False):
                require(
                    end <= start,
                    "overlap",
                    f"in step {step} tensor {one!r} at {low} to {end} must end before "
                    f"{other!r} at {start}",
                )

    def copies(self) -> None:
        whole: dict[str, int] = {}  # the step in which the last row of a tensor is written
        stored: Counter[str] = Counter()
        for x in self.plan["transfers"]:
            if x["kind"] in ("store", "spill"):
                whole[x["tensor"]] = max(x["step"], whole.get(x["tensor"], 0))
                stored[x["tensor"]] += x["bytes"]
        for x in self.plan["transfers"]:
            name = x["tensor"]
            if x["kind"] == "fetch" and not self.tensors[name]["network_input"]:
                copied = whole.get(name)
                require(
                    copied is not None and copied < x["step"],
                    "copies",
                    f"tensor {name!r} must be stored or spilled before it is fetched at "
                    f"step {x['step']}, not {'never' if copied is None else f'at step {copied}'}",
                )
                require(
                    stored[name] >= self.tensors[name]["bytes"],
                    "copies",
                    f"all {self.tensors[name]['bytes']} bytes of tensor {name!r} must be stored "
                    f"before it is fetched at step {x['step']}, not {stored[name]}",
                )
        for name, t in self.tensors.items():
            require(
                not t["network_output"] or stored[name] >= t["bytes"],
                "copies",
                f"network output {name!r} must be stored, not {stored[name]} of its "
                f"{t['bytes']} bytes",
            )

    def transfers(self) -> None:
        fields = ("step", "kind", "tensor", "bytes", "first", "last", "left", "right")
        given = Counter(tuple(x.get(f, 0) for f in fields) for x in self.plan["transfers"])
        due = Counter(self._due())
        for missing, what in ((due - given, ""), (given - due, "not ")):
            for step, kind, tensor, count, first, last, left, right in sorted(missing):
                columns = f" by {left} to {right}" * bool(right)
                raise BrokenRule(
                    "transfers",
                    f"{kind} of {tensor!r} ({count} bytes, {first} to {last}{columns}) at step {step} "
                    f"must {what}be listed{': no interval or stage calls for it' * bool(what)}",
                )

    def weights(self) -> None:
        judge_weights(self.plan, self.step)

    def _due(self) -> list[tuple[int, str, str, int, int, int, int, int]]:
        """The transfers that the intervals and stages imply."""
        due = []

        def add(step: int, kind: str, name: str, x: dict[str, int], axis: str = "rows") -> None:
            t = self.tensors[name]
            first, last, left, right = x["first"], x["last"], x.get("left", 0), x.get("right", 0)
            if axis == "tiles":
                count = t["bytes"] // (t["rows"] * t["columns"]) * (last - first) * (right - left)
            else:
                count = (1 if axis == "reduction" else t["bytes"] // t[axis]) * (last - first)
            due.append((step, kind, name, count, first, last, left, right))

        streamed = set()
        for operator, stage in self.staged.items():
            step = self.step[operator]
            for patch in stage["patches"]:
                for x in patch["loads"]:
                    streamed.add(x["tensor"])
                    read = self.tensors[x["tensor"]]["network_input"]
                    kind = "load" if read else "fetch"
                    add(step, kind, x["tensor"], x, stage["axis"])
                for x in patch["stores"]:
                    written = self.tensors[x["tensor"]]["network_output"]
                    kind = "store" if written else "spill"
                    add(step, kind, x["tensor"], x, stage["axis"])
        for name, t in self.tensors.items():
            intervals, rows = t["intervals"], {"first": 0, "last": t["rows"]}
            if not intervals:
                continue
            if name in self.maker:
                if t["network_output"]:
                    add(intervals[0]["first_step"], "store", name, rows)
                elif name in streamed:
                    add(intervals[0]["first_step"], "spill", name, rows)
                elif len(intervals) > 1:
                    add(intervals[0]["last_step"] - 1, "spill", name, rows)
            else:
                add(intervals[0]["first_step"], "load", name, rows)
            for i in intervals[1:]:
                add(i["first_step"], "fetch", name, rows)
        return due


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        twice = next(name for name, count in Counter(k for k, _ in pairs).items() if count > 1)
        raise ValueError(f"field {twice!r} occurs twice")
    return result
