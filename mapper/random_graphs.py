"""Small graphs, wired by hand or drawn at random, to try the mapper on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random

from mapper.graph import Graph, Operator, Tensor

__all__ = ["graph_from", "random_graph", "with_after"]

Wiring = Sequence[tuple[str, Sequence[str], Sequence[str]]]


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
