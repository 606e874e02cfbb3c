"""Whole networks with each PE in the array: cycles on the RTL, and what they mean at equal area."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitweft.bench import versions as versions_of_runs
from bitweft.digits import classify_digits
from bitweft.run import run_network
from hw.engine.catalogue import create_array
from hw.registry import PES
from hw.spec import Spec, load_spec
from mapper.networks.registry import find_network
from reports.ppa.designs import Design
from reports.ppa.explore import explore
from reports.ppa.flow import tool_versions
from reports.ppa.memories import SRAM_ABOUT, SRAM_UM2
from reports.ppa.target import NANGATE45, find_target

__all__ = ["VARIANTS", "Variant", "markdown", "run_variant", "versions"]

BASELINE = "mac 8x8"
_SPEC = "small"
_NETWORK, _RESOLUTION = "mobilenet_v2", 96
_DELAY, _RECIPES = 300, ("yosys", "keep")


@dataclass(frozen=True)
class Variant:
    """The spec `small` with another PE.

    Attributes
    ----------
    pe : str
    rows : int
        Of the array; a PE that does two MACs per cycle needs half as many.
    options : dict
        Of the PE.
    """

    pe: str
    rows: int = 8
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        options = "".join(f", {key} {value}" for key, value in self.options.items())
        return f"{self.pe} {self.rows}x{load_spec(_SPEC).engine.cols}{options}"

    @property
    def spec(self) -> Spec:
        spec = load_spec(_SPEC).with_pe(PES[self.pe](kind=self.pe, **self.options))
        engine = spec.engine.model_copy(update={"rows": self.rows})
        return spec.model_copy(update={"name": f"{_SPEC}_{self.pe}", "engine": engine})


VARIANTS = (
    Variant("mac"),
    Variant("opt1"),
    Variant("ffip", rows=4),
    Variant("opt4c", options={"segment": 128}),
    Variant("opt4e", options={"segment": 128}),
)


def run_variant(variant: Variant, progress: Callable[[str], None]) -> dict[str, Any]:
    """Runs both networks on the RTL and maps the array onto cells."""
    spec = variant.spec

    def tell(what: str, share: float | None = None) -> None:
        progress(f"{variant.name}: {what}{'' if share is None else f' {100 * share:.0f} %'}")

    tell("area and period")
    design = Design(
        name=variant.pe,
        level="engine",
        about="",
        bits=spec.pe.accumulator_bits,
        macs=1,
        create=lambda: create_array(spec.pe, rows=variant.rows, cols=spec.engine.cols),
        pe=spec.pe,
    )
    (row,) = explore(
        [design], find_target(NANGATE45), delays=(_DELAY,), recipes=_RECIPES, gate_clock=True
    )
    best = row.best().measurement
    digits = classify_digits(spec, tell)
    network = find_network(_NETWORK)
    with tempfile.TemporaryDirectory(prefix="bitweft-") as folder:
        model = Path(folder) / f"{_NETWORK}.onnx"
        model.write_bytes(network.content({"resolution": _RESOLUTION}, weights="seeded", seed=0))
        run = run_network(model, spec, host=True, on_progress=tell)
    return {
        "variant": variant.name,
        "area_um2": round(best.area),
        "memory_bits": design.memory_bits,
        "period_ns": best.period,
        "digits": {
            "images": digits.images,
            "correct": digits.correct,
            "cycles_predicted": digits.total_predicted,
            "cycles_counted": digits.total_cycles,
            "images_off": digits.late,
            "mismatches": digits.mismatches,
            "agrees": digits.agrees,
        },
        _NETWORK: {
            "macs": run.macs,
            "cycles_predicted": run.predicted,
            "cycles_counted": run.cycles,
            "bytes_planned": sum(run.planned),
            "bytes_counted": sum(run.counted),
            "mismatches": run.mismatches,
            "agrees": run.agrees,
        },
    }


def versions() -> dict[str, str]:
    """What a result was made with."""
    return {**versions_of_runs(), **dict(tool_versions())}


def markdown(results: Sequence[Mapping[str, Any]], made_with: Mapping[str, str]) -> str:
    """The results as a page."""
    bases = [r for r in results if r["variant"] == BASELINE]
    lines = [
        "# Whole networks with each PE",
        "",
        (
            f"Made by `bitweft bench pes`: the accelerator of the spec `{_SPEC}`, its array replaced, "
            "on the RTL with a memory of fixed latency; every value, byte and cycle is compared. "
            f"The digits classifier runs its whole test set, {_NETWORK} at {_RESOLUTION} x "
            f"{_RESOLUTION} one drawn image. Where digits set the pace, every image takes its own "
            "number of cycles."
        ),
        "",
        (
            "| array | digits: right | cycles of all images | predicted | mismatches "
            f"| {_NETWORK}: cycles | predicted | bytes | mismatches |"
        ),
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in results:
        d, n = r["digits"], r[_NETWORK]
        lines.append(
            f"| {r['variant']} | {d['correct']} of {d['images']} | {d['cycles_counted']:,} "
            f"| {d['cycles_predicted']:,} | {d['mismatches']} | {n['cycles_counted']:,} "
            f"| {n['cycles_predicted']:,} | {n['bytes_counted']:,} | {n['mismatches']} |"
        )
    lines += [
        "",
        "## At equal area",
        "",
        (
            "Area and period of the array alone on Nangate45 (synthesis and static timing, no wires, "
            "no clock tree; skew, drain, adders, queue included), and so the speed-up of that many "
            f"arrays as fit into the area of the first row. Buffers: {SRAM_ABOUT}. The rest of the "
            "accelerator (feeder, memories, vector lanes, bus) is in no area. *Equal clock* counts "
            "cycles only; *own clock* lets every array run at its own period and the rest, and the "
            "bus, keep up with it."
        ),
        "",
        (
            "| array | um2, logic | bits of buffers | period ns | digits: equal clock | own clock "
            f"| with buffers | {_NETWORK}: equal clock | own clock | with buffers |"
        ),
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for base, r in ((base, r) for base in bases for r in results):
        cells = [
            f"{_gain(base, r, network, clock, buffers):.2f}"
            for network in ("digits", _NETWORK)
            for clock, buffers in ((False, False), (True, False), (True, True))
        ]
        lines.append(
            f"| {r['variant']} | {r['area_um2']:,} | {r['memory_bits']:,} | {r['period_ns']:.3f} | "
            + " | ".join(cells)
            + " |"
        )
    made = ", ".join(f"{name} {version}" for name, version in made_with.items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])


def _gain(
    base: Mapping[str, Any], other: Mapping[str, Any], network: str, clock: bool, buffers: bool
) -> float:
    """Speed-up at equal area."""

    def cost(r: Mapping[str, Any]) -> float:
        area = r["area_um2"] + (SRAM_UM2 * r["memory_bits"] if buffers else 0)
        period = r["period_ns"] if clock else 1.0
        return float(area * period * r[network]["cycles_counted"])

    return cost(base) / cost(other)
