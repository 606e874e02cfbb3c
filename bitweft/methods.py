"""What can make a plan, as an option of the command line."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Method"]


class Method(StrEnum):
    """The search, or one of `mapper.schedule.baselines.METHODS`."""

    BEST = "best"
    BELADY_FILE_ORDER = "tflite_belady_file_order"
    GREEDY_ILP_FILE_ORDER = "tflite_greedy_ilp_file_order"
    BELADY_LEAST_PEAK_ORDER = "tflite_belady_least_peak_order"
    GREEDY_ILP_LEAST_PEAK_ORDER = "tflite_greedy_ilp_least_peak_order"
