"""Builds one bench and runs its tests: ``python -m tb.worker FOLDER < JOB``.

A process of its own, so that a crash of the simulator is a result and not the end of the run. The
job is one JSON object: bench (text of `Bench.to_json`), seed, tests, and whether to record waves.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from pathlib import Path

from sim.runner.cocotb_model import build_model, run_tests
from sim.runner.library import SimulationError
from tb.suite import Bench


def main() -> int:
    # The parent ends a run with SIGTERM; as an exception it lets an unfinished model be removed.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))
    folder, job = Path(sys.argv[1]), json.load(sys.stdin)
    bench = Bench.from_json(job["bench"])
    names = "|".join(re.escape(name) for name in job["tests"])
    try:
        model = build_model(bench.verilog(), waves=job["waves"])
        run_tests(
            model,
            bench.module,
            folder=folder,
            seed=job["seed"],
            environment={
                "BITWEFT_BENCH": job["bench"],
                "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            },
            test_filter=rf"\.({names})$",
            waves=job["waves"],
            plusargs=[f"+{argument}" for argument in bench.plusargs],
        )
    except SimulationError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
