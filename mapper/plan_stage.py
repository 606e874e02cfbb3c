"""The stage of an operator as it stands in ``plan.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mapper.stage import Buffer, Member, Part, Patch, Reduction, Slice, Stage, Window

__all__ = ["stage_json", "stage_of"]


def stage_json(stage: Stage, *, reductions: bool) -> dict[str, Any]:
    """Of a plan in which some member has a reduction in parts, or none."""
    return {
        "axis": stage.axis,
        "members": [_member_json(m, reductions=reductions) for m in stage.members],
        "workspace": stage.workspace,
        "patches": [
            {
                "buffers": [b._asdict() for b in patch.buffers],
                "loads": [x._asdict() for x in patch.loads],
                "parts": [p._asdict() for p in patch.parts],
                "stores": [x._asdict() for x in patch.stores],
            }
            for patch in stage.patches
        ],
        "recomputed_macs": stage.recomputed_macs,
        "reread_weight_bytes": stage.reread_weight_bytes,
    }


def _member_json(member: Member, *, reductions: bool) -> dict[str, Any]:
    content = {
        **vars(member),
        "windows": [None if w is None else w._asdict() for w in member.windows],
    }
    reduction = content.pop("reduction")
    if reductions:
        content["reduction"] = None if reduction is None else reduction._asdict()
    return content


def stage_of(content: Mapping[str, Any]) -> Stage:
    """The inverse of `stage_json`."""
    return Stage(
        axis=content["axis"],
        members=tuple(
            Member(
                m["name"],
                m["kind"],
                tuple(m["inputs"]),
                tuple(m["outputs"]),
                tuple(None if w is None else Window(**w) for w in m["windows"]),
                m["macs"],
                m["weight_bytes"],
                m["loaded_weight_bytes"],
                _reduction_of(m.get("reduction")),
            )
            for m in content["members"]
        ),
        workspace=content["workspace"],
        patches=tuple(
            Patch(
                buffers=tuple(Buffer(**b) for b in p["buffers"]),
                loads=tuple(Slice(**x) for x in p["loads"]),
                parts=tuple(Part(**x) for x in p["parts"]),
                stores=tuple(Slice(**x) for x in p["stores"]),
            )
            for p in content["patches"]
        ),
        recomputed_macs=content["recomputed_macs"],
        reread_weight_bytes=content["reread_weight_bytes"],
    )


def _reduction_of(content: Mapping[str, Any] | None) -> Reduction | None:
    return (
        None
        if content is None
        else Reduction(
            **{**content, "parts": tuple(content["parts"]), "ends": tuple(content["ends"])}
        )
    )
