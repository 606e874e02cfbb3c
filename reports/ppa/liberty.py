"""Reads cell libraries in the Liberty format, as far as timing, area and energy need it.

Written here because the readers on PyPI are either copyleft or in their first release; the part of
the format that a non-linear delay model (NLDM) uses is small. What is not understood is skipped,
never guessed: a cell whose timing cannot be read fails when it is looked up, with its name.

Units: times in ns, capacitances in fF, areas as in the library (um2), leakage in nW, internal energy
in the library's energy unit times `Library.energy_fj`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hw.errors import InputError
from reports.ppa.liberty_syntax import Group, parse

__all__ = [
    "Arc",
    "Cell",
    "Library",
    "Pin",
    "Power",
    "Table",
    "WireLoad",
    "read_library",
]

_TIMES = {"ps": 1e-3, "ns": 1.0, "us": 1e3}
_FARADS = {"ff": 1.0, "pf": 1e3}


@dataclass(frozen=True)
class Table:
    """A look-up table over one or two axes; linear between its points and beyond its ends.

    Attributes
    ----------
    first, second : tuple of float
        Axes; `second` is ``(0.0,)`` for a table over one axis, and both for a constant.
    rows : tuple of tuple of float
        ``rows[i][j]`` belongs to ``first[i]``, ``second[j]``.
    """

    first: tuple[float, ...]
    second: tuple[float, ...]
    rows: tuple[tuple[float, ...], ...]

    def at(self, x: float, y: float = 0.0) -> float:
        """The value at (x, y)."""
        i, u = _position(self.first, x)
        j, v = _position(self.second, y)
        low = self.rows[i]
        value = low[j] + (v * (low[j + 1] - low[j]) if v else 0.0)
        if u:
            high = self.rows[i + 1]
            other = high[j] + (v * (high[j + 1] - high[j]) if v else 0.0)
            value += u * (other - value)
        return value


def _position(axis: tuple[float, ...], x: float) -> tuple[int, float]:
    """Index of the interval to interpolate in, and the place in it; beyond an end it extends."""
    if len(axis) == 1:
        return 0, 0.0
    i = min(max(bisect_right(axis, x) - 1, 0), len(axis) - 2)
    return i, (x - axis[i]) / (axis[i + 1] - axis[i])


@dataclass(frozen=True)
class Arc:
    """Timing from `source` to the pin that holds the arc.

    Attributes
    ----------
    source : str
        Pin that the arc starts from.
    kind : str
        Liberty's ``timing_type``: ``combinational``, ``rising_edge``, ``setup_rising``, ...
    sense : str
        ``positive_unate``, ``negative_unate`` or ``non_unate``.
    tables : dict
        By Liberty's name: ``cell_rise``, ``rise_transition``, ``fall_constraint``, ... First axis:
        transition of the source (for constraints: of the constrained pin), second axis: load in fF
        (for constraints: transition of the clock).
    """

    source: str
    kind: str
    sense: str
    tables: dict[str, Table]


@dataclass(frozen=True)
class Power:
    """Energy inside a cell per transition, in the library's unit; axes as in `Arc`."""

    source: str
    tables: dict[str, Table]


@dataclass(frozen=True)
class Pin:
    """A pin of a cell; capacitances in fF. `function` is empty where the library gives none.

    `rise` and `fall` are the capacitance that a rising and a falling driver sees.
    """

    name: str
    direction: str
    capacitance: float
    rise: float
    fall: float
    max_capacitance: float
    function: str
    arcs: tuple[Arc, ...]
    powers: tuple[Power, ...]


@dataclass(frozen=True)
class Cell:
    """A cell; `area` in um2, `leakage` in nW.

    Attributes
    ----------
    clock : str
        Clock pin of a flip-flop or clock gate, else empty.
    next_state : str
        Of a flip-flop: function of its inputs.
    state : (str, str)
        Of a flip-flop: names of the state variable and of its inverse.
    gate : bool
        It is an integrated clock gate.
    asynchronous : bool
        It is a flip-flop with an asynchronous clear or preset.
    """

    name: str
    area: float
    leakage: float
    pins: dict[str, Pin]
    clock: str
    next_state: str
    state: tuple[str, str]
    gate: bool
    asynchronous: bool = False

    @property
    def flip_flop(self) -> bool:
        return bool(self.clock) and not self.gate


