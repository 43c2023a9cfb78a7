"""Boards: the cells that may be ranked together, of one protocol, level mode and list of clips.

Macro mAP rises with fewer clips, and protocols place needles differently, so cells that differ in these are never on
one board. A run states its clips by checksum (of the sorted ids, so that their order does not matter). A bare table
does not: it gets a separate board, unless it shares a cell with a run, because a cell's name is the hash of everything
that determines it, including the clips.

On a board, an *entry* is one system (`niah.pages.leaderboard.systems`) in one kind of scene. A cell that was submitted
twice counts once, with its stored scores where a run has them, else the first time.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isclose
from typing import Any

from niah.diagnosis.false_alarms.rows import RecallAtRate
from niah.metrics.chance import one_recording_warning
from niah.pages.leaderboard.submissions import Submission
from niah.pages.leaderboard.systems import (
    SubmittedCell,
    System,
    as_own_pooling,
    system_key,
    system_of,
    with_distinct_names,
)
from niah.records.axes import is_noise_base
from niah.records.cell_table import table
from niah.records.naming import Point
from niah.system.plurals import plural
from niah.tables.curves import LengthCurve, chance, length_curves, lengths

DISAGREES = 1e-3  # of mAP: more than the rounding of float16 scores and of other machines
Scene = tuple[str, float | None]  # of a board: its name with the SNR, and the needle's position


@dataclass(frozen=True)
class Entry:
    """One system in one kind of scene: its cells by length, and their runs."""

    system: System
    line: LengthCurve
    runs: tuple[str, ...]

    @property
    def scene(self) -> Scene:
        """Return the scene; entries of one scene are ranked together."""
        return self.line.scene, self.line.position


@dataclass(frozen=True)
class Board:
    """Entries that may be compared, and their common settings.

    Attributes:
        protocol: of every cell.
        level: place of the noise; None if not stated.
        needles: name of the clips.
        n_clips: number of clips.
        labels: the vocabulary; None if not stated.
        ids_sha256: checksum of the clip list; None if not stated.
        entries: by scene, then by system.
        cells: (name of the submission, row) of each cell, once.
        notes: for the reader, shown first.
        origin: the submission of each cell, by the cell's name.
        apart: what sets it apart from boards of the same protocol, level and clips by name: ", labels esc-10".
    """

    protocol: str
    level: str | None
    needles: str
    n_clips: int
    labels: str | None
    ids_sha256: str | None
    entries: tuple[Entry, ...]
    cells: tuple[tuple[str, Point], ...]
    notes: tuple[str, ...]
    origin: Mapping[str, Submission] = field(default_factory=dict, compare=False, repr=False)
    apart: str = ""

    @property
    def title(self) -> str:
        """Return "niah-v2.1, level mix on 344 clips of esc50": the level where it is not the plain one; and `apart`."""
        level = f", level {self.level}" if self.level not in (None, "surround") else ""
        clips = plural(self.n_clips, "clip")
        return f"{self.protocol}{level} on {clips} of {self.needles}{self.apart}"

    @property
    def lengths(self) -> list[float]:
        """Return every length on the board in seconds, ascending."""
        return lengths(entry.line for entry in self.entries)

    @property
    def rates(self) -> list[float]:
        """Return the false alarms an hour at which recall is known somewhere on the board, ascending."""
        cells = (p for entry in self.entries for p in entry.line.by_length.values())
        return sorted({row.per_hour for point in cells for row in self.recalls(point)})

    def recalls(self, point: Point) -> list[RecallAtRate]:
        """Return the recall of a cell at each of its run's false alarms an hour."""
        source = self.origin.get(point["cell"])
        return [row for row in source.recalls if row.cell == point["cell"]] if source else []

    @property
    def chance(self) -> float | None:
        """Return the expected mAP of random scores on these clips."""
        return chance(entry.line for entry in self.entries)

    @property
    def scenes(self) -> dict[Scene, list[Entry]]:
        """Return the entries of each scene."""
        scenes: dict[Scene, list[Entry]] = {}
        for entry in self.entries:
            scenes.setdefault(entry.scene, []).append(entry)
        return scenes


Key = tuple[Any, ...]


