"""Small made-up runs for the tests of records, tables, plots, report and check."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from niah.metrics.average_precision import Scores, Targets
from niah.records.run_directory import RunDirectory
from niah.records.schema import CELL_COLUMNS, Row, Value, cell_key
from niah.records.summarise import summarise

CLASSES = tuple(f"c{index}" for index in range(6))
CLIPS = 24
IDS = tuple(f"clip{index:02d}" for index in range(CLIPS))
LABELS = tuple((CLASSES[i % 6], CLASSES[(i * 5 + 1) % 6]) for i in range(CLIPS))
TARGETS: Targets = np.array([[name in labels for name in CLASSES] for labels in LABELS])
IDENTITY = {"protocol": "dass-v1", "needles": "made", "ids_sha256": "0" * 64, "seed": 0}


def logits(gain: float, seed: int = 0) -> Scores:
    """Logits of a tagger that hears with `gain`: (clips, classes)."""
    noise = np.random.default_rng(seed).normal(size=TARGETS.shape)
    return np.asarray(gain * TARGETS + noise)


def row(**values: Value) -> Row:
    """A valid row with an own key; `values` replaces its columns."""
    known: Row = {
        "model": "dass-nano",
        "checkpoint_sha256": "f" * 64,
        "protocol": "dass-v1",
        "needles": "made",
        "n_clips": CLIPS,
        "haystack": "zero",
        "length_s": 10.0,
        "position": 0.5,
        "seed": 0,
        "status": "ok",
        "device": "cpu",
    }
    made = {**dict.fromkeys(CELL_COLUMNS), **known, **values}
    return {**made, "cell": values.get("cell") or cell_key(made)}


def add(run: RunDirectory, gain: float, **values: Value) -> str:
    """Write one cell, scores first (unless it failed), and return its key."""
    made = scored(run, gain, **values)
    run.write_rows([(made, None)])
    return str(made["cell"])


def scored(run: RunDirectory, gain: float, **values: Value) -> Row:
    """Write one cell's scores (unless it failed), and return its row."""
    made = row(**values)
    if made["status"] == "ok":
        run.write_scores(str(made["cell"]), IDS, LABELS, logits(gain), classes=CLASSES)
    return made


def replace_scores(run: RunDirectory, cell: str, ids: Any, labels: Any, values: Scores) -> None:
    """Write other scores of a cell that has a row, and have the row be of them."""
    classes = run.read_scores(cell).classes
    run.write_scores(cell, ids, labels, values, classes=classes)
    (row,) = (row for row, _ in run.rows() if row["cell"] == cell)
    run.write_rows([({**row, "scores_sha256": None}, None)])


def make(path: Path, extra: Mapping[str, object] | None = None) -> RunDirectory:
    """A run of two models over lengths, positions and SNRs, summarised and closed."""
    with RunDirectory.create_or_open(path, IDENTITY) as run:
        run.write_run_json({"models": {}, **(extra or {})})
        for model, loss in (("dass-nano", 0.2), ("ast-sin-nano", 0.8)):
            run.write_rows((made, None) for made in _model(run, model, loss))
        summarise(run)
    return RunDirectory(path)


def _model(run: RunDirectory, model: str, loss: float) -> Iterator[Row]:
    yield scored(run, 3.0, model=model, haystack="none", position=None)
    for length_s in (20.0, 50.0, 100.0):
        gain = 3.0 - loss * float(np.log(length_s / 10))
        positions: Iterable[float] = (0.0, 0.5, 1.0) if length_s == 50 else (0.5,)
        for position in positions:
            yield scored(run, gain - position, model=model, length_s=length_s, position=position)
        for snr_db in (0.0, 10.0):
            quiet = gain - 1 + snr_db / 20
            yield scored(
                run, quiet, model=model, length_s=length_s, haystack="babble", snr_db=snr_db
            )
    status = "oom" if model == "ast-sin-nano" else "ok"
    yield scored(run, 2.0, model=model, length_s=300.0, status=status)
