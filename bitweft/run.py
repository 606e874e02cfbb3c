"""A whole network on the generated hardware: model in, a comparison of three views out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitweft.run_figures import layers_of, planned_traffic, program_traffic
from bitweft.run_hardware import Hardware, Progress
from bitweft.run_plan import Infeasible, import_network, plan_network
from bitweft.run_program import RunProgram
from bitweft.run_result import Mismatch, NetworkRun, first_difference
from hw.errors import InputError
from hw.limits import accelerator_conflict
from hw.spec import Spec
from mapper.lower import lower
from mapper.quantised_model import QuantisedModel
from mapper.schedule.solver import Limits
from sim.quantised import Values
from sim.quantised_run import run as run_reference

__all__ = ["Infeasible", "Mismatch", "NetworkRun", "Progress", "run_network"]

Inputs = Mapping[str, npt.ArrayLike]


def run_network(
    model: Path | str,
    spec: Spec,
    inputs: Inputs | None = None,
    *,
    scratchpad: str | None = None,
    seed: int = 0,
    calibration: Path | str | None = None,
    until: str | None = None,
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
        As the model takes them; without, int8 numbers drawn from `seed`.
    scratchpad : str, optional
        ``MR``, ``MH``, ``MP`` or bytes, instead of the spec's; the hardware gets as much, rounded
        up to whole words in every bank.
    seed : int
        Of inputs, calibration data, and stalls.
    calibration : path, optional
        Data for the quantisation of a float model; see `mapper.quantise.quantise`.
    until : str, optional
        The layer after which the run ends; its result is compared, and nothing after it.
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
    network = quantised.network
    if until is not None and until not in (names := [o.name for o in network.operators]):
        raise InputError(
            f"--until must be one of the layers {', '.join(map(repr, names))}, not {until!r}."
        )
    feeds, source = _feeds(quantised, inputs, seed)
    report("planning", None)
    plan, spec = plan_network(Path(model), network, spec, scratchpad, limits or Limits(seed=seed))
    lowered = lower(network, plan, spec)
    program = RunProgram.whole(network, lowered, spec)
    if until is not None:
        program = RunProgram.until(network, lowered, plan, spec, [until])
    report("computing the reference", None)
    expected = run_reference(network, feeds)
    hardware = Hardware(spec, lowered, stalls, seed, report)
    counted = hardware.run(program, feeds)
    values = program.values(counted.memory)
    wrong = {n: int((v != expected[n]).sum()) for n, v in values.items()}
    first = None
    if any(wrong.values()):
        # Again with the result of every layer stored, also of those that stay on chip.
        last = len(plan.order) if until is None else plan.order.index(until) + 1
        every = RunProgram.until(network, lowered, plan, spec, plan.order[:last])
        stored = every.values(hardware.run(every, feeds).memory)
        first = first_difference(network, plan, stored, expected)
        first = first or first_difference(network, plan, values, expected)
    whole = until is None
    return NetworkRun(
        spec=spec,
        source=source,
        calibration=words,
        plan=plan,
        layers=layers_of(network, plan, lowered, spec, program.finishes, counted.finishes),
        stalls=stalls,
        predicted=program.timing.cycles,
        cycles=counted.cycles,
        planned=(
            planned_traffic(plan, program.instructions)
            if whole
            else program_traffic(program.instructions, spec)
        ),
        counted=counted.traffic,
        compared=sum(v.size for v in values.values()),
        mismatches=sum(wrong.values()),
        first=first,
        outputs=quantised.results(values) if whole else {},
        host=quantised.host,
    )


def _require_runnable(spec: Spec) -> None:
    if conflict := accelerator_conflict(spec):
        raise InputError(f"Spec {spec.name!r}: {conflict}.")


def _feeds(
    model: QuantisedModel, inputs: Inputs | None, seed: int
) -> tuple[dict[str, Values], str]:
    if inputs is not None:
        return model.feeds(inputs), "given"
    rng = np.random.default_rng(seed)
    shapes = {name: model.network.tensor(name).shape for name in model.network.inputs}
    drawn = {n: rng.integers(-128, 128, shape).astype(np.int8) for n, shape in shapes.items()}
    return drawn, f"drawn from seed {seed}: every int8 value equally likely"
