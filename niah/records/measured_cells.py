"""Measures of cells that are computed from their scores and stored as a CSV in the run, one row a cell.

Each row has the fingerprint of what it was computed from: a report computes one again only where scores or formula have
changed, since a run of a thousand cells has gigabytes of scores. A published run without scores has its stored rows.
A checksum of all rows lies in the file: one that was edited is computed again, or refused where there are no scores.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from niah.errors import NiahError
from niah.records import stored_row
from niah.records.naming import Point
from niah.records.schema import check_cell
from niah.records.score_files import ScoreFiles


@dataclass(frozen=True)
class OfScores:
    """The fields of every row; its measures are the further ones of a subclass.

    Attributes:
        cell: key of the cell.
        scored_from: fingerprint of the scores, and of all else, that it was computed from.
    """

    cell: str
    scored_from: str


Row = TypeVar("Row", bound=OfScores)


class MeasuredCells(Generic[Row]):
    """The rows of one kind: read from the run, computed where there is none that fits, and written back."""

    def __init__(self, run: ScoreFiles, kind: type[Row], file: str, version: int) -> None:
        """Read the stored rows.

        Args:
            run: the scores.
            kind: of the rows.
            file: name of the CSV.
            version: of the formulas; another one's rows are computed again.

        Raises:
            NiahError: the file is damaged or was edited, and the run has no scores to compute it from again.
        """
        self.run, self.kind, self.version = run, kind, version
        self.file = run.path / file
        self._stored: dict[str, Row] = {}  # by fingerprint
        self._shown: dict[str, Row] = {}
        try:
            rows = stored_row.read_csv(kind, self.file, "`niah report`, beside the scores,")
            self._stored = {row.scored_from: row for row in rows if check_cell(row.cell)}
        except NiahError:
            if not (run.path / "scores").is_dir():
                raise

    def fingerprint(self, point: Point, beside: Sequence[object]) -> str:
        """Return the hash of all that the measures of a cell depend on.

        Args:
            point: the cell's row in the run's table.
            beside: what they depend on beside the cell's scores, as values with a stable `repr`.
        """
        cell = point["cell"]
        sha256 = self.run.scores_sha256(cell) or point.get("scores_sha256")
        parts = repr((self.version, cell, sha256, *beside))
        return hashlib.sha256(parts.encode()).hexdigest()[:20]

    def is_stored(self, fingerprint: str) -> bool:
        """Return whether there is a row with this fingerprint."""
        return fingerprint in self._stored or fingerprint in self._shown

    def take(self, rows: Iterable[Row | None]) -> None:
        """Take rows that were computed elsewhere; they are shown where they are asked for."""
        self._shown.update((row.scored_from, row) for row in rows if row is not None)

    def of(
        self, point: Point, beside: Sequence[object], measures: Callable[[], Mapping[str, Any]]
    ) -> Row | None:
        """Return the row of a cell; None where none is stored of its scores, and these are not there.

        Args:
            point: the cell's row in the run's table.
            beside: as for `fingerprint`.
            measures: computes the fields of the row, by name.

        Raises:
            NiahError: scores that cannot be read.
        """
        cell, fingerprint = point["cell"], self.fingerprint(point, beside)
        row = self._shown.get(fingerprint) or self._stored.get(fingerprint)
        if row is None and self.run.has_scores(cell):
            row = self.kind(cell=cell, scored_from=fingerprint, **measures())
        if row is not None:
            self._shown[fingerprint] = row
        return row

    def write(self) -> None:
        """Store the rows that were asked for, sorted by cell, if any of them was computed now.

        Raises:
            NiahError: the folder cannot be written to.
        """
        if self._shown.keys() - self._stored.keys():
            rows = sorted(self._shown.values(), key=lambda row: (row.cell, row.scored_from))
            stored_row.write_csv(self.kind, self.file, rows, checksum=True)
