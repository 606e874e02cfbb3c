"""Sessions of ONNX Runtime whose integers are the model's own on every processor."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

__all__ = ["exact_session"]


def exact_session(model: Path | str | bytes) -> Any:
    """An `InferenceSession` on one thread of the CPU.

    Parameters
    ----------
    model : path or bytes
        An ONNX file, or its content.

    Raises
    ------
    ModuleNotFoundError
        onnxruntime is not installed (extra ``quant``).
    """
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    # Without this, its kernels saturate sums of two products at 16 bits on x86 without VNNI: the
    # digits classifier then gets 226 of 360 images right, not 359.
    options.add_session_config_entry("session.x64quantprecision", "1")
    content = model if isinstance(model, bytes) else str(model)
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
