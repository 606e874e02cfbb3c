"""The stage of an operator as it stands in ``plan.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from mapper.stage import Buffer, Member, Part, Patch, Reduction, Slice, Stage, Window

__all__ = ["extent_json", "stage_json", "stage_of"]


class _Extent(Protocol):
    def _asdict(self) -> dict[str, Any]: ...


def extent_json(extent: _Extent, *, tiles: bool) -> dict[str, Any]:
    """A slice, buffer, part or transfer; its columns in a plan with tiles only."""
    return {
        name: value
        for name, value in extent._asdict().items()
        if tiles or name not in ("left", "right")
    }


def stage_json(stage: Stage, *, reductions: bool, tiles: bool) -> dict[str, Any]:
    """Of a plan in which some member has a reduction in parts, or none; with tiles, or without."""

    def extents(found: Iterable[_Extent]) -> list[dict[str, Any]]:
        return [extent_json(x, tiles=tiles) for x in found]

    return {
        "axis": stage.axis,
        "members": [_member_json(m, reductions=reductions, tiles=tiles) for m in stage.members],
        "workspace": stage.workspace,
        "patches": [
            {
                "buffers": extents(patch.buffers),
                "loads": extents(patch.loads),
                "parts": extents(patch.parts),
                "stores": extents(patch.stores),
            }
            for patch in stage.patches
        ],
        "recomputed_macs": stage.recomputed_macs,
        "reread_weight_bytes": stage.reread_weight_bytes,
    }


def _member_json(member: Member, *, reductions: bool, tiles: bool) -> dict[str, Any]:
    def windows(found: Iterable[Window | None]) -> list[dict[str, int] | None]:
        fields = Window._fields if tiles else Window._fields[:4]
        return [None if w is None else {f: getattr(w, f) for f in fields} for w in found]

    content = {**vars(member), "windows": windows(member.windows)}
    reduction, columns = content.pop("reduction"), content.pop("column_windows")
    if reductions:
        content["reduction"] = None if reduction is None else reduction._asdict()
    if tiles:
        content["column_windows"] = windows(columns)
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
                _windows_of(m["windows"]),
                m["macs"],
                m["weight_bytes"],
                m["loaded_weight_bytes"],
                _reduction_of(m.get("reduction")),
                _windows_of(m.get("column_windows", ())),
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


def _windows_of(content: Iterable[Mapping[str, int] | None]) -> tuple[Window | None, ...]:
    return tuple(None if w is None else Window(**w) for w in content)


def _reduction_of(content: Mapping[str, Any] | None) -> Reduction | None:
    return (
        None
        if content is None
        else Reduction(
            **{**content, "parts": tuple(content["parts"]), "ends": tuple(content["ends"])}
        )
    )
