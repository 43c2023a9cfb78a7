"""Streams as stored: streams/<key>.json, one cell each; streams.csv, one row a cell and rate; stream_curves.csv."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from niah.records import diagnosis_files, stored_row
from niah.records.naming import scene_name

FOLDER, CSV_FILE, CURVES_FILE = "streams", "streams.csv", "stream_curves.csv"
_COMMAND = "`niah stream`"
_CONTAINED = "contained"


@dataclass(frozen=True)
class Place:
    """Subject of a stored row: a model, how it is fed, a kind of scene. Positions in 0..1, times in seconds.

    Attributes:
        model: name of the model.
        checkpoint_sha256: of its weights.
        method: "state", carried from hop to hop, or "windows".
        haystack: of the scenes.
        snr_db: None for constants.
        length_s: of a scene.
        position: of the clip.
        repeats: times that the clip sounds, back to back.
        hop_s: heard between two answers.
        window_s: length of the windows; None for a state.
        per_hour: alarms an hour and class that the thresholds allow.
        scenes: their number.
    """

    model: str
    checkpoint_sha256: str
    method: str
    haystack: str
    snr_db: float | None
    length_s: float
    position: float
    repeats: int
    hop_s: float
    window_s: float | None
    per_hour: float
    scenes: int

    @property
    def scene(self) -> str:
        """Return the haystack with its SNR."""
        return scene_name(self.haystack, self.snr_db)

    @property
    def stream(self) -> tuple[object, ...]:
        """Return what was fed how, beside the kind of scene: the rates of false alarms share it."""
        return (
            *(self.model, self.checkpoint_sha256, self.method, self.length_s, self.position),
            *(self.repeats, self.hop_s, self.window_s, self.scenes),
        )

    @property
    def curve(self) -> tuple[object, ...]:
        """Return all that a line of a figure has in common, beside its kind of scene."""
        return (*self.stream, self.per_hour)


@dataclass(frozen=True)
class StreamScores(Place):
    """One row (`niah.metrics.answers` has the definitions). Bounds are of 95 % intervals; shares in 0..1.

    Attributes:
        pairs: (clip, label) pairs in them.
        sound_s: mean seconds from a sound's onset to its offset.
        outcome: "resolved"; "one scene", of a constant haystack; "too few hours" of needle-free sound, or "every scene"
            may be an alarm: then there are no thresholds, and nothing that needs one.
        free_hours: of needle-free sound.
        alarms: needle-free hops that may be alarms of a class.
        more_hours: of needle-free sound that the rate needs; 0 where it is resolved.
        episodes_hour: times an hour and class that the needle-free logits rise above the threshold.
        within_1: share of the pairs answered within 1 s of the onset.
        within_1_lo: lower bound.
        within_1_hi: upper bound.
        within_2: within 2 s.
        within_2_lo: lower bound.
        within_2_hi: upper bound.
        within_5: within 5 s.
        within_5_lo: lower bound.
        within_5_hi: upper bound.
        within_10: within 10 s.
        within_10_lo: lower bound.
        within_10_hi: upper bound.
        wait_s: median from the onset to the first answer; None if half of the pairs get none.
        wait_lo_s: lower bound.
        wait_hi_s: upper bound; None if it is beyond what was watched.
        answered: share answered while it sounds or up to 10 s later.
        answered_lo: lower bound.
        answered_hi: upper bound.
        early: share above the threshold on the last hop before the onset.
        hold: share of the hops during the sound that are above the threshold.
        hold_lo: lower bound.
        hold_hi: upper bound.
        flips: changes of the decision during the sound, after its first hop above the threshold.
        flips_lo: lower bound.
        flips_hi: upper bound.
        wobble: standard deviation of the logit during the sound.
        release_s: median from the offset until the logit is at or below the threshold; None if it is not, mostly.
        release_lo_s: lower bound.
        release_hi_s: upper bound; None if it is beyond the scene.
        drift: mean needle-free logit of these classes in the last third of the scene less that in the middle third.
        drift_lo: lower bound.
        drift_hi: upper bound.
        compute_s: median wall-clock seconds of a hop.
        rtf: seconds of sound a second of computing.
        slowdown: seconds of a hop in the scene's last quarter over those in its second.
        state_bytes: largest state after a hop.
        state_growth: bytes of the state at the scene's end over those in its middle.
    """

    pairs: int
    sound_s: float
    outcome: str
    free_hours: float
    alarms: int
    more_hours: float
    episodes_hour: float | None
    within_1: float | None
    within_1_lo: float | None
    within_1_hi: float | None
    within_2: float | None
    within_2_lo: float | None
    within_2_hi: float | None
    within_5: float | None
    within_5_lo: float | None
    within_5_hi: float | None
    within_10: float | None
    within_10_lo: float | None
    within_10_hi: float | None
    wait_s: float | None
    wait_lo_s: float | None
    wait_hi_s: float | None
    answered: float | None
    answered_lo: float | None
    answered_hi: float | None
    early: float | None
    hold: float | None
    hold_lo: float | None
    hold_hi: float | None
    flips: float | None
    flips_lo: float | None
    flips_hi: float | None
    wobble: float | None
    release_s: float | None
    release_lo_s: float | None
    release_hi_s: float | None
    drift: float | None
    drift_lo: float | None
    drift_hi: float | None
    compute_s: float
    rtf: float
    slowdown: float
    state_bytes: int
    state_growth: float


@dataclass(frozen=True)
class CurvePoint(Place):
    """One time of a curve over the time since the onset; the thresholds are those of all scenes.

    Attributes:
        since: middle of the hops' time after the onset, in seconds; below 0 before it.
        score: mean sigmoid of the logit.
        score_lo: lower bound.
        score_hi: upper bound.
        above: share of the pairs above their threshold.
        above_lo: lower bound.
        above_hi: upper bound.
    """

    since: float
    score: float
    score_lo: float | None
    score_hi: float | None
    above: float | None
    above_lo: float | None
    above_hi: float | None


Row = TypeVar("Row", bound=Place)


def is_stored(run: Path, key: str, contained: Collection[int] = ()) -> bool:
    """Return whether a cell is stored, its file is whole, and the same classes were left out as in its haystack.

    Args:
        run: the run's folder.
        key: of the cell.
        contained: columns of the classes that are in the haystack, by its card; not known of files of earlier versions.
    """
    if not diagnosis_files.is_whole(run, FOLDER, key):
        return False
    stored = diagnosis_files.read(run / FOLDER / f"{key}.json")
    return bool(stored.get(_CONTAINED, sorted(contained)) == sorted(contained))


def write_cell(
    run: Path,
    key: str,
    scores: Sequence[StreamScores],
    curves: Sequence[CurvePoint],
    contained: Collection[int] = (),
) -> None:
    """Store one cell.

    Args:
        run: the run's folder.
        key: of the cell.
        scores: a row a rate.
        curves: their curves.
        contained: columns of the classes that are in the haystack, and left out.
    """
    content = {
        "scores": [vars(row) for row in scores],
        "curves": [vars(row) for row in curves],
        _CONTAINED: sorted(contained),
    }
    diagnosis_files.write(run, FOLDER, key, content)


def read(run: Path) -> list[StreamScores]:
    """Return the scores of every stored cell, in the order of tables; a published run has only the CSV.

    Raises:
        NiahError: a damaged file.
    """
    return _read(run, StreamScores, "scores", CSV_FILE)


def read_curves(run: Path) -> list[CurvePoint]:
    """Return the curves of every stored cell, in the same order.

    Raises:
        NiahError: a damaged file.
    """
    return _read(run, CurvePoint, "curves", CURVES_FILE)


def write(run: Path) -> list[Path]:
    """Write both CSVs of the stored cells; return their paths."""
    stored_row.write_csv(StreamScores, run / CSV_FILE, read(run))
    stored_row.write_csv(CurvePoint, run / CURVES_FILE, read_curves(run))
    return [run / CSV_FILE, run / CURVES_FILE]


def _read(run: Path, kind: type[Row], name: str, csv_file: str) -> list[Row]:
    if not (run / FOLDER).is_dir():
        return stored_row.read_csv(kind, run / csv_file, _COMMAND)
    rows: dict[tuple[Any, ...], Row] = {}
    for file in diagnosis_files.files(run, FOLDER):
        content = diagnosis_files.read(file)
        try:
            of_all = {"scenes": content["scores"][0]["scenes"]}  # not in curves of early versions
            for stored_values in content[name]:
                row = kind(**stored_row.checked(kind, of_all | stored_values))
                rows.setdefault(
                    (row.scene, *row.curve, _since(row)), row
                )  # once, if asked for with several rates
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise diagnosis_files.damaged(file, error) from error
    return sorted(rows.values(), key=_order)


def _order(row: Place) -> tuple[Any, ...]:
    quiet, level = row.snr_db is None, 0.0 if row.snr_db is None else -row.snr_db
    place = (row.length_s, row.position, row.repeats, row.hop_s, row.window_s or 0.0, row.per_hour)
    return (row.model, row.method, not quiet, row.haystack, level, *place, row.scenes, _since(row))


def _since(row: Place) -> float:
    return row.since if isinstance(row, CurvePoint) else 0.0
