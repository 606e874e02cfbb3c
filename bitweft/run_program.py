"""The program that a run puts into the accelerator's memory, and the results that it leaves there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hw.isa import Instruction
from hw.spec import Spec
from mapper.layout import pack_tensor, unpack_tensor
from mapper.lowered import Lowered
from mapper.observe import observe
from sim.quantised import Network, Values
from sim.timing.execute import follows_operands
from sim.timing.program import ProgramTiming, program_timing

__all__ = ["RunProgram", "drawn_input"]

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, kw_only=True)
class RunProgram:
    """A program in memory.

    Attributes
    ----------
    network : Network
    spec : Spec
    instructions : tuple of Instruction
    image : (bytes,) uint8
        Memory before the run; `fed` puts the network's inputs into it.
    address : int
        Of the program, in bytes.
    results : dict of str to int
        Byte address of every computed tensor that is in memory at the end.
    inputs : dict of str to int
        Byte address of every input of the network that is read.
    predicted : ProgramTiming, optional
        What has been predicted already, where it does not depend on the inputs.
    """

    network: Network
    spec: Spec
    instructions: tuple[Instruction, ...]
    image: Bytes
    address: int
    results: Mapping[str, int]
    inputs: Mapping[str, int]
    predicted: ProgramTiming | None = None

    @classmethod
    def whole(cls, network: Network, lowered: Lowered, spec: Spec) -> RunProgram:
        """What the mapper made: results are the outputs and what was spilled."""
        return cls(
            network=network,
            spec=spec,
            instructions=lowered.program,
            image=lowered.image,
            address=0,
            results={n: a for n, a in lowered.tensors.items() if n not in network.inputs},
            inputs=_inputs(network, lowered),
        )

    @classmethod
    def until(
        cls, network: Network, lowered: Lowered, spec: Spec, layers: Collection[str]
    ) -> RunProgram:
        """The same, stopped after the last of `layers`; results are those of `layers`."""
        observed = observe(lowered, network, spec, operators=layers, stop=True)
        outputs = {o.name: o.output for o in network.operators}
        return cls(
            network=network,
            spec=spec,
            instructions=observed.program,
            image=observed.image,
            address=observed.address,
            results={outputs[layer]: home for layer, home in observed.results.items()},
            inputs=_inputs(network, lowered),
        )

    def fed(self, feeds: Mapping[str, Values]) -> RunProgram:
        """The same with the network's inputs in memory.

        Parameters
        ----------
        feeds : dict of str to (N, H, W, C) int8
        """
        image = self.image.copy()
        for name, home in self.inputs.items():
            packed = pack_tensor(feeds[name], self.spec.word_bytes)
            image[home : home + len(packed)] = packed
        known = None if follows_operands(self.spec) else self.timing
        return replace(self, image=image, predicted=known)

    @cached_property
    def timing(self) -> ProgramTiming:
        """What the timing model predicts for it, inputs included where they decide."""
        return self.predicted or program_timing(
            self.instructions, self.spec, address=self.address, image=self.image
        )

    @property
    def finishes(self) -> npt.NDArray[np.int64]:
        """How many cycles have passed when each computation is finished, as predicted."""
        return np.array(self.timing.computes, np.int64) + 1

    def values(self, memory: Bytes) -> dict[str, Values]:
        """The results in the memory after a run, by tensor."""
        return {
            name: unpack_tensor(
                memory[home:], self.network.tensor(name).shape, self.spec.word_bytes
            )
            for name, home in self.results.items()
        }


def drawn_input(network: Network, seed: int) -> dict[str, Values]:
    """Inputs of a network in which every int8 value is equally likely."""
    rng = np.random.default_rng(seed)
    shapes = {name: network.tensor(name).shape for name in network.inputs}
    return {n: rng.integers(-128, 128, shape).astype(np.int8) for n, shape in shapes.items()}


def _inputs(network: Network, lowered: Lowered) -> dict[str, int]:
    return {name: lowered.tensors[name] for name in network.inputs if name in lowered.tensors}
