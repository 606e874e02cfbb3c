"""The rule ``stages``: every patch has what it reads, keeps it apart, and together they do it all."""

from __future__ import annotations

from typing import Any

from mapper.check_reduction import judge_parts, swept
from mapper.check_rule import require

__all__ = ["judge_stage"]

Content = dict[str, Any]
Rows = tuple[int, int]


def judge_stage(operator: Content, tensors: dict[str, Content], weight_memory: int | None) -> None:
    """Judges the stage of an operator of a plan with so many bytes for weights, if that is known.

    Raises
    ------
    BrokenRule
        A patch reads rows that are not there, buffers overlap or leave the workspace, rows are
        missing in the end, or a count is wrong.
    """
    _Judge(operator, tensors, weight_memory).judge()


class _Judge:
    def __init__(
        self, operator: Content, tensors: dict[str, Content], weight_memory: int | None
    ) -> None:
        self.weight_memory = weight_memory
        self.name = operator["name"]
        self.stage = operator["stage"]
        self.tensors = tensors
        self.axis = self.stage["axis"]
        self.members = {m["name"]: m for m in self.stage["members"]}
        self.space = tensors[self.stage["workspace"]] if self.stage["workspace"] in tensors else {}
        space = self.stage["workspace"]
        self.inputs = set(operator["inputs"])
        self.outputs = set(operator["outputs"]) - {space}
        self.weight_bytes = operator["weight_bytes"]
        self.macs = operator["macs"]
        # Rows of resident outputs that are there, from row 0; of stored ones, which are stored.
        self.done = dict.fromkeys(self.outputs, 0)
        self.stored: dict[str, list[Rows]] = {}
        # Per member: the first row that no part has computed, and multiply-accumulates repeated.
        self.seen = dict.fromkeys(self.members, 0)
        self.repeated = 0
        self.runs: dict[str, list[Rows]] = {name: [] for name in self.members}
        self.own = space

    def need(self, holds: bool, detail: str) -> None:
        require(holds, "stages", f"stage {self.name!r}: {detail}")

    def judge(self) -> None:
        self.form()
        for n, patch in enumerate(self.stage["patches"]):
            self.patch(n, patch)
        for tensor, rows in self.done.items():
            want = self.tensors[tensor][self.axis]
            self.need(
                rows == want, f"all {want} {self.axis} of {tensor!r} must be computed, not {rows}"
            )
        for tensor, slices in self.stored.items():
            at = 0
            for first, last in sorted(slices):
                self.need(
                    first == at,
                    f"{self.axis} of {tensor!r} must be stored once each, not from {first}",
                )
                at = last
            want = self.tensors[tensor][self.axis]
            self.need(at == want, f"all {want} {self.axis} of {tensor!r} must be stored, not {at}")
        self.counts()

    def form(self) -> None:
        self.need(
            len(self.members) == len(self.stage["members"]) > 0,
            "members must be there and have unique names",
        )
        for name, m in self.members.items():
            for tensor in (*m["inputs"], *m["outputs"]):
                self.need(
                    tensor in self.tensors, f"operand of {name!r} must be known, not {tensor!r}"
                )
            self.need(bool(m["outputs"]), f"member {name!r} must have an output")
            for side in ("inputs", "outputs"):
                self.need(
                    len(set(m[side])) == len(m[side]), f"{side} of {name!r} must be listed once"
                )
            self.need(
                not m["windows"] or len(m["windows"]) == len(m["inputs"]),
                f"member {name!r} must have a window per input, not {len(m['windows'])}",
            )
        self.need(
            not self.own or self.own in self.tensors,
            f"workspace must be a tensor, not {self.own!r}",
        )
        made = {t for m in self.members.values() for t in m["outputs"]}
        for tensor in self.outputs:
            self.need(tensor in made, f"output {tensor!r} must be produced by a member")

    def patch(self, n: int, patch: Content) -> None:
        buffers = {b["tensor"]: b for b in patch["buffers"]}
        self.need(len(buffers) == len(patch["buffers"]), f"patch {n} must have a buffer per tensor")
        for tensor, b in buffers.items():
            self.rows(n, tensor, b)
            end = b["offset"] + self.bytes(tensor, b)
            size = self.space.get("bytes", 0)
            self.need(
                end <= size, f"buffer of {tensor!r} in patch {n} must end within {size}, not {end}"
            )
        there: set[str] = set()
        for x in patch["loads"]:
            b = buffers.get(x["tensor"])
            self.need(
                b is not None and _rows(b) == _rows(x),
                f"load of {x['tensor']!r} in patch {n} must fill its buffer",
            )
            self.need(
                x["tensor"] not in {*self.inputs, *self.outputs},
                f"load of {x['tensor']!r} in patch {n} must not be there: it is resident",
            )
            there.add(x["tensor"])
        life: dict[str, Rows] = {}
        for k, part in enumerate(patch["parts"]):
            for tensor in self.part(n, part, buffers, there):
                life[tensor] = (life.get(tensor, (k, k))[0], k + 1)
        for x in patch["stores"]:
            b = buffers.get(x["tensor"])
            self.need(
                b is not None
                and x["tensor"] in there
                and b["first"] <= x["first"] < x["last"] <= b["last"],
                f"store of {x['tensor']!r} in patch {n} must be of rows that it has computed",
            )
            self.stored.setdefault(x["tensor"], []).append(_rows(x))
        self.apart(n, buffers, life)

    def part(
        self, n: int, part: Content, buffers: dict[str, Content], there: set[str]
    ) -> list[str]:
        """Judges one part; returns the buffers that it touches."""
        m = self.members.get(part["operator"])
        self.need(m is not None, f"part of patch {n} must name a member, not {part['operator']!r}")
        assert m is not None
        where = f"of {m['name']!r} in patch {n}"
        touched = []
        for i, tensor in enumerate(m["inputs"]):
            window = m["windows"][i] if m["windows"] else None
            first, last = _needed(window, part, self.tensors[tensor][self.axis])
            if first >= last:
                continue
            if tensor in buffers:
                b = buffers[tensor]
                touched.append(tensor)
                has = tensor in there and b["first"] <= first and last <= b["last"]
            elif tensor in self.done:
                has = last <= self.done[tensor]
            else:
                has = tensor in self.inputs
            self.need(
                has, f"{self.axis} {first} to {last} of input {tensor!r} {where} must be there"
            )
        for tensor in m["outputs"]:
            self.rows(n, tensor, part)
            if tensor in buffers:
                self.need(
                    _rows(buffers[tensor]) == _rows(part),
                    f"buffer of output {tensor!r} {where} must have the part's rows",
                )
                there.add(tensor)
                touched.append(tensor)
            else:
                self.need(
                    tensor in self.done and part["first"] <= self.done[tensor],
                    f"output {tensor!r} {where} must have a buffer or follow what is resident",
                )
                self.done[tensor] = max(self.done[tensor], part["last"])
        seen, first, last = self.seen[m["name"]], part["first"], part["last"]
        rows = self.tensors[m["outputs"][0]][self.axis]
        self.repeated += m["macs"] * max(0, min(last, seen) - first) // rows
        self.seen[m["name"]] = max(seen, last)
        self.runs[m["name"]].append((first, last))
        return touched

    def apart(self, n: int, buffers: dict[str, Content], life: dict[str, Rows]) -> None:
        placed = [
            (b["offset"], b["offset"] + self.bytes(t, b), *life[t], t)
            for t, b in buffers.items()
            if t in life
        ]
        for i, (low, high, begin, end, one) in enumerate(placed):
            for low2, high2, begin2, end2, other in placed[i + 1 :]:
                self.need(
                    high <= low2 or high2 <= low or end <= begin2 or end2 <= begin,
                    f"buffers of {one!r} and {other!r} in patch {n} must not overlap",
                )

    def counts(self) -> None:
        macs = self.repeated
        weights = 0
        for name, m in self.members.items():
            weights += m["loaded_weight_bytes"] - m["weight_bytes"]
            if m.get("reduction"):
                self.reduction(m)
                continue
            want = m["weight_bytes"] * len(self.runs[name])
            self.need(
                self.axis == "channels" or m["loaded_weight_bytes"] == want,
                f"loaded_weight_bytes of {name!r} must be {want}, once per patch",
            )
        self.need(
            self.stage["recomputed_macs"] == macs,
            f"recomputed_macs must be {macs}, not {self.stage['recomputed_macs']}",
        )
        # What comes in parts does not stay from patch to patch.
        kept = (0,) if not any(m.get("reduction") for m in self.members.values()) else ()
        self.need(
            self.stage["reread_weight_bytes"] in (*kept, weights),
            f"reread_weight_bytes must be {'0 or ' if kept else ''}{weights}, "
            f"not {self.stage['reread_weight_bytes']}",
        )
        for field, given in (("macs", self.macs), ("weight_bytes", self.weight_bytes)):
            total = sum(m[field] for m in self.members.values())
            self.need(given == total, f"{field} must be {total}, the members' sum, not {given}")

    def reduction(self, m: Content) -> None:
        """What a member loads whose tiles sweep over the parts of its reduction."""
        name, r = m["name"], m["reduction"]
        judge_parts(m, self.weight_memory, self.need)
        self.need(r["shared"] == 0, f"shared weights of {name!r} must be 0 along {self.axis}")
        height = self.tensors[m["outputs"][0]]["rows"]
        loaded = 0
        for first, last in self.runs[name]:
            rows, blocks = last - first, r["blocks"]
            if self.axis == "channels":
                rows, blocks = height, last - first
            down = (rows + r["tile_rows"] - 1) // r["tile_rows"]
            loaded += blocks * swept(r["parts"], down * r["row_tiles"])
        self.need(
            m["loaded_weight_bytes"] == loaded,
            f"loaded_weight_bytes of {name!r} must be {loaded}, what its tiles sweep over, not "
            f"{m['loaded_weight_bytes']}",
        )

    def rows(self, n: int, tensor: str, x: Content) -> None:
        self.need(tensor in self.tensors, f"patch {n} must name tensors, not {tensor!r}")
        rows = self.tensors[tensor][self.axis]
        self.need(
            x["first"] < x["last"] <= rows,
            f"{self.axis} {x['first']} to {x['last']} of {tensor!r} in patch {n} must be some of "
            f"its {rows}",
        )

    def bytes(self, tensor: str, b: Content) -> int:
        t = self.tensors[tensor]
        return int(t["bytes"] // t[self.axis] * (b["last"] - b["first"]))


def _rows(x: Content) -> Rows:
    return x["first"], x["last"]


def _needed(window: Content | None, part: Content, height: int) -> Rows:
    """Input rows that the rows of a part need."""
    if window is None:
        return 0, height
    reach = (window["kernel"] - 1) * window["dilation"]
    first = (part["first"] * window["stride"] - window["padding"]) // window.get("up", 1)
    last = ((part["last"] - 1) * window["stride"] - window["padding"]) // window.get("up", 1)
    return max(first, 0), min(last + reach + 1, height)
