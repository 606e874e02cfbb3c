"""mapper.smallest: what no cut makes smaller, and with what a network can be cut."""

from __future__ import annotations

import pytest

from hw.spec import load_spec
from mapper.budget import Budget
from mapper.graph import Graph, Operator, Tensor
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Source
from mapper.smallest import least_scratchpad, smallest_piece
from mapper.split import split
from mapper.stage import Window
from sim.random_networks import deep_network

SOURCE = Source("x", "0" * 64, 8, 8, 4, "bytes")


@pytest.mark.parametrize("seed", range(8))
def test_a_network_can_be_cut_for_so_many_bytes_and_for_no_fewer(seed: int) -> None:
    graph = network_graph(deep_network(seed), load_spec("tiny"))
    operator, least = least_scratchpad(graph)
    assert operator in graph.operators
    assert smallest_piece(graph, operator) == least < max(map(graph.operand_bytes, graph.operators))
    assert split(graph, least, weight_memory=4096) is not None
    assert split(graph, least - 1, weight_memory=4096) is None


def test_the_operator_that_cannot_be_cut_is_named_though_another_is_larger() -> None:
    """Of 100 rows a row each fits into little; what reads all of its small input does not."""

    def tensor(n: int, rows: int, row_bytes: int) -> Tensor:
        return Tensor(
            name=f"t{n}", shape=(1, rows, row_bytes, 1), bytes=rows * row_bytes, rows=rows,
            network_input=n == 0, network_output=n == 2,
        )  # fmt: skip

    graph = Graph(
        name="g",
        operators=(
            Operator(
                name="large", kind="Test", inputs=("t0",), outputs=("t1",),
                windows=(Window(3, 10, 1, 1),),
            ),
            Operator(name="stubborn", kind="Test", inputs=("t1",), outputs=("t2",)),
        ),
        tensors=(tensor(0, 100, 10), tensor(1, 10, 20), tensor(2, 1, 20)),
    )  # fmt: skip
    assert [smallest_piece(graph, o) for o in graph.operators] == [50, 220]
    result = map_graph(graph, Budget("bytes", 200), SOURCE)
    assert result.message == (
        "x: scratchpad must have at least 220 bytes for the smallest piece of operator "
        "'stubborn' (Test), not 200: give --scratchpad 220 or more."
    )
    assert (result.summary["operator"], result.summary["needed_bytes"]) == ("stubborn", 220)
    assert map_graph(graph, Budget("bytes", 220), SOURCE).plan is not None
