"""What was handed in: run directories and bare tables of cells, read and checked.

A submission is a run's cells with its run.json, or a `cells.csv` alone, as others may send one: then
nothing but its rows is known. Newer schemas are refused, older ones read (`niah.records.run_directory`).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.records.naming import Point
from niah.records.run_directory import RunDirectory
from niah.records.schema import METRIC_COLUMNS, is_plain, read_csv
from niah.system.folders import numbered
from niah.tables.curves import points

OBJECTS = ("identity", "arguments", "needles", "hardware", "versions", "git", "models")


@dataclass(frozen=True)
class Submission:
    """`name` to call it by, its cells (rows of cells.csv), and run.json ({} for a bare table)."""

    name: str
    cells: tuple[Point, ...]
    provenance: Mapping[str, Any]

    @property
    def ids_sha256(self) -> str | None:
        """Checksum of the list of clip ids, None when the submission does not state it."""
        stated = self.provenance.get("identity", {}).get("ids_sha256")
        return str(stated) if stated else None

    def model(self, name: str) -> Mapping[str, Any]:
        """What run.json says of a model, {} where it says nothing."""
        found = self.provenance.get("models", {}).get(name, {})
        return found if isinstance(found, Mapping) else {}


def read(sources: Sequence[Path]) -> list[Submission]:
    """Every run that `sources` name, each once, in order.

    A source is a run directory, a folder with run directories below it, or a CSV file of cells.
    Raises `NiahError` when one holds no run, or a run that cannot be read, or no cells.
    """
    files = list(dict.fromkeys(path.resolve() for source in sources for path in _runs(source)))
    if not files:
        raise NiahError("give at least one run directory or cells.csv to make a leaderboard of")
    names = _names(files)
    return [_read(path, name) for path, name in zip(files, names, strict=True)]


def _runs(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.exists():
        raise NiahError(f"{source} does not exist: give a run directory or a cells.csv")
    if any((source / name).is_file() for name in ("run.json", "cells.csv")):
        return [source]
    found = sorted(file.parent for file in source.rglob("cells.csv"))
    if not found:
        raise NiahError(f"{source} holds no run: there is no cells.csv in it or below")
    return found


def _names(files: Sequence[Path]) -> list[str]:
    """The last part of each path, numbered where an earlier one has it: folders above are their owner's business."""
    return numbered(_stem(path).name for path in files)


def _stem(path: Path) -> Path:
    return path.parent if path.name == "cells.csv" else path.with_suffix("")


def _read(path: Path, name: str) -> Submission:
    if path.is_file():
        cells, provenance = points(read_csv(path)), {}
    else:
        run = RunDirectory(path)
        cells, provenance = points(run.cells()), run.run_json()
        _check_objects(provenance, path / "run.json")
    if not cells:
        raise NiahError(f"{path} has no finished cells yet: let `niah run` finish one")
    cells = [cell for cell in cells if is_plain(cell)]  # controls and further axes are not ranked
    if not cells:
        raise NiahError(
            f"{path} has no plain cells, only controls or further axes: nothing to rank"
        )
    submission = Submission(name, (), provenance)
    return Submission(name, tuple(_without_random(cells, submission)), provenance)


def _check_objects(provenance: Mapping[str, Any], file: Path) -> None:
    for key in OBJECTS:
        if not isinstance(provenance.get(key, {}), Mapping):
            raise NiahError(f"{file}: '{key}' must be an object: is it a run.json of niah's?")


def _without_random(cells: Iterable[Point], submission: Submission) -> Iterable[Point]:
    """No accuracy of models with random weights: they are there for speed alone."""
    for cell in cells:
        random = submission.model(cell["model"]).get("random")
        yield {**cell, **dict.fromkeys(METRIC_COLUMNS)} if random else cell
