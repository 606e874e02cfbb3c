"""What a run of a network on the simulated hardware has shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitweft.run_figures import Layer, Traffic
from hw.spec import Spec
from mapper.plan import Plan
from sim.quantised import Network, Values

__all__ = ["Mismatch", "NetworkRun", "Waveform", "first_difference", "total"]


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


@dataclass(frozen=True)
class Waveform:
    """A layer's signals in a file.

    Attributes
    ----------
    layer : str
    file : Path
        VCD, 10 ns per cycle.
    first, end : int
        The cycles of the run that are in it, half-open; `first` is at time 0.
    """

    layer: str
    file: Path
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """What a run of a network has shown; figures of several images are added up.

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
    waveform : Waveform or None
    images : tuple of NetworkRun
        Each of them, where there are several.
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
    waveform: Waveform | None = None
    images: tuple[NetworkRun, ...] = ()

    @property
    def agrees(self) -> bool:
        """No element and no byte differs; and no cycle, if the memory did not stall."""
        if self.images:
            return all(image.agrees for image in self.images)
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
        return self.macs / (self.cycles * self.spec.macs_per_cycle)


def first_difference(
    network: Network,
    order: Sequence[str],
    values: Mapping[str, Values],
    expected: Mapping[str, Values],
) -> Mismatch | None:
    """The first element that differs among `values`, with layers in the `order` in which they run."""
    outputs = {o.name: o.output for o in network.operators}
    for layer in order:
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


def total(runs: Sequence[NetworkRun]) -> NetworkRun:
    """The figures of several images of one network added up; a single one as it is."""
    first = runs[0]
    if len(runs) == 1:
        return first
    wrong = [(n, run.first) for n, run in enumerate(runs) if run.first is not None]
    layers = [
        replace(
            of[0],
            macs=sum(layer.macs for layer in of),
            operations=sum(layer.operations for layer in of),
            predicted=sum(layer.predicted for layer in of),
            cycles=sum(layer.cycles for layer in of),
        )
        for of in zip(*(run.layers for run in runs), strict=True)
    ]
    return replace(
        first,
        layers=tuple(layers),
        predicted=sum(run.predicted for run in runs),
        cycles=sum(run.cycles for run in runs),
        planned=_added([run.planned for run in runs]),
        counted=_added([run.counted for run in runs]),
        compared=sum(run.compared for run in runs),
        mismatches=sum(run.mismatches for run in runs),
        first=replace(wrong[0][1], coordinate=(wrong[0][0], *wrong[0][1].coordinate[1:]))
        if wrong
        else None,
        outputs={
            name: np.concatenate([run.outputs[name] for run in runs]) for name in first.outputs
        },
        images=tuple(runs),
    )


def _added(traffic: Sequence[Traffic]) -> Traffic:
    return Traffic(*(sum(column) for column in zip(*traffic, strict=True)))
