"""Predictions for a folder of scenes as cells of a run directory, like those of a model that niah runs.

The run has the identity of the run that the scenes are of, so that it may also hold models of waveforms (the same
options, the same `--out`), and be compared with them. A cell's key is of its scenes and the system's name: predictions
that are scored again under one name replace its cells.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from niah.errors import NiahError
from niah.exchange.predictions import read_predictions
from niah.exchange.scene_set import Answer, SceneCell, SceneSet, read_answers, read_scene_set
from niah.exchange.score_matrix import AUTO, ScoreMatrix, check_scale, score_matrix
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS, Row, cell_key
from niah.records.scores import sha256
from niah.records.summarise import summarise
from niah.version import __version__

if TYPE_CHECKING:
    import pandas as pd

ADAPTER = "predictions"  # of the model's entry in run.json; also the `kernel` of its rows
_LONGEST_NAME = 100
Note = Callable[[str], None]


@dataclass(frozen=True)
class ScoreResult:
    """The table of all cells of the run, and how many cells of these predictions are incomplete."""

    cells: "pd.DataFrame"
    incomplete: int


def score_predictions(
    folder: Path,
    file: Path,
    model: str,
    out: Path,
    *,
    scale: str = AUTO,
    allow_missing: bool = False,
    note: Note = lambda _: None,
) -> ScoreResult:
    """Score predictions into a run directory, a new one or that of the same plan.

    Args:
        folder: of `niah scenes`.
        file: predictions (`niah.exchange.predictions`).
        model: name of the rows.
        out: run directory.
        scale: "logit", "probability" or "auto".
        allow_missing: cells that lack some scenes become rows of status `error`, and those without any have no row.
        note: called with each note for the user.

    Raises:
        NiahError: predictions that cannot be read or do not fit the scenes, missing ones without `allow_missing`,
            a run of another plan, a name that another model of it has.
    """
    name = _checked_name(model)
    check_scale(scale)
    scene_set, answers = read_scene_set(folder), read_answers(folder)
    ids = dict.fromkeys(
        a.scene for cell in scene_set.cells for a in _answers(answers, cell, folder)
    )
    predictions = read_predictions(file)
    try:
        matrix = score_matrix(predictions, list(ids), scene_set.labels, scale)
    except NiahError as error:
        raise NiahError(f"predictions {file}: {error}") from error
    if missing := [scene for scene in ids if scene not in matrix.rows]:
        lacks = f"{len(missing)} of {len(ids)} scenes have no prediction, the first '{missing[0]}'"
        if not allow_missing:
            raise NiahError(f"{lacks}: --allow-missing scores the complete cells")
        note(lacks)
    clips = len(next(iter(answers.values())))
    with RunDirectory.create_or_open(out, scene_set.identity, clips) as run:
        _record(run, scene_set, name, matrix, file)
        for text in (*run.warnings, *matrix.notes):
            note(text)
        for cell in scene_set.cells:
            if not any(answer.scene in matrix.rows for answer in answers[cell.key]):
                note(f"{name}, {cell.title}: no prediction; left out")
        rows, scored = _scored_rows(run, scene_set, answers, matrix, name)
        run.write_rows((row, None) for row in rows)
        for row, cell in zip(rows, scored, strict=True):
            if row["status"] != "ok":
                note(f"{name}, {cell.title}: {row['error']}")
        for text in summarise(run):
            note(text)
        return ScoreResult(run.cells(), sum(row["status"] != "ok" for row in rows))


def _scored_rows(
    run: RunDirectory,
    scene_set: SceneSet,
    answers: dict[str, list[Answer]],
    matrix: ScoreMatrix,
    name: str,
) -> tuple[list[Row], list[SceneCell]]:
    """Store the scores of every cell that is complete; return a row a cell with predictions."""
    completed = run.completed()
    rows, cells = [], []
    for cell in scene_set.cells:
        clips = answers[cell.key]
        key = cell_key({"scenes": cell.key, "model": name})
        lacking = sum(answer.scene not in matrix.rows for answer in clips)
        if lacking == len(clips) or (lacking and key in completed):
            continue
        row = _row(scene_set, cell, key, name, len(clips))
        if lacking:
            row |= {
                "status": "error",
                "error": f"{lacking} of {len(clips)} clips have no prediction",
            }
        else:
            _store(run, key, clips, matrix, scene_set.labels.ids)
        rows.append(row)
        cells.append(cell)
    return rows, cells


def _store(
    run: RunDirectory,
    key: str,
    clips: list[Answer],
    matrix: ScoreMatrix,
    classes: tuple[str, ...],
) -> None:
    distractors = [answer.distractors for answer in clips]
    run.write_scores(
        key,
        [answer.clip for answer in clips],
        [answer.labels for answer in clips],
        matrix.logits[np.array([matrix.rows[answer.scene] for answer in clips])],
        classes=classes,
        distractors=distractors if any(distractors) else (),
        groups=[answer.group for answer in clips],
    )


def _row(scene_set: SceneSet, cell: SceneCell, key: str, name: str, clips: int) -> Row:
    identity = scene_set.identity
    row: Row = {
        **dict.fromkeys(CELL_COLUMNS),
        **cell.columns,
        "cell": key,
        "model": name,
        "checkpoint_sha256": "",
        "protocol": identity["protocol"],
        "needles": identity["needles"],
        "n_clips": clips,
        "seed": identity["seed"],
        "status": "ok",
        "kernel": ADAPTER,
        "niah_version": __version__,
    }
    if "noise_seed" in identity:
        row["noise_seed"] = identity["noise_seed"]
    return row


def _record(
    run: RunDirectory, scene_set: SceneSet, name: str, matrix: ScoreMatrix, file: Path
) -> None:
    """Write the system's entry in run.json, and the rest of it where the run is new."""
    stored = run.run_json()
    entry = stored.get("models", {}).get(name, {})
    if entry and entry.get("adapter") != ADAPTER:
        raise NiahError(f"{run.path} has a model '{name}' that niah ran: give another --model")
    haystacks = stored.get("haystacks", {})
    for haystack, described in scene_set.haystacks.items():
        other = haystacks.get(haystack, {}).get("sha256")
        if other not in (None, "", described["sha256"]):
            raise NiahError(
                f"the haystack '{haystack}' of {run.path} is another sound: give another --out"
            )
    record = dict(scene_set.record)
    arguments = {**record.pop("arguments", {}), "models": [name], "out": str(run.path)}
    described = {
        "checkpoint_sha256": "",
        "checkpoint": "",
        "random": False,
        "parameters": 0,
        "licence": "",
        "paper": "",
        "adapter": ADAPTER,
        "predictions": file.name,
        "predictions_sha256": sha256(file),
        "scores": matrix.scale,
        "sound": dict(scene_set.sound),
    }
    new = {} if "needles" in stored else {**record, "arguments": arguments}
    run.write_run_json(
        {**new, "haystacks": {**haystacks, **scene_set.haystacks}, "models": {name: described}}
    )


def _answers(answers: dict[str, list[Answer]], cell: SceneCell, folder: Path) -> Iterable[Answer]:
    if cell.key not in answers:
        raise NiahError(
            f"{folder}: answers.parquet lacks a cell of scenes.json: write the scenes again"
        )
    return answers[cell.key]


def _checked_name(name: str) -> str:
    name = name.strip()
    if not name or not name.isprintable() or len(name) > _LONGEST_NAME:
        raise NiahError(f"--model must be a name of 1 to {_LONGEST_NAME} printed characters")
    return name
