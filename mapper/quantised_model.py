"""An imported network with its border: how the user's arrays become its tensors and come back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hw.errors import InputError
from mapper.quantised_build import Array
from sim.quantised import Network, Shape, Tensor, Values

__all__ = ["Port", "QuantisedModel"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Port:
    """One input or output of the ONNX model.

    Attributes
    ----------
    name : str
        As the model calls it.
    tensor : str
        As the network calls it.
    shape : tuple of int
        As ONNX has it: NCHW or (N, F).
    index : array or None
        Flat NHWC position of each element.
    real : bool
        The model has real numbers here, the network their quantised values.
    offset : int
        What the model's integers are above the network's: 128 where they are uint8.
    """

    name: str
    tensor: str
    shape: Shape
    index: Array
    real: bool
    offset: int


@dataclass(frozen=True, kw_only=True, eq=False)
class QuantisedModel:
    """A quantised ONNX model as an integer network.

    Attributes
    ----------
    network : Network
    inputs, outputs : tuple of Port
    host : tuple of str
        Nodes that are left to the host: they follow the network, nothing in it follows them.
    """

    network: Network
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    host: tuple[str, ...] = ()

    def images(self, arrays: Mapping[str, npt.ArrayLike]) -> list[dict[str, npt.ArrayLike]]:
        """Arrays with several images along their first axis, cut into one set for each image.

        Arrays of another shape are one image, for `feeds` to refuse.

        Raises
        ------
        InputError
            The inputs have different numbers of images.
        """
        counts = {
            p.name: _images(np.shape(arrays[p.name]), p.shape)
            for p in self.inputs
            if p.name in arrays
        }
        if len(set(counts.values())) > 1:
            raise InputError(
                f"Inputs must have as many images each, not "
                f"{', '.join(f'{n} of {name!r}' for name, n in counts.items())}."
            )
        count = next(iter(counts.values()), 1)
        if count == 1:
            return [dict(arrays)]
        parts = {name: np.split(np.asarray(array), count) for name, array in arrays.items()}
        return [{name: part[n] for name, part in parts.items()} for n in range(count)]

    def feeds(self, arrays: Mapping[str, npt.ArrayLike]) -> dict[str, Values]:
        """NHWC int8 inputs of the network for arrays as the ONNX model takes them.

        Real numbers are quantised as ONNX defines it: divided in float32, rounded half to even,
        saturated.

        Raises
        ------
        InputError
            An input is missing or unknown, or has another shape or kind of number.
        """
        names = list(dict.fromkeys(port.name for port in self.inputs))
        if set(arrays) != set(names):
            raise InputError(
                f"Inputs must be {', '.join(map(repr, names))}, "
                f"not {', '.join(map(repr, arrays)) or 'none'}: name them as the model does."
            )
        return {p.tensor: self._feed(p, np.asarray(arrays[p.name])) for p in self.inputs}

    def _feed(self, port: Port, array: Array) -> Values:
        if array.shape != port.shape:
            raise InputError(
                f"Input {port.name!r} must have shape {list(port.shape)}, "
                f"not {list(array.shape)}: give images as the model takes them."
            )
        tensor = self.network.tensor(port.tensor)
        if port.real:
            if not np.issubdtype(array.dtype, np.number) or not np.isfinite(array).all():
                raise InputError(
                    f"Input {port.name!r} must be finite numbers, not {array.dtype} with others: "
                    "correct the data."
                )
            steps = np.rint(array.astype(np.float32) / np.float32(float(tensor.scale)))
            # Clamped as float: a number beyond int64 must saturate, too.
            integers = np.clip(steps, -1e6, 1e6).astype(np.int64) + tensor.zero_point
            integers = np.clip(integers, -128, 127)
        else:
            kind = np.dtype(np.uint8 if port.offset else np.int8)
            if array.dtype != kind:
                raise InputError(f"Input {port.name!r} must be {kind}, not {array.dtype}.")
            integers = array.astype(np.int64) - port.offset
        flat = np.empty(array.size, np.int8)
        flat[port.index.ravel()] = integers.ravel().astype(np.int8)
        return flat.reshape(tensor.shape)

    def results(self, values: Mapping[str, npt.ArrayLike]) -> dict[str, Array]:
        """The outputs as the ONNX model gives them, from the tensors of a run."""
        return {
            port.name: self._result(port, np.asarray(values[port.tensor])) for port in self.outputs
        }

    def _result(self, port: Port, values: Array) -> Array:
        ordered = values.ravel()[port.index]
        if port.real:
            tensor: Tensor = self.network.tensor(port.tensor)
            steps = ordered.astype(np.int32) - tensor.zero_point
            return steps.astype(np.float32) * np.float32(float(tensor.scale))
        integers = ordered.astype(np.int32) + port.offset
        return integers.astype(np.uint8 if port.offset else np.int8)


def _images(shape: Shape, wanted: Shape) -> int:
    """How many images an array has whose images have the shape `wanted`; 1 where it does not fit."""
    fits = len(shape) == len(wanted) and shape[1:] == wanted[1:] and shape[0] and wanted
    return shape[0] // wanted[0] if fits and shape[0] % wanted[0] == 0 else 1
