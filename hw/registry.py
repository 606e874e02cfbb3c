"""Every PE that a spec may name. A new PE adds one class to the union."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2, Opt3, Opt4c, Opt4e

__all__ = ["PES", "AnyPE"]

_Union = Mac | CarrySave | FastInner | FreePipeline | Opt2 | Opt3 | Opt4c | Opt4e

AnyPE = Annotated[_Union, Field(discriminator="kind")]

PES: dict[str, type[ProcessingElement]] = {
    pe.model_fields["kind"].default: pe for pe in get_args(_Union)
}
