"""A small cell library with delays that can be added up by hand, and netlists of its cells."""

from __future__ import annotations

from typing import Any

__all__ = ["LIBRARY", "module"]


def _table(name: str, template: str, rows: list[list[float]]) -> str:
    values = ", ".join('"' + ", ".join(map(str, row)) + '"' for row in rows)
    return f"{name} ({template}) {{ values ({values}); }}"


def _linear(start: float) -> list[list[float]]:
    """``start + 0.1 * transition + 0.01 * load`` on the axes of template `delay`."""
    return [[round(start + 0.1 * t + 0.01 * c, 6) for c in (0, 10)] for t in (0, 1)]


def _arc(source: str, sense: str, rise: float, fall: float, kind: str = "") -> str:
    tables = [
        _table("cell_rise", "delay", _linear(rise)),
        _table("cell_fall", "delay", _linear(fall)),
        # Transitions: 0.02 per fF, whatever comes in.
        _table("rise_transition", "delay", [[0, 0.2], [0, 0.2]]),
        _table("fall_transition", "delay", [[0, 0.2], [0, 0.2]]),
    ]
    kind = f"timing_type : {kind};" if kind else f"timing_sense : {sense};"
    return f'timing () {{ related_pin : "{source}"; {kind} {" ".join(tables)} }}'


def _input(name: str, load: float, extra: str = "") -> str:
    return f"pin ({name}) {{ direction : input; capacitance : {load}; {extra} }}"


def _gate(name: str, area: float, function: str, sense: str, rise: float, fall: float) -> str:
    inputs = [c for c in "AB" if c in function]
    arcs = " ".join(_arc(source, sense, rise, fall) for source in inputs)
    return (
        f"cell ({name}) {{ area : {area}; {' '.join(_input(i, 1.0) for i in inputs)} "
        f'pin (Y) {{ direction : output; max_capacitance : 20; function : "{function}"; {arcs} }} }}'
    )


_SETUP = (
    'timing () { related_pin : "C"; timing_type : setup_rising; '
    + _table("rise_constraint", "setup", [[0.05, 0.05], [0.15, 0.15]])
    + _table("fall_constraint", "setup", [[0.07, 0.07], [0.17, 0.17]])
    + " }"
)

LIBRARY = f"""
/* Made for tests. */
library (small) {{
  delay_model : table_lookup;
  time_unit : "1ns";
  capacitive_load_unit (1, ff);
  nom_voltage : 1.0; nom_temperature : 25;
  lu_table_template (delay) {{
    variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0, 1"); index_2 ("0, 10");
  }}
  lu_table_template (setup) {{
    variable_1 : constrained_pin_transition; variable_2 : related_pin_transition;
    index_1 ("0, 1"); index_2 ("0, 1");
  }}
  wire_load ("short") {{
    capacitance : 0.5; slope : 3; fanout_length (1, 2); fanout_length (3, 4);
  }}
  {_gate("INV", 1, "!A", "negative_unate", 0.2, 0.1)}
  {_gate("BUF", 2, "A", "positive_unate", 0.3, 0.3)}
  {_gate("NAND", 2, "!(A & B)", "negative_unate", 0.4, 0.3)}
  {_gate("XOR", 4, "A ^ B", "non_unate", 0.6, 0.5)}
  cell (FF) {{
    area : 8;
    ff (IQ, IQN) {{ next_state : "D"; clocked_on : "C"; }}
    {_input("C", 1.0)}
    {_input("D", 2.0, _SETUP)}
    pin (Q) {{ direction : output; max_capacitance : 20; function : "IQ";
      {_arc("C", "", 0.5, 0.4, "rising_edge")} }}
  }}
}}
"""


def module(
    cells: dict[str, tuple[str, dict[str, Any]]], **ports: tuple[str, list[Any]]
) -> dict[str, Any]:
    """A module as Yosys' JSON has it: cells by name (type, pins), ports by name (side, bits)."""
    return {
        "ports": {name: {"direction": side, "bits": bits} for name, (side, bits) in ports.items()},
        "cells": {
            name: {
                "type": kind,
                "connections": {p: n if isinstance(n, list) else [n] for p, n in pins.items()},
            }
            for name, (kind, pins) in cells.items()
        },
    }