@dataclass(frozen=True)
class WireLoad:
    """A library's estimate of the wire of a net.

    Attributes
    ----------
    per_length : float
        fF per unit of length.
    lengths : tuple of float
        ``lengths[n]`` belongs to a fan-out of n + 1.
    slope : float
        Length per further sink.
    """

    per_length: float
    lengths: tuple[float, ...]
    slope: float

    def capacitance(self, fanout: int) -> float:
        """fF of the wire to `fanout` sinks."""
        if fanout < 1:
            return 0.0
        known = len(self.lengths)
        length = self.lengths[min(fanout, known) - 1] + self.slope * max(0, fanout - known)
        return self.per_length * length


@dataclass(frozen=True)
class Library:
    """Cells of a library, read as they are asked for.

    Attributes
    ----------
    name : str
    voltage : float
        Volts.
    corner : str
        What the library says of its operating point.
    energy_fj : float
        Femtojoules per unit of `Power`.
    wire_loads : dict
    default_wire_load : str
        The one that the library itself would use; empty if none.
    """

    name: str
    voltage: float
    corner: str
    energy_fj: float
    wire_loads: dict[str, WireLoad]
    default_wire_load: str
    _cells: dict[str, Group]
    _templates: dict[str, Group]
    _time: float
    _farad: float
    _cache: dict[str, Cell] = field(default_factory=dict)

    def __contains__(self, cell: str) -> bool:
        return cell in self._cells

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all cells."""
        return tuple(self._cells)

    def cell(self, name: str) -> Cell:
        """The cell `name`.

        Raises
        ------
        InputError
            The library has no such cell.
        """
        if name not in self._cells:
            raise InputError(f"Cell must be one of library {self.name}, not {name!r}.")
        if name not in self._cache:
            self._cache[name] = self._read(self._cells[name])
        return self._cache[name]

    def _read(self, group: Group) -> Cell:
        flip_flop = next(group.all("ff"), None)
        pins = {}
        for pin in group.all("pin"):
            for name in pin.arguments:
                pins[name] = self._pin(name, pin)
        gate = "clock_gating_integrated_cell" in group.values
        clock, next_state, state = "", "", ("", "")
        if flip_flop is not None:
            clock = flip_flop.text("clocked_on")
            next_state = flip_flop.text("next_state")
            state = (flip_flop.arguments[0], flip_flop.arguments[1])
        elif gate:
            clock = next(
                p.arguments[0] for p in group.all("pin") if "clock_gate_clock_pin" in p.values
            )
        return Cell(
            name=group.arguments[0],
            area=group.number("area"),
            leakage=group.number("cell_leakage_power"),
            pins=pins,
            clock=clock,
            next_state=next_state,
            state=state,
            gate=gate,
            asynchronous=flip_flop is not None
            and any(name in flip_flop.values for name in ("clear", "preset")),
        )

    def _pin(self, name: str, group: Group) -> Pin:
        load = group.number("capacitance")
        arcs = [
            Arc(
                source=source,
                kind=timing.text("timing_type", "combinational"),
                sense=timing.text("timing_sense", "non_unate"),
                tables=self._tables(timing),
            )
            for timing in group.all("timing")
            for source in timing.text("related_pin").split()
        ]
        powers = [
            Power(source=source, tables=self._tables(power, scale=1.0))
            for power in group.all("internal_power")
            for source in power.text("related_pin").split() or [""]
        ]
        return Pin(
            name=name,
            direction=group.text("direction"),
            capacitance=load * self._farad,
            rise=group.number("rise_capacitance", load) * self._farad,
            fall=group.number("fall_capacitance", load) * self._farad,
            max_capacitance=group.number("max_capacitance", float("inf")) * self._farad,
            function=group.text("function"),
            arcs=tuple(arcs),
            powers=tuple(powers),
        )

    def _tables(self, group: Group, scale: float | None = None) -> dict[str, Table]:
        factor = self._time if scale is None else scale
        return {g.name: self._table(g, factor) for g in group.groups if "values" in g.values}

    def _table(self, group: Group, factor: float) -> Table:
        template = self._templates.get(group.arguments[0] if group.arguments else "scalar")
        template = template or Group("", [])
        rows = [[float(n) * factor for n in _words(row)] for row in group.values["values"]]
        axes = []
        for n in ("1", "2"):
            raw = group.values.get(f"index_{n}") or template.values.get(f"index_{n}")
            variable = template.text(f"variable_{n}")
            if raw and variable:
                unit = self._farad if "capacitance" in variable else self._time
                axes.append((variable, tuple(float(x) * unit for x in _words(raw[0]))))
        if len(axes) < 2:
            flat = [n for row in rows for n in row]
            if not axes:
                return Table((0.0,), (0.0,), ((flat[0],),))
            if "capacitance" in axes[0][0]:
                return Table((0.0,), axes[0][1], (tuple(flat),))
            return Table(axes[0][1], (0.0,), tuple((n,) for n in flat))
        (one, x), (_, y) = axes
        if len(rows) == 1:  # all values in one string
            rows = [rows[0][n : n + len(y)] for n in range(0, len(rows[0]), len(y))]
        if "capacitance" in one or one == "related_pin_transition":
            x, y, rows = y, x, [list(column) for column in zip(*rows, strict=True)]
        return Table(x, y, tuple(map(tuple, rows)))


def read_library(path: Path) -> Library:
    """Reads a Liberty file.

    Raises
    ------
    InputError
        The file cannot be read, or is not a Liberty library of table look-up delays.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        top = parse(text)
    except OSError as error:
        raise InputError(f"Library must be a readable file, not {str(path)!r}.") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}.") from error
    if top.name != "library" or not any(top.all("cell")):
        raise InputError(f"{path} must be a Liberty library with cells, not {top.name!r}.")
    templates = {
        g.arguments[0]: g
        for g in top.groups
        if g.name in ("lu_table_template", "power_lut_template") and g.arguments
    }
    time = re.fullmatch(r"([\d.]+)\s*(ps|ns|us)", top.text("time_unit", "1ns"))
    load = top.values.get("capacitive_load_unit", ["1", "pf"])
    if time is None or len(load) != 2 or load[1].lower() not in _FARADS:
        raise InputError(f"{path} must have time and load units in ps, ns, fF or pF.")
    farad = float(load[0]) * _FARADS[load[1].lower()]
    voltage = top.number("nom_voltage", 1.0)
    return Library(
        name=top.arguments[0],
        voltage=voltage,
        corner=f"{voltage:g} V, {top.number('nom_temperature'):g} C",
        # Internal energy is voltage^2 times the capacitance unit, or 1 pJ by newer libraries' custom.
        energy_fj=farad,
        wire_loads={g.arguments[0]: _wire_load(g, farad) for g in top.all("wire_load")},
        default_wire_load=top.text("default_wire_load"),
        _cells={g.arguments[0]: g for g in top.all("cell")},
        _templates=templates,
        _time=float(time[1]) * _TIMES[time[2]],
        _farad=farad,
    )


def _wire_load(group: Group, farad: float) -> WireLoad:
    given = [float(n) for n in group.values.get("fanout_length", ["1", "0"])]
    points = dict(zip(map(int, given[::2]), given[1::2], strict=True))
    lengths: list[float] = []
    for fanout in range(1, max(points) + 1):  # a fan-out that is left out has that of the next
        lengths.append(points[min(n for n in points if n >= fanout)])
    return WireLoad(group.number("capacitance") * farad, tuple(lengths), group.number("slope"))


def _words(text: str) -> Sequence[str]:
    return text.replace(",", " ").split()
