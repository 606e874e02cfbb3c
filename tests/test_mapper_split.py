"""mapper.split and mapper.segment: stages that fit, for little traffic."""

from __future__ import annotations

import json

import pytest

from hw.spec import load_spec
from mapper import split as split_module
from mapper.budget import Budget
from mapper.check import check_plan
from mapper.graph import Graph, Operator, Tensor
from mapper.limits import Limits
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.plan import Source
from mapper.segment import MOST_PATCHES
from mapper.segments import segment_of
from mapper.split import split
from mapper.stage import Stage, Window
from sim.random_networks import deep_network

SPEC = load_spec("tiny")
SOURCE = Source("x", "0" * 64, 8, 8, 4, "bytes")


def _graph(seed: int) -> Graph:
    return network_graph(deep_network(seed), SPEC)


def _need(graph: Graph) -> int:
    return max(graph.operand_bytes(o) for o in graph.operators)


def _objective(graph: Graph, capacity: int, weights: int | None = 4096) -> int | None:
    plan = map_graph(graph, Budget("bytes", capacity), SOURCE, weight_memory=weights).plan
    return None if plan is None else plan.objective_bytes


def chain(windows: list[Window], rows: int, row_bytes: list[int]) -> Graph:
    """Operators one after another, each as high as its window makes it."""
    heights = [rows]
    for w in windows:
        reach = (w.kernel - 1) * w.dilation + 1
        heights.append((heights[-1] + 2 * w.padding - reach) // w.stride + 1)
    tensors = tuple(
        Tensor(
            name=f"t{n}",
            shape=(1, h, size, 1),
            bytes=h * size,
            rows=h,
            network_input=n == 0,
            network_output=n == len(windows),
        )
        for n, (h, size) in enumerate(zip(heights, row_bytes, strict=True))
    )
    operators = tuple(
        Operator(
            name=f"o{n}", kind="Test", inputs=(f"t{n}",), outputs=(f"t{n + 1}",), windows=(w,),
            macs=heights[n + 1] * 10, weight_bytes=7,
        )
        for n, w in enumerate(windows)
    )  # fmt: skip
    return Graph(name="chain", operators=operators, tensors=tensors)


WINDOWS = [Window(3, 1, 1, 1), Window(3, 2, 1, 1), Window(1, 1, 1, 0), Window(3, 1, 2, 2)]


@pytest.mark.parametrize("patches", [1, 2, 3, 5, 7])
def test_a_patch_has_the_rows_that_a_walk_from_row_to_row_finds(patches: int) -> None:
    graph = chain(WINDOWS, 21, [4, 4, 4, 4, 4])
    segment = segment_of(graph, graph.operators, "rows")
    heights = [t.rows for t in graph.tensors]
    for patch in range(patches):
        wanted = set(range(*segment.slice("t4", patch, patches)))
        rows = segment.rows(patch, patches)
        for n in range(4, -1, -1):
            assert set(range(*rows[f"t{n}"])) == wanted
            if n:
                w = WINDOWS[n - 1]
                taps = {
                    r * w.stride - w.padding + k * w.dilation
                    for r in wanted
                    for k in range(w.kernel)
                }
                taps = {r for r in taps if 0 <= r < heights[n - 1]}
                # Rows between two taps that no tap reads are there as well: a slice has no holes.
                wanted = set(range(min(taps), max(taps) + 1))
    most = segment.widest(patches)
    for patch in range(patches):
        for t, (first, last) in segment.rows(patch, patches).items():
            assert last - first <= most[t]


def test_what_fits_is_left_as_it_is() -> None:
    graph = _graph(1)
    everything = sum(t.bytes for t in graph.tensors)
    cut = split(graph, everything, weight_memory=4096)
    assert cut is not None
    assert [o.name for o in cut.operators] == [o.name for o in graph.operators]
    assert not any(o.stage for o in cut.operators)


def test_every_step_fits_and_all_kinds_of_stage_occur() -> None:
    stages: list[Stage] = []
    for seed in range(12):
        graph = _graph(seed)
        for share in (6, 4, 3):
            capacity = _need(graph) * share // 8
            cut = split(graph, capacity, weight_memory=4096)
            if cut is None:
                continue
            assert all(cut.operand_bytes(o) <= capacity for o in cut.operators)
            done = [m for o in cut.operators for m in (o.stage.members if o.stage else (o,))]
            assert [m.name for m in done] == [o.name for o in graph.operators]
            stages += [o.stage for o in cut.operators if o.stage]
            assert split(graph, capacity, weight_memory=4096) == cut
    assert {s.axis for s in stages} == {"rows", "channels"}
    assert any(len(s.members) > 1 and len(s.patches) > 1 for s in stages)
    assert any(s.recomputed_macs for s in stages)
    assert any(p.loads for s in stages for p in s.patches)
    assert any(p.stores for s in stages for p in s.patches)


@pytest.mark.parametrize("seed", range(6))
def test_stages_of_several_operators_save_traffic(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = _graph(seed)
    capacity = _need(graph) // 2
    several = _objective(graph, capacity)
    monkeypatch.setattr(split_module, "_MOST_MEMBERS", 1)
    single = _objective(graph, capacity)
    assert several is not None
    assert single is None or several <= single


def test_a_chain_of_three_is_cut_as_by_hand() -> None:
    # In and out of 8 rows of 10 bytes, 100 bytes per row between: one stage of row patches needs
    # neither of the wide tensors, and reads two halo rows less than three rows per patch.
    three = Window(3, 1, 1, 1)
    graph = chain([Window(), three, Window()], 8, [10, 100, 100, 10])
    plan = map_graph(graph, Budget("bytes", 160 + 500), SOURCE, weight_memory=64).plan
    assert plan is not None
    (stage,) = [o.stage for o in plan.operators if o.stage]
    assert len(stage.members) == 3
    assert plan.objective_bytes == 0  # in and out stay on chip
    assert check_plan(json.loads(plan.text())) is None
    rows = [[(p.first, p.last) for p in patch.parts] for patch in stage.patches]
    # 500 bytes hold three rows before and two behind the window.
    assert (
        rows
        == [
            [(0, 3), (0, 2), (0, 2)],
            [(1, 5), (2, 4), (2, 4)],
            [(3, 7), (4, 6), (4, 6)],
            [(5, 8), (6, 8), (6, 8)],
        ]
        or len(rows) > 4
    )
    assert stage.recomputed_macs == 10 * sum(
        max(0, a[0][1] - b[0][0]) for a, b in zip(rows, rows[1:], strict=False)
    )


def test_weights_are_read_again_where_they_are_not_kept() -> None:
    graph = chain([Window(), Window(3, 1, 1, 1), Window()], 8, [10, 100, 100, 10])
    budget = Budget("bytes", 660)
    for memory, patches_read in ((None, True), (20, True), (21, False)):
        plan = map_graph(graph, budget, SOURCE, weight_memory=memory).plan
        assert plan is not None
        (stage,) = [o.stage for o in plan.operators if o.stage]
        again = 21 * (len(stage.patches) - 1)
        assert plan.reread_weight_bytes == (again if patches_read else 0)
        assert plan.objective_bytes >= plan.reread_weight_bytes
        assert patches_read or plan.objective_bytes == 0


def test_what_cannot_be_cut_is_refused() -> None:
    graph = chain([Window()], 4, [10, 10])
    whole = Graph(
        name="whole",
        operators=(Operator(name="o", kind="Test", inputs=("t0",), outputs=("t1",)),),
        tensors=graph.tensors,
    )
    assert split(whole, 79) is None
    assert split(graph, 19) is None
    assert split(graph, 20) is not None
    result = map_graph(whole, Budget("bytes", 79), SOURCE)
    assert result.plan is None
    assert result.message == (
        "x: scratchpad must have at least 80 bytes for the smallest piece of operator 'o' (Test), "
        "not 79: give --scratchpad 80 or more."
    )


class TestHuge:
    """Sizes that only an attack or a slip has end in bounded time and memory."""

    @staticmethod
    def _graph(rows: int, row_bytes: int) -> Graph:
        tensors = tuple(
            Tensor(
                name=name, shape=(1, 1, rows, row_bytes), bytes=rows * row_bytes, rows=rows,
                network_input=name == "x", network_output=name == "y",
            )
            for name in ("x", "y")
        )  # fmt: skip
        conv = Operator(
            name="c", kind="Conv", inputs=("x",), outputs=("y",), windows=(Window(3, 1, 1, 1),)
        )
        return Graph(name="huge", operators=(conv,), tensors=tensors)

    def test_no_plan_has_more_patches_than_the_most(self) -> None:
        graph = self._graph(1 << 40, 1)
        assert split(graph, 1 << 20) is None
        cut = split(graph, 1 << 30)
        assert cut is not None
        (stage,) = (o.stage for o in cut.operators)
        assert stage is not None
        assert 1 << 11 <= len(stage.patches) <= MOST_PATCHES

    def test_when_the_clock_has_run_out_the_split_still_holds(self) -> None:
        graph = self._graph(64, 16)
        late = Limits(seconds=0.0)
        assert late.exhausted()
        cut = split(graph, 300, limits=late)
        assert cut is not None
        assert all(cut.operand_bytes(o) <= 300 for o in cut.operators)
