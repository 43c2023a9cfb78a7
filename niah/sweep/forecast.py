"""Forecasts of what a cell takes: a pace for each haystack, from short scenes of it where none of it was scored yet."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from niah.haystacks import Haystack
from niah.records.naming import NO_HAYSTACK
from niah.records.schema import BASE_LENGTH_S
from niah.sweep.pace import Pace
from niah.sweep.plan import Cell


class Forecasts:
    """The paces of one model."""

    def __init__(self, haystacks: Mapping[str, Haystack], snrs_db: Sequence[float]) -> None:
        """Take the run's haystacks by name, and its SNRs, of which short scenes have the first."""
        self._haystacks, self._snrs_db = haystacks, snrs_db
        self._paces: dict[str, Pace] = {}

    def pace(self, haystack: str = "") -> Pace:
        """Return the measured times of scenes in a haystack, "" for the needle alone."""
        return self._paces.setdefault(haystack, Pace())

    def most_seconds(self, cell: Cell) -> float | None:
        """Return the most that a scene may take by shorter ones of its haystack; None where there are none.

        Args:
            cell: the cell.
        """
        return self.pace("" if cell.is_base else cell.haystack).most_seconds(cell.length_s)

    def seconds(self, cell: Cell, score: Callable[[Cell], None]) -> float | None:
        """Forecast the seconds that a scene takes; None where no short one can be scored.

        Args:
            cell: the cell; its haystack counts, since noise takes longer to make than zeros.
            score: scores some scenes of a short cell, whose time is then in the haystack's pace.
        """
        if cell.is_base and (known := self.pace().seconds(cell.length_s)):
            return known
        haystack = next(iter(self._haystacks)) if cell.is_base else cell.haystack
        pace = self.pace(haystack)
        with suppress(Exception, SystemExit):  # the cell itself records the reason
            pace.calibrate(cell.length_s, lambda s: score(self._short(cell.model, haystack, s)))
        return pace.seconds(cell.length_s)

    def _short(self, model: str, haystack: str, length_s: float) -> Cell:
        if length_s == BASE_LENGTH_S:
            return Cell(model=model, haystack=NO_HAYSTACK, length_s=length_s)
        snr_db = self._snrs_db[0] if self._haystacks[haystack].needs_snr else None
        return Cell(model=model, haystack=haystack, length_s=length_s, snr_db=snr_db, position=0.5)
