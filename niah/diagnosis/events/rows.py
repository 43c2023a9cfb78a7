"""Sound events as stored: events/<key>.json, one cell each; events.csv, one row a cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.records import diagnosis_files, stored_row
from niah.records.naming import length_name, scene_name
from niah.system.plurals import plural

FOLDER, CSV_FILE = "events", "events.csv"


@dataclass(frozen=True)
class EventScores:
    """One row: a model and method in one kind of scene. Scores and positions in 0..1, times in seconds.

    Attributes:
        model: name of the model.
        checkpoint_sha256: of its weights.
        method: "positions" or "windows".
        haystack: of the scenes.
        snr_db: None for constants.
        length_s: of a scene.
        position: of the needle, or of each needle in its section.
        needles: copies of the clip in a scene; 0 where the events lie as annotated.
        window_s: length of the windows; None by position.
        hop_s: from one window to the next; None by position.
        place_s: width of a place.
        collar_s: largest distance of two onsets that are the same.
        scenes: number of scenes.
        events: true events in them, one a label.
        psds1: without a threshold; None without an event.
        onset_f: mean over the classes with a threshold and an event, at thresholds of the shortest scenes of other
            recordings; None without such a class.
        onset_lo: lower 95 % bound.
        onset_hi: upper bound.
        precision: share of all detections of these classes that are hits.
        recall: share of all their true events that are hit.
        false_alarms_hour: detections that are no hit, an hour, all classes.
        count: detected events of the clip's labels, mean over scenes and labels; None without a threshold of these.
        true_count: the true ones.
        count_error: mean distance of the two numbers.
        count_lo: lower bound of the error.
        count_hi: upper bound of it.
        thresholds_s: length of the scenes that the thresholds are of; None in rows of earlier versions.
    """

    model: str
    checkpoint_sha256: str
    method: str
    haystack: str
    snr_db: float | None
    length_s: float
    position: float
    needles: int
    window_s: float | None
    hop_s: float | None
    place_s: float
    collar_s: float
    scenes: int
    events: int
    psds1: float | None
    onset_f: float | None
    onset_lo: float | None
    onset_hi: float | None
    precision: float | None
    recall: float | None
    false_alarms_hour: float
    count: float | None
    true_count: float | None
    count_error: float | None
    count_lo: float | None
    count_hi: float | None
    thresholds_s: float | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """Return what a row is of, but for the length of its scenes and its thresholds."""
        place = (self.scene, self.position, self.needles, self.window_s, self.hop_s)
        return (
            *(self.model, self.checkpoint_sha256, self.method, *place),
            *(self.collar_s, self.scenes),
        )

    @property
    def scene(self) -> str:
        """Return the haystack with its SNR."""
        return scene_name(self.haystack, self.snr_db)


def is_stored(run: Path, key: str) -> bool:
    """Return whether a cell is stored, and its file is whole."""
    return diagnosis_files.is_whole(run, FOLDER, key)


def write_cell(
    run: Path, key: str, row: EventScores, thresholds: Sequence[Mapping[str, float]]
) -> None:
    """Store one cell.

    Args:
        run: the run's folder.
        key: of the cell.
        row: its scores.
        thresholds: those fitted on its scenes, by class, for each fold.
    """
    content = {"row": vars(row), "thresholds": [dict(own) for own in thresholds]}
    diagnosis_files.write(run, FOLDER, key, content)


def read_thresholds(run: Path, key: str) -> list[dict[str, float]]:
    """Return the thresholds that were fitted on a stored cell by class, for each fold.

    Raises:
        NiahError: the file is damaged.
    """
    file = run / FOLDER / f"{key}.json"
    try:
        return [
            {str(name): stored_row.number(str(name), value) for name, value in own.items()}
            for own in _checked(file)["thresholds"]
        ]
    except (TypeError, ValueError, AttributeError) as error:
        raise diagnosis_files.damaged(file, error) from error


def read(run: Path) -> list[EventScores]:
    """Return every stored cell as a row, in the order of tables; a published run has only the CSV.

    Raises:
        NiahError: a damaged file.
    """
    if not (run / FOLDER).is_dir():
        return stored_row.read_csv(EventScores, run / CSV_FILE, "`niah locate --events`")
    rows = []
    for file in diagnosis_files.files(run, FOLDER):
        content = _checked(file)
        if isinstance(content["thresholds"], dict):
            continue  # of an earlier version, whose thresholds were fitted on the scenes that they judged
        try:
            rows.append(EventScores(**stored_row.checked(EventScores, content["row"])))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise diagnosis_files.damaged(file, error) from error
    measured = {(row.kind, row.length_s) for row in rows if row.thresholds_s is not None}
    known = [
        row
        for row in rows
        if row.thresholds_s is not None or (row.kind, row.length_s) not in measured
    ]
    return sorted(known, key=_order)


def write(run: Path) -> list[Path]:
    """Write `events.csv` of the stored cells; return its path."""
    stored_row.write_csv(EventScores, run / CSV_FILE, read(run))
    return [run / CSV_FILE]


def further_settings(rows: Sequence[EventScores]) -> list[str]:
    """Return of each row its collar and number of scenes where these differ among the rows, and the length whose scenes
    its thresholds are of where that differs among rows that are else alike; "" where nothing does.
    """
    collars, scenes = len({row.collar_s for row in rows}), len({row.scenes for row in rows})
    thresholds: dict[tuple[object, ...], set[float | None]] = {}
    for row in rows:
        thresholds.setdefault(row.kind, set()).add(row.thresholds_s)
    return [
        ", ".join(
            [
                *([f"collar {row.collar_s:g} s"] if collars > 1 else []),
                *([plural(row.scenes, "scene")] if scenes > 1 else []),
                *([_thresholds(row)] if len(thresholds[row.kind]) > 1 else []),
            ]
        )
        for row in rows
    ]


def _thresholds(row: EventScores) -> str:
    if row.thresholds_s is None:
        return "thresholds of an earlier version"
    return f"thresholds of {length_name(row.thresholds_s)}"


def _checked(file: Path) -> dict[str, Any]:
    content = diagnosis_files.read(file)
    if not {"row", "thresholds"} <= set(content):
        raise diagnosis_files.damaged(file, "it has no row and thresholds")
    return content


def _order(row: EventScores) -> tuple[Any, ...]:
    quiet, level = row.snr_db is None, 0.0 if row.snr_db is None else -row.snr_db
    place = (row.position, row.needles, row.length_s, row.window_s or 0.0, row.hop_s or 0.0)
    settings = (row.collar_s, row.scenes, row.checkpoint_sha256, row.thresholds_s or 0.0)
    return (row.model, row.method, not quiet, row.haystack, level, *place, *settings)
