"""Tensor accelerators from one spec: Verilog, a proven mapping, and a model that agrees."""

import time
from importlib.metadata import version

# Reading of the monotonic clock when the package began to load.
BEGAN = time.monotonic()

__version__ = version("bitweft")
