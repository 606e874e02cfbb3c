"""Float networks with seeded weights, quantised by ONNX Runtime, for the tests of the importer."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mapper.onnx_runtime import exact_session
from sim.quantised import Network
from sim.quantised_run import execute, run

Array = np.ndarray[Any, np.dtype[Any]]

# It has no type information, so that all of it is Any.
onnxruntime: Any = importlib.import_module("onnxruntime")
quantization: Any = importlib.import_module("onnxruntime.quantization")
shape_inference: Any = importlib.import_module("onnxruntime.quantization.shape_inference")


class Builder:
    """Strings float operators together; each method returns the name of its result (NCHW)."""

    def __init__(self, seed: int, shape: Sequence[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.shape = tuple(shape)
        self.channels = {"x": shape[1]}

    def node(self, kind: str, *inputs: str, channels: int, **attributes: Any) -> str:
        name = f"{kind.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [f"{name}_y"], name, **attributes))
        self.channels[f"{name}_y"] = channels
        return f"{name}_y"

    def constant(self, value: Array) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def weight(self, *shape: int) -> str:
        spread = (2 / np.prod(shape[1:])) ** 0.5
        # Channels of different size, so that per-channel scales matter.
        size = self.rng.uniform(0.3, 2, (shape[0], *[1] * (len(shape) - 1)))
        return self.constant((self.rng.standard_normal(shape) * spread * size).astype(np.float32))

    def conv(
        self, x: str, outputs: int, kernel: int = 3, *, groups: int = 1, act: str = "", **more: Any
    ) -> str:
        weight = self.weight(outputs, self.channels[x] // groups, kernel, kernel)
        bias = self.constant(self.rng.normal(0, 0.2, outputs).astype(np.float32))
        more.setdefault("pads", [kernel // 2] * 4)
        result = self.node("Conv", x, weight, bias, channels=outputs, group=groups, **more)
        return self.activation(result, act)

    def activation(self, x: str, act: str) -> str:
        if act == "relu":
            return self.node("Relu", x, channels=self.channels[x])
        if act == "relu6":
            bounds = [self.constant(np.array(v, np.float32)) for v in (0, 6)]
            return self.node("Clip", x, *bounds, channels=self.channels[x])
        return x

    def add(self, a: str, b: str, act: str = "") -> str:
        return self.activation(self.node("Add", a, b, channels=self.channels[a]), act)

    def pool(self, kind: str, x: str, kernel: int = 2, stride: int = 2, **more: Any) -> str:
        more = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, **more}
        return self.node(kind, x, channels=self.channels[x], **more)

    def concat(self, *xs: str) -> str:
        return self.node("Concat", *xs, channels=sum(self.channels[x] for x in xs), axis=1)

    def shuffle(self, x: str, groups: int, size: int) -> str:
        count, channels = self.shape[0], self.channels[x]
        split = self.constant(np.array([count, groups, channels // groups, size, size]))
        whole = self.constant(np.array([count, channels, size, size]))
        wide = self.node("Reshape", x, split, channels=channels)
        turned = self.node("Transpose", wide, channels=channels, perm=[0, 2, 1, 3, 4])
        return self.node("Reshape", turned, whole, channels=channels)

    def dense(self, x: str, features: int, outputs: int) -> str:
        flat = self.node("Flatten", x, channels=features)
        bias = self.constant(self.rng.normal(0, 0.2, outputs).astype(np.float32))
        weight = self.weight(outputs, features)
        return self.node("Gemm", flat, weight, bias, channels=outputs, transB=1)

    def model(self, *outputs: str, opset: int = 17) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "net",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
            self.constants,
        )
        opsets = [helper.make_opsetid("", opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


class _Reader(quantization.CalibrationDataReader):
    def __init__(self, shape: Sequence[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        self._rest = iter([{"x": rng.standard_normal(shape, np.float32)} for _ in range(3)])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._rest, None)


def quantised(
    model: onnx.ModelProto,
    folder: Path,
    *,
    form: str = "QDQ",
    activation: str = "QInt8",
    per_channel: bool = True,
    seed: int = 0,
) -> Path:
    """The model quantised by ONNX Runtime itself, in either form."""
    kinds = quantization.QuantType
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    source, clean, result = (folder / f"{name}.onnx" for name in ("float", "clean", form))
    onnx.save(model, str(source))
    logging.disable(logging.WARNING)
    try:
        shape_inference.quant_pre_process(str(source), str(clean), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(clean),
            str(result),
            _Reader(shape, seed),
            quant_format=quantization.QuantFormat[form],
            per_channel=per_channel,
            activation_type=kinds[activation],
            weight_type=kinds.QInt8,
            extra_options={"WeightSymmetric": True},
        )
    finally:
        logging.disable(logging.NOTSET)
    return result


def ort_tensors(path: Path, feeds: dict[str, Array], names: Sequence[str]) -> dict[str, Array]:
    """The model's own integers in the named tensors, from ONNX Runtime's kernels."""
    model = onnx.load(str(path))
    kinds = {v.name: v for v in [*model.graph.output, *model.graph.value_info]}
    present = {o for node in model.graph.node for o in node.output}
    wanted = [name for name in names if name in present]
    for name in wanted:
        if name not in {o.name for o in model.graph.output}:
            model.graph.output.append(kinds.get(name) or onnx.ValueInfoProto(name=name))
    session = exact_session(model.SerializeToString())
    return dict(zip(wanted, session.run(wanted, feeds), strict=True))


class Difference:
    """How far the integers are from ONNX Runtime's: elements, those one off, and the greatest."""

    def __init__(self) -> None:
        self.elements = self.off = self.worst = 0

    def count(self, mine: Array, theirs: Array) -> None:
        gap = np.abs(mine.astype(int) - theirs.astype(int))
        self.elements += gap.size
        self.off += int((gap > 0).sum())
        self.worst = max(self.worst, int(gap.max()))

    def __repr__(self) -> str:
        return f"{self.off} of {self.elements} differ, by {self.worst} at most"


