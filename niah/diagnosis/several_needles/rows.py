"""Recall of several different needles as stored: `several_needles.csv`, one row a scene, length and number."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from niah.records import stored_row
from niah.records.naming import scene_name

CSV_FILE = "several_needles.csv"
PLACES = ("first", "between", "last")


@dataclass(frozen=True)
class SeveralNeedles:
    """One row. Recalls and positions in 0..1, lengths in seconds.

    Attributes:
        model: name of the model.
        checkpoint_sha256: of its weights; "" if unknown.
        haystack: of the scenes.
        snr_db: None for constants.
        axes: the other further axes of the scenes, "" for plain ones.
        position: of each needle in its section.
        window: how the scene was scored (`niah.records.naming.window_name`).
        length_s: of a scene.
        needles: number of different needles.
        cell: the scenes.
        clips: number of scenes.
        labels: mean number of labels in a scene.
        set_recall: share of a scene's m labels among the m highest scores, mean over scenes.
        set_lo: lower 95 % bound.
        set_hi: upper bound.
        chance: of random scores, the mean of m / classes.
        first: the same of the labels of one clip, where it is the first; None for one needle, or without such a scene.
        first_lo: lower bound.
        first_hi: upper bound.
        between: where it is neither the first nor the last.
        between_lo: lower bound.
        between_hi: upper bound.
        last: where it is the last.
        last_lo: lower bound.
        last_hi: upper bound.
    """

    model: str
    checkpoint_sha256: str
    haystack: str
    snr_db: float | None
    axes: str
    position: float | None
    window: str
    length_s: float
    needles: int
    cell: str
    clips: int
    labels: float
    set_recall: float
    set_lo: float
    set_hi: float
    chance: float
    first: float | None = None
    first_lo: float | None = None
    first_hi: float | None = None
    between: float | None = None
    between_lo: float | None = None
    between_hi: float | None = None
    last: float | None = None
    last_lo: float | None = None
    last_hi: float | None = None

    @property
    def scene(self) -> str:
        """Return the kind of scene: "babble, 10 dB", "zero, needle 5 s"."""
        return ", ".join(filter(None, (scene_name(self.haystack, self.snr_db), self.axes)))

    def at(self, place: str) -> tuple[float, float, float] | None:
        """Return the recall of the needle at a place in time with its bounds; None where there is none.

        Args:
            place: one of `PLACES`.
        """
        values = (getattr(self, name) for name in (place, f"{place}_lo", f"{place}_hi"))
        value, low, high = values
        return None if value is None or low is None or high is None else (value, low, high)


def read(run: Path) -> list[SeveralNeedles]:
    """Return the stored rows; empty if there are none.

    Raises:
        NiahError: the file is damaged.
    """
    return stored_row.read_csv(SeveralNeedles, run / CSV_FILE, "`niah report`")


def write(run: Path, rows: Sequence[SeveralNeedles]) -> None:
    """Write `several_needles.csv`.

    Raises:
        NiahError: the folder cannot be written to.
    """
    stored_row.write_csv(SeveralNeedles, run / CSV_FILE, rows)
