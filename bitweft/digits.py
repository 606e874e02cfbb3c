"""The digits classifier on the simulated hardware: the whole test set, image by image."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitweft.run_program import RunProgram
from hw.spec import Spec
from mapper.budget import Budget
from mapper.layout import unpack_tensor
from mapper.lower import lower
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.networks.digits import digits
from mapper.onnx_runtime import exact_session
from mapper.plan import Source
from mapper.quantised_import import import_quantised
from sim.quantised_run import run as run_reference
from sim.runner.accelerator import MemoryModel, NativeAccelerator
from sim.runner.library import SimulationError

__all__ = ["DigitsRun", "classify_digits"]

_LIMIT = 10**8


@dataclass(frozen=True, kw_only=True)
class DigitsRun:
    """What the classifier did on the hardware.

    Attributes
    ----------
    images, correct : int
        Of the test set, and those that the hardware classified as their label says.
    onnx_correct : int or None
        The same by ONNX Runtime on the same int8 network; None where it is not installed.
    apart, worst : int
        Output elements that differ from ONNX Runtime's, and the largest difference in units of the
        output's scale.
    compared, mismatches : int
        Output elements against the integer reference.
    predicted, cycles : (int, int)
        Cycles of an image, the fewest and the most, predicted and counted. They are the same where
        the operands do not set the pace.
    total_predicted, total_cycles : int
        Of all images.
    late : int
        Images whose cycles are not those that were predicted for them.
    planned_bytes, counted_bytes : int
        On the bus for one image, instructions included; -1 if images differed.
    """

    images: int
    correct: int
    onnx_correct: int | None
    apart: int
    worst: int
    compared: int
    mismatches: int
    predicted: tuple[int, int]
    cycles: tuple[int, int]
    total_predicted: int
    total_cycles: int
    late: int
    planned_bytes: int
    counted_bytes: int

    @property
    def agrees(self) -> bool:
        """Values, cycles and bytes are as the models say, and as accurate as ONNX Runtime."""
        return (
            self.mismatches == 0
            and self.late == 0
            and self.counted_bytes == self.planned_bytes
            and self.onnx_correct in (None, self.correct)
        )


def classify_digits(spec: Spec, progress: Callable[[str], None]) -> DigitsRun:
    """Runs the whole test set on the RTL of `spec`.

    Raises
    ------
    SimulationError
        The hardware stopped with an error, or the network does not fit its scratchpad.
    """
    files = digits()
    model = import_quantised(files.int8)
    network = model.network
    graph = network_graph(network, spec)
    source = Source(files.int8.name, "", 8, 8, spec.word_bytes, "spec")
    plan = map_graph(graph, Budget("spec", spec.scratchpad.bytes), source).plan
    if plan is None:
        raise SimulationError("the digits classifier must fit the scratchpad")
    lowered = lower(network, plan, spec)
    program = RunProgram.whole(network, lowered, spec)
    pixels, labels = files.load_test_set()
    images = files.as_input(pixels)
    (taken,) = network.outputs
    shape = network.tensor(taken).shape

    progress(f"compiling the {spec.name} accelerator to a simulator (kept for later runs)")
    results, counted, mismatches = [], set(), 0
    predicted: list[int] = []
    cycles: list[int] = []
    with NativeAccelerator(spec, MemoryModel.of(spec, len(lowered.image))) as hardware:
        for n, image in enumerate(images):
            if n % 20 == 0:
                progress(f"classifying digits on the RTL: {n} of {len(images)}")
            feeds = model.feeds({model.inputs[0].name: image[None]})
            fed = program.fed(feeds)
            hardware.memory[:] = fed.image
            code = hardware.run(program=0, length=len(lowered.program), limit=_LIMIT)
            if code:
                raise SimulationError(f"the accelerator must end without an error, not {code}")
            predicted.append(fed.timing.cycles)
            cycles.append(hardware.read("cycles"))
            counted.add(
                sum(
                    hardware.read(f"bytes_{kind}")
                    for kind in ("instructions", "weights", "activations", "stored")
                )
            )
            memory = hardware.memory[lowered.tensors[taken] :]
            result = unpack_tensor(memory, shape, spec.word_bytes).copy()
            mismatches += int((result != run_reference(network, feeds)[taken]).sum())
            results.append(model.results({taken: result})[model.outputs[0].name].ravel())
    scores = np.stack(results)
    runtime = _onnx_scores(files.int8, images)
    units = np.zeros(1)
    if runtime is not None:
        units = np.rint(np.abs(runtime - scores) / float(network.tensor(taken).scale))
    compulsory = plan.compulsory
    return DigitsRun(
        images=len(images),
        correct=int((scores.argmax(axis=1) == labels).sum()),
        onnx_correct=None if runtime is None else int((runtime.argmax(axis=1) == labels).sum()),
        apart=int((units > 0).sum()),
        worst=int(units.max()),
        compared=scores.size,
        mismatches=mismatches,
        predicted=(min(predicted), max(predicted)),
        cycles=(min(cycles), max(cycles)),
        total_predicted=sum(predicted),
        total_cycles=sum(cycles),
        late=sum(p != c for p, c in zip(predicted, cycles, strict=True)),
        planned_bytes=lowered.program_bytes
        + compulsory.weights
        + compulsory.activations_loaded
        + compulsory.activations_stored
        + plan.objective_bytes,
        counted_bytes=counted.pop() if len(counted) == 1 else -1,
    )


def _onnx_scores(model: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32] | None:
    """ONNX Runtime's outputs, (images, classes); None where it is not installed."""
    if importlib.util.find_spec("onnxruntime") is None:
        return None
    session = exact_session(model)
    name = session.get_inputs()[0].name
    return np.stack([session.run(None, {name: image[None]})[0].ravel() for image in images])
