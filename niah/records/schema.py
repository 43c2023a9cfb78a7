"""What one row of `cells.csv` is: its columns, their types, its name, and the table of many rows.

A cell is one model on one list of clips in one kind of scene: haystack, level, length, position.
A row is checked when it is written, so that no reader has to doubt one.

`CELL_COLUMNS` are in every table. `OPTIONAL_COLUMNS` follow them in a table where some row has something there: what
a run asked for beside length x position. A row that has nothing there is the plain one.
"""

import csv
import hashlib
import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from niah.errors import NiahError, nearest
from niah.records.axes import AXES
from niah.system import spreadsheet

if TYPE_CHECKING:
    import pandas as pd

Value = str | int | float | None
Row = dict[str, Value]

STATUSES = ("ok", "oom", "error")
BASE_LENGTH_S = 10.0  # the needle alone, what every drop is relative to

CELL_COLUMNS: dict[str, type] = {
    "cell": str,
    "model": str,
    "checkpoint_sha256": str,
    "protocol": str,
    "needles": str,
    "n_clips": int,
    "haystack": str,
    "snr_db": float,
    "length_s": float,
    "frames": int,
    "position": float,
    "window_s": float,
    "seed": int,
    "status": str,
    "mAP": float,
    "mAP_lo": float,
    "mAP_hi": float,
    "auc": float,
    "d_prime": float,
    "base_mAP": float,
    "chance_mAP": float,
    "relative": float,
    "drop": float,
    "drop_lo": float,
    "drop_hi": float,
    "classes_scored": int,
    "latency_s": float,
    "rtf": float,
    "peak_memory_bytes": int,
    "batch_size": int,
    "device": str,
    "dtype": str,
    "kernel": str,
    "niah_version": str,
    "error": str,
}
OPTIONAL_COLUMNS: dict[str, type] = {name: axis.kind for name, axis in AXES.items()}
COLUMNS = {**CELL_COLUMNS, **OPTIONAL_COLUMNS}
METRIC_COLUMNS = (
    *("mAP", "mAP_lo", "mAP_hi", "auc", "d_prime", "base_mAP", "chance_mAP"),
    *("relative", "drop", "drop_lo", "drop_hi", "classes_scored"),
)
REQUIRED = ("cell", "model", "protocol", "needles", "n_clips", "length_s", "seed", "status")
IN_UNIT_INTERVAL = ("position", "mAP", "mAP_lo", "mAP_hi", "auc", "base_mAP", "chance_mAP")
_CELL = re.compile(r"[0-9a-f]{20}", re.ASCII)
ORDER = ("model", "haystack", "snr_db", "position", "length_s", "window_s", "seed", "cell")


def cell_key(determinants: Mapping[str, Value]) -> str:
    """Name of the cell that `determinants` determine: 20 hex digits of a SHA-256 of canonical JSON.

    10 and 10.0 are the same number and give the same key; the order of the names does not matter.
    Raises `NiahError` for NaN, infinity and anything but text, numbers and None.
    """
    canonical = {name: _canonical(name, value) for name, value in determinants.items()}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def check_cell(cell: object) -> str:
    """The name of a cell: rows and score files are named by it, so that no other text may be one.

    Raises:
        NiahError: `cell` is not what `cell_key` makes, 20 lowercase hex digits.
    """
    if not (isinstance(cell, str) and _CELL.fullmatch(cell)):
        raise NiahError(f"cell must be 20 lowercase hex digits but is {str(cell)[:60]!r}")
    return cell


def _canonical(name: str, value: object) -> Value:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NiahError(f"{name} must be finite but is {value}: it is part of the cell's key")
        return int(value) if value.is_integer() else float(value)
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise NiahError(f"{name} must be text, a number or None but is {value!r}")


def validate_row(row: Mapping[str, object]) -> Row:
    """The row in column order with plain Python values; NaN becomes None, and an empty optional column goes.

    Raises `NiahError` for a missing or unknown column, a wrong type, an unknown status, or a score
    outside [0, 1].
    """
    for name in row:
        if name not in COLUMNS:
            raise NiahError(f"unknown column '{name}' in a cell row.{nearest(name, COLUMNS)}")
    if missing := [name for name in CELL_COLUMNS if name not in row]:
        raise NiahError(f"a cell row lacks {', '.join(missing)}: give None where nothing is known")
    plain = {name: _typed(name, row[name], kind) for name, kind in CELL_COLUMNS.items()}
    axes = {name: _typed(name, row.get(name), kind) for name, kind in OPTIONAL_COLUMNS.items()}
    plain |= {name: value for name, value in axes.items() if value is not None}
    for name in REQUIRED:
        if plain[name] is None:
            raise NiahError(f"{name} of a cell row must be given but is None")
    check_cell(plain["cell"])
    if plain["status"] not in STATUSES:
        raise NiahError(f"status must be one of {', '.join(STATUSES)} but is '{plain['status']}'")
    for name in IN_UNIT_INTERVAL:
        value = plain[name]
        if isinstance(value, float) and not 0.0 <= value <= 1.0:
            raise NiahError(f"{name} must be in [0, 1] but is {value}: did you give per cent?")
    return plain


def axes_of(row: Mapping[str, object]) -> tuple[object, ...]:
    """Return the row's values on the further axes, in their order: all None for a plain one."""
    return tuple(row.get(name) for name in AXES)


def is_plain(row: Mapping[str, object]) -> bool:
    """Whether a row is of the whole clip once, at the run's level, by the model's own pooling, with its needle."""
    return not any(axes_of(row))


def _typed(name: str, value: object, kind: type) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    accepted = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise NiahError(f"{name} of a cell row must be {kind.__name__} or None but is {value!r}")
    typed: Value = kind(value)
    return typed


def table(rows: Iterable[Mapping[str, Value]]) -> "pd.DataFrame":
    """Rows as a DataFrame in the stable order model, haystack, SNR, position, length, with
    columns of type string, Int64 (nullable) and float64; what is not known is missing (NaN).
    Optional columns are there when a row has something in them."""
    import pandas as pd

    held = [dict(row) for row in rows]
    used = {name for row in held for name, value in row.items() if value is not None}
    columns = {name: kind for name, kind in COLUMNS.items() if name in CELL_COLUMNS or name in used}
    frame = pd.DataFrame(held, columns=list(columns))
    frame = frame.astype({name: _PANDAS[kind] for name, kind in columns.items()})
    return frame.sort_values(list(ORDER), na_position="first", ignore_index=True)


def read_csv(file: Path) -> "pd.DataFrame":
    """A `cells.csv` as `table` gives it. Raises `NiahError` when it is not one."""
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in CELL_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise NiahError(f"it lacks the columns {', '.join(missing)}")
            rows = [validate_row(_parsed(row)) for row in reader]
    except (OSError, ValueError, csv.Error, NiahError) as error:
        raise NiahError(f"{file} cannot be read as a cells.csv: {error}") from error
    return table(rows)


def _parsed(row: Mapping[str, str | None]) -> Row:
    """Texts as their columns' types. Whole numbers may have a point: other tools write 6 as 6.0."""
    kinds = {name: COLUMNS.get(name, str) for name in row}
    numbers = {
        name: float(text) for name, text in row.items() if text and kinds[name] in (int, float)
    }
    whole = {name: int(x) for name, x in numbers.items() if kinds[name] is int and x.is_integer()}
    texts = {name: spreadsheet.unguarded(text) if text else None for name, text in row.items()}
    return {**texts, **numbers, **whole}


_PANDAS = {str: "string", int: "Int64", float: "float64"}
