"""Which configurations the regression builds and which testbench runs on each."""

from __future__ import annotations

import ast
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from hw.accelerator import Accelerator
from hw.emit import to_verilog
from hw.engine.catalogue import EngineKind, create_array
from hw.engine.weight_stationary import WeightStationaryArray
from hw.operand import Operand
from hw.pe.base import ProcessingElement
from hw.pe.carry_save import CarrySave
from hw.pe.fast_inner import FastInner, FreePipeline
from hw.pe.mac import Mac
from hw.pe.sparse_digit import Opt2, Opt4c, Opt4e
from hw.registry import AnyPE
from hw.spec import Spec, load_spec

__all__ = ["Bench", "suite"]


@dataclass(frozen=True)
class Bench:
    """One device and the testbench that runs on it.

    Attributes
    ----------
    name : str
        Unique in a suite; the first half of a test's name.
    module : str
        The testbench, a cocotb test module.
    patch : tuple of str, optional
        Texts of the Verilog, each followed by what replaces it: a fault that the testbench must
        catch.
    plusargs : tuple of str
        Arguments of the simulation, for faults that Verilog selects with ``$value$plusargs``.
    spec : Spec, optional
        The device is the accelerator of this spec, not just the array.
    kind, depth : optional
        Of the array, as `hw.engine.catalogue.create_array` takes them.
    tile_rows : int, optional
        Weights stand still in the array, and a tile has this many rows.
    """

    name: str
    pe: ProcessingElement
    rows: int
    cols: int
    module: str = "tb.systolic_array"
    patch: tuple[str, ...] | None = None
    spec: Spec | None = None
    plusargs: tuple[str, ...] = ()
    kind: EngineKind | None = None
    depth: int | None = None
    tile_rows: int | None = None

    @classmethod
    def stationary(
        cls, name: str, pe: ProcessingElement, rows: int, cols: int, tile_rows: int
    ) -> Bench:
        """A weight-stationary array."""
        return cls(name, pe, rows, cols, "tb.weight_stationary", tile_rows=tile_rows)

    @classmethod
    def of(cls, spec: Spec, patch: tuple[str, ...] | None = None) -> Bench:
        """The accelerator of a spec."""
        name, engine = f"accelerator[{spec.name}]", spec.engine
        return cls(name, spec.pe, engine.rows, engine.cols, "tb.accelerator", patch, spec)

    def verilog(self) -> str:
        """The device, as module ``top``.

        Raises
        ------
        ValueError
            The text that `patch` replaces does not occur.
        """
        device: Any
        if self.tile_rows is not None:
            device = WeightStationaryArray(
                self.pe, rows=self.rows, cols=self.cols, tile_rows=self.tile_rows
            )
        elif self.spec is None:
            device = create_array(
                self.pe, rows=self.rows, cols=self.cols, kind=self.kind, depth=self.depth
            )
        else:
            device = Accelerator(self.spec)
        text = to_verilog(device, "top")
        parts = self.patch or ()
        for old, new in zip(parts[::2], parts[1::2], strict=True):
            if old not in text:
                raise ValueError(f"patch must replace text of the Verilog, not the absent {old!r}")
            text = text.replace(old, new)
        return text

    def to_json(self) -> str:
        """The bench as text, for another process; `from_json` reads it."""
        spec = self.spec.resolved() if self.spec else None
        return json.dumps({**vars(self), "pe": self.pe.model_dump(mode="json"), "spec": spec})

    @classmethod
    def from_json(cls, text: str) -> Bench:
        fields = json.loads(text)
        patch, spec = fields.pop("patch"), fields.pop("spec")
        plusargs = tuple(fields.pop("plusargs"))
        pe: ProcessingElement = TypeAdapter(AnyPE).validate_python(fields.pop("pe"))
        return cls(
            pe=pe,
            patch=tuple(patch) if patch else None,
            # As JSON: a strict model reads enumerations and the like from text only.
            spec=Spec.model_validate_json(json.dumps(spec)) if spec else None,
            plusargs=plusargs,
            **fields,
        )

    def tests(self) -> list[str]:
        """Names of the tests in the testbench, in file order."""
        found = importlib.util.find_spec(self.module)
        if found is None or found.origin is None:
            raise ValueError(f"module must be a testbench, not {self.module!r}")
        tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
        return [
            node.name
            for node in tree.body
            if isinstance(node, ast.AsyncFunctionDef)
            and any("cocotb.test" in ast.unparse(d) for d in node.decorator_list)
        ]


def suite() -> list[Bench]:
    """Every bench of the regression."""
    u8, s4, u4 = Operand(8, False), Operand(4), Operand(4, False)
    array, stationary = "systolic_array", "weight_stationary"
    return [
        Bench(f"{array}[mac-4x4]", Mac(), 4, 4),
        Bench(f"{array}[opt1-4x4]", CarrySave(), 4, 4),
        Bench(f"{array}[opt1-sign_extension-4x4]", CarrySave(sign_extension=True), 4, 4),
        Bench(f"{array}[mac-3x5-uint8]", Mac(activation=u8, weight=u8), 3, 5),
        Bench(f"{array}[opt1-5x3-uint8-int8]", CarrySave(activation=u8), 5, 3),
        Bench(
            f"{array}[opt1-2x6-uint4-int4-16bit]",
            CarrySave(activation=u4, weight=s4, accumulator_bits=16),
            2,
            6,
        ),
        Bench(
            f"{array}[opt1-sign_extension-3x2-uint8]",
            CarrySave(activation=u8, weight=u8, sign_extension=True),
            3,
            2,
        ),
        Bench(f"{array}[opt1-1x1]", CarrySave(), 1, 1),
        Bench(
            f"{array}[mac-1x7-int16-48bit]", Mac(activation=Operand(16), accumulator_bits=48), 1, 7
        ),
        Bench(f"{array}[opt1-8x8]", CarrySave(), 8, 8),
        Bench(f"{array}[ffip-3x5-uint8-int8]", FreePipeline(activation=u8), 3, 5),
        Bench.stationary(f"{stationary}[mac-4x4]", Mac(), 4, 4, 6),
        Bench.stationary(f"{stationary}[opt1-1x1]", CarrySave(), 1, 1, 2),
        Bench.stationary(
            f"{stationary}[opt1-3x5-uint8-int4-16bit]",
            CarrySave(activation=u8, weight=s4, accumulator_bits=16),
            3,
            5,
            4,
        ),
        Bench("digit_array[opt4c-3x5]", Opt4c(segment=16), 3, 5),
        Bench(
            "digit_array[opt4e-2x3-uint8-int4]",
            Opt4e(segment=32, activation=u8, weight=s4, recoding="booth"),
            2,
            3,
        ),
        Bench("matrix[opt1-4x3]", CarrySave(), 4, 3, kind="matrix"),
        Bench("matrix[fip-2x3-uint8-int8]", FastInner(activation=u8), 2, 3, kind="matrix"),
        Bench("tree[opt2-3x3x4]", Opt2(products=4), 3, 3, kind="tree", depth=4),
        Bench("cube[opt1-3x2x4]", CarrySave(), 3, 2, kind="cube", depth=4),
        Bench.of(load_spec("tiny")),
    ]
