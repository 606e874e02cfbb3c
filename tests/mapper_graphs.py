"""Small graphs for the mapper's tests: by hand, and drawn at random."""

from __future__ import annotations

from pathlib import Path

import networkx  # type: ignore[import-untyped]
import onnx

from mapper.budget import Budget
from mapper.graph import Graph
from mapper.mapping import Mapped, map_graph
from mapper.plan import Source
from mapper.random_graphs import graph_from, random_graph, with_after
from mapper.schedule.solver import Limits

__all__ = [
    "FRAGMENTED_ROWS",
    "SOURCE",
    "fragmented_graph",
    "graph_from",
    "light_model",
    "mapped",
    "random_graph",
    "ring_graph",
    "with_after",
]

SOURCE = Source(
    file="random.onnx",
    sha256="0" * 64,
    activation_bits=8,
    weight_bits=8,
    channel_multiple=1,
    budget="bytes",
)


def mapped(graph: Graph, capacity: int, limits: Limits | None = None) -> Mapped:
    """Maps a graph onto so many bytes."""
    return map_graph(graph, Budget("bytes", capacity), SOURCE, limits=limits)


def ring_graph(nodes: int, *, seed: int, size: int = 64) -> Graph:
    """RandWire's plain graph: a Watts-Strogatz ring (k = 4, p = 0.75), edges from low to high.

    A node with several inputs is a sum followed by a convolution; the sinks are averaged; all
    tensors are equal in size (arXiv 1904.01569, as in the literature's scheduling experiments).
    """
    ring = networkx.connected_watts_strogatz_graph(nodes, 4, 0.75, seed=seed)
    before: list[list[int]] = [[] for _ in range(nodes)]
    for a, b in sorted(tuple(sorted(edge)) for edge in ring.edges()):
        before[b].append(a)
    wiring: list[tuple[str, list[str], list[str]]] = []
    for node, earlier in enumerate(before):
        reads = [f"t{a}" for a in earlier] or ["in"]
        if len(reads) > 1:
            wiring.append((f"sum{node}", reads, [f"s{node}"]))
            reads = [f"s{node}"]
        wiring.append((f"conv{node}", reads, [f"t{node}"]))
    read = {a for earlier in before for a in earlier}
    wiring.append(("mean", [f"t{n}" for n in range(nodes) if n not in read], ["out"]))
    names = ["in", *(name for _, _, writes in wiring for name in writes)]
    return graph_from(wiring, dict.fromkeys(names, size), ["out"])


def light_model(name: str) -> Path:
    """One of the real networks that the onnx package ships, such as ``resnet50``."""
    folder = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
    return folder / f"light_{name}.onnx"


# (lower, upper, size) of buffers that fill five bytes at every time, but cannot be placed in them.
FRAGMENTED_ROWS = [
    (0, 3, 1),
    (0, 1, 4),
    (1, 2, 2),
    (1, 4, 1),
    (1, 4, 1),
    (2, 3, 1),
    (2, 5, 1),
    (3, 4, 2),
    (4, 5, 3),
    (4, 5, 1),
]


def fragmented_graph() -> Graph:
    """A chain whose tensors, ten bytes per unit, live as `FRAGMENTED_ROWS` say.

    Tokens of one byte force the order. In 52 bytes every step fits and nothing need be spilled,
    but for the addresses.
    """
    steps = range(5)
    reads: list[list[str]] = [[] for _ in steps]
    writes: list[list[str]] = [[] for _ in steps]
    sizes = {"in": 1}
    reads[0].append("in")
    for i, (lower, upper, size) in enumerate(FRAGMENTED_ROWS):
        sizes[f"b{i}"] = 10 * size
        writes[lower].append(f"b{i}")
        if upper - 1 > lower:
            reads[upper - 1].append(f"b{i}")
    for t in steps[1:]:
        sizes[f"k{t}"] = 1
        writes[t - 1].append(f"k{t}")
        reads[t].append(f"k{t}")
    outputs = [name for name in sizes if not any(name in row for row in reads)]
    return graph_from([(f"op{t}", reads[t], writes[t]) for t in steps], sizes, outputs)
