"""Submitted runs: run directories and bare tables of cells, read, checked, and skipped if they have nothing to rank.

A submission is a run's cells with its run.json, or only a `cells.csv`. Newer schemas are refused, older ones read
(`niah.records.run_directory`). One bad submission does not stop the page of the others: it is named and left out.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from niah.diagnosis.false_alarms import rows as recall_rows
from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.errors import NiahError
from niah.pages.provenance import sections
from niah.records.axes import OWN, SCENE_AXES
from niah.records.cell_table import read_csv
from niah.records.model_entries import model_entry
from niah.records.naming import Point
from niah.records.random_weights import without_accuracy
from niah.records.run_directory import RunDirectory
from niah.records.run_json import why_no_cells
from niah.records.run_parts import RUN_FILES
from niah.records.verify import verify
from niah.system.folder_walk import folders_with
from niah.system.folders import numbered
from niah.tables.curves import points

OBJECTS = ("identity", "arguments", "needles", "hardware", "versions", "git", "models")
LARGEST = 1e18  # of any number on a page: a larger one is damage, or no float


@dataclass(frozen=True)
class Submission:
    """One run or bare table.

    Attributes:
        name: the folder's or file's name, numbered where two are equal.
        cells: rows of cells.csv that can be ranked.
        provenance: run.json; empty for a bare table.
        run: the directory with the clips' scores; None for a bare table.
        recalls: recall at false alarms an hour, where the run has it.
        is_verified: every cell is whole and has the metrics of its scores (`verified`).
    """

    name: str
    cells: tuple[Point, ...]
    provenance: Mapping[str, Any]
    run: RunDirectory | None = field(default=None, compare=False)
    recalls: tuple[RecallAtRate, ...] = ()
    is_verified: bool = False

    @property
    def scores(self) -> str:
        """Return what is there to check the cells by, in words."""
        if self.is_verified:
            return "published, and every metric computed from them again"
        scored = [cell["cell"] for cell in self.cells if cell["status"] == "ok"]
        if self.run is not None and all(map(self.run.has_scores, scored)):
            return "published: `niah verify` computes the metrics from them again"
        return "not published: the metrics are those of the table"

    @property
    def ids_sha256(self) -> str | None:
        """Return the checksum of the ordered list of clip ids; None if not stated."""
        return self.identity("ids_sha256")

    @property
    def clips_sha256(self) -> str | None:
        """Return the checksum of the sorted clip ids, from run.json or from the stored scores."""
        stated = self.provenance.get("needles", {}).get("clips_sha256")
        return str(stated) if stated else self._stored_clips_sha256()

    def identity(self, key: str) -> str | None:
        """Return a value of the run's identity in run.json, as text; None if not stated."""
        stated = self.provenance.get("identity", {}).get(key)
        return str(stated) if stated else None

    def model(self, cell: Point) -> Mapping[str, Any]:
        """Return the entry of a cell's model in run.json; empty if there is none."""
        entry = model_entry(self.provenance, cell["model"], cell["checkpoint_sha256"])
        return entry if isinstance(entry, Mapping) else {}

    def _stored_clips_sha256(self) -> str | None:
        for cell in self.cells:
            if self.run is not None and self.run.has_scores(cell["cell"]):
                try:
                    ids = self.run.read_scores(cell["cell"]).ids
                except NiahError:
                    return None
                joined = "\n".join(sorted(ids)).encode(errors="surrogatepass")
                return hashlib.sha256(joined).hexdigest()
        return None


@dataclass(frozen=True)
class Collection:
    """All submissions.

    Attributes:
        submissions: those that can be ranked, in order.
        notes: folders that were skipped because they have nothing to rank.
        refused: submissions that are damaged or wrong, with the reason.
    """

    submissions: tuple[Submission, ...]
    notes: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


def verified(collection: Collection) -> Collection:
    """Return the collection with only those submissions whose every cell is whole and has the metrics of its scores.

    Args:
        collection: submissions as they are.

    Returns:
        The same; a submission that is damaged, or that has no scores to verify it by, is among the refused.

    Raises:
        NiahError: none is left.
    """
    good, refused = [], list(collection.refused)
    for each in collection.submissions:
        reason = _not_good(each)
        if reason is None:
            good.append(replace(each, is_verified=True))
        else:
            refused.append(f"{each.name}: {reason}")
    if not good:
        raise NiahError(f"no run can be verified: {'; '.join(refused)}")
    return replace(collection, submissions=tuple(good), refused=tuple(refused))


