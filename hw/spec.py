"""The spec: one small TOML file from which hardware, plan and model are made."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from hw.engine.catalogue import (
    Dataflow,
    EngineKind,
    array_element,
    dataflow_conflict,
    engine_conflict,
    engine_kind_of,
)
from hw.errors import InputError
from hw.pe.base import ProcessingElement, accumulator_bits_for
from hw.registry import PES, AnyPE
from hw.units import parse_bytes

__all__ = [
    "Engine",
    "Memory",
    "Scratchpad",
    "Spec",
    "WeightBuffer",
    "load_spec",
    "parse_spec",
    "shipped_specs",
]


def _read_bytes(value: object) -> object:
    return parse_bytes(value) if isinstance(value, str) else value


_TILE_ROWS = 64

Bytes = Annotated[int, BeforeValidator(_read_bytes), Field(gt=0, le=1 << 40)]


def _conflict(field: str, message: str) -> PydanticCustomError:
    """An error that belongs to `field` although it was found by comparing several."""
    return PydanticCustomError("conflict", "{message}", {"field": field, "message": message})


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Engine(_Section):
    """The array of PEs.

    Attributes
    ----------
    kind : str
        ``systolic``, ``matrix``, ``cube``, ``tree``, or ``columns`` for PEs that work off single
        digits.
    dataflow : str
        ``output-stationary``, or ``weight-stationary`` on a systolic array.
    rows, cols : int
        PEs per column (output rows M of a tile, or elements of K where weights stand still) and per
        row (output columns N of a tile).
    depth : int, optional
        Multipliers along K in each cell of a cube or tree; only there.
    tile_rows : int
        Output rows M of a tile where weights stand still: entries of the memory of partial sums, 64
        by default. `rows` or more keep the array busy.
    max_k : int
        Longest reduction K whose sums the accumulator must hold without overflow.
    """

    kind: EngineKind = "systolic"
    dataflow: Dataflow = "output-stationary"
    rows: int = Field(ge=1, le=128)
    cols: int = Field(ge=1, le=128)
    depth: int | None = Field(default=None, ge=1, le=64)
    tile_rows: int | None = Field(default=None, ge=1, le=4096)
    max_k: int = Field(default=32768, ge=1, le=1 << 24)

    @model_validator(mode="before")
    @classmethod
    def _default_tile(cls, content: Any) -> Any:
        if isinstance(content, dict) and content.get("dataflow") == "weight-stationary":
            return {"tile_rows": _TILE_ROWS, **content}
        return content

    @property
    def tile(self) -> int:
        """Output rows M of a tile: what the array keeps sums of."""
        return self.rows if self.tile_rows is None else self.tile_rows

    @model_validator(mode="after")
    def _tile_of_stationary_weights(self) -> Engine:
        if self.dataflow == "output-stationary" and self.tile_rows is not None:
            raise _conflict(
                "engine.tile_rows",
                f"must be absent where outputs stand still, not {self.tile_rows}: a tile has "
                "engine.rows rows there",
            )
        return self


class Scratchpad(_Section):
    """On-chip memory for activations, `bytes` in all, in `banks` equal banks.

    Banks follow one another in the address space. A load or store runs beside a computation if they
    do not use the same port of the same bank.
    """

    bytes: Bytes
    banks: int = Field(ge=1, le=64)


class WeightBuffer(_Section):
    """On-chip memory for weights, `bytes` in all, split into two halves (double buffering)."""

    bytes: Bytes


class Memory(_Section):
    """The off-chip memory and its bus.

    Attributes
    ----------
    bus_bits : int
        Width of the data bus, a power of two from 8 to 1024; a scratchpad word is as wide.
    latency_cycles : int
        Cycles from a read request to its first data.
    bytes_per_cycle : int
        Sustained bandwidth, at most ``bus_bits / 8``.
    """

    bus_bits: int = Field(ge=8, le=1024)
    latency_cycles: int = Field(ge=1, le=1 << 16)
    bytes_per_cycle: int = Field(ge=1)


class Spec(_Section):
    """Parameters of an accelerator; see `load_spec`.

    Attributes
    ----------
    name : str
        Names the generated module: the file's name without its suffix.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)
    engine: Engine
    pe: AnyPE
    scratchpad: Scratchpad
    weight_buffer: WeightBuffer
    memory: Memory

    @property
    def word_bytes(self) -> int:
        """Bytes of one scratchpad word: as wide as the memory bus."""
        return self.memory.bus_bits // 8

    @model_validator(mode="after")
    def _engine_runs_pe(self) -> Spec:
        if conflict := engine_conflict(self.engine.kind, self.pe, self.engine.depth):
            field, _, requirement = conflict.partition(" ")
            raise _conflict(field, requirement)
        if conflict := dataflow_conflict(self.engine.dataflow, self.engine.kind, self.pe):
            raise _conflict("engine.dataflow", conflict)
        return self

    @model_validator(mode="after")
    def _accumulator_holds_max_k(self) -> Spec:
        pe, k = self.pe, self.engine.max_k
        need = accumulator_bits_for(pe.activation, pe.weight, k)
        if pe.accumulator_bits < need:
            raise _conflict(
                "pe.accumulator_bits",
                f"must be at least {need} to hold {k} products of {pe.activation} by {pe.weight}, "
                f"not {pe.accumulator_bits}: widen it or lower engine.max_k",
            )
        return self

    @model_validator(mode="after")
    def _words_divide(self) -> Spec:
        bus, word = self.memory.bus_bits, self.word_bytes
        if bus & (bus - 1):
            raise _conflict("memory.bus_bits", f"must be a power of two, not {bus}")
        if self.memory.bytes_per_cycle > word:
            raise _conflict(
                "memory.bytes_per_cycle",
                f"must be at most the {word} bytes of memory.bus_bits, "
                f"not {self.memory.bytes_per_cycle}: widen the bus or lower it",
            )
        pad = self.scratchpad
        if pad.bytes % (pad.banks * word):
            raise _conflict(
                "scratchpad.bytes",
                f"must be a multiple of {pad.banks * word} ({pad.banks} banks of {word}-byte "
                f"words), not {pad.bytes}: change it, scratchpad.banks or memory.bus_bits",
            )
        if self.weight_buffer.bytes % (2 * word):
            raise _conflict(
                "weight_buffer.bytes",
                f"must be a multiple of {2 * word} (two halves of {word}-byte words), "
                f"not {self.weight_buffer.bytes}: change it or memory.bus_bits",
            )
        return self

    # No cached properties: a copy with another field would keep what was cached.
    @property
    def element(self) -> ProcessingElement:
        """What the engine is an array of: the PE, or a cell of several of its multipliers."""
        return array_element(self.pe, self.engine.kind, self.engine.depth)

    @property
    def macs_per_cycle(self) -> int:
        """MACs of the array in a cycle in which a beat of operands enters."""
        return self.engine.rows * self.engine.cols * self.element.k_granularity

    def with_pe(self, pe: ProcessingElement) -> Spec:
        """The same with another PE, on the engine that is made for it where its own is not."""
        engine = self.engine
        if engine_conflict(engine.kind, pe, engine.depth):
            engine = engine.model_copy(update={"kind": engine_kind_of(pe), "depth": None})
        if dataflow_conflict(engine.dataflow, engine.kind, pe):
            update = {"dataflow": "output-stationary", "tile_rows": None}
            engine = engine.model_copy(update=update)
        return self.model_copy(update={"engine": engine, "pe": pe})

    def resolved(self) -> dict[str, Any]:
        """Every parameter, defaults included, as JSON types."""
        return self.model_dump(mode="json", exclude_none=True)


