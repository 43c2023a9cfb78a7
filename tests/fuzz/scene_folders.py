"""Damaged predictions, and folders of scenes as a stranger may hand them out, for `niah score`."""

import io
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from niah.exchange.predictions import read_predictions
from niah.exchange.scene_set import Answer, SceneCell, SceneSet, read_scene_set, write_answers
from niah.exchange.score_matrix import score_matrix
from niah.exchange.scoring import score_predictions
from niah.vocabularies import Vocabulary
from tests.fuzz.mutations import (
    FLOATS,
    INTEGERS,
    changed_bytes,
    csv_file,
    json_file,
    recoded,
    text,
    value,
)

LABELS = Vocabulary("pets", ("/t/dog", "/t/cat"), ("Dog, barking", "Cat"))
CLIPS = 4
IDENTITY = {"protocol": "niah-v2.1", "needles": "made", "ids_sha256": "0" * 64, "seed": 0}
CELLS = (
    SceneCell("a" * 20, "10 s", {"haystack": "none", "length_s": 10.0, "frames": 1000}),
    SceneCell("b" * 20, "20 s", {"haystack": "zero", "length_s": 20.0, "position": 0.5}),
)
SCENES = [cell.scene_id(number) for cell in CELLS for number in range(CLIPS)]
_SCORES = [[scene, *(0.25 * (k % 3) + j for j in range(2))] for k, scene in enumerate(SCENES)]
_RAW = ("1e400", "9" * 400, "NaN", "-Infinity", "[" * 3000, "1_0", '"0.5"', "null", "{}", "")


def predictions(rng: Random, folder: Path) -> Path:
    """A file of predictions in one of its forms, damaged."""
    makers = (("p.csv", _table), ("p.tsv", _table), ("p.jsonl", _lines), ("p.parquet", _parquet))
    name, maker = rng.choice(makers)
    (folder / name).write_bytes(maker(rng))
    return folder / name


def read_scores(file: Path) -> None:
    score_matrix(read_predictions(file), SCENES, LABELS)


def scene_folder(rng: Random, folder: Path) -> Path:
    """scenes.json or answers.parquet damaged, beside sound predictions."""
    for name, content in _files().items():
        (folder / name).write_bytes(content)
    if rng.random() < 0.6:
        document = json.loads(_files()["scenes.json"])
        (folder / "scenes.json").write_bytes(json_file(rng, document))
    else:
        (folder / "answers.parquet").write_bytes(_answers(rng))
    return folder


def score_folder(folder: Path) -> None:
    read_scene_set(folder)
    score_predictions(folder, folder / "p.csv", "files", folder / "run", allow_missing=True)


@cache
def _files() -> dict[str, bytes]:
    """The files of a sound folder, without its sounds, and predictions for it."""
    import tempfile

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        haystacks = {"zero": {"contains": [], "sha256": "1" * 64}}
        record = {"needles": {"clips": CLIPS}, "arguments": {}, "notes": ["a note"]}
        sound = {"sample_rate": 16000, "format": "flac16", "gain_db": 0.0}
        SceneSet(IDENTITY, record, haystacks, LABELS, CELLS, sound).write(folder)
        write_answers(
            folder,
            [
                Answer(cell.key, cell.scene_id(k), f"clip{k}", (LABELS.ids[k % 2],), (), f"r{k}")
                for cell in CELLS
                for k in range(CLIPS)
            ],
        )
        rows = ["scene,/t/dog,/t/cat", *(",".join(map(str, row)) for row in _SCORES)]
        (folder / "p.csv").write_text("\n".join(rows))
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def _answers(rng: Random) -> bytes:
    import pyarrow.parquet as pq

    content = _files()["answers.parquet"]
    if rng.random() < 0.5:
        start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
        return content[: start * (rng.random() < 0.7)] + changed_bytes(rng, content[start:])
    table = pq.read_table(io.BytesIO(content))
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    name = rng.choice(list(columns))
    columns[name][rng.randrange(len(table))] = rng.choice((text(rng), [text(rng)], None, []))
    return _written({} if rng.random() < 0.1 else columns)


