"""The door of stored rows of dataclasses: types, ranges and text are checked before anything is computed of them."""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from niah.errors import NiahError
from niah.records.checksums import ROWS_COLUMN, rows_sha256
from niah.system import atomic, spreadsheet
from niah.system.text_tables import TextTable, read_own_table

LARGEST = 1e9  # of any number: seconds, clips, decibels
Stored = TypeVar("Stored")


def read_csv(kind: type[Stored], file: Path, command: str) -> list[Stored]:
    """Return the rows that `write_csv` wrote of a dataclass; empty where there is no file.

    Args:
        kind: the dataclass, whose fields are text, int, float or float | None.
        file: the CSV.
        command: that makes the file again, for the message.

    Raises:
        NiahError: the file cannot be read, was edited since it was written, or a value is not what its field may be.
    """
    if not file.is_file():
        return []
    hints = get_type_hints(kind)

    def value(name: str, text: str) -> Any:
        if hints.get(name) is str:
            return spreadsheet.unguarded(text)
        return (int(text) if hints.get(name) is int else float(text)) if text else None

    try:
        table = _intact(read_own_table(file, (*hints, ROWS_COLUMN)))
        named = [dict(zip(table.header, row, strict=True)) for row in table.rows]
        read = [{name: value(name, row[name]) for name in row if name} for row in named]
        return [kind(**checked(kind, row)) for row in read]
    except (TypeError, ValueError, AttributeError, NiahError) as error:
        raise NiahError(f"{file} cannot be read: {error}; run {command} again") from error


def write_csv(kind: type[Any], file: Path, rows: Sequence[Any], checksum: bool = False) -> None:
    """Write rows of a dataclass as CSV, whole or not at all.

    Args:
        kind: the dataclass.
        file: the CSV.
        rows: of that class.
        checksum: of all rows, as a last column.

    Raises:
        NiahError: the file cannot be written.
    """
    with atomic.atomic_write(file) as stream:
        stream.write((_checked_text if checksum else spreadsheet.rows_text)(kind, rows).encode())


def edited(file: Path) -> str:
    """Return why the rows of a CSV with checksums cannot be believed; "" where they can, or there is no such file."""
    try:
        if file.is_file():
            _intact(read_own_table(file, ()))
    except (ValueError, NiahError) as error:
        return f"{file} is damaged or was edited ({error})"
    return ""


def _intact(table: TextTable) -> TextTable:
    """Return a table without its column of checksums; one of an earlier version has none.

    Raises:
        ValueError: they are not those of its rows.
    """
    if ROWS_COLUMN not in table.header:
        return table
    at = table.header.index(ROWS_COLUMN)
    header = (*table.header[:at], *table.header[at + 1 :])
    rows = tuple((*row[:at], *row[at + 1 :]) for row in table.rows)
    texts = [[spreadsheet.unguarded(field) for field in row] for row in rows]
    if {row[at] for row in table.rows} - {rows_sha256(header, texts)}:
        raise ValueError("its checksum is not its rows'")
    return replace(table, header=header, rows=rows)


def _checked_text(kind: type[Any], rows: Sequence[Any]) -> str:
    header = [each.name for each in fields(kind)]
    values = [[getattr(row, name) for name in header] for row in rows]
    texts = [[str(v) if v is not None and v == v else "" for v in row] for row in values]
    checksum = rows_sha256(header, texts)
    return spreadsheet.text((*header, ROWS_COLUMN), [(*row, checksum) for row in values])


def checked(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Check values against the fields of a dataclass.

    Args:
        kind: the dataclass, whose fields are text, int, float or float | None.
        values: some of its fields by name.

    Returns:
        The values, whole numbers as floats where the field is one.

    Raises:
        ValueError: an unknown name, another type, a number that is not finite or beyond all sense, or no Unicode text.
    """
    hints = get_type_hints(kind)
    unknown = sorted(str(name) for name in values if name not in hints)
    if unknown:
        raise ValueError(f"unknown entry {unknown[0]!r:.60}")
    return {name: _value(name, value, hints[name]) for name, value in values.items()}


def number(name: str, value: Any) -> float:
    """Return a number as float.

    Raises:
        ValueError: it is none, not finite or beyond all sense.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{name} must be a number, got {value!r:.60}")
    if not abs(value) <= LARGEST:  # NaN too
        raise ValueError(f"{name} must be within {LARGEST:g}, got {value!r:.60}")
    return float(value)


def text(name: str, value: Any) -> str:
    """Return a text.

    Raises:
        ValueError: it is none, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise ValueError(f"{name} must be text, got {value!r:.60}")
    value.encode()
    return value


def _value(name: str, value: Any, hint: Any) -> Any:
    if isinstance(hint, types.UnionType):
        if value is None:
            return None
        hint = get_args(hint)[0]
    if hint is str:
        return text(name, value)
    read = number(name, value)
    if (name.endswith("_s") and read < 0) or (name == "position" and not 0 <= read <= 1):
        raise ValueError(f"{name} is out of its range: {read!r}")
    if hint is int:
        if not math.floor(read) == read >= 0:
            raise ValueError(f"{name} must be a count, got {value!r:.60}")
        return int(read)
    return read
