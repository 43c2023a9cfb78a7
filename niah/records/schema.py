"""Columns of `cells.csv`: types, units and meanings, and the check of a row. `niah.records.cell_table` has the table.

A cell is one model on one list of clips in one kind of scene: haystack, level, length, position.
A row is checked when it is written and when it is read.

`CELL_COLUMNS` are in every table. `OPTIONAL_COLUMNS` follow them where a row has a value in them. Of these,
the further axes (`niah.records.axes`) are varied beside length x position; a row without values there is a plain one.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError, nearest
from niah.records.axes import AXES

Value = str | int | float | None
Row = dict[str, Value]

STATUSES = ("ok", "oom", "error")
BASE_LENGTH_S = 10.0  # the needle alone, what every drop is relative to


@dataclass(frozen=True)
class Column:
    """One column of cells.csv: its unit ("" for text and counts) and its meaning."""

    name: str
    type: type
    unit: str
    meaning: str


_ROW = (
    Column("cell", str, "", "key of the cell: hash of all that determines its scores"),
    Column("model", str, "", "the card's name, with :WEIGHTS where they are not its first"),
    Column("checkpoint_sha256", str, "", "SHA-256 of the weights"),
    Column("protocol", str, "", "rules by which scenes are made"),
    Column("needles", str, "", "name of the needle set"),
    Column("n_clips", int, "clips", "clips scored"),
    Column("haystack", str, "", "what surrounds the needle; none for the needle alone"),
    Column("snr_db", float, "dB", "level of the needle above the haystack; none for constants"),
    Column("length_s", float, "s", "length of the scene"),
    Column("frames", int, "frames", "length of the scene in front-end frames"),
    Column("position", float, "0..1", "place of the needle: 0 the start, 1 the end"),
    Column("window_s", float, "s", "length of sliding windows; none for whole scenes"),
    Column("seed", int, "", "seed of the choice of clips, and of noise where noise_seed is empty"),
    Column("status", str, "", "ok, oom (out of memory) or error"),
    Column("mAP", float, "0..1", "mean over classes of average precision"),
    Column("mAP_lo", float, "0..1", "lower 95 % bound of mAP"),
    Column("mAP_hi", float, "0..1", "upper 95 % bound of mAP"),
    Column("auc", float, "0..1", "mean over classes of the area under the ROC curve"),
    Column(
        "d_prime", float, "", "sqrt(2) times the normal quantile of auc; none where auc is 0 or 1"
    ),
    Column(
        "base_mAP", float, "0..1", "mAP of the needle alone, same model, clips and counted entries"
    ),
    Column("chance_mAP", float, "0..1", "expected mAP of random scores on these clips"),
    Column("relative", float, "ratio", "mAP / base_mAP"),
    Column("drop", float, "ratio", "1 - relative"),
    Column("drop_lo", float, "ratio", "lower 95 % bound of drop"),
    Column("drop_hi", float, "ratio", "upper 95 % bound of drop"),
    Column("classes_scored", int, "classes", "classes with a positive clip, which mAP averages"),
    Column(
        "latency_s",
        float,
        "s",
        "median time of a forward pass, per clip; over windows, a window's times the windows of a scene, reused or not",
    ),
    Column("rtf", float, "s/s", "seconds of audio processed per second"),
    Column(
        "peak_memory_bytes",
        int,
        "bytes",
        "peak memory: of the GPU's allocator, else of the process",
    ),
    Column("batch_size", int, "clips", "clips (or windows) in one forward pass"),
    Column("device", str, "", "name of the device"),
    Column("dtype", str, "", "precision of the forward pass"),
    Column("kernel", str, "", "attention or scan implementation"),
    Column("niah_version", str, "", "version that scored the cell"),
    Column("error", str, "", "reason where status is not ok"),
)
_AXES = tuple(Column(name, axis.kind, axis.unit, axis.meaning) for name, axis in AXES.items())
_FURTHER = (
    Column(
        "window_pool",
        str,
        "",
        "how the windows' scores became one: max, mean or noisy-or, and a hop other "
        "than half a window",
    ),
    Column("noise_seed", int, "", "seed of noise where it is not the run's seed"),
    Column(
        "noise_base_mAP",
        float,
        "0..1",
        "mAP of the shortest scene in the same haystack, SNR and level",
    ),
    Column("relative_noise_base", float, "ratio", "mAP / noise_base_mAP"),
    Column(
        "adjusted",
        float,
        "ratio",
        "chance-adjusted retention (mAP - chance_mAP) / (base_mAP - chance_mAP)",
    ),
    Column("adjusted_lo", float, "ratio", "lower 95 % bound of adjusted"),
    Column("adjusted_hi", float, "ratio", "upper 95 % bound of adjusted"),
    Column(
        "needle_free_mAP",
        float,
        "0..1",
        "mAP of the same scenes without their needle against its labels",
    ),
    Column("scores_sha256", str, "", "SHA-256 of the score file"),
    Column(
        "padded_to",
        int,
        "frames",
        "frames that a scene below 10 s was padded to, where the model has no native mode for it",
    ),
    Column("custom_code", str, "", "checksum of a repository's own code that was trusted and ran"),
)
SCHEMA: tuple[Column, ...] = (*_ROW, *_AXES, *_FURTHER)

CELL_COLUMNS: dict[str, type] = {column.name: column.type for column in _ROW}
OPTIONAL_COLUMNS: dict[str, type] = {column.name: column.type for column in (*_AXES, *_FURTHER)}
COLUMNS = {**CELL_COLUMNS, **OPTIONAL_COLUMNS}
METRIC_COLUMNS = (
    *("mAP", "mAP_lo", "mAP_hi", "auc", "d_prime", "base_mAP", "chance_mAP"),
    *("relative", "drop", "drop_lo", "drop_hi", "classes_scored"),
)
OPTIONAL_METRICS = (
    *("noise_base_mAP", "relative_noise_base"),
    *("adjusted", "adjusted_lo", "adjusted_hi", "needle_free_mAP"),
)
REQUIRED = ("cell", "model", "protocol", "needles", "n_clips", "length_s", "seed", "status")
IN_UNIT_INTERVAL = ("position", *(column.name for column in SCHEMA if "mAP" in column.name), "auc")
_NOT_NEGATIVE = ("relative", "latency_s", "rtf", "relative_noise_base")
_MAY_BE_NEGATIVE = ("seed", "noise_seed")
_LARGEST = 2**63 - 1  # of a 64-bit column
_LARGEST_FLOAT = 1e18  # of any unit: more is damage, which no axis of a figure can show
_SHORTEST_S, _LONGEST_S = 1e-3, 1e9  # of a scene or a part of one; 30 years
_SMALLEST_SHARE = 1e-12  # a share of it is still a number
_DURATIONS = ("length_s", "window_s", "needle_s")
_CELL = re.compile(r"[0-9a-f]{20}", re.ASCII)
_POOLED_KERNEL = re.compile(r"(?P<kernel>.*?)\+(?P<what>window|pool)-(?P<pool>[^+]+)(?P<rest>.*)")
_HOP = re.compile(r"(?P<pool>.+)-hop(?P<hop>[0-9.e+]+)s")


def cell_key(determinants: Mapping[str, Value]) -> str:
    """Return the name of the cell with these determinants: 20 hex digits of a SHA-256 of canonical JSON.

    10 and 10.0 are the same number and give the same key; the order of the names does not matter.

    Raises:
        NiahError: NaN, infinity and anything but text, numbers and None.
    """
    canonical = {name: _canonical(name, value) for name, value in determinants.items()}
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def is_cell(name: str) -> bool:
    """Return whether a text has the form of a cell's key."""
    return _CELL.fullmatch(name) is not None


