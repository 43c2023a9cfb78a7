"""The cells of a run or of a published table, with its identity and scores where they are stored; and its systems.

A system is one model with its weights and precision: two checkpoints of one model are two systems. The key of a cell
is everything that must be equal before two scores may be compared.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from niah.errors import NiahError, nearest
from niah.records.axes import SCENE_AXES, is_noise_base
from niah.records.cell_table import read_csv
from niah.records.naming import (
    NO_HAYSTACK,
    Point,
    axes_name,
    length_name,
    pool_of,
    scene_name,
    window_name,
)
from niah.records.run_directory import RunDirectory
from niah.records.run_json import lost_run_json
from niah.records.schema import BASE_LENGTH_S
from niah.tables.curves import points
from niah.tables.positions import needle_position, position_text

Key = tuple[Any, ...]
Cells = dict[Key, Point]


@dataclass(frozen=True, order=True)
class System:
    """One model with its weights (SHA-256, "" where not stated) and precision."""

    model: str
    checkpoint_sha256: str
    dtype: str

    @property
    def short_name(self) -> str:
        """Return the model with its weights: "dass-small@4a3a4fb7"."""
        return f"{self.model}@{self.checkpoint_sha256[:8]}"

    def is_meant_by(self, name: str) -> bool:
        """Return whether NAME, NAME@SHA256 (whole or a prefix) or either with ",DTYPE" names this system."""
        weights, _, dtype = name.partition(",")
        model, _, sha = weights.strip().partition("@")
        same_weights = model == self.model and self.checkpoint_sha256.startswith(sha)
        return same_weights and dtype.strip() in ("", self.dtype)


class StoredRun:
    """The rows of a run directory, or of one table of it.

    `directory` is None, and `identity` empty, for a table without a run.json beside it.
    """

    def __init__(self, path: Path | str) -> None:
        """Read `path`, a run directory or a cells.csv.

        Raises:
            NiahError: it is neither, or cannot be read.
        """
        self.path = Path(path)
        self.directory: RunDirectory | None = None
        if self.path.is_file():
            self.points = points(read_csv(self.path))
            if (self.path.parent / "run.json").is_file():
                self.directory = RunDirectory(self.path.parent)
        elif self.path.is_dir():
            directory = RunDirectory(self.path)
            self.points = points(directory.cells())
            if (self.path / "run.json").is_file():
                self.directory = directory
        else:
            raise NiahError(f"{path} is neither a run directory nor a cells.csv")
        self.run_json = {} if self.directory is None else self.directory.run_json()
        self.identity: dict[str, Any] = self.run_json.get("identity", {})

    @property
    def lost(self) -> str | None:
        """Return the reason why the scores of a run directory cannot be compared: it has lost its run.json."""
        return lost_run_json(self.path)

    def systems(self, names: Iterable[str] = ()) -> dict[System, Cells]:
        """Return the cells of every system by key; cells of equal scenes once.

        Args:
            names: NAME or NAME@SHA256 of the systems to return; none for all.

        Raises:
            NiahError: a name that matches no system, or two cells with one key.
        """
        grouped: dict[System, list[Point]] = defaultdict(list)
        for point in self.points:
            if not point.get("control"):
                grouped[system_of(point)].append(point)
        wanted = list(names)
        for name in wanted:
            if not any(system.is_meant_by(name) for system in grouped):
                known = ", ".join(system.short_name for system in sorted(grouped))
                hint = nearest(name.partition("@")[0], [system.model for system in grouped])
                hint = hint if hint.startswith(" Did") else ""  # all are named below
                raise NiahError(f"{self.path} has no model '{name}'.{hint} It has {known}.")
        return {
            system: self._by_key(rows)
            for system, rows in sorted(grouped.items())
            if not wanted or any(map(system.is_meant_by, wanted))
        }

    def refuse_unscored(self) -> None:
        """Refuse a run or table without any score.

        Raises:
            NiahError: no cell has an mAP, and none failed.
        """
        if not any(p["mAP"] is not None or p["status"] != "ok" for p in self.points):
            raise NiahError(
                f"{self.path} has no mAP in any cell, so that there is nothing to compare: random weights and controls "
                "have none; a run whose scores are stored gets it by `niah report`"
            )

    def has_scores(self, point: Point) -> bool:
        """Return whether the scores of a cell are stored."""
        return self.directory is not None and self.directory.has_scores(point["cell"])

    def scores_problem(self, point: Point) -> str | None:
        """Return the reason why stored scores of a cell cannot be believed; None where they can, or there are none."""
        files = self.directory
        if files is None or not (files.path / "scores" / f"{point['cell']}.parquet").is_file():
            return None
        return files.scores_problem(point)

    @staticmethod
    def key(point: Point) -> Key:
        """Return everything that must be equal before the cell's score may be compared with another's.

        The run's level is not part of it: it is the same for a whole run (`niah.compare.same_clips`). The needle alone
        has one key for every haystack and position.
        """
        length_s = float(point["length_s"])
        scene: Key | None = None
        if not is_alone(point):
            haystack = point["haystack"] or NO_HAYSTACK
            place = (haystack, point["snr_db"], needle_position(point))
            scene = (*place, *map(point.get, SCENE_AXES))
        return (point["protocol"], length_s, scene, *pooling_of(point))

    def _by_key(self, rows: Iterable[Point]) -> Cells:
        cells: Cells = {}
        # sorted: the order of the table must not decide which of equal scenes is used
        for point in sorted(
            rows, key=lambda p: (p["mAP"] is None, p["position"] or 0.0, p["cell"])
        ):
            key = self.key(point)
            first = cells.setdefault(key, point)
            alone = is_alone(point) or None in (first["mAP"], point["mAP"])
            again = first == point  # tables that were put together have rows twice
            if not (alone or again) and first["position"] == point["position"]:
                raise NiahError(
                    f"{self.path} has two cells of {cell_name(point)} ({first['cell']}, {point['cell']}): "
                    "their difference has no column in the table; run them in two folders"
                )
        return cells


def is_alone(point: Point) -> bool:
    """Return whether a cell is the needle alone: 10 s, without noise."""
    return bool(point["length_s"] == BASE_LENGTH_S) and not is_noise_base(point)


def system_of(point: Point) -> System:
    """Return the system of a row."""
    return System(point["model"], point["checkpoint_sha256"] or "", point["dtype"] or "")


def pooling_of(point: Point) -> tuple[Any, ...]:
    """Return the window in seconds, and the pooling of windows or positions."""
    return (point["window_s"], pool_of(point))


def system_names(systems: Iterable[System]) -> dict[System, str]:
    """Name each system by its model, with weights and precision where there are several."""
    unique = list(systems)
    weights = Counter(system.short_name for system in unique)
    several_weights = Counter({system.short_name: system.model for system in unique}.values())
    names = {}
    for system in unique:
        name = system.short_name if several_weights[system.model] > 1 else system.model
        names[system] = f"{name}, {system.dtype}" if weights[system.short_name] > 1 else name
    return names


def cell_name(point: Point, model: str | None = None) -> str:
    """Return a cell in words: "dass-small, babble, 10 dB, at 0.5, 50 s"; "dass-small (windows of 10 s), 10 s".

    Args:
        point: the cell.
        model: the system's name, where the model's is ambiguous.
    """
    model = model or point["model"]
    windows = window_words(point["window_s"], pool_of(point))
    system = f"{model} ({windows})" if windows else model
    if is_alone(point):
        return f"{system}, {length_name(BASE_LENGTH_S)}"
    scene = scene_name(point["haystack"] or NO_HAYSTACK, point["snr_db"])
    position = position_text(point)
    parts = (scene, axes_name(point), f"at {position}" * bool(position))
    return ", ".join([system, *filter(None, parts), length_name(point["length_s"])])


def window_words(window_s: float | None, pool: str) -> str:
    """Return "windows of 10 s, mean", or "pooled by top-k" for whole scenes; "" for the model's own pooling of them."""
    if window_s is None:
        return f"pooled by {pool}" if pool else ""
    return f"windows of {window_name(window_s, pool)}"
