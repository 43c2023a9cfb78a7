"""Recall at a number of false alarms as stored: `false_alarms.csv`, one row a scene, length and rate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.records import stored_row
from niah.records.naming import scene_name

CSV_FILE = "false_alarms.csv"
RESOLVED, ONE_SCENE = "resolved", "one scene"
FEW_HOURS, EVERY_SCENE = "too few hours", "every scene"


@dataclass(frozen=True)
class RecallAtRate:
    """One row. Recalls and positions in 0..1, lengths in seconds, rates in alarms an hour and class.

    Attributes:
        model: name of the model.
        checkpoint_sha256: of its weights; "" if unknown.
        haystack: of the scenes.
        snr_db: None for constants.
        axes: further axes of the scenes with a needle, "" for plain ones.
        position: of the needle; None for the needle alone.
        window: how the scene was scored (`niah.records.naming.window_name`).
        length_s: of a scene.
        per_hour: the false alarms an hour and class that are allowed.
        cell: the scenes with a needle.
        needle_free_cell: the same scenes without it.
        scenes: number of different needle-free scenes.
        hours: their sound in hours.
        alarms: needle-free scenes that may be alarms of a class, at most.
        rate_lo: lower 95 % bound of the true rate at such a threshold.
        rate_hi: upper bound.
        outcome: "resolved"; "one scene", of a constant haystack; "too few hours" of needle-free sound; "every scene"
            may be an alarm, because the rate is above the number of decisions an hour.
        more_hours: of needle-free sound that the rate needs; 0 where it is resolved.
        classes: number of classes that recall averages.
        recall: mean over classes; None where there is none.
        recall_lo: lower 95 % bound.
        recall_hi: upper bound.
    """

    model: str
    checkpoint_sha256: str
    haystack: str
    snr_db: float | None
    axes: str
    position: float | None
    window: str
    length_s: float
    per_hour: float
    cell: str
    needle_free_cell: str
    scenes: int
    hours: float
    alarms: int
    rate_lo: float
    rate_hi: float
    outcome: str
    more_hours: float
    classes: int
    recall: float | None
    recall_lo: float | None
    recall_hi: float | None

    @property
    def scene(self) -> str:
        """Return the kind of scene: "babble, 10 dB", "zero, needle 5 s"."""
        return ", ".join(filter(None, (scene_name(self.haystack, self.snr_db), self.axes)))

    @property
    def curve(self) -> tuple[str, str, str, float, str]:
        """Return what the points of a curve over lengths have in common."""
        position = -1.0 if self.position is None else self.position
        return self.model, self.checkpoint_sha256, self.scene, position, self.window


def read(run: Path) -> list[RecallAtRate]:
    """Return the stored rows; empty if there are none.

    Raises:
        NiahError: the file is damaged.
    """
    return stored_row.read_csv(RecallAtRate, run / CSV_FILE, "`niah report --false-alarms RATES`")


def write(run: Path, rows: Sequence[RecallAtRate]) -> None:
    """Write `false_alarms.csv`.

    Raises:
        NiahError: the folder cannot be written to.
    """
    stored_row.write_csv(RecallAtRate, run / CSV_FILE, rows)