def check_cell(cell: object) -> str:
    """Check the name of a cell, which is in the names of its files, and return it.

    Raises:
        NiahError: `cell` is not 20 lowercase hex digits, as `cell_key` returns them.
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
    """Return the row in column order with plain Python values; NaN becomes None, an empty optional column goes.

    Rows of earlier versions are brought up to date: the pooling that their `kernel` has moves to its column, and an
    infinite d' (of a perfect AUC) becomes None.

    Raises:
        NiahError: a missing or unknown column, a wrong type, a number that is infinite or out of its range, an
            unknown status, text that is no Unicode.
    """
    for name in row:
        if name not in COLUMNS:
            raise NiahError(f"unknown column '{name}' in a cell row.{nearest(str(name), COLUMNS)}")
    if missing := [name for name in CELL_COLUMNS if name not in row]:
        raise NiahError(f"a cell row lacks {', '.join(missing)}: give None where nothing is known")
    row = _without_pooled_kernel(row)
    plain = {name: _typed(name, row[name], kind) for name, kind in CELL_COLUMNS.items()}
    further = {name: _typed(name, row.get(name), kind) for name, kind in OPTIONAL_COLUMNS.items()}
    plain |= {name: value for name, value in further.items() if value is not None}
    for name in REQUIRED:
        if plain[name] is None:
            raise NiahError(f"{name} of a cell row must be given but is None")
    check_cell(plain["cell"])
    if plain["status"] not in STATUSES:
        raise NiahError(f"status must be one of {', '.join(STATUSES)} but is '{plain['status']}'")
    for name in IN_UNIT_INTERVAL:
        value = plain.get(name)
        if isinstance(value, float) and not 0.0 <= value <= 1.0:
            raise NiahError(f"{name} must be in [0, 1] but is {value}: did you give per cent?")
        if isinstance(value, float) and 0.0 < value < _SMALLEST_SHARE:
            raise NiahError(f"{name} must be 0 or at least {_SMALLEST_SHARE:g} but is {value}")
    return plain


def window_pool_name(pool: str, window_s: float, hop_s: float | None) -> str:
    """Return the entry of column `window_pool`: "max" for windows half a window apart, else "max, hop 2.5 s".

    Args:
        pool: how windows' scores are pooled.
        window_s: length of a window.
        hop_s: from one window to the next; None for half a window.
    """
    return pool if hop_s in (None, window_s / 2) else f"{pool}, hop {hop_s:g} s"


def _without_pooled_kernel(row: Mapping[str, object]) -> Mapping[str, object]:
    """Convert a row of an earlier version, with a kernel "sdpa+window-max-hop5s" or "scan-cpu+pool-top-k"."""
    kernel = row["kernel"]
    match = _POOLED_KERNEL.fullmatch(kernel) if isinstance(kernel, str) else None
    if match is None:
        return row
    pool, window_s = match["pool"], row["window_s"]
    if match["what"] == "pool":
        column = {"pooling": row.get("pooling") or pool}
    else:
        if (hop := _HOP.fullmatch(pool)) and isinstance(window_s, int | float):
            pool = window_pool_name(hop["pool"], window_s, float(hop["hop"]))
        column = {"window_pool": row.get("window_pool") or pool}
    return {**row, **column, "kernel": match["kernel"] + match["rest"]}


def axes_of(row: Mapping[str, object]) -> tuple[object, ...]:
    """Return the row's values on the further axes, in their order: all None for a plain one."""
    return tuple(row.get(name) for name in AXES)


