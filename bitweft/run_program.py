"""The program that a run puts into the accelerator's memory, and the results that it leaves there."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from hw.isa import Instruction
from hw.spec import Spec
from mapper.layout import unpack_tensor
from mapper.lowered import Lowered
from mapper.observe import observe
from sim.quantised import Network, Values
from sim.timing.program import ProgramTiming, program_timing

__all__ = ["RunProgram"]

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
        Memory before the run, without the network's inputs.
    address : int
        Of the program, in bytes.
    results : dict of str to int
        Byte address of every computed tensor that is in memory at the end.
    """

    network: Network
    spec: Spec
    instructions: tuple[Instruction, ...]
    image: Bytes
    address: int
    results: Mapping[str, int]

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
        )

    @cached_property
    def timing(self) -> ProgramTiming:
        """What the timing model predicts for it."""
        return program_timing(self.instructions, self.spec, address=self.address)

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
