"""Dead nodes dropped, and followers joined to the operator whose result they rework."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from mapper.graph import Operator
from mapper.stage import Window

__all__ = ["Node", "fuse", "live"]


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator before fusion, and whether it may follow its producer within one step.

    A follower has one activation, gives as many elements as it takes, and works on a row at a
    time: its operand need never lie in the scratchpad.
    """

    operator: Operator
    follower: bool


def live(nodes: Sequence[Node], results: Collection[str]) -> list[Node]:
    """The nodes, in the given topological order, that `results` depend on.

    Outputs that nobody reads are dropped: the accelerator does not write them.
    """
    needed, kept = set(results), []
    for node in reversed(nodes):
        o = node.operator
        outputs = tuple(n for n in o.outputs if n in needed)
        if outputs:
            needed.update(o.inputs)
            kept.append(replace(node, operator=replace(o, outputs=outputs)))
    return kept[::-1]


def fuse(nodes: Sequence[Node], results: Collection[str]) -> list[Operator]:
    """Joins each follower to its producer where it is the only reader of what it reworks.

    The network's inputs have no producer and its outputs must be written as they are, so neither
    lets a follower in. The given topological order stays one.
    """
    readers = Counter(name for node in nodes for name in node.operator.inputs)
    fused: list[Operator] = []
    producer: dict[str, int] = {}
    for node in nodes:
        o = node.operator
        source = o.inputs[0] if o.inputs else ""
        if (
            node.follower
            and len(o.outputs) == 1
            and source in producer
            and readers[source] == 1
            and source not in results
        ):
            at = producer[source]
            fused[at] = _joined(fused[at], source, o)
        else:
            at = len(fused)
            fused.append(replace(o, nodes=o.nodes or (o.name,)))
        producer.update((name, at) for name in o.outputs)
    return fused


def _joined(head: Operator, reworked: str, follower: Operator) -> Operator:
    channel_windows = head.channel_windows
    # What mixes the channels of a single pixel does so when the last of them is there.
    mixes = follower.channel_windows != (Window(),)
    if mixes and head.kind not in ("GlobalAveragePool", "GlobalMaxPool"):
        channel_windows = ()
    return replace(
        head,
        outputs=tuple(follower.outputs[0] if n == reworked else n for n in head.outputs),
        nodes=(*head.nodes, follower.name),
        weight_bytes=head.weight_bytes + follower.weight_bytes,
        macs=head.macs + follower.macs,
        # What reworks each row by itself leaves the head's rows as they are; so with channels.
        windows=head.windows if follower.windows == (Window(),) else (),
        channel_windows=channel_windows,
        mixes_channels=head.mixes_channels or (mixes and bool(channel_windows)),
        column_windows=head.column_windows if follower.column_windows == (Window(),) else (),
        undivided_weight_bytes=head.undivided_weight_bytes + follower.undivided_weight_bytes,
    )
