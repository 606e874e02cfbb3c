"""The CSV form of packing questions and answers, as google/minimalloc reads and writes it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hw.errors import InputError
from mapper.pack import Buffer

__all__ = ["Question", "read_buffers", "written_offsets"]

_FIELDS = ("id", "lower", "upper", "size")
_OPTIONAL = ("alignment", "gaps", "hint", "offset")
# Older files say so; the steps of "start" and "end" are both the buffer's.
_ALSO = {"buffer": "id", "buffer_id": "id", "begin": "lower", "start": "lower", "end": "upper"}
_LARGEST = 1 << 50


class Question(NamedTuple):
    """What a file holds, in its order.

    Attributes
    ----------
    ids : list of str
    buffers : list of Buffer
        Each lives in ``[lower, upper)``.
    alignments : list of int
        Of each buffer; 1 where the file has no such column.
    """

    ids: list[str]
    buffers: list[Buffer]
    alignments: list[int]


def read_buffers(path: Path | str) -> Question:
    """The buffers of a CSV file with the columns ``id,lower,upper,size``, and ``alignment`` if any.

    ``end`` in place of ``upper`` is the last step of a life. Hints and offsets are not looked at.

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
    buffers, alignments = [], []
    try:
        written = [c.strip() for c in reader.fieldnames or ()]
        columns = [_ALSO.get(c, c) for c in written]
        optional = [c for c in columns if c not in _FIELDS]
        if sorted({*columns} - {*optional}) != sorted(_FIELDS) or not {*optional} <= {*_OPTIONAL}:
            raise InputError(
                f"{path}: first line must be id,lower,upper,size, and alignment where it is "
                f"needed, not {','.join(written)[:80]!r}."
            )
        if len(set(columns)) < len(columns):
            raise InputError(
                f"{path}: first line must have every column once, not {','.join(written)[:80]!r}."
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
            buffers.append(_buffer(path, reader.line_num, row, inclusive="end" in written))
            alignments.append(_alignment(path, reader.line_num, row))
    except csv.Error as error:
        raise InputError(
            f"{path}: must be CSV, not something else ({error}): correct its quotes."
        ) from error
    return Question(list(lines), buffers, alignments)


def written_offsets(
    ids: Sequence[str],
    buffers: Sequence[Buffer],
    offsets: Sequence[int],
    alignments: Sequence[int] = (),
) -> str:
    """The answer as CSV, rows in the order of the question; alignments where one is not 1."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    aligned = any(alignment > 1 for alignment in alignments)
    writer.writerow((*_FIELDS, *(["alignment"] if aligned else []), "offset"))
    for i, (name, buffer, offset) in enumerate(zip(ids, buffers, offsets, strict=True)):
        writer.writerow((name, *buffer, *([alignments[i]] if aligned else []), offset))
    return text.getvalue()


def _buffer(path: Path | str, line: int, row: dict[str, str], *, inclusive: bool) -> Buffer:
    if None in row:
        raise InputError(f"{path}: line {line} must have no more fields than the first line.")
    if (row.get("gaps") or "").strip():
        raise InputError(
            f"{path}: line {line} must have no gaps, not {row['gaps'][:80]!r}: a buffer is taken "
            "to live from its first step to its last; remove the column if that will do."
        )
    lower, upper, size = (_number(path, line, row, field) for field in _FIELDS[1:])
    buffer = Buffer(lower, upper + inclusive, size)
    if not buffer.lower < buffer.upper or buffer.size < 1:
        raise InputError(
            f"{path}: line {line} must have lower < upper and a positive size, "
            f"not {buffer.lower}, {buffer.upper} and {buffer.size}."
        )
    return buffer


def _alignment(path: Path | str, line: int, row: dict[str, str]) -> int:
    if "alignment" not in row:
        return 1
    alignment = _number(path, line, row, "alignment")
    if alignment < 1:
        raise InputError(f"{path}: line {line} must have a positive alignment, not {alignment}.")
    return alignment


def _number(path: Path | str, line: int, row: dict[str, str], field: str) -> int:
    value = row.get(field)
    try:
        number = int((value or "").strip())
    except ValueError:
        raise InputError(
            f"{path}: line {line} must have a whole number as {field}, "
            f"not {value if value is None else value[:80]!r}."
        ) from None
    if not -_LARGEST <= number <= _LARGEST:
        raise InputError(
            f"{path}: line {line} must have a {field} of at most 2^50, not {value}: use a "
            "coarser unit."
        )
    return number
