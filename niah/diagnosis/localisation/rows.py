"""Localisation as stored: hit rates and errors of each model, method and scene. No torch.

localisation/<key>.json     one cell: its settings, and the peak for each clip and label
localisation.csv            one row a cell

hit rate    mean of hits over (clip, label) pairs; its 95 % interval (`hit_rate`) counts recordings, as the labels of a
            clip and the clips of a recording are not independent
error       median over pairs of the distance of the peak from the centre of the clip's sound
chance      values of a guess on the same curves, which depend on length, position and the width of a place
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from niah.metrics.hit_rate import hit_rate
from niah.records import diagnosis_files, stored_row
from niah.records.naming import scene_name
from niah.system import spreadsheet

FOLDER, CSV_FILE = "localisation", "localisation.csv"
PAIR_FIELDS = ("clip", "label", "peak_s", "hit", "error_s", "chance_hit", "chance_error_s")


@dataclass(frozen=True)
class Located:
    """One row: a model, a method, a kind of scene. Shares in 0..1, times in seconds."""

    model: str
    checkpoint_sha256: str
    method: str
    haystack: str
    snr_db: float | None
    length_s: float
    position: float
    window_s: float | None  # of occlusion
    hop_s: float | None
    place_s: float  # width of a place of the curve
    tolerance_s: float
    clips: int
    pairs: int
    hit_rate: float
    hit_lo: float
    hit_hi: float
    chance_hit: float
    median_error_s: float
    chance_error_s: float

    @property
    def scene(self) -> str:
        """Return the haystack with its SNR."""
        return scene_name(self.haystack, self.snr_db)


def write_cell(
    run: Path,
    key: str,
    about: Mapping[str, Any],
    pairs: Sequence[Mapping[str, Any]],
    recordings: Mapping[str, str],
) -> None:
    """Store one cell.

    Args:
        run: the run's folder.
        key: of the cell.
        about: the first fields of `Located`.
        pairs: peaks with `PAIR_FIELDS`.
        recordings: of the clips that were cut from one, by the clips' ids.
    """
    rows = [[pair[name] for name in PAIR_FIELDS] for pair in pairs]
    content = {"about": dict(about), "pairs": rows, "recordings": dict(recordings)}
    diagnosis_files.write(run, FOLDER, key, content)


def is_stored(run: Path, key: str) -> bool:
    """Return whether a cell is stored, and its file is whole."""
    return diagnosis_files.is_whole(run, FOLDER, key)


def read(run: Path) -> list[Located]:
    """Return every stored cell as a row, in the order of tables; empty when nothing was located.

    A published run has only the CSV, which is then read.

    Raises:
        NiahError: a damaged file.
    """
    if not (run / FOLDER).is_dir():
        file = run / CSV_FILE
        return stored_row.read_csv(Located, file, "`niah locate`") if file.is_file() else []
    rows = [_summarised(file) for file in diagnosis_files.files(run, FOLDER)]
    return sorted(rows, key=_order)


def csv_text(rows: Sequence[Located]) -> str:
    """Return one row a cell, numbers in full."""
    return spreadsheet.rows_text(Located, rows)


def _summarised(file: Path) -> Located:
    content = diagnosis_files.read(file)
    try:
        pairs = [_pair(row) for row in content["pairs"]]
        if not pairs:
            raise ValueError("it has no pairs")
        recordings = {
            stored_row.text("clip", clip): stored_row.text("recording", recording)
            for clip, recording in content.get("recordings", {}).items()
        }
        units = [recordings.get(pair["clip"], pair["clip"]) for pair in pairs]
        rate = hit_rate(units, [pair["hit"] for pair in pairs])
        return Located(
            **stored_row.checked(Located, content["about"]),
            clips=len({pair["clip"] for pair in pairs}),
            pairs=len(pairs),
            hit_rate=rate.estimate,
            hit_lo=rate.lo,
            hit_hi=rate.hi,
            chance_hit=fmean(pair["chance_hit"] for pair in pairs),
            median_error_s=median(pair["error_s"] for pair in pairs),
            chance_error_s=fmean(pair["chance_error_s"] for pair in pairs),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise diagnosis_files.damaged(file, error) from error


def _pair(row: Sequence[Any]) -> dict[str, Any]:
    """Return one (clip, label) pair by `PAIR_FIELDS`, checked."""
    pair = dict(zip(PAIR_FIELDS, row, strict=True))
    for name in ("clip", "label"):
        stored_row.text(name, pair[name])
    for name in PAIR_FIELDS[2:]:
        value = stored_row.number(name, float(pair[name]) if name == "hit" else pair[name])
        if name in ("hit", "chance_hit") and not 0 <= value <= 1:
            raise ValueError(f"{name} must be 0 to 1, got {value!r}")
    return pair


def _order(row: Located) -> tuple[Any, ...]:
    quiet = row.snr_db is None
    level = 0.0 if row.snr_db is None else -row.snr_db
    return (
        row.model,
        row.method,
        not quiet,
        row.haystack,
        level,
        row.position,
        row.length_s,
        row.hop_s or 0,
        row.clips,
    )
