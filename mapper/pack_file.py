"""The CSV form of packing questions and answers: ``id,lower,upper,size`` and ``offset``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from hw.errors import InputError
from mapper.pack import Buffer

__all__ = ["read_buffers", "written_offsets"]

_FIELDS = ("id", "lower", "upper", "size")
_LARGEST = 1 << 50


def read_buffers(path: Path | str) -> tuple[list[str], list[Buffer]]:
    """Identifiers and buffers of a CSV file; each lives in ``[lower, upper)``.

    Raises
    ------
    InputError
        The file cannot be read, a column is missing, or a row holds no buffer; the line is named.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"Buffers must be a readable CSV file, not {str(path)!r} (not UTF-8 text)."
        ) from error
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise InputError(
            f"Buffers must be a readable CSV file, not {str(path)!r} ({reason})."
        ) from error
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    lines: dict[str, int] = {}
    buffers = []
    try:
        columns = [c.strip() for c in reader.fieldnames or ()]
        if sorted(columns) != sorted(_FIELDS) and sorted(columns) != sorted((*_FIELDS, "offset")):
            raise InputError(
                f"{path}: first line must be id,lower,upper,size, not {','.join(columns)[:80]!r}."
            )
        reader.fieldnames = columns
        for row in reader:
            name = (row["id"] or "").strip()
            if name in lines or not name:
                first = f", already on line {lines[name]}" if name else ""
                raise InputError(
                    f"{path}: line {reader.line_num} must have an id of its own, "
                    f"not {name[:80]!r}{first}."
                )
            lines[name] = reader.line_num
            buffers.append(_buffer(path, reader.line_num, row))
    except csv.Error as error:
        raise InputError(
            f"{path}: must be CSV, not something else ({error}): correct its quotes."
        ) from error
    return list(lines), buffers


def written_offsets(ids: Sequence[str], buffers: Sequence[Buffer], offsets: Sequence[int]) -> str:
    """The answer as CSV, rows in the order of the question."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow((*_FIELDS, "offset"))
    for name, buffer, offset in zip(ids, buffers, offsets, strict=True):
        writer.writerow((name, *buffer, offset))
    return text.getvalue()


def _buffer(path: Path | str, line: int, row: dict[str, str]) -> Buffer:
    numbers = []
    for field in _FIELDS[1:]:
        value = row.get(field)
        try:
            number = int((value or "").strip())
        except ValueError:
            number = None
        if number is not None and not -_LARGEST <= number <= _LARGEST:
            raise InputError(
                f"{path}: line {line} must have a {field} of at most 2^50, not {value}: use a "
                "coarser unit."
            )
        if number is None or None in row:
            raise InputError(
                f"{path}: line {line} must have {len(_FIELDS)} fields and a whole number as "
                f"{field}, not {value if value is None else value[:80]!r}."
            )
        numbers.append(number)
    buffer = Buffer(*numbers)
    if not buffer.lower < buffer.upper or buffer.size < 1:
        raise InputError(
            f"{path}: line {line} must have lower < upper and a positive size, "
            f"not {buffer.lower}, {buffer.upper} and {buffer.size}."
        )
    return buffer