def _not_good(submission: Submission) -> str | None:
    if submission.run is None:
        return "a bare table has no scores to verify it by"
    try:
        verdict = verify(submission.run.path)
    except NiahError as error:
        return str(error)
    problems = [*verdict.damaged, *verdict.metrics]
    return None if verdict.is_good else f"{problems[0]} (`niah verify {submission.run.path}`)"


class _NothingToRankError(Exception):
    """A valid folder without a cell for the page: of another command, or with controls only."""


def read(sources: Sequence[Path]) -> list[Submission]:
    """Return the submissions of `collect`.

    Raises:
        NiahError: nothing can be ranked.
    """
    return list(collect(sources).submissions)


def collect(sources: Sequence[Path]) -> Collection:
    """Read every run that `sources` name, each once, in order.

    Args:
        sources: run directories, folders with run directories below, or CSV files of cells.

    Returns:
        What can be ranked, and what was skipped or refused.

    Raises:
        NiahError: nothing can be ranked; the message has the first reason.
    """
    refused: list[str] = []
    notes: list[str] = []
    files: list[Path] = []
    for source in sources:
        try:
            files += [path.resolve() for path in _runs(source)]
        except NiahError as error:
            refused.append(str(error))
    read_ones: list[tuple[Path, tuple[Any, ...]]] = []
    for path in dict.fromkeys(files):
        try:
            cells, provenance, run = _read(path)
            read_ones.append((path, (cells, provenance, run, _recalls(run))))
        except _NothingToRankError as reason:
            notes.append(f"{path} {reason}")
        except NiahError as error:
            refused.append(str(error))
        except (RecursionError, OverflowError, UnicodeError) as error:
            refused.append(f"{path} cannot be a run's: {str(error)[:80]}")
    if not read_ones:
        nothing = "give at least one run directory or cells.csv to make a leaderboard of"
        raise NiahError(next(iter([*refused, *notes]), nothing))
    names = numbered(_stem(path).name for path, _ in read_ones)  # folders above are private
    submissions = tuple(
        Submission(name, *parts) for name, (_, parts) in zip(names, read_ones, strict=True)
    )
    return Collection(submissions, tuple(notes), tuple(refused))


def _runs(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.exists():
        raise NiahError(f"{source} does not exist: give a run directory or a cells.csv")
    below = folders_with(source, RUN_FILES)
    if not below:
        raise NiahError(f"{source} has no run: there is no run.json or cells.csv in it or below")
    return [source] if source in below else below


def _stem(path: Path) -> Path:
    if path.is_dir():  # a dot in its name begins no ending
        return path
    return path.parent if path.name == "cells.csv" else path.with_suffix("")


def _read(path: Path) -> tuple[tuple[Point, ...], Mapping[str, Any], RunDirectory | None]:
    if path.is_file():
        run, rows, provenance = None, points(read_csv(path)), {}
    else:
        run = RunDirectory(path)
        rows, provenance = points(run.cells()), run.run_json()
        _check_objects(provenance, path / "run.json")
        sections(provenance)  # nested too deeply for the page: RecursionError now, not there
    if not rows:
        raise _NothingToRankError(why_no_cells(provenance))
    cells = [_checked(row, path) for row in rows if _is_ranked(row)]
    if not cells:
        raise _NothingToRankError("has only controls or further axes: nothing to rank")
    return tuple(without_accuracy(cells, provenance)), provenance, run


def _recalls(run: RunDirectory | None) -> tuple[RecallAtRate, ...]:
    return () if run is None else tuple(recall_rows.read(run.path))


def _is_ranked(cell: Point) -> bool:
    """Return whether the cell is of whole clips, once in a scene, at the run's level, and no natural crop."""
    is_plain = not cell.get("control") and not any(cell.get(axis) for axis in SCENE_AXES)
    return is_plain and cell["haystack"] != OWN


def _checked(cell: Point, path: Path) -> Point:
    """Return the cell, with None for the infinite d' of a perfect AUC.

    Raises:
        NiahError: another number is infinite or implausible.
    """
    checked = dict(cell)
    for name, value in cell.items():
        if isinstance(value, int | float) and not abs(value) < LARGEST:
            if name != "d_prime":
                raise NiahError(
                    f"{path}: {name} of cell {cell['cell']} must be a finite number but is {value:.3g}: "
                    "leave the cell out"
                )
            checked[name] = None
    if not cell["length_s"] > 0:
        raise NiahError(f"{path}: length_s of cell {cell['cell']} must be positive")
    return checked


def _check_objects(provenance: Mapping[str, Any], file: Path) -> None:
    for key in OBJECTS:
        if not isinstance(provenance.get(key, {}), Mapping):
            raise NiahError(f"{file}: '{key}' must be an object: is it a run.json of niah's?")
