"""The number format of an engine operand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from amaranth import signed, unsigned
from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

__all__ = ["Operand"]

_NAME = re.compile(r"^(u?)int(\d+)$")


@dataclass(frozen=True)
class Operand:
    """An integer format such as ``int8`` or ``uint4``.

    Attributes
    ----------
    bits : int
        Width in bits, 2 to 18: 16 for what a name can say, and two more for sums of operands.
    signed : bool
        Two's complement when true, else natural binary.

    Raises
    ------
    ValueError
        `bits` is outside 2 to 18.
    """

    bits: int
    signed: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 18:
            raise ValueError(f"operand must be 2 to 18 bits wide, not {self.bits}")

    @classmethod
    def parse(cls, name: object) -> Operand:
        """Reads a format name; the inverse of ``str``.

        Raises
        ------
        ValueError
            `name` is not ``intN`` or ``uintN`` with N from 2 to 16.
        """
        if isinstance(name, cls):
            return name
        match = _NAME.match(name) if isinstance(name, str) else None
        if match is None or not 2 <= int(match[2]) <= 16:
            raise ValueError("must be 'int2' to 'int16' or 'uint2' to 'uint16'")
        return cls(int(match[2]), match[1] == "")

    @property
    def min(self) -> int:
        """Least value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def max(self) -> int:
        """Greatest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def shape(self) -> Any:
        """The Amaranth shape."""
        return signed(self.bits) if self.signed else unsigned(self.bits)

    @property
    def signed_bits(self) -> int:
        """Bits of the two's complement format that holds every value."""
        return self.bits if self.signed else self.bits + 1

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.to_string_ser_schema()
        )
