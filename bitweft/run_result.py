"""What a run of a network on the simulated hardware has shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bitweft.run_figures import Layer, Traffic
from hw.spec import Spec
from mapper.plan import Plan
from sim.quantised import Network, Values

__all__ = ["Mismatch", "NetworkRun", "first_difference"]


@dataclass(frozen=True)
class Mismatch:
    """The first element that differs, in the order in which layers run.

    Attributes
    ----------
    layer, tensor : str
    coordinate : (int, int, int, int)
        Image, row, column, channel.
    expected, actual : int
        By the reference; by the hardware.
    """

    layer: str
    tensor: str
    coordinate: tuple[int, ...]
    expected: int
    actual: int


@dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """What a run of a network has shown.

    Attributes
    ----------
    spec : Spec
        With the scratchpad that was used.
    source : str
        Where the inputs come from, in words.
    calibration : str
        What a float model was quantised with; empty for a quantised one.
    plan : Plan
    layers : tuple of Layer
        In the order in which they ran.
    cycles : int
        From start to done; what follows the last computation is in no layer.
    planned, counted : Traffic
        By plan and program; by the hardware's counters.
    compared, mismatches : int
        Elements of outputs and of all other tensors that were in memory at the end.
    first : Mismatch or None
    outputs : dict of str to array
        As the ONNX model gives them; empty when the run ended before.
    host : tuple of str
        Nodes that were left to the host; no figure of the run includes them.
    """

    spec: Spec
    source: str
    calibration: str
    plan: Plan
    layers: tuple[Layer, ...]
    stalls: float
    predicted: int
    cycles: int
    planned: Traffic
    counted: Traffic
    compared: int
    mismatches: int
    first: Mismatch | None
    outputs: Mapping[str, npt.NDArray[np.generic]]
    host: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """No element and no byte differs; and no cycle, if the memory did not stall."""
        cycles = self.stalls > 0 or (
            self.predicted == self.cycles
            and all(layer.predicted == layer.cycles for layer in self.layers)
        )
        return self.mismatches == 0 and self.planned == self.counted and cycles

    @property
    def macs(self) -> int:
        return sum(layer.macs for layer in self.layers)

    @property
    def utilisation(self) -> float:
        """MACs of the whole run by what the array could have done in its cycles."""
        return self.macs / (self.cycles * self.spec.engine.rows * self.spec.engine.cols)


def first_difference(
    network: Network, plan: Plan, values: Mapping[str, Values], expected: Mapping[str, Values]
) -> Mismatch | None:
    """The first element that differs among `values`, in the order in which layers run."""
    outputs = {o.name: o.output for o in network.operators}
    for layer in plan.order:
        tensor = outputs[layer]
        if tensor not in values:
            continue
        places = np.argwhere(values[tensor] != expected[tensor])
        if len(places):
            place = tuple(int(n) for n in places[0])
            return Mismatch(
                layer, tensor, place, int(expected[tensor][place]), int(values[tensor][place])
            )
    return None