def boards(submissions: Sequence[Submission]) -> list[Board]:
    """Return the boards of all submitted cells, the largest first."""
    stated = _stated_by_cell(submissions)
    clips_of_list = _clips_by_list(submissions)
    grouped: dict[Key, list[SubmittedCell]] = {}
    for submission in submissions:
        clips = _clip_lists(submission, stated, clips_of_list)
        for cell in submission.cells:
            key = (cell["protocol"], int(cell["n_clips"]), *clips[_claims(cell)])
            grouped.setdefault(key, []).append((submission, as_own_pooling(cell)))
    unsorted = [_board(submitted) for submitted in grouped.values()]
    # the more clips, the more a board can tell apart
    largest_first = sorted(
        unsorted, key=lambda b: (-b.n_clips, -len(b.cells), b.protocol, b.needles)
    )
    return _set_apart(largest_first)


def _set_apart(boards: Sequence[Board]) -> list[Board]:
    """Give boards of one title what differs in them: level, labels, then clip list."""
    apart = list(boards)
    for name, value_of in _DIFFERENCES.items():
        titles = [board.title for board in apart]
        for title in {each for each in titles if titles.count(each) > 1}:
            alike = [index for index, each in enumerate(titles) if each == title]
            values = {index: value_of(apart[index]) for index in alike}
            if len(set(values.values())) > 1:
                for index, value in values.items():
                    words = f"{apart[index].apart}, {name} {value or 'not stated'}"
                    apart[index] = replace(apart[index], apart=words)
    return apart


_DIFFERENCES: dict[str, Callable[[Board], str | None]] = {
    "level": lambda board: board.level,
    "labels": lambda board: board.labels,
    "clip list": lambda board: board.ids_sha256 and board.ids_sha256[:12],
}


def _stated_by_cell(submissions: Iterable[Submission]) -> dict[str, Submission]:
    """Return the first run with a stated clip list, by cell name."""
    by_cell: dict[str, Submission] = {}
    for submission in submissions:
        if submission.ids_sha256:
            for cell in submission.cells:
                by_cell.setdefault(cell["cell"], submission)
    return by_cell


def _clips_by_list(submissions: Iterable[Submission]) -> dict[str, str]:
    """Return the checksum of the sorted ids by that of the ordered ones, from runs that state both."""
    pairs = ((each.ids_sha256, each.clips_sha256) for each in submissions)
    return {ids: clips for ids, clips in pairs if ids and clips}


def _claims(cell: Point) -> Key:
    """Return the protocol and clips that a row states."""
    return (cell["protocol"], cell["needles"], cell["n_clips"])


def _clip_lists(
    submission: Submission, stated: Mapping[str, Submission], clips_of_list: Mapping[str, str]
) -> dict[Key, Key]:
    """Return what, beside protocol and number of clips, must be equal on one board, by `_claims`.

    The rows of a bare table are of the same clips as a run with which it shares a cell.
    """
    lists: dict[Key, Key] = {}
    for cell in submission.cells:
        source = submission if submission.ids_sha256 else stated.get(cell["cell"])
        if source is not None:
            clips = clips_of_list.get(str(source.ids_sha256), source.ids_sha256)
            lists[_claims(cell)] = (source.identity("level"), source.identity("labels"), clips)
        else:
            lists.setdefault(_claims(cell), ("unstated", submission.name, cell["needles"]))
    return lists


def _board(submitted: Sequence[SubmittedCell]) -> Board:
    same_labels, notes = _without_other_labels(submitted)
    cells, repeated = _once(same_labels)
    notes += repeated
    stated = next((each for each, _ in submitted if each.ids_sha256), None)
    first = cells[0][1]
    needles = (stated.identity("needles") if stated else None) or str(first["needles"])
    if stated is None:
        notes.append(
            "The list of clips is not stated (a bare cells.csv): these rows are compared with each "
            "other only."
        )
    notes += filter(None, [one_recording_warning(cell for _, cell in cells)])
    return Board(
        protocol=first["protocol"],
        level=stated.identity("level") if stated else None,
        needles=needles,
        n_clips=int(first["n_clips"]),
        labels=stated.identity("labels") if stated else None,
        ids_sha256=stated.ids_sha256 if stated else None,
        entries=tuple(_entries(cells, needles)),
        cells=tuple((submission.name, cell) for submission, cell in cells),
        notes=tuple(notes),
        origin={cell["cell"]: submission for submission, cell in cells},
    )


