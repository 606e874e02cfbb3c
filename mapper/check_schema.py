"""The form of a plan as the checker understands it, apart from the schema that plans are made by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

__all__ = ["PLAN", "first_mismatch"]

Form = Callable[[Any, str], str]  # value, path -> what is wrong, or nothing

# Far above any memory; integers beyond it are a slip or an attack.
_LARGEST = 1 << 60


def first_mismatch(value: Any, form: Form, path: str) -> str:
    """What is wrong with the first part of `value` that differs from `form`; empty if nothing."""
    return form(value, path)


def _integer(least: int) -> Form:
    def judge(value: Any, path: str) -> str:
        if isinstance(value, bool) or not isinstance(value, int):
            return f"{path} must be an integer, not {_short(value)}"
        if not least <= value <= _LARGEST:
            return f"{path} must be from {least} to 2**60, not {_short(value)}"
        return ""

    return judge


def _fraction(value: Any, path: str) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{path} must be a number, not {_short(value)}"
    # The comparison, unlike isfinite, also holds for integers of any size.
    return "" if 0 <= value <= 1 else f"{path} must be from 0 to 1, not {_short(value)}"


def _string(value: Any, path: str) -> str:
    return "" if isinstance(value, str) else f"{path} must be a string, not {_short(value)}"


def _flag(value: Any, path: str) -> str:
    return "" if isinstance(value, bool) else f"{path} must be true or false, not {_short(value)}"


def _one_of(*choices: Any) -> Form:
    def judge(value: Any, path: str) -> str:
        # `type` keeps 1, 1.0 and true apart.
        if any(type(value) is type(c) and value == c for c in choices):
            return ""
        return f"{path} must be {' or '.join(map(repr, choices))}, not {_short(value)}"

    return judge


def _list(form: Form) -> Form:
    def judge(value: Any, path: str) -> str:
        if not isinstance(value, list):
            return f"{path} must be a list, not {_short(value)}"
        return next(filter(None, (form(x, f"{path}[{i}]") for i, x in enumerate(value))), "")

    return judge


def _or_null(form: Form) -> Form:
    def judge(value: Any, path: str) -> str:
        return "" if value is None else form(value, path)

    return judge


def _record(**fields: Form) -> Form:
    def judge(value: Any, path: str) -> str:
        if not isinstance(value, dict):
            return f"{path} must be an object, not {_short(value)}"
        for name, form in fields.items():
            if name not in value:
                return f"{path}.{name} must be given"
            wrong = form(value[name], f"{path}.{name}")
            if wrong:
                return wrong
        extra = sorted(value.keys() - fields.keys())
        return f"{path}.{_short(extra[0])} must be removed: there is no such field" if extra else ""

    return judge


def _mapping(form: Form) -> Form:
    def judge(value: Any, path: str) -> str:
        if not isinstance(value, dict):
            return f"{path} must be an object, not {_short(value)}"
        return next(filter(None, (form(x, f"{path}[{k!r}]") for k, x in value.items())), "")

    return judge


def _sha256(value: Any, path: str) -> str:
    if isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef"):
        return ""
    return f"{path} must be 64 hexadecimal digits, not {_short(value)}"


def _short(value: Any) -> str:
    """A value of unknown size, fit for a sentence."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > _LARGEST:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


_bytes = _integer(0)
_positive = _integer(1)


_REDUCTION = _record(
    blocks=_positive,
    parts=_list(_bytes),
    tile_rows=_positive,
    row_tiles=_positive,
    ends=_list(_positive),
    shared=_bytes,
)


_WINDOW: dict[str, Form] = {
    "kernel": _positive,
    "stride": _positive,
    "dilation": _positive,
    "padding": _bytes,
}
_FINE_WINDOW = {**_WINDOW, "padding": _integer(-_LARGEST), "up": _positive}

# What a slice, buffer, part or transfer has beside its rows in a plan with tiles.
_COLUMNS: dict[str, Form] = {"left": _bytes, "right": _bytes}


def _windows(form: dict[str, Form]) -> Form:
    return _list(_or_null(_record(**form)))


