"""How an ONNX tensor can be cut into rows, channels or columns, and which of them a node needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx

from mapper.catalogue import ELEMENTWISE
from mapper.graph import Convolution
from mapper.stage import Window

__all__ = [
    "channel_windows_of",
    "channels_of",
    "column_windows_of",
    "columns_of",
    "rows_of",
    "same_rows",
    "windows_of",
]

Shape = tuple[int, ...]
Array = npt.NDArray[np.generic]

# The rows of an image (N, C, H, W), of a video (N, C, T, H, W), the tokens of a text (N, T, C).
_ROW_AXES = {3: 1, 4: 2, 5: 3}
_POOLS = frozenset({"AveragePool", "LpPool", "MaxPool"})
_ALONG_AN_AXIS = {"LayerNormalization": -1, "LogSoftmax": -1, "RMSNormalization": -1, "Softmax": -1}


def rows_of(shape: Shape) -> int:
    """How many rows a tensor can be cut into; 1 if none of its dimensions serves."""
    axis = _ROW_AXES.get(len(shape))
    return 1 if axis is None or shape[0] != 1 else shape[axis]


def same_rows(one: Shape, other: Shape) -> bool:
    """Whether two shapes of the same elements differ in their channels only, or in the time."""
    return (
        one[:1] == other[:1] == (1,) and one[-2:] == other[-2:] and {len(one), len(other)} <= {4, 5}
    )


def columns_of(shape: Shape) -> int:
    """Columns of an image or video; 1 of other tensors."""
    return shape[-1] if len(shape) in (4, 5) and shape[0] == 1 else 1


def channels_of(shape: Shape, multiple: int) -> int:
    """Channel words of an image or video, `multiple` channels each; 1 of other tensors."""
    return -(-shape[1] // multiple) if len(shape) in (4, 5) and shape[0] == 1 else 1


def channel_windows_of(
    node: onnx.NodeProto,
    inputs: Sequence[Shape],
    output: Shape,
    convolution: Convolution | None,
) -> tuple[Window | None, ...]:
    """The same for channels: None for all of an input's, nothing if they cannot be cut apart."""
    if len(output) not in (4, 5) or output[0] != 1:
        return ()
    alike = tuple(Window() if s[:2] == output[:2] else None for s in inputs)
    if convolution is not None:
        each = convolution.groups == inputs[0][1] == output[1]
        return (alike if each else (None,)) if len(inputs) == 1 else ()
    if node.op_type in _POOLS | {"GlobalAveragePool", "GlobalMaxPool"} | ELEMENTWISE:
        return alike
    return ()


def windows_of(
    node: onnx.NodeProto,
    inputs: Sequence[Shape],
    output: Shape,
    convolution: Convolution | None,
    values: Mapping[str, Array] | None = None,
) -> tuple[Window | None, ...]:
    """What a row of the output needs of each input: a window of rows, or None for all of it.

    Parameters
    ----------
    node : NodeProto
        With one output.
    inputs : sequence of shapes
        Of its activations, as the node sees them, in order.
    output : shape
    convolution : Convolution or None
        Its geometry, if it is one.
    values : mapping of str to array, optional
        Of constants among its inputs.

    Returns
    -------
    tuple of Window or None
        Empty if rows of the output cannot be computed apart.
    """
    axis = _ROW_AXES.get(len(output))
    if axis is None or rows_of(output) == 1:
        return ()
    return _windows_along(axis, node, inputs, output, convolution, values or {})


def column_windows_of(
    node: onnx.NodeProto,
    inputs: Sequence[Shape],
    output: Shape,
    convolution: Convolution | None,
    values: Mapping[str, Array] | None = None,
) -> tuple[Window | None, ...]:
    """The same for columns of images and videos."""
    if columns_of(output) == 1:
        return ()
    return _windows_along(len(output) - 1, node, inputs, output, convolution, values or {})


