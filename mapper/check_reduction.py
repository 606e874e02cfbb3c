"""The rule ``stages`` where a reduction is in parts: nothing is left out, nothing is there by magic."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mapper.check_rule import require

__all__ = ["judge_parts", "judge_reduction", "swept"]

Content = dict[str, Any]
Need = Callable[[bool, str], None]


def judge_parts(member: Content, weight_memory: int | None, need: Need) -> None:
    """Judges the parts of a member's reduction: two at a time fit, and they are all its weights."""
    name, reduction = member["name"], member["reduction"]
    parts = reduction["parts"]
    need(len(parts) > 1, f"reduction of {name!r} must have parts, not {len(parts)}")
    once = reduction["shared"] + reduction["blocks"] * sum(parts)
    need(
        member["weight_bytes"] == once,
        f"weight_bytes of {name!r} must be {once}, its parts', not {member['weight_bytes']}",
    )
    need(
        weight_memory is not None and 2 * max(parts) <= weight_memory,
        f"two parts of the reduction of {name!r} must fit into the weight memory of "
        f"{weight_memory} bytes, not have {max(parts)} each",
    )


def swept(parts: list[int], sweeps: int) -> int:
    """Bytes of so many sweeps over parts, each in the other direction than the one before it and
    with the two parts that this one came to last still there."""
    total, again = sum(parts), sweeps - 1
    last = parts[-1] + parts[-2]
    both = last + parts[0] + parts[1]
    return total + again // 2 * (2 * total - both) + again % 2 * (total - last)


def judge_reduction(
    operator: Content, tensors: dict[str, Content], weight_memory: int | None
) -> None:
    """Judges a stage along the reduction.

    Raises
    ------
    BrokenRule
        A sweep leaves out bytes of the input or reads some that are not there, the output is not
        there, or a count is wrong.
    """
    stage, name = operator["stage"], operator["name"]

    def need(holds: bool, detail: str) -> None:
        require(holds, "stages", f"stage {name!r}: {detail}")

    need(len(stage["members"]) == 1, "along the reduction it must have one member")
    (member,) = stage["members"]
    need(bool(member["reduction"]), "its member must have a reduction in parts")
    judge_parts(member, weight_memory, need)
    need(
        len(member["inputs"]) == len(member["outputs"]) == 1
        and member["inputs"][0] in tensors
        and operator["inputs"] == []
        and stage["workspace"] in tensors
        and operator["outputs"] == [*member["outputs"], stage["workspace"]],
        "its output and its workspace must be resident, and its input must not",
    )
    ends = member["reduction"]["ends"]
    whole = tensors[member["inputs"][0]]["bytes"]
    need(
        len(ends) == len(member["reduction"]["parts"])
        and all(a < b for a, b in zip([0, *ends], ends, strict=False))
        and ends[-1] == whole,
        f"the parts of its reduction must end one after another, the last at {whole}",
    )
    _judge_sweeps(stage, member, tensors, need)
    for field in ("macs", "weight_bytes"):
        need(operator[field] == member[field], f"{field} must be {member[field]}, its member's")
    for field, count in (("recomputed_macs", 0), ("reread_weight_bytes", 0)):
        need(stage[field] == count, f"{field} must be {count}, not {stage[field]}")
    need(
        member["loaded_weight_bytes"] == member["weight_bytes"],
        "loaded_weight_bytes must be weight_bytes: every part is loaded once for every word",
    )


def _judge_sweeps(stage: Content, member: Content, tensors: dict[str, Content], need: Need) -> None:
    """Every sweep reads the whole input, and each slice is where it is read."""
    source, blocks = member["inputs"][0], member["reduction"]["blocks"]
    bounds = [0, *member["reduction"]["ends"]]
    room = tensors[stage["workspace"]]["bytes"]
    patches = stage["patches"]
    count = len(patches) // blocks
    need(
        count > 0 and len(patches) == blocks * count,
        f"its patches must be {blocks} sweeps of as many, not {len(patches)} patches",
    )
    there: dict[int, Content] = {}  # the slice at each offset of the workspace
    for n, patch in enumerate(patches):
        sweep, at = divmod(n, count)
        if at == 0:
            edge = bounds[-1] if sweep % 2 else 0
        need(
            len(patch["buffers"]) == len(patch["parts"]) == 1 and patch["stores"] == [],
            f"patch {n} must have one buffer and one part, and store nothing",
        )
        (b,), (part,) = patch["buffers"], patch["parts"]
        need(
            b["tensor"] == source and part["operator"] == member["name"],
            f"patch {n} must be of {member['name']!r} and its input",
        )
        first, last = b["first"], b["last"]
        need(
            (part["first"], part["last"]) == (first, last) and first < last,
            f"part of patch {n} must be its buffer, and not empty",
        )
        need(
            first in bounds and last in bounds and edge == (last if sweep % 2 else first),
            f"patch {n} must go on at byte {edge} of {source!r} with whole parts of the reduction",
        )
        edge = first if sweep % 2 else last
        end = b["offset"] + last - first
        need(end <= room, f"buffer of patch {n} must end within {room}, not {end}")
        if patch["loads"]:
            (x,) = patch["loads"] if len(patch["loads"]) == 1 else ({},)
            need(
                (x.get("tensor"), x.get("first"), x.get("last")) == (source, first, last),
                f"load of patch {n} must fill its buffer",
            )
            there = {
                offset: x
                for offset, x in there.items()
                if end <= offset or offset + x["last"] - x["first"] <= b["offset"]
            }
            there[b["offset"]] = b
        held = there.get(b["offset"])
        need(
            held is not None and (held["first"], held["last"]) == (first, last),
            f"bytes {first} to {last} of {source!r} must be in the workspace in patch {n}",
        )
        if at == count - 1:
            want = 0 if sweep % 2 else bounds[-1]
            need(edge == want, f"sweep {sweep} must end at byte {want}, not {edge}")
