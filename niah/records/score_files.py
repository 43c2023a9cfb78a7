"""The score files of a run, each with the checksum that its cell's row has of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.records import scores as clip_scores
from niah.records.row_files import read_row
from niah.records.schema import Row, check_cell
from niah.records.scores import ClipScores
from niah.system import atomic


class ScoreFiles:
    """The files `scores/<cell>.parquet` below the run at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests: dict[str, tuple[tuple[int, ...], str | None]] = {}  # by cell: state, SHA-256

    def score_files(self) -> "ScoreFiles":
        """Return the score files alone, which can be pickled, with the checksums that are known."""
        alone = ScoreFiles(self.path)
        alone._digests = self._digests
        return alone

    def write_scores(
        self,
        cell: str,
        ids: Sequence[str],
        labels: Sequence[Sequence[str]],
        logits: NDArray[Any],
        *,
        classes: Sequence[str],
        distractors: Sequence[Sequence[str]] = (),
        groups: Sequence[str] = (),
    ) -> None:
        """Store one cell's scores.

        Args:
            cell: Key of the cell.
            ids: Clip names, (n,).
            labels: Labels of each clip, (n,) lists.
            logits: (n, c), any float dtype.
            classes: Names of the columns of `logits`, (c,).
            distractors: Labels of the other clips in each scene, (n,) lists; empty where there are none.
            groups: Recording that each clip is cut from, (n,), "" where unknown; empty where none is known.

        Raises:
            NiahError: shapes that disagree, NaN or infinite logits, a full disk.
        """
        if logits.shape != (len(ids), len(classes)) or len(labels) != len(ids):
            raise NiahError(
                f"logits must be (clips, classes) = ({len(ids)}, {len(classes)}) with one label "
                f"list a clip but are {logits.shape} with {len(labels)}"
            )
        own, others = (tuple(map(tuple, names)) for names in (labels, distractors))
        with np.errstate(over="ignore"):  # infinite logits are refused when they are written
            single = logits.astype(np.float32)
        scored = ClipScores(tuple(ids), own, tuple(classes), single, others, tuple(groups))
        clip_scores.write(self._scores_file(cell), scored)

    def read_scores(self, cell: str) -> ClipScores:
        """Read one cell's scores.

        Raises:
            NiahError: they are missing, damaged, or not those that the cell's row was computed from.
        """
        if reason := self._changed(cell, self._expected(cell)):
            raise NiahError(f"{reason}: run the same command again, which makes it again")
        return clip_scores.read(self._scores_file(cell))

    def has_scores(self, cell: str, clips: int | None = None) -> bool:
        """Return whether the cell has the scores that its row was computed from.

        Args:
            cell: key of the cell.
            clips: number of clips that they must have; None for any.
        """
        if self._changed(cell, self._expected(cell)):
            return False
        count = clip_scores.count(self._scores_file(cell))
        return count is not None and clips in (None, count)

    def scores_problem(self, row: Row) -> str | None:
        """Return the reason why the scores of an ok row cannot be believed; None when they can."""
        cell, file = str(row["cell"]), self._scores_file(str(row["cell"]))
        if not file.is_file():
            return f"{file} is missing"
        expected = row.get("scores_sha256")
        if reason := self._changed(cell, None if expected is None else str(expected)):
            return reason
        if expected is None and clip_scores.count(file) is None:
            return f"{file} is damaged"
        return None

    def saturation(self, cell: str) -> float:
        """Return the share of the cell's scores that were stored as exactly 0 or 1 (`niah.records.scores`)."""
        return clip_scores.saturation(self._scores_file(cell))

    def _changed(self, cell: str, expected: str | None) -> str | None:
        """The reason why a score file is not the one with this checksum; None where it is, or there is none."""
        stored = None if expected is None else self.scores_sha256(cell)
        if stored is None or stored == expected:
            return None
        return f"{self._scores_file(cell)} is damaged or was changed (its SHA-256 is not the row's)"

    def _expected(self, cell: str) -> str | None:
        """The checksum that the cell's row has of its scores."""
        file = self.path / "cells" / f"{check_cell(cell)}.json"
        expected = read_row(file)[0].get("scores_sha256") if file.is_file() else None
        return None if expected is None else str(expected)

    def scores_sha256(self, cell: str) -> str | None:
        """Return the SHA-256 of the cell's score file, None when there is none; computed once for a file as it is."""
        file = self._scores_file(cell)
        try:
            stat = file.stat()
        except OSError:
            return clip_scores.sha256(file)
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        if cell not in self._digests or self._digests[cell][0] != state:
            self._digests[cell] = state, clip_scores.sha256(file)
        return self._digests[cell][1]

    def copy_scores(self, cell: str, other: "ScoreFiles") -> None:
        """Copy a cell's score file from another run, byte for byte, whole or not at all."""
        with atomic.atomic_write(self._scores_file(cell)) as stream:
            stream.write(other._scores_file(cell).read_bytes())

    def _scores_file(self, cell: str) -> Path:
        return self.path / "scores" / f"{check_cell(cell)}.parquet"
