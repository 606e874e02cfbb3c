"""Networks that are planned, lowered and timed, for the tests of reports."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from hw.pe.base import ProcessingElement
from hw.spec import Spec, WeightBuffer, load_spec
from mapper.budget import Budget, resolve_budget
from mapper.lower import lower
from mapper.lowered import Lowered
from mapper.mapping import map_graph
from mapper.network_graph import network_graph
from mapper.networks.digits import digits
from mapper.plan import Plan, Source
from mapper.quantised_import import import_quantised
from mapper.smallest import least_scratchpad
from sim.quantised import Network
from sim.random_networks import deep_network, random_network, skipping_network, wide_network
from sim.timing.program import ProgramTiming, program_timing

__all__ = [
    "Planned",
    "digits_on_tiny",
    "digits_with",
    "in_patches",
    "in_tiles",
    "spilling",
    "whole",
]

TINY = load_spec("tiny")


class Planned(NamedTuple):
    """As `reports.layers.waterline` takes them."""

    network: Network
    plan: Plan
    lowered: Lowered
    spec: Spec
    timing: ProgramTiming


def _planned(network: Network, spec: Spec, budget: Budget) -> Planned | None:
    source = Source(network.name, "0" * 64, 8, 8, spec.word_bytes, budget.name)
    graph, weights = network_graph(network, spec), spec.weight_buffer.bytes
    plan = map_graph(graph, budget, source, weight_memory=weights).plan
    if plan is None:
        return None
    lowered = lower(network, plan, spec)
    return Planned(
        network, plan, lowered, spec, program_timing(lowered.program, spec, image=lowered.image)
    )


def _at(network: Network, spec: Spec, budget: str) -> Planned:
    found = _planned(network, spec, resolve_budget(network_graph(network, spec), budget))
    assert found is not None
    return found


@cache
def digits_on_tiny() -> Planned:
    """The digits classifier in the scratchpad of `tiny`."""
    return _at(import_quantised(digits().int8).network, TINY, str(TINY.scratchpad.bytes))


@cache
def digits_with(pe: ProcessingElement) -> Planned:
    """The same with another PE; its input is zero."""
    return _at(
        import_quantised(digits().int8).network, TINY.with_pe(pe), str(TINY.scratchpad.bytes)
    )


@cache
def whole(seed: int) -> Planned:
    """A random network whose operators all fit."""
    return _at(random_network(seed), TINY, "MP" if seed % 2 else "MR")


@cache
def spilling(seed: int) -> Planned:
    """A random network that spills and fetches."""
    return _at(skipping_network(seed), TINY, "MR")


@cache
def in_patches(seed: int) -> Planned:
    """A random network some of whose operators run in patches; odd ones reread weights."""
    network = deep_network(seed)
    weights = WeightBuffer(bytes=1536 if seed % 2 else 4096)
    spec = TINY.model_copy(update={"weight_buffer": weights})
    graph = network_graph(network, spec)
    need = max(graph.operand_bytes(o) for o in graph.operators)
    for share in (3, 4, 6):
        found = _planned(network, spec, Budget("bytes", need * share // 8 // 4 * 4))
        if found is not None:
            assert any(o.stage for o in found.plan.operators)
            return found
    raise AssertionError(f"network {seed} must fit in patches")


@cache
def in_tiles(seed: int) -> Planned:
    """A random network of which no row fits."""
    network = wide_network(seed)
    _, least = least_scratchpad(network_graph(network, TINY))
    found = _planned(network, TINY, Budget("bytes", least * 5 // 16 * 4))
    assert found is not None
    assert any(o.stage and o.stage.axis == "tiles" for o in found.plan.operators)
    return found
