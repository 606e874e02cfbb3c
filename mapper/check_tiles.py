"""The rule ``stages`` for a stage in tiles: rectangles of pixels instead of rows."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any, NamedTuple

from mapper.check_reduction import judge_parts, swept
from mapper.check_rule import require

__all__ = ["judge_columns", "judge_tiles"]

Content = dict[str, Any]


class _Box(NamedTuple):
    """Pixels of rows ``top, ..., bottom - 1`` and columns ``left, ..., right - 1``."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def pixels(self) -> int:
        return max(0, self.bottom - self.top) * max(0, self.right - self.left)

    def holds(self, other: _Box) -> bool:
        return (
            self.top <= other.top
            and other.bottom <= self.bottom
            and self.left <= other.left
            and other.right <= self.right
        )


def judge_tiles(operator: Content, tensors: dict[str, Content], weight_memory: int | None) -> None:
    """Judges a stage in tiles of a plan with so many bytes for weights, if that is known.

    Raises
    ------
    BrokenRule
        A tile reads pixels that are not there, buffers overlap or leave the workspace, pixels are
        missing in the end or stored twice, or a count is wrong.
    """
    _Judge(operator, tensors, weight_memory).judge()


def judge_columns(operator: Content) -> None:
    """Judges that a stage along another axis says nothing of columns.

    Raises
    ------
    BrokenRule
        It does.
    """
    extents = (x for p in operator["stage"]["patches"] for xs in p.values() for x in xs)
    require(
        not any(x.get("left", 0) or x.get("right", 0) for x in extents),
        "stages",
        f"stage {operator['name']!r}: left and right must be 0: only tiles have columns",
    )


