"""What may be ranked together: boards of one protocol, level mode and list of clips.

Macro mAP rises when there are fewer clips, and protocols place needles differently, so cells of
different ones are never on one board. A run states its clips by checksum. A bare table does not:
it is a board of its own, unless it shares a cell with a run, because a cell's name is the hash of
all that determines it, the clips too.

On a board, an *entry* is one system (`niah.pages.leaderboard.systems`) in one kind of scene. A cell handed in
twice counts once, the first time.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import isclose
from typing import Any

from niah.errors import NiahError
from niah.pages.leaderboard.submissions import Submission
from niah.pages.leaderboard.systems import Handed, System, named, ranked, system_of
from niah.records.naming import Point
from niah.records.schema import table
from niah.tables.curves import LengthCurve, chance, length_curves, lengths

DISAGREES = 1e-3  # of mAP: beyond what float16 scores and other machines' rounding explain


@dataclass(frozen=True)
class Entry:
    """One system in one kind of scene: its cells by length, and the runs that they are from."""

    system: System
    line: LengthCurve
    runs: tuple[str, ...]


@dataclass(frozen=True)
class Board:
    """Entries that may be compared, and what they have in common.

    `ids_sha256` None: the clip list is not stated. `notes`: what the reader must know first.
    `cells`: (name of the submission, row) of each cell, once.
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

    @property
    def lengths(self) -> list[float]:
        """Every length on the board in seconds, ascending."""
        return lengths(entry.line for entry in self.entries)

    @property
    def chance(self) -> float | None:
        """Expected mAP of random scores on these clips."""
        return chance(entry.line for entry in self.entries)


Key = tuple[Any, ...]


def boards(submissions: Sequence[Submission]) -> list[Board]:
    """The boards of all cells handed in, the largest first."""
    stated = _stated_by_cell(submissions)
    grouped: dict[Key, list[Handed]] = {}
    for submission in submissions:
        clips = _clip_lists(submission, stated)
        for cell in submission.cells:
            key = (cell["protocol"], int(cell["n_clips"]), *clips[_told(cell)])
            grouped.setdefault(key, []).append((submission, cell))
    found = [_board(handed) for handed in grouped.values()]
    return sorted(found, key=lambda board: (-len(board.cells), board.protocol, board.needles))


def _stated_by_cell(submissions: Iterable[Submission]) -> dict[str, Submission]:
    """The first run with a stated clip list for each cell's name."""
    found: dict[str, Submission] = {}
    for submission in submissions:
        if submission.ids_sha256:
            for cell in submission.cells:
                found.setdefault(cell["cell"], submission)
    return found


def _told(cell: Point) -> Key:
    """What a row itself says of protocol and clips."""
    return (cell["protocol"], cell["needles"], cell["n_clips"])


def _clip_lists(submission: Submission, stated: dict[str, Submission]) -> dict[Key, Key]:
    """What, beside protocol and number of clips, must be equal to be on one board, by `_told`.

    A bare table's rows are of the same clips as a run that any of them is shared with.
    """
    found: dict[Key, Key] = {}
    for cell in submission.cells:
        source = submission if submission.ids_sha256 else stated.get(cell["cell"])
        if source is not None:
            identity = source.provenance["identity"]
            found[_told(cell)] = (identity.get("level"), identity.get("labels"), source.ids_sha256)
        else:
            found.setdefault(_told(cell), ("unstated", submission.name, cell["needles"]))
    return found


def _board(handed: Sequence[Handed]) -> Board:
    kept, notes = _once(handed)
    _refuse_other_labels(kept)
    stated = next((each for each, _ in handed if each.ids_sha256), None)
    identity = {} if stated is None else stated.provenance["identity"]
    first = kept[0][1]
    needles = str(identity.get("needles") or first["needles"])
    if stated is None:
        notes.append(
            "The list of clips is not stated (a bare cells.csv): these rows are compared with each "
            "other only."
        )
    return Board(
        protocol=first["protocol"],
        level=identity.get("level"),
        needles=needles,
        n_clips=int(first["n_clips"]),
        labels=identity.get("labels"),
        ids_sha256=None if stated is None else stated.ids_sha256,
        entries=tuple(_entries(kept, needles)),
        cells=tuple((submission.name, cell) for submission, cell in kept),
        notes=tuple(notes),
    )


def _once(handed: Iterable[Handed]) -> tuple[list[Handed], list[str]]:
    """Each cell once, a finished one before a failed one, else the first; and what to say of it."""
    kept: dict[str, Handed] = {}
    repeated, disagreeing = 0, []
    for submission, cell in handed:
        held = kept.get(cell["cell"])
        if held is None:
            kept[cell["cell"]] = (submission, cell)
            continue
        repeated += 1
        if held[1]["status"] != "ok" and cell["status"] == "ok":
            kept[cell["cell"]] = (submission, cell)
        elif None not in (held[1]["mAP"], cell["mAP"]):
            apart = abs(held[1]["mAP"] - cell["mAP"])
            if apart > DISAGREES:
                disagreeing.append((held[0].name, submission.name, cell["cell"], apart))
    notes = []
    if repeated:
        count = f"{repeated} cells were" if repeated > 1 else "1 cell was"
        notes.append(f"{count} handed in more than once; each counts once, the first time.")
    for first, second, name, apart in disagreeing[:3]:
        notes.append(
            f"Runs {first} and {second} disagree on cell {name} by {apart:.3f} mAP: the same model, "
            "clips and scene should score the same."
        )
    return list(kept.values()), notes


def _refuse_other_labels(kept: Iterable[Handed]) -> None:
    """Chance follows from the clips' labels alone: where it differs, the clips do."""
    first: Handed | None = None
    for submission, cell in kept:
        if cell["chance_mAP"] is None:
            continue
        first = first or (submission, cell)
        if not isclose(cell["chance_mAP"], first[1]["chance_mAP"], rel_tol=1e-5):
            raise NiahError(
                f"runs {first[0].name} and {submission.name} name the same clips, but chance is "
                f"{first[1]['chance_mAP']:.4f} mAP in one and {cell['chance_mAP']:.4f} in the other: "
                "the labels are not the same; leave one out"
            )


def _entries(kept: Sequence[Handed], needles: str) -> list[Entry]:
    grouped: dict[Key, list[Handed]] = {}
    for submission, cell in kept:
        grouped.setdefault(ranked(cell), []).append((submission, cell))
    origin = {cell["cell"]: submission.name for submission, cell in kept}
    systems = named([system_of(held) for held in grouped.values()])
    found = []
    for system, held in zip(systems, grouped.values(), strict=True):
        rows = [{**cell, "needles": needles} for _, cell in held]
        for line in length_curves(table(rows)):
            line = replace(line, by_length=_with_shares(line))
            runs = dict.fromkeys(origin[point["cell"]] for point in line.by_length.values())
            found.append(Entry(system, line, tuple(runs)))
    return sorted(found, key=_scene_then_name)


def _with_shares(line: LengthCurve) -> dict[float, Point]:
    """The cells, with `relative` where only the base of another run makes it known."""
    base = line.base["mAP"] if line.base else None
    found = {}
    for length, point in line.by_length.items():
        if base and point["relative"] is None and point["mAP"] is not None:
            point = {**point, "base_mAP": base, "relative": point["mAP"] / base}
        found[length] = point
    return found


def _scene_then_name(entry: Entry) -> tuple[Any, ...]:
    line = entry.line
    level = 0.0 if line.snr_db is None else -line.snr_db
    scene = (line.snr_db is not None, line.haystack, level, line.position or 0.0)
    return (*scene, entry.system.name)
