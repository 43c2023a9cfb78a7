"""A folder of scenes: what `niah scenes` writes and `niah score` reads.

    sounds/<cell>/<scene>.flac   the scenes
    manifest.csv                 a line a scene: file, clip, what it is hidden in, SHA-256; to be given away
    answers.parquet              a line a cell and clip: scene, the clip's id, labels and recording; to be kept back
    scenes.json                  the identity of the run that the scenes are of, its classes and its cells

Clips are numbered in the manifest, for their own names often hold the label (ESC-50's do).
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from niah.errors import NiahError
from niah.exchange.scene_checks import check_answers, checked_scenes_json
from niah.records.schema import Value
from niah.system import atomic
from niah.system.parquet_tables import read_parquet
from niah.vocabularies import Vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

SCENES_JSON, MANIFEST, ANSWERS, README = (
    "scenes.json",
    "manifest.csv",
    "answers.parquet",
    "README.txt",
)
SOUNDS = "sounds"
SCHEMA_VERSION = 1
CELL_DIGITS = 12  # of a cell's key in the names of its scenes
_LISTS = ("labels", "distractors")
_CHECKSUM = b"niah.sha256"  # of the answers, in the metadata of their file


@dataclass(frozen=True)
class SceneCell:
    """One cell of the plan: the scenes of all clips in one place.

    Attributes:
        key: hash of all that determines its scenes.
        title: its name for people.
        columns: the columns of cells.csv that it decides: haystack, SNR, length, frames, position, further axes.
    """

    key: str
    title: str
    columns: Mapping[str, Value]

    def scene_id(self, number: int) -> str:
        """Return the id of a clip's scene, which is also its file's name."""
        return f"{self.key[:CELL_DIGITS]}-{number:05d}"


@dataclass(frozen=True)
class Answer:
    """The labels of one clip's scene in a cell; a control has none."""

    cell: str
    scene: str
    clip: str
    labels: tuple[str, ...]
    distractors: tuple[str, ...]
    group: str


@dataclass(frozen=True)
class SceneSet:
    """The content of scenes.json.

    Attributes:
        identity: of the run (`niah.records.identity`).
        record: entries of run.json on arguments, needles and what was left out.
        haystacks: entries of run.json by name.
        labels: the classes that are scored.
        cells: those of the plan.
        sound: sample rate in Hz, format and gain in dB.
    """

    identity: Mapping[str, Any]
    record: Mapping[str, Any]
    haystacks: Mapping[str, Any]
    labels: Vocabulary
    cells: tuple[SceneCell, ...]
    sound: Mapping[str, Any]

    def write(self, folder: Path) -> None:
        """Write scenes.json."""
        content = {
            "schema_version": SCHEMA_VERSION,
            "sound": dict(self.sound),
            "identity": dict(self.identity),
            **self.record,
            "haystacks": dict(self.haystacks),
            "labels": asdict(self.labels),
            "cells": [asdict(cell) for cell in self.cells],
        }
        atomic.write_json(folder / SCENES_JSON, content)


def read_scene_set(folder: Path) -> SceneSet:
    """Read scenes.json.

    Raises:
        NiahError: there is none, it is of another version, or a value is not as it must be.
    """
    file = folder / SCENES_JSON
    if not file.is_file():
        raise NiahError(f"{folder} holds no scenes: it has no {SCENES_JSON} (see `niah scenes`)")
    content = atomic.read_json(file)
    if content.get("schema_version") != SCHEMA_VERSION:
        raise NiahError(
            f"{file} has schema {content.get('schema_version')!r:.20}, this niah reads {SCHEMA_VERSION}"
        )
    content = checked_scenes_json(content, file)
    own = ("schema_version", "sound", "identity", "haystacks", "labels", "cells")
    labels = content["labels"]
    return SceneSet(
        content["identity"],
        {name: value for name, value in content.items() if name not in own},
        content["haystacks"],
        Vocabulary(labels["name"], tuple(labels["ids"]), tuple(labels["names"])),
        tuple(SceneCell(each["key"], each["title"], each["columns"]) for each in content["cells"]),
        content["sound"],
    )


def write_answers(folder: Path, answers: Sequence[Answer]) -> None:
    """Write answers.parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = pa.list_(pa.string())
    types = {name: names if name in _LISTS else pa.string() for name in Answer.__annotations__}
    columns = {
        name: pa.array(
            [list(v) if name in _LISTS else v for v in (getattr(a, name) for a in answers)], kind
        )
        for name, kind in types.items()
    }
    table = pa.table(columns)
    table = table.replace_schema_metadata({_CHECKSUM: _checksum(table)})
    with atomic.atomic_write(folder / ANSWERS) as stream:
        pq.write_table(table, stream, compression="zstd")


def read_answers(folder: Path) -> dict[str, list[Answer]]:
    """Return the answers of each cell, in the order of the clips.

    Raises:
        NiahError: answers.parquet is missing or damaged, or its cells are not of the same clips.
    """
    import pyarrow as pa

    file = folder / ANSWERS
    if not file.is_file():
        raise NiahError(f"{file} is missing: it holds the labels that are scored")
    try:
        table = read_parquet(file)
        stored = (table.schema.metadata or {}).get(_CHECKSUM)
        if stored is not None and stored != _checksum(table):
            raise ValueError("its checksum is not its content's")
        columns = [table.column(name).to_pylist() for name in Answer.__annotations__]
        check_answers(dict(zip(Answer.__annotations__, columns, strict=True)), _LISTS)
        by_cell: dict[str, list[Answer]] = {}
        for cell, scene, clip, labels, distractors, group in zip(*columns, strict=True):
            answer = Answer(cell, scene, clip, tuple(labels), tuple(distractors), group)
            by_cell.setdefault(cell, []).append(answer)
        return by_cell
    except (pa.ArrowException, OSError, LookupError, TypeError, ValueError) as error:
        raise NiahError(f"{file} is damaged: write the scenes again ({error!s:.80})") from error


def _checksum(table: "pa.Table") -> bytes:
    """Compute the SHA-256 of the answers' values, whatever their encoding in the file."""
    rows = json.dumps([table.column(name).to_pylist() for name in Answer.__annotations__])
    return hashlib.sha256(rows.encode()).hexdigest().encode()