def _windows_along(
    axis: int,
    node: onnx.NodeProto,
    inputs: Sequence[Shape],
    output: Shape,
    convolution: Convolution | None,
    values: Mapping[str, Array],
) -> tuple[Window | None, ...]:
    """The same for rows or columns, by the dimension that they are."""
    attributes = {a.name: a for a in node.attribute}
    if convolution is not None:
        if len(inputs) != 1:
            return ()
        n = axis - 2
        if convolution.transposed:
            return (_transposed(convolution, n),)
        return (
            Window(
                convolution.kernel[n],
                convolution.strides[n],
                convolution.dilations[n],
                convolution.pads[n],
            ),
        )
    if node.op_type in _POOLS:
        return _pool(attributes, inputs[0], output, axis)
    if node.op_type in ELEMENTWISE or node.op_type == "LRN":
        return tuple(_broadcast(shape, output, axis) for shape in inputs)
    if node.op_type in _ALONG_AN_AXIS:
        along = attributes["axis"].i if "axis" in attributes else _ALONG_AN_AXIS[node.op_type]
        return (Window(),) if along % len(output) > axis else ()
    if node.op_type == "Concat":
        same = attributes["axis"].i % len(output) != axis
        return tuple(Window() for _ in inputs) if same else ()
    if node.op_type == "Transpose":
        order = attributes["perm"].ints if "perm" in attributes else range(len(output))[::-1]
        return (Window(),) if order[axis] == axis else ()
    if node.op_type in ("Resize", "Upsample") and len(inputs) == 1:
        return _resized(node.op_type, attributes, inputs[0][axis], output[axis])
    if node.op_type == "Slice" and len(inputs) == 1:
        return _cropped(node, inputs[0], axis, values)
    if node.op_type == "MatMul" and axis == len(output) - 2:
        # Each row of the product needs one of the left matrix and all of the right one.
        left = len(inputs[0]) == len(output) and inputs[0][axis] == output[axis]
        if left and inputs[0][0] == 1:
            return (Window(), *(None for _ in inputs[1:]))
    return ()


def _broadcast(shape: Shape, output: Shape, axis: int) -> Window | None:
    same = len(shape) == len(output) and shape[0] == 1 and shape[axis] == output[axis]
    return Window() if same else None


def _pool(
    attributes: Mapping[str, onnx.AttributeProto], source: Shape, output: Shape, axis: int
) -> tuple[Window | None, ...]:
    n = axis - 2

    def number(name: str, default: int) -> int:
        return int(attributes[name].ints[n]) if name in attributes else default

    kernel, stride, dilation = (
        number("kernel_shape", 1),
        number("strides", 1),
        number("dilations", 1),
    )
    automatic = attributes["auto_pad"].s.decode() if "auto_pad" in attributes else "NOTSET"
    begin = number("pads", 0) if automatic == "NOTSET" else 0
    if automatic.startswith("SAME"):
        reach = max((output[axis] - 1) * stride + (kernel - 1) * dilation + 1 - source[axis], 0)
        begin = reach // 2 if automatic == "SAME_UPPER" else reach - reach // 2
    return (Window(kernel, stride, dilation, begin),)


def _transposed(convolution: Convolution, n: int) -> Window:
    """Input rows ``(row + padding - tap) / stride``, of the taps that divide."""
    stride, pad = convolution.strides[n], convolution.pads[n]
    reach = (convolution.kernel[n] - 1) * convolution.dilations[n]
    return Window(reach // stride + 1, 1, 1, reach - pad - stride + 1, stride)


def _resized(
    kind: str, attributes: Mapping[str, onnx.AttributeProto], size: int, result: int
) -> tuple[Window | None, ...]:
    """Two rows around where a row comes from; and as many more as the scale, of which the result's
    size is rounded down, leaves open."""

    def text(name: str, default: str) -> str:
        return attributes[name].s.decode() if name in attributes else default

    usual = "asymmetric" if kind == "Upsample" else "half_pixel"
    coordinate = text("coordinate_transformation_mode", usual)
    smooth = "antialias" in attributes and attributes["antialias"].i
    if text("mode", "nearest") not in ("nearest", "linear") or smooth or 1 in (size, result):
        return ()
    kernel = 2 - (-size // (result + 1))
    if coordinate in ("half_pixel", "pytorch_half_pixel"):
        return (Window(kernel, 2 * size, 1, result + 1 - size, 2 * (result + 1)),)
    if coordinate == "asymmetric":
        return (Window(kernel, size, 1, 0, result + 1),)
    return (Window(2, size - 1, 1, 0, result - 1),) if coordinate == "align_corners" else ()


def _cropped(
    node: onnx.NodeProto, source: Shape, axis: int, values: Mapping[str, Array]
) -> tuple[Window | None, ...]:
    """Rows from the start on, which are known where the bounds are constants."""
    rank, size = len(source), source[axis]
    names = [name for name in node.input[1:] if name]
    if not names or not all(name in values for name in names):
        return ()
    starts = values[node.input[1]].tolist()
    axes = values[node.input[3]].tolist() if len(node.input) > 3 and node.input[3] else None
    steps = values[node.input[4]].tolist() if len(node.input) > 4 else [1] * len(starts)
    for dimension, start, step in zip(axes or range(len(starts)), starts, steps, strict=True):
        if dimension % rank == axis:
            first = min(max(start + size * (start < 0), 0), size)
            return (Window(1, step, 1, -first),) if step > 0 else ()
    return (Window(),)
