"""Whether a plan is a plan of the model that it claims."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hw.errors import InputError
from hw.spec import Spec
from mapper.check import Broken
from mapper.network_graph import network_graph
from mapper.onnx_file import read_model
from mapper.onnx_import import Layout, graph_of
from mapper.quantised_import import import_quantised

__all__ = ["compare_model"]

_IMAGE = re.compile(r" of image [1-9][0-9]*$")


def compare_model(
    plan: Mapping[str, Any], path: Path | str, spec: Spec | None = None
) -> Broken | None:
    """Imports the model anew and compares operators and tensors with those of the plan.

    Parameters
    ----------
    plan : mapping
        Content of a ``plan.json`` that `mapper.check.check_plan` accepts.
    path : path
        The model.
    spec : Spec, optional
        Of the accelerator, for a plan of a quantised model that `bitweft report` has written: its
        tensors and weights are those of the program.

    Returns
    -------
    Broken or None
        The first difference, as a breach of the rule ``model``.

    Raises
    ------
    InputError
        The model cannot be read, or the plan is one of a program and there is no spec.
    """
    file = read_model(path)
    claimed = plan["model"]["sha256"]
    if claimed != file.sha256:
        return Broken("model", f"sha256 of {path} must be {claimed}, not {file.sha256}")
    shapes = {t["name"]: t["shape"] for t in plan["tensors"] if t["network_input"]}
    if spec is not None:
        graph = network_graph(import_quantised(path, host=True).network, spec)
        suffixes = _images(shapes, {t.name for t in graph.tensors if t.network_input})
    else:
        known = {value.name for value in file.graph.input}
        suffixes = _images(shapes, known)
        own = {n.removesuffix(suffixes[0]): s for n, s in shapes.items() if n.endswith(suffixes[0])}
        if not own.keys() <= known:
            raise InputError(
                f"{path}: a plan for an accelerator's program, with input "
                f"{min(own.keys() - known)!r}, must be compared with --spec and a quantised model."
            )
        graph = graph_of(
            file,
            layout=Layout(
                activation_bits=plan["activation_bits"],
                weight_bits=plan["weight_bits"],
                channel_multiple=plan["channel_multiple"],
            ),
            input_shapes=own,
        )
    operators = {
        o.name + suffix: {
            "kind": o.kind,
            "inputs": [name + suffix for name in o.inputs],
            "outputs": [name + suffix for name in o.outputs],
            "macs": o.macs,
            "weight_bytes": o.weight_bytes,
        }
        for suffix in suffixes
        for o in graph.operators
    }
    nodes = {o.name + suffix: list(o.nodes) for suffix in suffixes for o in graph.operators}
    tensors = {
        t.name + suffix: {
            "shape": list(t.shape),
            "bytes": t.bytes,
            "network_input": t.network_input,
            "network_output": t.network_output,
        }
        for suffix in suffixes
        for t in graph.tensors
    }
    stages = [o["stage"] for o in plan["operators"] if o["stage"]]
    workspaces = {stage["workspace"] for stage in stages}
    whole = [t for t in plan["tensors"] if t["name"] not in workspaces]
    # What patches store as they make it is no resident tensor, and so no output of the plan.
    for tensor in whole:
        if not tensor["intervals"] and tensor["name"] in tensors:
            tensors[tensor["name"]]["network_output"] = False
    return (
        _difference("operator", operators, _flat(plan["operators"]))
        or _difference("tensor", tensors, whole)
        or _nodes(nodes, plan["operators"])
    )


def _images(inputs: Iterable[str], known: set[str]) -> list[str]:
    """What the names of each image of a batch end in; of a single one, in nothing."""
    if known >= set(inputs):
        return [""]
    images = {text for name in inputs for text in _IMAGE.findall(name)}
    return sorted(images, key=lambda text: int(text.rsplit(" ", 1)[1])) or [""]


def _flat(operators: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The operators of the plan, and in place of a stage its members."""
    return [
        member for o in operators for member in (o["stage"]["members"] if o.get("stage") else [o])
    ]


def _nodes(model: Mapping[str, list[str]], operators: Iterable[Mapping[str, Any]]) -> Broken | None:
    """A stage has the nodes of its members."""
    for o in operators:
        wanted = [node for member in _flat([o]) for node in model[member["name"]]]
        if o["nodes"] != wanted:
            return Broken(
                "model", f"operator {o['name']!r} must have nodes {wanted!r}, not {o['nodes']!r}"
            )
    return None


def _difference(
    kind: str,
    model: Mapping[str, Mapping[str, Any]],
    plan: Sequence[Mapping[str, Any]],
) -> Broken | None:
    given = {item["name"]: item for item in plan}
    for name in sorted(model.keys() - given.keys()):
        return Broken("model", f"{kind} {name!r} of the model must be in the plan, but is not")
    for name, item in given.items():
        if name not in model:
            return Broken("model", f"{kind} {name!r} must be in the model, but is not")
        for field, value in model[name].items():
            if item[field] != value:
                return Broken(
                    "model", f"{kind} {name!r} must have {field} {value!r}, not {item[field]!r}"
                )
    return None
