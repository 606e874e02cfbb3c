"""The mapper's front door: a model file in, a plan out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mapper.batch import batch_graphs
from mapper.budget import Budget, largest_operator, resolve_budget
from mapper.graph import Graph
from mapper.make_plan import make_plan
from mapper.onnx_file import read_model
from mapper.onnx_import import Layout, graph_of
from mapper.plan import Plan, Source
from mapper.reduction import stage_reductions
from mapper.schedule.problem import Problem
from mapper.schedule.search import Found, search
from mapper.schedule.solver import Limits, Progress
from mapper.smallest import least_scratchpad
from mapper.split import split
from mapper.streams import with_streams

__all__ = ["Mapped", "map_graph", "map_model"]

# Seconds of a core to make a plan of a schedule and to write it as text, in all and per operator.
_PLAN, _PLAN_EACH = 0.1, 0.0005


@dataclass(frozen=True)
class Mapped:
    """The outcome of mapping one network.

    Attributes
    ----------
    graph : Graph
    budget : Budget
        The capacity, in bytes and as it was named.
    plan : Plan or None
        None when infeasible.
    message : str
        When infeasible, the operator that does not fit and the bytes that it needs; else empty.
    summary : dict
        Head of the plan, counts and wall-clock seconds, for machines.
    """

    graph: Graph
    budget: Budget
    plan: Plan | None
    message: str
    summary: dict[str, Any]

    @property
    def status(self) -> str:
        """``optimal``, ``feasible`` or ``infeasible``."""
        return self.plan.status if self.plan is not None else "infeasible"


def map_model(
    path: Path | str,
    *,
    scratchpad: str | Budget = "MR",
    layout: Layout | None = None,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    weight_memory: int | None = None,
    may_split: bool = True,
    method: str = "best",
    images: int = 1,
    limits: Limits | None = None,
    afterwards: tuple[float, float] = (0.0, 0.0),
    on_progress: Progress | None = None,
) -> Mapped:
    """Maps an ONNX file onto a scratchpad.

    Parameters
    ----------
    path : path
        The model.
    scratchpad : str or Budget
        ``MR``, ``MH``, ``MP`` or bytes, see `mapper.budget.resolve_budget`; or a budget as it is.
    layout : Layout, optional
        Bytes of a tensor; dense int8 by default.
    input_shapes : mapping of str to sequence of int, optional
        For network inputs with dynamic dimensions.
    weight_memory : int, optional
        Bytes in which an accelerator keeps the weights of a stage from patch to patch.
    may_split : bool
        Whether operators that do not fit are split, see `mapper.split`.
    method : str
        ``best``, or one of `mapper.schedule.baselines.METHODS` for the plan of that baseline; its
        bound is then still the one that the search for the best plan proves.
    images : int
        Inputs that run in one program and share the weights that stay, see `mapper.batch`.
    limits : Limits, optional
        Deterministic by default; then the same input and seed give the same plan. A limit in
        seconds includes reading the model and making the plan.
    afterwards : tuple of float
        Seconds of a core, in all and per operator, that whoever asked still needs within that time.
    on_progress : callable, optional
        Receives the phase, the best cost so far and the bound, both in bytes or None.

    Raises
    ------
    InputError
        The model or the budget cannot be used; see `mapper.onnx_import.import_onnx`.
    """
    started = time.monotonic()
    layout, limits = layout or Layout(), limits or Limits()
    file = read_model(path)
    graph = graph_of(file, layout=layout, input_shapes=input_shapes)
    if isinstance(scratchpad, str):
        scratchpad = resolve_budget(graph, scratchpad, limits)
    read = time.monotonic() - started
    source = Source(
        file=file.path.name,
        sha256=file.sha256,
        activation_bits=layout.activation_bits,
        weight_bits=layout.weight_bits or layout.activation_bits,
        channel_multiple=layout.channel_multiple,
        budget=scratchpad.name,
    )
    mapped = map_graph(
        graph,
        scratchpad,
        source,
        weight_memory=weight_memory,
        may_split=may_split,
        method=method,
        images=images,
        limits=limits,
        afterwards=afterwards,
        on_progress=on_progress,
    )
    mapped.summary["import_seconds"] = round(read, 3)
    return mapped


def map_graph(
    graph: Graph,
    budget: Budget,
    source: Source,
    *,
    weight_memory: int | None = None,
    may_split: bool = True,
    method: str = "best",
    images: int = 1,
    limits: Limits | None = None,
    afterwards: tuple[float, float] = (0.0, 0.0),
    on_progress: Progress | None = None,
) -> Mapped:
    """Maps a graph, of which `source` says where it comes from.

    Where an operator does not fit, the graph is cut into stages first, see `mapper.split`;
    `weight_memory` is what the accelerator keeps of a stage's weights, in bytes. Several `images`
    run in one program, see `mapper.batch`. `afterwards` as of `map_model`.
    """
    limits = limits or Limits()
    started = time.monotonic()
    operator, need = largest_operator(graph)
    counts = {"operators": len(graph.operators), "tensors": len(graph.tensors)}
    if need > budget.bytes and may_split:
        if on_progress is not None:
            on_progress("splitting operators", None, None)
        graph = with_streams(graph, budget.bytes, weight_memory, source.channel_multiple)
        cut = split(graph, budget.bytes, weight_memory=weight_memory, limits=limits.share(0.5))
        graph, need = (graph, need) if cut is None else (cut, 0)
    if need > budget.bytes:
        what, remedy = "", "MR"
        if may_split:
            of, least = least_scratchpad(graph)
            # The walk keeps some ways only: it may find none although every piece fits.
            if least > budget.bytes:
                operator, need, what, remedy = of, least, "the smallest piece of ", str(least)
        message = (
            f"{source.file}: scratchpad must have at least {need} bytes for {what}operator "
            f"{operator.name!r} ({operator.kind}), not {budget.bytes}: "
            f"give --scratchpad {remedy} or more."
        )
        summary = {
            "status": "infeasible",
            "model": {"file": source.file, "sha256": source.sha256},
            "budget": budget.name,
            "scratchpad_bytes": budget.bytes,
            "operator": operator.name,
            "needed_bytes": need,
            "message": message,
            **counts,
            "solve_seconds": 0.0,
        }
        return Mapped(graph, budget, None, message, summary)
    if weight_memory is not None:
        graph = stage_reductions(graph, weight_memory)
    fixed, each = _PLAN + afterwards[0], _PLAN_EACH + afterwards[1]
    limits = limits.before_end(fixed + each * images * len(graph.operators))
    problem = Problem.of(graph)
    # More searches follow for a batch or for a baseline.
    first = limits if images == 1 and method == "best" else limits.turn(0.5)
    found = search(problem, budget.bytes, first, on_progress)
    if images > 1:
        return _map_batch(
            graph, found, images, budget, source, weight_memory or 0, limits, on_progress
        )
    if method != "best":
        # A baseline proves nothing: the bound on it is the one on any plan.
        made = search(problem, budget.bytes, limits, on_progress, method=method)
        found = replace(made, bound=found.bound)
    plan = make_plan(graph, found, budget.bytes, source, limits.seed, method)
    summary = {
        **plan.head(),
        **counts,
        "budget_proven": budget.proven,
        "solve_seconds": round(time.monotonic() - started, 3),
    }
    return Mapped(graph, budget, plan, "", summary)


def _map_batch(
    graph: Graph,
    single: Found,
    images: int,
    budget: Budget,
    source: Source,
    weight_memory: int,
    limits: Limits,
    on_progress: Progress | None,
) -> Mapped:
    """The best of the orders in which so many images can run, given a plan for one of them."""
    started = time.monotonic()
    steps = graph.operators
    order = [steps[o].name for o in single.placed.schedule.order]
    best: tuple[int, Graph, Plan] | None = None
    for candidate in batch_graphs(
        graph, order, images, capacity=budget.bytes, weight_memory=weight_memory, limits=limits
    ):
        found = search(Problem.of(candidate), budget.bytes, limits.turn(0.5), on_progress)
        plan = make_plan(candidate, found, budget.bytes, source, limits.seed)
        if best is None or plan.objective_bytes < best[0]:
            best = plan.objective_bytes, candidate, plan
    assert best is not None, "there is always an order"
    _, graph, plan = best
    # Every image moves at least what it moves alone, in whatever order and whichever weights stay.
    alone = single.bound + sum(o.stage.reread_weight_bytes for o in steps if o.stage)
    bound = images * alone
    status = "optimal" if bound == plan.objective_bytes else "feasible"
    plan = replace(plan, bound_bytes=bound, status=status)
    summary = {
        **plan.head(),
        "operators": len(graph.operators),
        "tensors": len(graph.tensors),
        "images": images,
        "budget_proven": budget.proven,
        "solve_seconds": round(time.monotonic() - started, 3),
    }
    return Mapped(graph, budget, plan, "", summary)
