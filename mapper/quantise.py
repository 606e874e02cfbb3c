"""A float ONNX model to int8 in QDQ form, by static quantisation with ONNX Runtime."""

from __future__ import annotations

import importlib
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import version_converter

from hw.errors import InputError
from hw.files import require_writable
from mapper.onnx_file import ModelFile, read_model
from mapper.quantised_build import Array
from mapper.shapes import computable, input_shape, set_shape

__all__ = ["Quantised", "quantise"]

# Per-channel scales came with operator set 13.
_OPSET = 13
_IR_VERSION = 8

# ONNX Runtime's calibration takes time with the square of the operators: here about a minute.
_MOST_OPERATORS = 3000

# What the integer network has. Other operators stay float, and the importer names them.
_QUANTISED = (
    "Add AveragePool Clip Concat Conv Flatten Gemm GlobalAveragePool MatMul MaxPool Relu Reshape "
    "Squeeze Transpose Unsqueeze"
).split()


@dataclass(frozen=True, kw_only=True)
class Quantised:
    """A model that was quantised, and what its ranges were calibrated with.

    Attributes
    ----------
    path : Path
        The QDQ model.
    samples : int
        Batches that were run.
    calibration : str
        In words, for the user: the file, or that the data was random and from which seed.
    """

    path: Path
    samples: int
    calibration: str


def quantise(
    model: Path | str,
    output: Path | str,
    *,
    calibration: Path | str | None = None,
    seed: int = 0,
    samples: int = 8,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
) -> Quantised:
    """Writes `model` with int8 activations and symmetric int8 weights per output channel.

    Batch normalisation is folded into convolutions first, and a Sum of two becomes an Add.

    Parameters
    ----------
    model, output : path
        Float model in, QDQ model out.
    calibration : path, optional
        ``.npy`` for a model of one input, ``.npz`` with an array per input name. The first axis
        counts samples and is cut into batches as the model takes them. Without it, normally
        distributed numbers drawn from `seed` are used: ranges, and so accuracy, are then no
        more than plausible.
    seed, samples : int
        Of the random data: seed, and batches.
    input_shapes : mapping of str to sequence of int, optional
        Shapes for network inputs whose dimensions are dynamic.

    Raises
    ------
    InputError
        onnxruntime is not installed; the model or the data cannot be read, are too large or do not
        fit each other; the model is quantised already, or ONNX Runtime cannot run it.
    """
    library = _library()
    file = read_model(model)
    if any(n.op_type in ("QuantizeLinear", "QLinearConv") for n in file.graph.node):
        raise InputError(
            f"{file.path}: must be a float model, not a quantised one: use it as it is."
        )
    if len(file.graph.node) > _MOST_OPERATORS:
        raise InputError(
            f"{file.path}: a float model must have at most {_MOST_OPERATORS:,} operators to be "
            f"quantised, not {len(file.graph.node):,}: quantise it with a tool of your own first."
        )
    shapes = _shapes(file, input_shapes or {})
    if calibration is None:
        if samples < 1:
            raise InputError(f"samples must be at least 1, not {samples}.")
        batches = _random(shapes, seed, samples)
        words = f"random data (normal, seed {seed}, {_count(samples, 'batch', 'batches')})"
    else:
        batches = _stored(Path(calibration), shapes)
        words = f"{calibration} ({_count(len(batches), 'batch', 'batches')})"
    target = Path(output)
    require_writable(target)
    prepared = _prepared(file, shapes)
    # Beside the output, so that the result is renamed into place and is there whole or not at all.
    with (
        tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as folder,
        _quiet(),
    ):
        result = Path(folder) / "quantised.onnx"
        try:
            _run(library, prepared, Path(folder), result, batches)
        except InputError:
            raise
        except Exception as error:
            # ONNX Runtime raises many classes of its own; each means that it cannot run the model.
            text = " ".join(str(error).split())[:200]
            raise InputError(
                f"{file.path}: ONNX Runtime must be able to run and quantise the model, "
                f"but cannot ({text})."
            ) from error
        os.replace(result, target)
    return Quantised(path=target, samples=len(batches), calibration=words)


def _library() -> Any:
    try:
        importlib.import_module("onnxruntime")
        return importlib.import_module("onnxruntime.quantization")
    except ImportError as error:
        raise InputError(
            "Quantising a float model must have onnxruntime installed, which it is not: "
            "run `pip install bitweft[quant]`."
        ) from error


