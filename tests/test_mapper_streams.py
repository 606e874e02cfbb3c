"""mapper.streams, and averages with a softmax behind them: what fits in no other way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from hw.spec import load_spec
from mapper.budget import Budget
from mapper.check import check_plan
from mapper.graph import Graph, Operator, Tensor
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.onnx_import import import_onnx
from mapper.plan import Plan, Source
from mapper.segments import segment_of
from mapper.smallest import smallest_piece
from mapper.streams import with_streams
from tests.reductions import average, single

SOURCE = Source("x", "0" * 64, 8, 8, 4, "bytes")


def _dense(features: int, outputs: int, bias: int) -> Graph:
    return Graph(
        name="dense",
        operators=(
            Operator(
                name="fc", kind="Gemm", inputs=("x",), outputs=("y",), nodes=("fc",),
                weight_bytes=features * outputs + bias, macs=features * outputs,
            ),
        ),
        tensors=(
            Tensor(name="x", shape=(1, features), bytes=features, network_input=True),
            Tensor(name="y", shape=(1, outputs), bytes=outputs, network_output=True),
        ),
    )  # fmt: skip


def _plan(graph: Graph, capacity: int, weight_memory: int | None = 4096) -> Plan | None:
    plan = map_graph(graph, Budget("bytes", capacity), SOURCE, weight_memory=weight_memory).plan
    assert plan is None or check_plan(json.loads(plan.text())) is None
    return plan


def test_a_dense_layer_whose_input_does_not_fit_streams_it() -> None:
    graph = _dense(25088, 4096, 4096)
    plan = _plan(graph, 16384)
    assert plan is not None
    (o,) = plan.operators
    assert o.stage is not None
    (member,) = o.stage.members
    r = member.reduction
    assert r is not None
    assert (r.blocks, r.shared, r.ends[-1]) == (1024, 4096, 25088)
    assert sum(r.parts) == 25088 * 4
    assert max(r.parts) <= 2048
    # Each sweep but the first finds two of the slices; slices differ by a part at most.
    count = len(o.stage.patches) // r.blocks
    assert count > 2
    loaded = sum(t.bytes for t in plan.transfers if t.kind == "load")
    slices = [x.last - x.first for x in (p.buffers[0] for p in o.stage.patches[:count])]
    assert 2 * max(slices) + 4096 <= 16384
    forth, back = sum(slices[2:]), sum(slices[:-2])
    assert loaded == sum(slices) + 512 * back + 511 * forth
    assert plan.objective_bytes == loaded - 25088


def test_what_fits_or_has_no_accelerator_is_left_alone() -> None:
    graph = _dense(25088, 4096, 4096)
    assert with_streams(graph, 30000, 4096, 4) == graph
    assert with_streams(graph, 16384, None, 4) == graph
    # Two blocks of weights for a word of four outputs do not fit.
    assert with_streams(graph, 16384, 16, 4).operators[0].streams is None
    assert _plan(graph, 16384, None) is None
    assert _plan(graph, 4096) is None
    several = replace(graph.operators[0], macs=3 * 25088 * 4096)
    assert with_streams(replace(graph, operators=(several,)), 16384, 4096, 4).operators == (
        several,
    )


def test_an_average_streams_the_rows_that_a_quantised_one_does() -> None:
    size = (30, 17, 7)
    quantised = network_graph(single(average(size), size), load_spec("tiny"))
    (o,) = quantised.operators
    assert o.streams is not None
    bare = replace(quantised, operators=(replace(o, streams=None, channel_windows=()),))
    (given,) = with_streams(bare, 600, 4096, 4).operators
    assert given.streams == o.streams
    assert smallest_piece(replace(bare, operators=(given,)), given) < 600
    assert _plan(bare, 600) is not None


def test_an_average_with_a_softmax_is_cut_along_channels_and_its_result_stays(
    tmp_path: Path,
) -> None:
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["a"], name="average"),
        helper.make_node("Softmax", ["a"], ["y"], name="softmax", axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 50, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    imported = import_onnx(path)
    (o,) = imported.operators
    assert (o.nodes, o.mixes_channels) == (("average", "softmax"), True)
    segment = segment_of(imported, (o,), "channels")
    assert segment.most_patches == 50
    assert segment.allows({"y"})
    assert not segment.allows(set())
    plan = _plan(imported, 90, None)
    assert plan is not None
    (planned,) = plan.operators
    assert planned.stage is not None
    assert (planned.stage.axis, "y" in planned.outputs) == ("channels", True)
    assert plan.objective_bytes == 0
    assert _plan(imported, 36 + 49, None) is None