def _without_other_labels(
    submitted: Sequence[SubmittedCell],
) -> tuple[list[SubmittedCell], list[str]]:
    """Leave out runs whose chance differs from the first's: it depends only on the clips' labels."""
    first: SubmittedCell | None = None
    other: dict[str, float] = {}
    for submission, cell in submitted:
        if cell["chance_mAP"] is None:
            continue
        first = first or (submission, cell)
        if not isclose(cell["chance_mAP"], first[1]["chance_mAP"], rel_tol=1e-5):
            other.setdefault(submission.name, cell["chance_mAP"])
    if first is None or not other:
        return list(submitted), []
    notes = [
        f"Left out: run {name} names the same clips as {first[0].name}, but chance is {level:.4f} mAP "
        f"in it and {first[1]['chance_mAP']:.4f} there: the labels are not the same."
        for name, level in other.items()
    ]
    same = [(s, c) for s, c in submitted if s.name not in other or s.name == first[0].name]
    level = first[1]["chance_mAP"]
    same = [
        (s, c)
        for s, c in same
        if c["chance_mAP"] is None or isclose(c["chance_mAP"], level, rel_tol=1e-5)
    ]
    return same, notes


def _once(submitted: Iterable[SubmittedCell]) -> tuple[list[SubmittedCell], list[str]]:
    """Return each cell once, a finished one first, then one whose scores are there, else the first; and notes.

    The needle alone is one cell in all noise, and a row of each noise seed's system.
    """
    chosen: dict[Key, SubmittedCell] = {}
    repeated, disagreeing = 0, []
    for submission, cell in submitted:
        key = (cell["cell"], cell.get("noise_seed"))
        earlier = chosen.get(key)
        if earlier is None:
            chosen[key] = (submission, cell)
            continue
        repeated += 1
        if _worth(submission, cell) > _worth(*earlier):
            chosen[key] = (submission, cell)
        if None not in (earlier[1]["mAP"], cell["mAP"]):
            apart = abs(earlier[1]["mAP"] - cell["mAP"])
            if apart > DISAGREES:
                disagreeing.append((earlier[0].name, submission.name, cell["cell"], apart))
    notes = []
    if repeated:
        count = f"{repeated} cells were" if repeated > 1 else "1 cell was"
        notes.append(
            f"{count} submitted more than once; each counts once, with its stored scores where a run has them, else "
            "the first time."
        )
    for first, second, name, apart in disagreeing[:3]:
        notes.append(
            f"Runs {first} and {second} disagree on cell {name} by {apart:.3f} mAP: the same model, "
            "clips and scene should score the same."
        )
    return list(chosen.values()), notes


def _worth(submission: Submission, cell: Point) -> tuple[bool, bool]:
    """Return whether a cell is finished, and whether the scores are there that its metrics are of."""
    is_ok = cell["status"] == "ok"
    run = submission.run
    return is_ok, is_ok and run is not None and run.has_scores(cell["cell"])


def _entries(cells: Sequence[SubmittedCell], needles: str) -> list[Entry]:
    grouped: dict[Key, list[SubmittedCell]] = {}
    for submission, cell in cells:
        grouped.setdefault(system_key(cell), []).append((submission, cell))
    origin = {cell["cell"]: submission.name for submission, cell in cells}
    systems = with_distinct_names([system_of(own) for own in grouped.values()])
    entries = []
    for system, own in zip(systems, grouped.values(), strict=True):
        rows = [{**cell, "needles": needles} for _, cell in own]
        for curve in () if all(map(is_noise_base, rows)) else length_curves(table(rows)):
            curve = replace(curve, by_length=_with_shares(curve))
            runs = dict.fromkeys(origin[point["cell"]] for point in curve.by_length.values())
            entries.append(Entry(system, curve, tuple(runs)))
    return sorted(entries, key=_scene_then_name)


def _with_shares(curve: LengthCurve) -> dict[float, Point]:
    """Return the cells, with `relative` filled in from the base of another run."""
    base = curve.base["mAP"] if curve.base else None
    cells = {}
    for length, point in curve.by_length.items():
        if base and point["relative"] is None and point["mAP"] is not None:
            point = {**point, "base_mAP": base, "relative": point["mAP"] / base}
        cells[length] = point
    return cells


def _scene_then_name(entry: Entry) -> tuple[Any, ...]:
    curve = entry.line
    level = 0.0 if curve.snr_db is None else -curve.snr_db
    scene = (curve.snr_db is not None, curve.haystack, level, curve.position or 0.0)
    return (*scene, entry.system.name)