def _stage(*axes: str, columns: dict[str, Form], **more: Form) -> Form:
    """The form of a stage along one of some axes whose members have `more` fields, and whose slices
    have `columns`."""
    slices = _list(_record(tensor=_string, first=_bytes, last=_positive, **columns))
    return _record(
        axis=_one_of(*axes),
        members=_list(
            _record(
                name=_string,
                kind=_string,
                inputs=_list(_string),
                outputs=_list(_string),
                macs=_bytes,
                weight_bytes=_bytes,
                loaded_weight_bytes=_bytes,
                **more,
            )
        ),
        workspace=_string,
        patches=_list(
            _record(
                buffers=_list(
                    _record(tensor=_string, offset=_bytes, first=_bytes, last=_positive, **columns)
                ),
                loads=slices,
                parts=_list(_record(operator=_string, first=_bytes, last=_positive, **columns)),
                stores=slices,
            )
        ),
        recomputed_macs=_bytes,
        reread_weight_bytes=_bytes,
    )


def _plan(stage: Form, transfer: dict[str, Form], tensor: dict[str, Form]) -> Form:
    """The form of a plan with stages of a form, whose transfers and tensors have more fields."""
    return _record(
        format=_one_of("bitweft-plan"),
        version=_one_of(3, 4, 5),
        model=_record(file=_string, sha256=_sha256),
        activation_bits=_positive,
        weight_bits=_positive,
        channel_multiple=_positive,
        seed=_bytes,
        method=_one_of(
            "best",
            "tflite_belady_file_order",
            "tflite_greedy_ilp_file_order",
            "tflite_belady_least_peak_order",
            "tflite_greedy_ilp_least_peak_order",
        ),
        status=_one_of("optimal", "feasible"),
        objective_bytes=_bytes,
        bound_bytes=_bytes,
        gap=_fraction,
        recomputed_macs=_bytes,
        reread_weight_bytes=_bytes,
        compulsory_bytes=_record(
            activations_loaded=_bytes, activations_stored=_bytes, weights=_bytes, total=_bytes
        ),
        traffic_bytes=_record(
            activations=_record(compulsory=_bytes, non_compulsory=_bytes),
            weights=_record(compulsory=_bytes, non_compulsory=_bytes),
        ),
        budget=_one_of("MR", "MH", "MP", "bytes", "spec"),
        scratchpad_bytes=_positive,
        weight_memory_bytes=_or_null(_positive),
        baselines=_mapping(_bytes),
        order=_list(_string),
        operators=_list(
            _record(
                name=_string,
                kind=_string,
                nodes=_list(_string),
                inputs=_list(_string),
                outputs=_list(_string),
                macs=_bytes,
                weight_bytes=_bytes,
                after=_list(_string),
                stage=_or_null(stage),
            )
        ),
        tensors=_list(
            _record(
                name=_string,
                shape=_list(_positive),
                bytes=_positive,
                rows=_positive,
                channels=_positive,
                **tensor,
                network_input=_flag,
                network_output=_flag,
                intervals=_list(_record(first_step=_bytes, last_step=_bytes, address=_bytes)),
            )
        ),
        transfers=_list(
            _record(
                step=_bytes,
                kind=_one_of("load", "fetch", "store", "spill"),
                tensor=_string,
                bytes=_positive,
                first=_bytes,
                last=_positive,
                **transfer,
            )
        ),
        shared_weights=_list(
            _record(operators=_list(_string), bytes=_positive, address=_or_null(_bytes))
        ),
    )


_PLAIN = _plan(_stage("rows", "channels", columns={}, windows=_windows(_WINDOW)), {}, {})
_WITH_REDUCTIONS = _plan(
    _stage(
        "rows",
        "channels",
        "reduction",
        columns={},
        windows=_windows(_WINDOW),
        reduction=_or_null(_REDUCTION),
    ),
    {},
    {},
)
_WITH_TILES = _plan(
    _stage(
        "rows",
        "channels",
        "reduction",
        "tiles",
        columns=_COLUMNS,
        windows=_windows(_FINE_WINDOW),
        column_windows=_windows(_FINE_WINDOW),
        reduction=_or_null(_REDUCTION),
    ),
    _COLUMNS,
    {"columns": _positive},
)


def _by_version(value: Any, path: str) -> str:
    """Version 4 is version 3 with reductions in parts; 5 has tiles and fractional strides, too."""
    version = value.get("version") if isinstance(value, dict) else None
    form = {4: _WITH_REDUCTIONS, 5: _WITH_TILES}.get(version if type(version) is int else 3, _PLAIN)
    return form(value, path)


PLAN: Form = _by_version