def _table(rng: Random) -> bytes:
    long = [[row[0], label, row[1 + k]] for row in _SCORES for k, label in enumerate(LABELS.ids)]
    header, rows = rng.choice(
        (
            (["scene", *LABELS.ids], _SCORES),
            (["scene_id", *LABELS.names], _SCORES),
            (["scene", "label", "score"], long),
            (["scene", "label"], [row[:2] for row in long]),
            (["scene", "labels"], [[scene, "/t/dog;Cat"] for scene in SCENES]),
        )
    )
    cells = [header, *([str(each) for each in row] for row in rows)]
    if rng.random() < 0.5:
        line = rng.choice(cells[1:])
        line[rng.randrange(len(line))] = rng.choice((*_RAW, str(rng.choice(FLOATS))))
        if rng.random() < 0.7:  # damaged in this cell alone
            return "\n".join(",".join(row) for row in cells).encode("utf-8", "surrogatepass")
    return csv_file(rng, cells)


def _lines(rng: Random) -> bytes:
    kind = rng.randrange(4)
    entries: list[Any] = []
    for scene, dog, cat in _SCORES:
        scores = {"/t/dog": dog, "Cat": cat}
        entries.append(
            (
                {"scene": scene, **scores},
                {"scene": scene, "scores": scores},
                {"scene": scene, "labels": ["Cat"]},
                {"scene": scene, "label": "Cat", "score": cat},
            )[kind]
        )
    if rng.random() < 0.7:
        entry = rng.choice(entries)
        entry[rng.choice([*entry, text(rng)])] = value(rng)
    lines = [json.dumps(entry) for entry in entries]
    if rng.random() < 0.4:
        at = rng.randrange(len(lines))
        number = rng.choice(lines[at].split(": ")[1:])
        lines[at] = lines[at].replace(number.rstrip("}"), rng.choice(_RAW), 1)
    content = recoded(rng, "\n".join(lines))
    return changed_bytes(rng, content) if rng.random() < 0.2 else content


def _parquet(rng: Random) -> bytes:
    import pyarrow as pa

    rows = len(SCENES)
    columns: dict[str, Any] = {"scene": SCENES}
    columns |= {label: [row[1 + k] for row in _SCORES] for k, label in enumerate(LABELS.ids)}
    makers = (
        lambda: pa.array([rng.choice(FLOATS)] * rows),
        lambda: pa.array([rng.choice(INTEGERS[:18])] * rows),
        lambda: pa.array([None] * rows, pa.string()),
        lambda: pa.array([text(rng).encode("utf-8", "replace").decode()] * rows),
        lambda: pa.array([["Cat"], []] * (rows // 2)),
        lambda: pa.array([b"\xff"] * rows),
        lambda: pa.array([{"a": 1}] * rows),
        lambda: pa.array([2**62] * rows, pa.timestamp("us")),
        lambda: pa.array([True] * rows),
    )
    name = rng.choice(("scene", "scene_id", "label", "labels", "score", *LABELS.ids, "other"))
    columns[name] = rng.choice(makers)()
    if rng.random() < 0.2:
        columns = {key: columns[key] for key in rng.sample(list(columns), 2)}
    content = _written(columns)
    return changed_bytes(rng, content) if rng.random() < 0.5 else content


def _written(columns: dict[str, Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    made = io.BytesIO()
    try:
        table = pa.table(columns)
    except (pa.ArrowException, TypeError, UnicodeError):  # a column of mixed types: as texts
        texts = {name: [str(each) for each in values] for name, values in columns.items()}
        table = pa.table(
            {
                name: [each.encode("utf-8", "replace").decode() for each in column]
                for name, column in texts.items()
            }
        )
    pq.write_table(table, made)
    return made.getvalue()