def nhwc(values: Array) -> Array:
    """ONNX Runtime's integers as the network has them."""
    if values.dtype == np.uint8:
        values = (values.astype(np.int16) - 128).astype(np.int8)
    if values.ndim == 2:
        return values[:, None, None, :]
    return values.transpose(0, 2, 3, 1)


def compare(
    network: Network, feeds: dict[str, Array], theirs: dict[str, Array]
) -> tuple[Difference, Difference]:
    """Differences per operator, each fed ONNX Runtime's own inputs, and end to end."""
    each, whole = Difference(), Difference()
    mine = run(network, feeds)
    known = {name: nhwc(value) for name, value in theirs.items()}
    known.update(feeds)
    for operator in network.operators:
        result = execute(operator, *(known[name] for name in operator.inputs))
        if operator.output in theirs:
            each.count(result, known[operator.output])
            whole.count(mine[operator.output], known[operator.output])
        else:
            # A shuffle that the model spells as several nodes: nothing to compare with.
            known[operator.output] = result
    return each, whole


def random_model(seed: int) -> onnx.ModelProto:
    """A small network of conv, depthwise, residual, pool, concat and shuffle blocks, at random."""
    rng = np.random.default_rng(seed)
    batch, side = int(rng.integers(1, 3)), int(rng.integers(8, 13))
    b = Builder(seed, (batch, int(rng.integers(1, 5)), side, side))

    def act() -> str:
        return str(rng.choice(["", "relu", "relu6"]))

    x = b.conv("x", 8, act=act())
    for kind in rng.permutation(["conv", "depthwise", "residual", "pool", "concat", "shuffle"]):
        wide = b.channels[x]
        if kind == "conv":
            kernel, stride = int(rng.choice([1, 3])), int(rng.choice([1, 2]))
            before, after = (int(n) for n in rng.integers(0, kernel // 2 + 1, 2))
            pads, groups = [before, before, after, after], int(rng.choice([1, 2, 4]))
            strides = [stride] * 2
            x = b.conv(x, wide, kernel, groups=groups, act=act(), strides=strides, pads=pads)
            side = (side + before + after - kernel) // stride + 1
        elif kind == "depthwise":
            x = b.conv(x, wide, groups=wide, act=act())
        elif kind == "residual":
            x = b.add(b.conv(x, wide, act=act()), x, act())
        elif kind == "pool":
            before, after = (int(n) for n in rng.integers(0, 2, 2))
            more: dict[str, Any] = {"pads": [before, before, after, after]}
            pool = str(rng.choice(["MaxPool", "AveragePool"]))
            if pool == "AveragePool":
                more["count_include_pad"] = int(rng.integers(2))
            x = b.pool(pool, x, 3, 1, **more)
            side = side + before + after - 2
        elif kind == "concat":
            x = b.concat(x, b.conv(x, 4, 1, act=act()))
        else:
            x = b.shuffle(x, 4, side)
    if rng.integers(2):
        return b.model(b.dense(x, b.channels[x] * side * side, 10))
    return b.model(
        b.dense(b.node("GlobalAveragePool", x, channels=b.channels[x]), b.channels[x], 10)
    )


def patches_model(folder: Path) -> Path:
    """Two convolutions whose tensors of 9,216 bytes do not lie in 16 KiB side by side."""
    builder = Builder(5, (1, 4, 48, 48))
    x = builder.conv("x", 4, 1, act="relu")
    return quantised(builder.model(builder.conv(x, 4, 1)), folder)


def mobilenet_model(seed: int) -> onnx.ModelProto:
    """A MobileNetV2 stem and three inverted residual blocks, two of them with a shortcut."""
    b = Builder(seed, (1, 3, 48, 48))
    x = b.conv("x", 16, act="relu6", strides=[2, 2])
    for outputs, stride in ((24, 2), (24, 1), (24, 1)):
        wide = b.channels[x] * 6
        y = b.conv(x, wide, 1, act="relu6")
        y = b.conv(y, wide, groups=wide, act="relu6", strides=[stride] * 2)
        y = b.conv(y, outputs, 1)
        x = b.add(y, x) if stride == 1 else y
    x = b.conv(x, 64, 1, act="relu6")
    return b.model(b.dense(b.node("GlobalAveragePool", x, channels=64), 64, 10))


def resnet_model(seed: int) -> onnx.ModelProto:
    """A ResNet stem with max pooling and two blocks, the second with a stride-2 shortcut."""
    b = Builder(seed, (1, 3, 48, 48))
    x = b.conv("x", 16, 7, act="relu", strides=[2, 2])
    x = b.pool("MaxPool", x, 3, 2, pads=[1] * 4)
    y = b.conv(b.conv(x, 16, act="relu"), 16)
    x = b.add(y, x, "relu")
    y = b.conv(b.conv(x, 32, act="relu", strides=[2, 2]), 32)
    x = b.add(y, b.conv(x, 32, 1, strides=[2, 2]), "relu")
    return b.model(b.dense(b.node("GlobalAveragePool", x, channels=32), 32, 10))


def redrawn(path: Path, seed: int) -> onnx.ModelProto:
    """A network of the onnx package, its empty weights drawn from a seed."""
    model = onnx.load(str(path))
    rng = np.random.default_rng(seed)
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type == "ConstantOfShape":
            stored[node.output[0]] = np.zeros(tuple(stored[node.input[0]]), np.float32)
            model.graph.node.remove(node)
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            shape = stored[node.input[1]].shape
            drawn = rng.standard_normal(shape) * (2 / np.prod(shape[1:])) ** 0.5
            stored[node.input[1]] = drawn.astype(np.float32)
        elif node.op_type == "BatchNormalization":
            ranges = ((0.5, 1.5), (-0.3, 0.3), (-0.3, 0.3), (0.5, 1.5))
            for name, (low, high) in zip(node.input[1:], ranges, strict=True):
                stored[name] = rng.uniform(low, high, stored[name].shape).astype(np.float32)
    read = {name for node in model.graph.node for name in node.input}
    inputs = [v for v in model.graph.input if v.name not in stored]
    del model.graph.input[:], model.graph.initializer[:]
    model.graph.input.extend(inputs)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in stored.items() if name in read
    )
    return model