def _shapes(file: ModelFile, overrides: Mapping[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    stored = {tensor.name for tensor in file.graph.initializer}
    shapes = {}
    for value in file.graph.input:
        if value.name in stored:
            continue
        shape = input_shape(file.path, value, overrides.get(value.name))
        shapes[value.name] = computable(file.path, value.name, shape)
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            raise InputError(
                f"{file.path}: input {value.name!r} must be float32 to be quantised: "
                "export the model with float inputs."
            )
    return shapes


def _random(shapes: Mapping[str, Sequence[int]], seed: int, samples: int) -> list[dict[str, Array]]:
    rng = np.random.default_rng(seed)
    return [
        {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
        for _ in range(samples)
    ]


def _stored(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> list[dict[str, Array]]:
    try:
        loaded = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"Calibration data must be a readable .npy or .npz file, not {str(path)!r}: "
            "write it with numpy.save or numpy.savez."
        ) from error
    if isinstance(loaded, np.ndarray):
        arrays = {next(iter(shapes)): loaded} if len(shapes) == 1 else {}
    else:
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    if set(arrays) != set(shapes):
        raise InputError(
            f"{path}: must have an array for each input ({', '.join(map(repr, shapes))}), "
            f"not {', '.join(map(repr, arrays)) or 'one without a name'}: use numpy.savez."
        )
    counts = {name: _batches(path, name, arrays[name], shapes[name]) for name in shapes}
    if len(set(counts.values())) > 1:
        raise InputError(f"{path}: inputs must have one number of samples, not {counts}.")
    return [
        {
            name: arrays[name][i * shape[0] : (i + 1) * shape[0]].astype(np.float32)
            for name, shape in shapes.items()
        }
        for i in range(next(iter(counts.values())))
    ]


def _batches(path: Path, name: str, array: Array, shape: tuple[int, ...]) -> int:
    """How many whole batches an array has."""
    if array.ndim != len(shape) or array.shape[1:] != shape[1:] or array.shape[0] < shape[0]:
        wanted = ["samples", *shape[1:]]
        raise InputError(
            f"{path}: data of input {name!r} must have shape {wanted} with at least {shape[0]}, "
            f"not {list(array.shape)}: give it as the model takes it."
        )
    if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
        raise InputError(f"{path}: data of input {name!r} must be finite numbers: correct it.")
    return int(array.shape[0]) // shape[0]


def _prepared(file: ModelFile, shapes: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
    """The model with static shapes, an operator set with per-channel scales, and Add for Sum."""
    model = onnx.ModelProto()
    model.CopyFrom(onnx.load(str(file.path)))
    # Up to IR version 3 initializers are inputs, too, which the user could override: then nothing
    # could be folded.
    model.ir_version = max(model.ir_version, _IR_VERSION)
    inputs = [value for value in model.graph.input if value.name in shapes]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    for value in model.graph.input:
        set_shape(value.type, shapes[value.name])
    for node in model.graph.node:
        if node.op_type == "Sum" and len(node.input) == 2:
            node.op_type = "Add"
    if file.opset < _OPSET:
        try:
            model = version_converter.convert_version(model, _OPSET)
        except Exception as error:
            # The converter's C++ raises whatever it likes; the model is too old in each case.
            raise InputError(
                f"{file.path}: ONNX operator set must be at least {_OPSET} or convertible to it, "
                f"not {file.opset}: export the model for {_OPSET}."
            ) from error
    return model


def _run(
    library: Any,
    model: onnx.ModelProto,
    folder: Path,
    result: Path,
    batches: list[dict[str, Array]],
) -> None:
    source, clean = folder / "model.onnx", folder / "clean.onnx"
    onnx.save(model, str(source))
    shape_inference = importlib.import_module("onnxruntime.quantization.shape_inference")
    # Folds batch normalisation and constants. Symbolic shapes are for dynamic models only.
    shape_inference.quant_pre_process(str(source), str(clean), skip_symbolic_shape=True)

    class Reader(library.CalibrationDataReader):  # type: ignore[misc]
        """Hands out the batches once; the base class reads them by `get_next`."""

        def __init__(self) -> None:
            self._rest: Iterator[dict[str, Array]] = iter(batches)

        def get_next(self) -> dict[str, Array] | None:
            return next(self._rest, None)

    library.quantize_static(
        str(clean),
        str(result),
        Reader(),
        quant_format=library.QuantFormat.QDQ,
        op_types_to_quantize=_QUANTISED,
        per_channel=True,
        activation_type=library.QuantType.QInt8,
        weight_type=library.QuantType.QInt8,
        extra_options={"ActivationSymmetric": False, "WeightSymmetric": True},
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """ONNX Runtime's quantiser logs advice to the root logger, which is no user's business."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
