"""From a model file to a checked plan, on the accelerator that it is for."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from hw.errors import InputError
from hw.spec import Spec
from mapper.budget import Budget, resolve_budget
from mapper.check import check_plan
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.onnx_file import read_model
from mapper.plan import Plan, Source
from mapper.quantise import quantise
from mapper.quantised_import import import_quantised
from mapper.quantised_model import QuantisedModel
from mapper.schedule.solver import Limits
from sim.quantised import Network
from sim.runner.library import SimulationError

__all__ = ["Infeasible", "import_network", "plan_network"]


class Infeasible(InputError):
    """An operator does not fit into the scratchpad."""


def import_network(
    model: Path, calibration: Path | str | None, seed: int, host: bool
) -> tuple[QuantisedModel, str]:
    """The integer network, and what it was calibrated with if the model was float."""
    nodes = read_model(model).graph.node
    if any("Quantize" in n.op_type or n.op_type.startswith("QLinear") for n in nodes):
        if calibration is not None:
            raise InputError(f"{model}: must be a float model for --calibration: leave it out.")
        return import_quantised(model, host=host), ""
    with tempfile.TemporaryDirectory(prefix="bitweft-") as folder:
        path = Path(folder) / model.name
        done = quantise(model, path, calibration=calibration, seed=seed)
        try:
            return import_quantised(path, host=host), done.calibration
        except InputError as error:
            # The user knows the float model only.
            raise InputError(str(error).replace(str(path), f"{model} (quantised)")) from error


def plan_network(
    model: Path,
    network: Network,
    spec: Spec,
    scratchpad: str | None,
    limits: Limits,
    method: str = "best",
    images: int = 1,
) -> tuple[Plan, Spec]:
    """A checked plan for so many images in one program, and the spec with the scratchpad that it is for."""
    graph = network_graph(network, spec)
    if scratchpad is None:
        budget = Budget("spec", spec.scratchpad.bytes)
    else:
        budget = resolve_budget(graph, scratchpad)
        spec = _resized(spec, budget.bytes)
    source = Source(
        file=model.name,
        sha256=read_model(model).sha256,
        activation_bits=spec.pe.activation.bits,
        weight_bits=spec.pe.weight.bits,
        channel_multiple=spec.word_bytes,
        budget=budget.name,
    )
    mapped = map_graph(
        graph,
        budget,
        source,
        weight_memory=spec.weight_buffer.bytes,
        method=method,
        images=images,
        limits=limits,
    )
    if mapped.plan is None:
        raise Infeasible(mapped.message)
    broken = check_plan(json.loads(mapped.plan.text()))
    if broken is not None:
        raise SimulationError(f"the plan must be sound, not break {broken.rule}: {broken.detail}")
    return mapped.plan, spec


def _resized(spec: Spec, wanted: int) -> Spec:
    unit = spec.scratchpad.banks * spec.word_bytes
    size = -(-wanted // unit) * unit
    if size // spec.word_bytes > 1 << 24:
        raise InputError(
            f"--scratchpad must be at most {spec.word_bytes << 24} bytes for {spec.name!r}, "
            f"not {size}."
        )
    content = spec.resolved()
    content["scratchpad"]["bytes"] = size
    return Spec.model_validate_json(json.dumps(content))