class _Judge:
    def __init__(
        self, operator: Content, tensors: dict[str, Content], weight_memory: int | None
    ) -> None:
        self.operator, self.tensors, self.weight_memory = operator, tensors, weight_memory
        self.stage = operator["stage"]
        self.members = {m["name"]: m for m in self.stage["members"]}
        self.space = self.stage["workspace"]
        self.inputs = set(operator["inputs"])
        self.outputs = set(operator["outputs"]) - {self.space}
        self.made: dict[str, list[_Box]] = {}  # of each tensor, by parts
        self.stored: dict[str, list[_Box]] = {}

    def need(self, holds: bool, detail: str) -> None:
        require(holds, "stages", f"stage {self.operator['name']!r}: {detail}")

    def judge(self) -> None:
        self.form()
        for n, patch in enumerate(self.stage["patches"]):
            self.patch(n, patch)
        for tensor in self.outputs:
            self.whole(tensor, self.made.get(tensor, []), "computed")
        for tensor, boxes in self.stored.items():
            self.whole(tensor, boxes, "stored")
        self.counts()

    def form(self) -> None:
        self.need(
            len(self.members) == len(self.stage["members"]) > 0,
            "members must be there and have unique names",
        )
        self.need(
            not self.space or self.space in self.tensors,
            f"workspace must be a tensor, not {self.space!r}",
        )
        for name, m in self.members.items():
            for tensor in (*m["inputs"], *m["outputs"]):
                self.need(
                    tensor in self.tensors, f"operand of {name!r} must be known, not {tensor!r}"
                )
                t = self.tensors[tensor]
                self.need(
                    t["bytes"] % (t["rows"] * t["columns"]) == 0,
                    f"pixels of {tensor!r} must divide its {t['bytes']} bytes, not be "
                    f"{t['rows']} by {t['columns']}",
                )
            self.need(len(m["outputs"]) == 1, f"member {name!r} must have one output")
            self.need(
                len(set(m["inputs"])) == len(m["inputs"]),
                f"inputs of {name!r} must be listed once",
            )
            for field in ("windows", "column_windows"):
                self.need(
                    len(m[field]) == len(m["inputs"]),
                    f"member {name!r} must have one of {field} per input, not {len(m[field])}",
                )
        made = {t for m in self.members.values() for t in m["outputs"]}
        for tensor in self.outputs:
            self.need(tensor in made, f"output {tensor!r} must be produced by a member")

    def whole(self, tensor: str, boxes: list[_Box], done: str) -> None:
        """Every pixel of a tensor, once each."""
        want = self.tensors[tensor]["rows"] * self.tensors[tensor]["columns"]
        count = sum(box.pixels for box in boxes)
        self.need(
            count == _covered(boxes) == want,
            f"all {want} pixels of {tensor!r} must be {done}, once each, not {_covered(boxes)} of "
            f"them {count} times in all",
        )

    def patch(self, n: int, patch: Content) -> None:
        buffers = {b["tensor"]: b for b in patch["buffers"]}
        self.need(len(buffers) == len(patch["buffers"]), f"patch {n} must have a buffer per tensor")
        ends: dict[str, int] = {}
        for tensor, b in buffers.items():
            box = self.box(n, tensor, b)
            t = self.tensors[tensor]
            ends[tensor] = b["offset"] + t["bytes"] // (t["rows"] * t["columns"]) * box.pixels
            size = self.tensors[self.space]["bytes"] if self.space else 0
            self.need(
                ends[tensor] <= size,
                f"buffer of {tensor!r} in patch {n} must end within {size}, not {ends[tensor]}",
            )
        there: set[str] = set()
        for x in patch["loads"]:
            tensor = x["tensor"]
            self.need(
                tensor in buffers and _box(buffers[tensor]) == _box(x),
                f"load of {tensor!r} in patch {n} must fill its buffer",
            )
            self.need(
                tensor not in self.inputs | self.outputs,
                f"load of {tensor!r} in patch {n} must not be there: it is resident",
            )
            there.add(tensor)
        lives: dict[str, list[int]] = {}
        for k, part in enumerate(patch["parts"]):
            for tensor in self.part(n, part, buffers, there):
                lives.setdefault(tensor, []).append(k)
        for x in patch["stores"]:
            tensor, box = x["tensor"], _box(x)
            self.need(
                tensor in there and _box(buffers[tensor]).holds(box) and box.pixels > 0,
                f"store of {tensor!r} in patch {n} must be of pixels that it has computed",
            )
            self.stored.setdefault(tensor, []).append(box)
        self.apart(n, buffers, ends, lives)

    def part(
        self, n: int, part: Content, buffers: dict[str, Content], there: set[str]
    ) -> list[str]:
        """Judges one part; returns the buffers that it touches."""
        m = self.members.get(part["operator"])
        self.need(m is not None, f"part of patch {n} must name a member, not {part['operator']!r}")
        assert m is not None
        where = f"of {m['name']!r} in patch {n}"
        (output,) = m["outputs"]
        box = self.box(n, output, part)
        touched = []
        for tensor, rows, columns in zip(
            m["inputs"], m["windows"], m["column_windows"], strict=True
        ):
            t = self.tensors[tensor]
            read = _Box(
                *_needed(rows, box.top, box.bottom, t["rows"]),
                *_needed(columns, box.left, box.right, t["columns"]),
            )
            if not read.pixels:
                continue
            if tensor in buffers:
                touched.append(tensor)
                has = tensor in there and _box(buffers[tensor]).holds(read)
            else:
                has = tensor in self.inputs
            self.need(
                has,
                f"rows {read.top} to {read.bottom}, columns {read.left} to {read.right} of input "
                f"{tensor!r} {where} must be there",
            )
        if output in buffers:
            self.need(
                _box(buffers[output]) == box,
                f"buffer of output {output!r} {where} must have the part's pixels",
            )
            there.add(output)
            touched.append(output)
        else:
            self.need(
                output in self.outputs,
                f"output {output!r} {where} must have a buffer or be resident",
            )
        self.made.setdefault(output, []).append(box)
        return touched

    def apart(
        self,
        n: int,
        buffers: dict[str, Content],
        ends: dict[str, int],
        lives: dict[str, list[int]],
    ) -> None:
        placed = [
            (b["offset"], ends[t], min(lives[t]), max(lives[t]), t)
            for t, b in buffers.items()
            if t in lives
        ]
        for i, (low, high, begin, end, one) in enumerate(placed):
            for low2, high2, begin2, end2, other in placed[i + 1 :]:
                self.need(
                    high <= low2 or high2 <= low or end < begin2 or end2 < begin,
                    f"buffers of {one!r} and {other!r} in patch {n} must not overlap",
                )

    def counts(self) -> None:
        again = weights = 0
        for name, m in self.members.items():
            t = self.tensors[m["outputs"][0]]
            boxes = self.made.get(m["outputs"][0], [])
            repeated = sum(box.pixels for box in boxes) - _covered(boxes)
            again += m["macs"] * repeated // (t["rows"] * t["columns"])
            want = self.loaded(m, boxes, t["columns"])
            self.need(
                m["loaded_weight_bytes"] == want,
                f"loaded_weight_bytes of {name!r} must be {want}, by all its tiles, not "
                f"{m['loaded_weight_bytes']}",
            )
            weights += want - m["weight_bytes"]
        given = self.stage["recomputed_macs"]
        self.need(given == again, f"recomputed_macs must be {again}, not {given}")
        own = self.operator["weight_bytes"]
        kept = (self.weight_memory is None or own <= self.weight_memory) and not any(
            m["reduction"] for m in self.members.values()
        )
        given = self.stage["reread_weight_bytes"]
        self.need(
            given == weights or (kept and given == 0),
            f"reread_weight_bytes must be {'0 or ' * kept}{weights}, not {given}",
        )
        for field in ("macs", "weight_bytes"):
            total = sum(m[field] for m in self.members.values())
            self.need(
                self.operator[field] == total,
                f"{field} must be {total}, the members' sum, not {self.operator[field]}",
            )

    def loaded(self, m: Content, boxes: list[_Box], width: int) -> int:
        """Bytes of weights that a member loads for its parts when nothing is kept between them."""
        r = m["reduction"]
        if r is None:
            return int(m["weight_bytes"] * len(boxes))
        judge_parts(m, self.weight_memory, self.need)
        self.need(r["shared"] == 0, f"shared weights of {m['name']!r} must be 0 in tiles")
        # As many accumulators as the tiles of whole rows have pixels; here they have one row each.
        pixels = r["tile_rows"] * ((width + r["row_tiles"] - 1) // r["row_tiles"])
        sizes = Counter((box.bottom - box.top, box.right - box.left) for box in boxes)
        return sum(
            count * r["blocks"] * swept(r["parts"], rows * ((columns + pixels - 1) // pixels))
            for (rows, columns), count in sizes.items()
        )

    def box(self, n: int, tensor: str, x: Content) -> _Box:
        self.need(tensor in self.tensors, f"patch {n} must name tensors, not {tensor!r}")
        rows, columns = self.tensors[tensor]["rows"], self.tensors[tensor]["columns"]
        box = _box(x)
        self.need(
            box.top < box.bottom <= rows and box.left < box.right <= columns,
            f"rows {box.top} to {box.bottom}, columns {box.left} to {box.right} of {tensor!r} in "
            f"patch {n} must be some of its {rows} by {columns}",
        )
        return box


def _box(x: Content) -> _Box:
    return _Box(x["first"], x["last"], x["left"], x["right"])


def _needed(window: Content | None, first: int, last: int, size: int) -> tuple[int, int]:
    """Rows, or columns, of an input that some of a part need."""
    if window is None:
        return 0, size
    reach = (window["kernel"] - 1) * window["dilation"]
    low = (first * window["stride"] - window["padding"]) // window["up"]
    high = ((last - 1) * window["stride"] - window["padding"]) // window["up"] + reach + 1
    return max(low, 0), min(high, size)


def _covered(boxes: list[_Box]) -> int:
    """Pixels that are in one of some boxes at least: a sweep over the rows where any ends."""
    edges = sorted({edge for box in boxes for edge in (box.top, box.bottom)})
    ordered = sorted(box for box in boxes if box.pixels)
    active: list[_Box] = []
    total = at = 0
    for low, high in pairwise(edges):
        active = [box for box in active if box.bottom > low]
        while at < len(ordered) and ordered[at].top <= low:
            active.append(ordered[at])
            at += 1
        reach, width = 0, 0
        for box in sorted(active, key=lambda b: b.left):
            width += max(0, box.right - max(box.left, reach))
            reach = max(reach, box.right)
        total += (high - low) * width
    return total
