"""What `bitweft report` shows of a network on an accelerator."""

from __future__ import annotations

from dataclasses import dataclass

from hw.spec import Spec
from mapper.lowered import Lowered
from mapper.plan import Plan
from reports.layers import Waterline
from reports.traffic import TensorTraffic
from sim.timing.program import ProgramTiming

__all__ = ["Report"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report shows.

    Attributes
    ----------
    plan : Plan
    spec : Spec
        With the scratchpad that the plan is for.
    lowered : Lowered
    timing : ProgramTiming
    waterline : Waterline
    tensors : tuple of TensorTraffic
    calibration : str
        What a float model was quantised with; else empty.
    host : tuple of str
        Operators that are left to the host, and in no figure.
    """

    plan: Plan
    spec: Spec
    lowered: Lowered
    timing: ProgramTiming
    waterline: Waterline
    tensors: tuple[TensorTraffic, ...]
    calibration: str
    host: tuple[str, ...]