def is_plain(row: Mapping[str, object]) -> bool:
    """Return whether a row has no further axis: the whole clip once, the run's level, the model's own pooling."""
    return not any(axes_of(row))


def _typed(name: str, value: object, kind: type) -> Value:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    accepted = (int, float) if kind is float else kind
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise NiahError(
            f"{name} of a cell row must be {kind.__name__} or None but is {value!r:.60}"
        )
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise NiahError(f"{name} of a cell row is too large: it has more than 63 bits")
    if isinstance(value, float) and math.isinf(value) and name == "d_prime":
        return None
    if not math.isfinite(value):  # type: ignore[arg-type]  # a number by now
        raise NiahError(f"{name} of a cell row must be finite but is {value}")
    most = _LONGEST_S if name.endswith("_s") else _LARGEST_FLOAT
    if kind is float and abs(value) > most:  # type: ignore[arg-type]
        raise NiahError(f"{name} of a cell row must be at most {most:g} but is {value!r:.60}")
    if name in _DURATIONS and value < _SHORTEST_S:  # type: ignore[operator]
        raise NiahError(f"{name} of a cell row must be at least {_SHORTEST_S:g} s but is {value}")
    counts = kind is int and name not in _MAY_BE_NEGATIVE
    if (counts or name in _NOT_NEGATIVE) and value < 0:  # type: ignore[operator]
        raise NiahError(f"{name} of a cell row must not be negative but is {value}")
    typed: Value = kind(value)
    return typed


def _text(name: str, value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NiahError(f"{name} of a cell row is no Unicode text: {value!r:.60}") from error
    return value
