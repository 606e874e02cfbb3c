"""From a spec to the files that a hardware flow takes in."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import metadata, resources
from typing import Any, Literal

import jinja2
from amaranth import Shape
from amaranth.lib.wiring import In

from hw.accelerator import Accelerator
from hw.emit import to_verilog
from hw.engine.catalogue import AnyEngine, create_array
from hw.engine.digit_array import DigitArray
from hw.engine.matrix import MatrixArray
from hw.engine.weight_stationary import WeightStationaryArray
from hw.software import software_values
from hw.spec import Spec

__all__ = ["STYLE_WARNINGS", "TOPS", "Top", "create_engine", "generate", "module_name"]

Top = Literal["accelerator", "engine"]
"""What the generated module is: everything that the spec describes, or its engine alone."""

STYLE_WARNINGS = (
    # Amaranth drives combinational signals from processes and gives every register an initial value.
    "PROCASSINIT",
    # Its arithmetic widens by assignment, and its cases need not list every value.
    "WIDTHEXPAND",
    "WIDTHTRUNC",
    "CASEINCOMPLETE",
    # A module without a resettable register still has a reset port, and fields that one unit does
    # not look at (reserved bits of an instruction) still arrive there.
    "UNUSEDSIGNAL",
    # All modules stand in one file.
    "DECLFILENAME",
)
"""Verilator warnings about the style of generated Verilog; any other is a defect."""

_OTHER_PORTS = {
    "computes_finished": "computations finished in this run, for observation; may stay unconnected"
}
_KNOWN_PORTS = ("m_axi_", "s_axi_", "irq")


def module_name(spec: Spec) -> str:
    """Name of the generated top module, which prefixes every other module too."""
    return f"bitweft_{spec.name}"


def create_engine(spec: Spec) -> AnyEngine | WeightStationaryArray:
    """The engine that a spec describes."""
    engine = spec.engine
    if engine.tile_rows is not None:
        return WeightStationaryArray(
            spec.pe, rows=engine.rows, cols=engine.cols, tile_rows=engine.tile_rows
        )
    return create_array(
        spec.pe, rows=engine.rows, cols=engine.cols, kind=engine.kind, depth=engine.depth
    )


def generate(spec: Spec, top: Top = "accelerator") -> dict[str, str]:
    """Name and text of every generated file; the same spec gives the same bytes.

    Raises
    ------
    ValueError
        `spec` describes no accelerator; its engine can still be had.
    """
    return TOPS[top](spec)


def _engine(spec: Spec) -> dict[str, str]:
    module, engine, pe = module_name(spec), create_engine(spec), spec.pe
    elements = spec.element.k_granularity
    values = {
        **_common(spec),
        "summary": (
            f"{_size(spec)} {spec.engine.dataflow} {spec.engine.kind} array "
            f"of {pe.kind} PEs, {pe.activation} by {pe.weight}, {pe.accumulator_bits}-bit results"
        ),
        "constraints": None,
        "activation": str(pe.activation),
        "weight": str(pe.weight),
        "a_bits": pe.activation.bits * elements,
        "b_bits": pe.weight.bits * elements,
        "c_bits": pe.accumulator_bits,
        "elements": elements,
        # Of a digit engine it depends on the operands.
        "first_waits": isinstance(engine, MatrixArray),
        "latency": None if isinstance(engine, DigitArray) else engine.latency,
    }
    example = "engine.v.jinja"
    if isinstance(engine, WeightStationaryArray):
        example = "weight_stationary.v.jinja"
        values |= {"tile_rows": engine.tile_rows, "revisit": engine.revisit}
    return {
        f"{module}.v": to_verilog(engine, module),
        f"{module}.core": _render("core.jinja", values),
        f"{module}.json": json.dumps(spec.resolved(), indent=2) + "\n",
        f"{module}_example.v": _render(example, values),
    }


def _accelerator(spec: Spec) -> dict[str, str]:
    module, accelerator = module_name(spec), Accelerator(spec)
    ports = [
        {
            "name": name,
            "direction": "input " if member.flow == In else "output",
            "bits": Shape.cast(member.shape).width,
        }
        for name, member in accelerator.signature.members.items()
    ]
    values = {
        **_common(spec),
        **software_values(spec),
        "summary": (
            f"Tensor accelerator, {_size(spec)} {spec.engine.dataflow} "
            f"{spec.engine.kind} array of {spec.pe.kind} PEs"
        ),
        "constraints": f"{module}.sdc",
        "macro": module.upper(),
        "ports": ports,
        "others": {
            str(port["name"]): _OTHER_PORTS[str(port["name"])]
            for port in ports
            if not str(port["name"]).startswith(_KNOWN_PORTS)
        },
    }
    return {
        f"{module}.v": to_verilog(accelerator, module),
        f"{module}.core": _render("core.jinja", values),
        f"{module}.json": json.dumps(spec.resolved(), indent=2) + "\n",
        f"{module}_example.v": _render("accelerator.v.jinja", values),
        f"{module}.sdc": _render("sdc.jinja", values),
        f"{module}_registers.md": _render("registers.md.jinja", values),
        f"{module}.h": _render("header.h.jinja", values),
    }


TOPS: dict[Top, Callable[[Spec], dict[str, str]]] = {
    "accelerator": _accelerator,
    "engine": _engine,
}
"""What makes the files of each top."""


def _size(spec: Spec) -> str:
    engine = spec.engine
    sides = [engine.rows, engine.cols, *([engine.depth] if engine.depth else [])]
    return " x ".join(map(str, sides))


def _common(spec: Spec) -> dict[str, Any]:
    return {
        "module": module_name(spec),
        "version": metadata.version("bitweft"),
        "style_warnings": STYLE_WARNINGS,
        "rows": spec.engine.rows,
        "cols": spec.engine.cols,
    }


def _render(template: str, values: dict[str, Any]) -> str:
    text = (resources.files("hw") / "templates" / template).read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    return environment.from_string(text).render(values)
