"""Whole networks on the simulated hardware, as a table that anyone can make again."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from bitweft.run import NetworkRun, run_network
from hw.registry import PES
from hw.spec import load_spec
from mapper.networks.registry import find_network

__all__ = ["CASES", "Case", "markdown", "run_case", "versions"]


@dataclass(frozen=True)
class Case:
    """One network on one accelerator.

    Attributes
    ----------
    network : str
        As `bitweft networks` names it; weights are drawn from seed 0.
    spec, pe : str
        A shipped spec, and the PE that it gets.
    scratchpad : str or None
        As `bitweft run` takes it; None for the spec's own.
    options : dict of str to int
        Of the network.
    """

    network: str
    spec: str
    pe: str
    scratchpad: str | None
    options: Mapping[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        sizes = "".join(f" {value}" for value in self.options.values())
        size = self.scratchpad or "its own scratchpad"
        return f"{self.network}{sizes} on {self.spec} {self.pe}, {size}"


def _cases() -> tuple[Case, ...]:
    # Few scratchpad sizes per spec keep the compiled models few: they are what takes longest. What
    # does not fit into the spec's own runs in patches.
    small = [
        Case(network, "small", pe, None, options)
        for pe in ("mac", "opt1")
        for network, options in (
            ("mobilenet_v2", {"resolution": 96}),
            ("resnet18", {"resolution": 64}),
            ("light_squeezenet", {}),
            ("light_shufflenet", {}),
        )
    ]
    base = [
        Case(network, "base", pe, None, options)
        for pe in ("mac", "opt1")
        for network, options in (
            ("mobilenet_v2", {"resolution": 224}),
            ("resnet18", {"resolution": 224}),
            ("light_squeezenet", {}),
            ("light_shufflenet", {}),
        )
    ]
    sizes = [Case("light_shufflenet", "tiny", "mac", size) for size in ("MR", "MH", "MP")]
    resolution = {"resolution": 224}
    sizes += [Case("mobilenet_v2", "base", "opt1", size, resolution) for size in ("64KiB", "2MiB")]
    return (*sizes, *small, *base)


CASES = _cases()


def run_case(case: Case, progress: Callable[[str, float | None], object]) -> dict[str, Any]:
    """Runs a case; the result is what the tables and the JSON file hold."""
    network = find_network(case.network)
    spec = load_spec(case.spec)
    spec = spec.with_pe(PES[case.pe](kind=case.pe))
    with tempfile.TemporaryDirectory(prefix="bitweft-") as folder:
        model = Path(folder) / f"{case.network}.onnx"
        model.write_bytes(network.content(dict(case.options) or None, weights="seeded", seed=0))
        started = time.monotonic()
        run = run_network(model, spec, scratchpad=case.scratchpad, host=True, on_progress=progress)
        seconds = time.monotonic() - started
    return {"case": case.name, **_figures(run), "seconds_in_all": round(seconds, 1)}


def _figures(run: NetworkRun) -> dict[str, Any]:
    return {
        "agrees": run.agrees,
        "macs": run.macs,
        "scratchpad_bytes": run.spec.scratchpad.bytes,
        "status": run.plan.status,
        "non_compulsory_bytes": run.plan.objective_bytes,
        "stages": sum(o.stage is not None for o in run.plan.operators),
        "recomputed_macs": run.plan.recomputed_macs,
        "cycles_predicted": run.predicted,
        "cycles_counted": run.cycles,
        "utilisation": round(run.utilisation, 4),
        "bytes_planned": run.planned._asdict(),
        "bytes_counted": run.counted._asdict(),
        "elements_compared": run.compared,
        "mismatches": run.mismatches,
    }


def versions(seed: int = 0) -> dict[str, str]:
    """What a result was made with."""
    packages = ("bitweft", "amaranth", "verilator", "onnx", "onnxruntime", "ortools", "numpy")
    return {
        **{package: metadata.version(package) for package in packages},
        "python": platform.python_version(),
        "seed": str(seed),
    }


def markdown(results: list[dict[str, Any]], made_with: Mapping[str, str]) -> str:
    """The results as a page."""
    lines = [
        "# Whole networks on the generated hardware",
        "",
        (
            "Made by `bitweft bench networks`. Weights and inputs are drawn from a seed, so that errors "
            "show; float networks are quantised to int8 with random calibration data. Every output "
            "element is compared with the integer reference, the bytes on the bus with the plan, and "
            "the cycles with the timing model. The memory answers after a fixed latency and does not "
            "stall. Host operators (Softmax) are left out."
        ),
        "",
        (
            "| network and accelerator | MACs | cycles predicted | cycles counted | utilisation "
            "| scratchpad bytes | stages | MACs recomputed | non-compulsory bytes | bytes planned "
            "| bytes counted | elements | mismatches |"
        ),
        "|" + "---|" * 13,
    ]
    for r in results:
        planned, counted = sum(r["bytes_planned"].values()), sum(r["bytes_counted"].values())
        lines.append(
            f"| {r['case']} | {r['macs']:,} | {r['cycles_predicted']:,} "
            f"| {r['cycles_counted']:,} | {100 * r['utilisation']:.1f} % "
            f"| {r['scratchpad_bytes']:,} | {r['stages']} | {r['recomputed_macs']:,} "
            f"| {r['non_compulsory_bytes']:,} | {planned:,} | {counted:,} "
            f"| {r['elements_compared']:,} | {r['mismatches']:,} |"
        )
    made = ", ".join(f"{name} {version}" for name, version in made_with.items())
    return "\n".join([*lines, "", f"Made with {made}.", ""])
