"""A whole network on the generated hardware: model in, a comparison of three views out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy.typing as npt

from bitweft.run_figures import layers_of, planned_traffic, program_traffic
from bitweft.run_hardware import Hardware, Progress
from bitweft.run_plan import Infeasible, import_network, plan_network
from bitweft.run_program import RunProgram, drawn_input
from bitweft.run_result import Mismatch, NetworkRun, Waveform, first_difference, total
from bitweft.run_waves import WavesOf, require_layer
from hw.errors import InputError
from hw.limits import accelerator_conflict
from hw.spec import Spec
from mapper.batch import image_name
from mapper.batch_network import batched_model
from mapper.lower import lower
from mapper.lowered import Lowered
from mapper.plan import Plan
from mapper.quantised_model import QuantisedModel
from mapper.schedule.solver import Limits
from sim.quantised import Values
from sim.quantised_run import run as run_reference
from sim.runner.accelerator import Waves

__all__ = ["Infeasible", "Mismatch", "NetworkRun", "Progress", "WavesOf", "run_network"]

Inputs = Mapping[str, npt.ArrayLike]


def run_network(
    model: Path | str,
    spec: Spec,
    inputs: Inputs | None = None,
    *,
    scratchpad: str | None = None,
    method: str = "best",
    batch: bool = False,
    seed: int = 0,
    calibration: Path | str | None = None,
    until: str | None = None,
    waves: WavesOf | None = None,
    stalls: float = 0.0,
    host: bool = False,
    limits: Limits | None = None,
    on_progress: Progress | None = None,
) -> NetworkRun:
    """Plans a network, runs it on the simulated hardware, and compares values and bytes.

    Parameters
    ----------
    model : path
        ONNX, quantised; or float, which is then quantised.
    spec : Spec
    inputs : mapping of str to array, optional
        As the model takes them; without, int8 numbers drawn from `seed`. With several images
        along the first axis each of them runs, and the result is their total.
    scratchpad : str, optional
        ``MR``, ``MH``, ``MP`` or bytes, instead of the spec's; the hardware gets as much, rounded
        up to whole words in every bank.
    method : str
        What makes the plan, see `mapper.mapping.map_model`.
    batch : bool
        Run all images in one program, which keeps weights on chip from image to image.
    seed : int
        Of inputs, calibration data, and stalls.
    calibration : path, optional
        Data for the quantisation of a float model; see `mapper.quantise.quantise`.
    until : str, optional
        The layer after which the run ends; its result is compared, and nothing after it.
    waves : WavesOf, optional
        A layer whose signals are written to a file while it runs, for the first image.
    stalls : float
        Probability that the memory makes the accelerator wait in a cycle.
    host : bool
        Leave operators at the end of the network that the hardware does not run to the host; the
        outputs are then what these operators read.
    limits : Limits, optional
        Of the search for a plan.
    on_progress : callable, optional

    Raises
    ------
    InputError
        The model, an input or an option cannot be used.
    Infeasible
        An operator does not fit into the scratchpad.
    SimulationError
        The hardware stopped with an error or did not end.
    """
    report = on_progress or (lambda what, done: None)
    _require_runnable(spec)
    if not 0 <= stalls < 1:
        raise InputError(f"--stalls must be at least 0 and below 1, not {stalls}.")
    report("reading the model", None)
    quantised, words = import_network(Path(model), calibration, seed, host)
    images, source = _images(quantised, inputs, seed)
    single, count = quantised.network, 1
    if batch:
        if len(images) < 2 or method != "best":
            raise InputError(
                "--batch must come with an --input of several images and without --method, not "
                f"with {len(images)} and {method!r}: stack images along the first axis."
            )
        count = len(images)
        quantised = batched_model(quantised, count)
        together = {
            image_name(name, n): values
            for n, image in enumerate(images, 1)
            for name, values in image.items()
        }
        images, source = [together], f"{source}, {count} images in one program"
    network = quantised.network
    for option, layer in (("until", until), ("waves", waves.layer if waves else None)):
        if layer is not None:
            require_layer(option, layer, [o.name for o in network.operators])
    report("planning", None)
    limits = limits or Limits(seed=seed)
    plan, spec = plan_network(Path(model), single, spec, scratchpad, limits, method, count)
    lowered = lower(network, plan, spec)
    program = RunProgram.whole(network, lowered, spec)
    order = lowered.operators
    if until is not None:
        program = RunProgram.until(network, lowered, spec, [until])
        order = order[: order.index(until) + 1]
        if waves is not None and waves.layer not in order:
            raise InputError(
                f"--waves must be a layer that runs before --until ends, not {waves.layer!r}."
            )

    ready = _Ready(
        model=quantised,
        calibration=words,
        source=source,
        plan=plan,
        spec=spec,
        lowered=lowered,
        program=program,
        order=order,
        until=until,
        stalls=stalls,
    )
    runs = []
    for number, feeds in enumerate(images):
        image = f"image {number + 1} of {len(images)}: " if len(images) > 1 else ""
        hardware = Hardware(spec, stalls, seed + number, _prefixed(report, image))
        runs.append(ready.run(hardware, feeds, waves if number == 0 else None))
    return total(runs)


@dataclass(frozen=True, kw_only=True)
class _Ready:
    """A network, planned and lowered, that waits for images; `order` names the layers that run."""

    model: QuantisedModel
    calibration: str
    source: str
    plan: Plan
    spec: Spec
    lowered: Lowered
    program: RunProgram
    order: tuple[str, ...]
    until: str | None
    stalls: float

    def run(
        self, hardware: Hardware, feeds: Mapping[str, Values], waves: WavesOf | None
    ) -> NetworkRun:
        """Runs one image and compares."""
        hardware.report("computing the reference", None)
        expected = run_reference(self.model.network, feeds)
        window = None if waves is None else self._window(waves)
        program = self.program.fed(feeds)
        counted = hardware.run(program, window)
        values = program.values(counted.memory)
        wrong = {n: int((v != expected[n]).sum()) for n, v in values.items()}
        first = None
        if any(wrong.values()):
            first = self._first(hardware, feeds, expected)
            first = first or first_difference(self.model.network, self.order, values, expected)
        whole = self.until is None
        finishes = program.finishes, counted.finishes
        waveform = None
        if waves is not None and counted.traced is not None:
            waveform = Waveform(waves.layer, waves.file, *counted.traced)
        return NetworkRun(
            spec=self.spec,
            source=self.source,
            calibration=self.calibration,
            plan=self.plan,
            layers=layers_of(self.model.network, self.plan, self.lowered, self.spec, *finishes),
            stalls=self.stalls,
            predicted=program.timing.cycles,
            cycles=counted.cycles,
            planned=(
                planned_traffic(self.plan, program.instructions)
                if whole
                else program_traffic(program.instructions, self.spec)
            ),
            counted=counted.traffic,
            compared=sum(v.size for v in values.values()),
            mismatches=sum(wrong.values()),
            first=first,
            outputs=self.model.results(values) if whole else {},
            host=self.model.host,
            waveform=waveform,
        )

    def _window(self, waves: WavesOf) -> Waves:
        """From the end of what is computed before a layer to the end of the layer itself."""
        return Waves(waves.file, *self.lowered.span(waves.layer))

    def _first(
        self, hardware: Hardware, feeds: Mapping[str, Values], expected: Mapping[str, Values]
    ) -> Mismatch | None:
        """Runs again with the result of every layer stored, also of those that stay on chip."""
        network = self.model.network
        every = RunProgram.until(network, self.lowered, self.spec, self.order)
        values = every.values(hardware.run(every.fed(feeds)).memory)
        return first_difference(network, self.order, values, expected)


def _prefixed(report: Progress, prefix: str) -> Progress:
    return lambda what, done: report(prefix + what, done)


def _require_runnable(spec: Spec) -> None:
    if conflict := accelerator_conflict(spec):
        raise InputError(f"Spec {spec.name!r}: {conflict}.")


def _images(
    model: QuantisedModel, inputs: Inputs | None, seed: int
) -> tuple[list[dict[str, Values]], str]:
    """What the network reads for each image, and where it comes from."""
    if inputs is not None:
        return [model.feeds(image) for image in model.images(inputs)], "given"
    source = f"drawn from seed {seed}: every int8 value equally likely"
    return [drawn_input(model.network, seed)], source
