"""Small graphs for the mapper's tests: by hand, and drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import onnx

from mapper.budget import Budget
from mapper.graph import Graph, Operator, Tensor
from mapper.mapping import Mapped, map_graph
from mapper.plan import Source
from mapper.schedule.solver import Limits

Wiring = Sequence[tuple[str, Sequence[str], Sequence[str]]]

SOURCE = Source(
    file="random.onnx",
    sha256="0" * 64,
    activation_bits=8,
    weight_bits=8,
    channel_multiple=1,
    budget="bytes",
)


def graph_from(
    wiring: Wiring, sizes: Mapping[str, int], outputs: Sequence[str], weight_bytes: int = 0
) -> Graph:
    """A graph of (operator, inputs, outputs) rows; tensors without a producer are inputs."""
    made = {name for _, _, writes in wiring for name in writes}
    return Graph(
        name="test",
        operators=tuple(
            Operator(
                name=name,
                kind="Test",
                inputs=tuple(reads),
                outputs=tuple(writes),
                nodes=(name,),
                weight_bytes=weight_bytes,
            )
            for name, reads, writes in wiring
        ),
        tensors=tuple(
            Tensor(
                name=name,
                shape=(size,),
                bytes=size,
                network_input=name not in made,
                network_output=name in outputs,
            )
            for name, size in sizes.items()
        ),
    )


def random_graph(seed: int, operators: int, *, largest: int = 4) -> Graph:
    """A connected-enough random graph: several inputs, some multi-output operators and outputs."""
    random = Random(seed)
    names = [f"in{i}" for i in range(random.randint(1, 2))]
    sizes = {name: random.randint(1, largest) for name in names}
    wiring, read = [], set()
    for o in range(operators):
        count = min(len(names), random.choice([1, 2, 2, 3]))
        recent = names[-4:] if random.random() < 0.6 else names
        reads = sorted(random.sample(recent, min(count, len(recent))))
        writes = [f"t{o}{c}" for c in ("ab" if random.random() < 0.15 else "a")]
        sizes.update((name, random.randint(1, largest)) for name in writes)
        wiring.append((f"op{o}", reads, writes))
        read.update(reads)
        names += writes
    outputs = [n for n in names if n not in read and not n.startswith("in")]
    outputs += [n for n in names if n in read and n.startswith("t") and random.random() < 0.15]
    used = [n for n in sizes if n in read or not n.startswith("in")]
    return graph_from(wiring, {n: sizes[n] for n in used}, outputs)


def with_after(graph: Graph, seed: int, share: float = 0.3) -> Graph:
    """`graph` with some operators that must wait for others though no tensor joins them."""
    random = Random(seed)
    operators = []
    for i, o in enumerate(graph.operators):
        earlier = [p.name for p in graph.operators[:i] if random.random() < share / (1 + i / 4)]
        operators.append(replace(o, after=tuple(earlier)))
    return replace(graph, operators=tuple(operators))


def mapped(graph: Graph, capacity: int, limits: Limits | None = None) -> Mapped:
    """Maps a graph onto so many bytes."""
    return map_graph(graph, Budget("bytes", capacity), SOURCE, limits=limits)


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
