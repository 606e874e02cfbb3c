"""mapper.quantise: float models to integer networks, and what is refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hw.errors import InputError
from mapper.quantise import quantise
from mapper.quantised_import import import_quantised
from sim.quantised import AveragePool, Conv, Shuffle
from sim.quantised_run import run
from tests.mapper_graphs import light_model
from tests.quantised_models import (
    Builder,
    compare,
    onnxruntime,
    ort_tensors,
    random_model,
    redrawn,
    resnet_model,
)


def _save(model: onnx.ModelProto, folder: Path) -> Path:
    path = folder / "float.onnx"
    onnx.save(model, str(path))
    return path


def _float_result(path: Path, x: Any) -> Any:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


class TestQuantise:
    def test_the_integer_network_is_close_to_the_float_one(self, tmp_path: Path) -> None:
        source = _save(resnet_model(1), tmp_path)
        rng = np.random.default_rng(5)
        data = rng.standard_normal((12, 3, 48, 48)).astype(np.float32)
        np.save(tmp_path / "data.npy", data)
        result = quantise(source, tmp_path / "q.onnx", calibration=tmp_path / "data.npy")
        assert result.samples == 12
        assert result.calibration == f"{tmp_path / 'data.npy'} (12 batches)"
        model = import_quantised(result.path)
        x = data[:1]
        (mine,) = model.results(run(model.network, model.feeds({"x": x}))).values()
        exact = _float_result(source, x)
        # Int8 with a scale per channel: a few per cent of the range.
        assert np.abs(mine - exact).max() <= 0.08 * np.abs(exact).max()

    @pytest.mark.parametrize("seed", range(4))
    def test_random_networks_import(self, tmp_path: Path, seed: int) -> None:
        source = _save(random_model(seed), tmp_path)
        result = quantise(source, tmp_path / "q.onnx", seed=seed, samples=2)
        model = import_quantised(result.path)
        x = np.random.default_rng(9).standard_normal(model.inputs[0].shape, np.float32)
        theirs = ort_tensors(result.path, {"x": x}, [t.name for t in model.network.tensors])
        each, _ = compare(model.network, model.feeds({"x": x}), theirs)
        assert each.worst <= 1

    def test_weights_are_symmetric_per_channel(self, tmp_path: Path) -> None:
        b = Builder(0, (1, 3, 6, 6))
        source = _save(b.model(b.conv("x", 5)), tmp_path)
        result = quantise(source, tmp_path / "q.onnx")
        (conv,) = import_quantised(result.path).network.operators
        assert isinstance(conv, Conv)
        assert conv.post.multiplier.shape == (5,)
        assert np.abs(conv.weight.astype(int)).reshape(5, -1).max(1).tolist() == [127] * 5

    def test_random_data_is_said_to_be_random_and_repeats(self, tmp_path: Path) -> None:
        source = _save(random_model(0), tmp_path)
        first = quantise(source, tmp_path / "1.onnx", seed=3, samples=2)
        quantise(source, tmp_path / "2.onnx", seed=3, samples=2)
        quantise(source, tmp_path / "3.onnx", seed=4, samples=2)
        assert first.calibration == "random data (normal, seed 3, 2 batches)"
        written = [(tmp_path / f"{i}.onnx").read_bytes() for i in (1, 2, 3)]
        assert written[0] == written[1] != written[2]
        assert sorted(p.name for p in tmp_path.iterdir()) == [
            "1.onnx",
            "2.onnx",
            "3.onnx",
            "float.onnx",
        ]

    def test_named_inputs_and_dynamic_batches(self, tmp_path: Path) -> None:
        b = Builder(0, (1, 3, 6, 6))
        model = b.model(b.conv("x", 4))
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
        np.savez(tmp_path / "data.npz", x=np.ones((5, 3, 6, 6), np.float32))
        result = quantise(
            _save(model, tmp_path),
            tmp_path / "q.onnx",
            calibration=tmp_path / "data.npz",
            input_shapes={"x": [2, 3, 6, 6]},
        )
        # Two whole batches of two; the fifth sample is left over.
        assert result.samples == 2
        assert import_quantised(result.path).inputs[0].shape == (2, 3, 6, 6)


def test_shufflenet_of_the_onnx_package(tmp_path: Path) -> None:
    """The whole network at its own resolution, from operator set 9, weights drawn from a seed."""
    source = _save(redrawn(light_model("shufflenet"), 3), tmp_path)
    result = quantise(source, tmp_path / "q.onnx", samples=2)
    model = import_quantised(result.path, host=True)
    network = model.network
    assert len(model.host) == 1  # Softmax
    assert sum(isinstance(o, Shuffle) for o in network.operators) == 16
    assert sum(isinstance(o, Conv) and o.depthwise for o in network.operators) == 16
    # Three-by-three averages with a border of padding that does not count.
    assert [sorted(o.border) for o in network.operators if isinstance(o, AveragePool)] == [
        [4, 6],
        [4, 6],
        [4, 6],
        [],
    ]
    # The float model has 124.7 M multiply-accumulates in convolutions and its classifier.
    assert network.macs == 124_664_528
    (port,) = model.inputs
    x = np.random.default_rng(5).standard_normal(port.shape, np.float32)
    theirs = ort_tensors(result.path, {port.name: x}, [t.name for t in network.tensors])
    each, _ = compare(network, model.feeds({port.name: x}), theirs)
    assert each.elements > 4_000_000
    assert each.worst <= 1
    assert each.off <= each.elements / 5000


# --- refusals ----------------------------------------------------------------------------------


def _no_file(folder: Path) -> dict[str, Any]:
    return {"calibration": folder / "none.npy"}


def _wrong_shape(folder: Path) -> dict[str, Any]:
    np.save(folder / "data.npy", np.zeros((4, 3, 5, 6)))
    return {"calibration": folder / "data.npy"}


def _wrong_name(folder: Path) -> dict[str, Any]:
    np.savez(folder / "data.npz", image=np.zeros((4, 3, 6, 6)))
    return {"calibration": folder / "data.npz"}


def _not_finite(folder: Path) -> dict[str, Any]:
    np.save(folder / "data.npy", np.full((4, 3, 6, 6), np.inf))
    return {"calibration": folder / "data.npy"}


def _no_samples(folder: Path) -> dict[str, Any]:
    return {"samples": 0}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            _no_file,
            (
                "Calibration data must be a readable .npy or .npz file, not 'DIR/none.npy': "
                "write it with numpy.save or numpy.savez."
            ),
        ),
        (
            _wrong_shape,
            (
                "DIR/data.npy: data of input 'x' must have shape ['samples', 3, 6, 6] with at "
                "least 1, not [4, 3, 5, 6]: give it as the model takes it."
            ),
        ),
        (
            _wrong_name,
            "DIR/data.npz: must have an array for each input ('x'), not 'image': use numpy.savez.",
        ),
        (
            _not_finite,
            "DIR/data.npy: data of input 'x' must be finite numbers: correct it.",
        ),
        (_no_samples, "samples must be at least 1, not 0."),
    ],
)
def test_refuses_data(
    tmp_path: Path, options: Callable[[Path], dict[str, Any]], message: str
) -> None:
    b = Builder(0, (1, 3, 6, 6))
    source = _save(b.model(b.conv("x", 4)), tmp_path)
    with pytest.raises(InputError) as caught:
        quantise(source, tmp_path / "q.onnx", **options(tmp_path))
    assert str(caught.value).replace(str(tmp_path), "DIR") == message
    assert not (tmp_path / "q.onnx").exists()


def test_refuses_a_quantised_model(tmp_path: Path) -> None:
    source = _save(random_model(0), tmp_path)
    quantise(source, tmp_path / "q.onnx", samples=1)
    with pytest.raises(InputError) as caught:
        quantise(tmp_path / "q.onnx", tmp_path / "again.onnx")
    assert str(caught.value) == (
        f"{tmp_path}/q.onnx: must be a float model, not a quantised one: use it as it is."
    )


def test_refuses_a_model_that_does_not_run(tmp_path: Path) -> None:
    weight = numpy_helper.from_array(np.zeros((4, 2, 1, 1), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 6, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weight],
    )
    opsets = [helper.make_opsetid("", 17)]
    source = _save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path)
    pattern = r"^\S+: ONNX Runtime must be able to run and quantise the model, but cannot \(.*\)\.$"
    with pytest.raises(InputError, match=pattern):
        quantise(source, tmp_path / "q.onnx")


def _transposes(count: int, shape: list[int], folder: Path) -> Path:
    nodes = [helper.make_node("Transpose", [f"t{n}"], [f"t{n + 1}"]) for n in range(count)]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name in ("t0", f"t{count}")
    ]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:])
    opsets = [helper.make_opsetid("", 17)]
    return _save(helper.make_model(graph, opset_imports=opsets, ir_version=8), folder)


@pytest.mark.parametrize(
    ("count", "shape", "message"),
    [
        (
            3001,
            [2, 2],
            (
                "a float model must have at most 3,000 operators to be quantised, not 3,001: "
                "quantise it with a tool of your own first."
            ),
        ),
        (
            1,
            [1 << 20, 1 << 20],
            (
                "tensor 't0' must have at most 67,108,864 elements to be computed, not "
                "1,099,511,627,776: export the model for a smaller input."
            ),
        ),
    ],
)
def test_refuses_what_would_take_hours_or_all_memory(
    count: int, shape: list[int], message: str, tmp_path: Path
) -> None:
    source = _transposes(count, shape, tmp_path)
    with pytest.raises(InputError) as caught:
        quantise(source, tmp_path / "q.onnx")
    assert str(caught.value) == f"{source}: {message}"


def test_names_the_extra_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(
        InputError,
        match=r"^Quantising a float model must have onnxruntime installed, which it is not: "
        r"run `pip install bitweft\[quant\]`\.$",
    ):
        quantise(tmp_path / "none.onnx", tmp_path / "q.onnx")