def shipped_specs() -> list[str]:
    """Names of the specs in the package, smallest array first."""
    folder = resources.files("hw") / "specs"
    names = [p.name.removesuffix(".toml") for p in folder.iterdir() if p.name.endswith(".toml")]
    return sorted(names, key=lambda name: load_spec(name).engine.rows)


def load_spec(source: str | Path) -> Spec:
    """Reads a shipped spec by name or any spec from a TOML file.

    Raises
    ------
    InputError
        There is no such spec, the file is not TOML, or a field is unknown, missing, of the wrong
        type or in conflict with another.
    """
    path = Path(source)
    if str(source) == path.name and path.suffix == "":
        shipped = resources.files("hw") / "specs" / f"{source}.toml"
        if shipped.is_file():
            return parse_spec(shipped.read_text(encoding="utf-8"), path.name, str(source))
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror or "").lower() if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(
            f"Spec must be one of {', '.join(shipped_specs())} or a readable TOML file, "
            f"not {str(source)!r} ({reason})."
        ) from error
    return parse_spec(text, path.stem, str(source))


def parse_spec(text: str, name: str, file: str) -> Spec:
    """Reads a spec from TOML text; `name` and `file` stand in its module name and its errors.

    Raises
    ------
    InputError
        As `load_spec`.
    """
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{file}: must be TOML: {error}.") from error
    content.setdefault("name", _module_name(name))
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        # A misspelt field is the cause of the missing one, so it comes first.
        first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        raise InputError(f"{file}: {_sentence(first)}.") from error


def _module_name(stem: str) -> str:
    """`stem` as a Verilog identifier that needs no escape."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem.lower())
    return (name if name[:1].isalpha() else f"spec_{name}")[:40]


def _sentence(error: ErrorDetails) -> str:
    """One pydantic error as field, requirement, value and remedy."""
    kinds = set(PES)
    field = ".".join(str(part) for part in error["loc"] if part not in kinds)
    value, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "conflict":
            return f"{context['field']} {context['message']}"
        case "missing":
            return f"{field} must be given"
        case "extra_forbidden":
            return f"{field} must be removed or spelt right: there is no such field" + _known(error)
        case "union_tag_invalid":
            return f"pe.kind must be one of {', '.join(sorted(kinds))}, not {context['tag']!r}"
        case "union_tag_not_found":
            return f"pe.kind must be given: one of {', '.join(sorted(kinds))}"
        case "literal_error":
            return f"{field} must be {context['expected']}, not {value!r}"
        case "int_type":
            return f"{field} must be an integer, not {value!r}"
        case "value_error":
            return f"{field} {context['error']}, not {value!r}"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            bound = error["msg"].removeprefix("Input should be ")
            return f"{field} must be {bound}, not {value!r}"
        case _:
            requirement = error["msg"].replace("Input should be", "must be", 1)
            return f"{field} {requirement[0].lower()}{requirement[1:]}, not {value!r}"


def _known(error: ErrorDetails) -> str:
    """The fields that the section of an unknown field does have."""
    section: Any = Spec
    for part in error["loc"][:-1]:
        if part in PES:
            section = PES[str(part)]
        elif part != "pe":
            section = section.model_fields[str(part)].annotation
    return f"; known are {', '.join(section.model_fields)}"
