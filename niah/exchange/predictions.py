"""Predictions from a file: CSV, Parquet or JSON lines, in one of three forms.

    long    columns scene, label, score
    wide    a column scene and one a label
    words   columns scene and label (or labels, with ";" between them): a label that is named counts 1, others 0

A line of JSON may also be {"scene": .., "scores": {label: score}} or {"scene": .., "labels": [label, ..]}.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.system.text_files import MOST_BYTES, read_text
from niah.system.text_tables import delimiter_of

if TYPE_CHECKING:
    import pandas as pd

LABEL, LABELS, SCORE = "label", "labels", "score"
SCENES = ("scene", "scene_id")
_ABSENT = ["", "nan", "NaN", "NAN", "NA", "null", "None"]
_TABLES, _LINES = (".csv", ".tsv", ".txt"), (".jsonl", ".ndjson")


@dataclass(frozen=True)
class Predictions:
    """One entry a (scene, label); a scene may also be named without any label.

    Attributes:
        scenes: every scene that the file names, once or more.
        pairs: (scene, label) of each score.
        scores: (entries,) float64; NaN where the file has none.
        words: labels were named without scores.
    """

    scenes: tuple[str, ...]
    pairs: tuple[Sequence[str], Sequence[str]]
    scores: NDArray[np.float64]
    words: bool


def read_predictions(file: Path) -> Predictions:
    """Read a predictions file; scenes and labels are taken as they stand.

    Raises:
        NiahError: no such file, another layout, a scene twice in wide form, a score that is no number, no entries.
    """
    if not file.is_file():
        raise NiahError(f"predictions {file}: no such file")
    suffix = file.suffix.lower()
    if suffix in _LINES:
        read = _of_lines(file)
    elif suffix in (*_TABLES, ".parquet"):
        frame = _parquet(file) if suffix == ".parquet" else _csv(file)
        read = _of_frame(frame, file)
    else:
        raise NiahError(f"predictions {file}: must be .csv, .parquet or .jsonl")
    if not read.scenes:
        raise NiahError(f"predictions {file}: has no entries")
    return read


def _csv(file: Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            first = stream.readline()
        if not first.strip():
            raise NiahError(f"predictions {file}: has no header")
        text = (*SCENES, LABEL, LABELS)
        frame = pd.read_csv(
            file,
            sep=delimiter_of(first),
            encoding="utf-8-sig",
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,
            index_col=False,
            skipinitialspace=True,
        )
        return frame.rename(columns=lambda name: str(name).strip())
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise NiahError(
            f"predictions {file}: is no table ({' '.join(str(error).split())})"
        ) from error


def _parquet(file: Path) -> "pd.DataFrame":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        frame: pd.DataFrame = pq.read_table(file).to_pandas()
        return frame.reset_index() if frame.index.name in SCENES else frame
    except (pa.ArrowException, OSError, ValueError) as error:
        raise NiahError(f"predictions {file}: is no Parquet file ({error!s:.80})") from error


def _of_frame(frame: "pd.DataFrame", file: Path) -> Predictions:
    columns = [str(name) for name in frame.columns]
    scene = next((name for name in SCENES if name in columns), None)
    if scene is None:
        raise NiahError(
            f"predictions {file}: lacks the column 'scene'; its header is '{','.join(columns)[:100]}'"
        )
    scenes = [str(text).strip() for text in frame[scene]]
    others = [name for name in frame.columns if name != scene]
    if LABEL in others and SCORE in others:
        labels = [str(text).strip() for text in frame[LABEL]]
        return _labelled(scenes, labels, _numbers(frame[SCORE], file, SCORE), words=False)
    if others in ([LABEL], [LABELS]):
        return _words(zip(scenes, frame[others[0]], strict=True), parted=others == [LABELS])
    if LABEL in others or not others:
        raise NiahError(
            f"predictions {file}: lacks the column 'score'; a table in words has two columns"
        )
    if len(set(scenes)) < len(scenes):
        twice = next(name for i, name in enumerate(scenes) if name in scenes[:i])
        raise NiahError(f"predictions {file}: scene '{twice}' is there twice")
    scores = np.stack([_numbers(frame[name], file, str(name)) for name in others], axis=1)
    pairs = (np.repeat(scenes, len(others)).tolist(), [str(name) for name in others] * len(scenes))
    return Predictions(tuple(scenes), pairs, scores.reshape(-1), words=False)


def _numbers(column: "pd.Series", file: Path, name: str) -> NDArray[np.float64]:
    import pandas as pd

    try:
        if not pd.api.types.is_numeric_dtype(column):
            column = pd.to_numeric(column.astype(object).replace(_ABSENT, np.nan))
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise NiahError(
            f"predictions {file}: column '{name}' must be numbers ({' '.join(str(error).split()):.80})"
        ) from error


def _labelled(
    scenes: Sequence[str], labels: Sequence[str], scores: NDArray[np.float64], *, words: bool
) -> Predictions:
    """Leave out entries without a label: they say that a scene was heard."""
    named = [i for i, label in enumerate(labels) if label]
    pairs = [scenes[i] for i in named], [labels[i] for i in named]
    return Predictions(tuple(scenes), pairs, scores[named], words)


def _words(rows: Any, *, parted: bool) -> Predictions:
    scenes: list[str] = []
    labels: list[str] = []
    for scene, entry in rows:
        texts = [entry] if isinstance(entry, str) else list(entry if entry is not None else ())
        if parted and isinstance(entry, str):
            texts = entry.split(";")
        names = [str(text).strip() for text in texts] or [""]
        scenes += [scene] * len(names)
        labels += names
    first = dict.fromkeys(zip(scenes, labels, strict=True))  # named twice is named
    return _labelled([s for s, _ in first], [n for _, n in first], np.ones(len(first)), words=True)


def _of_lines(file: Path) -> Predictions:
    if file.stat().st_size > MOST_BYTES:
        raise NiahError(f"predictions {file}: is larger than {MOST_BYTES >> 20} MiB; write Parquet")
    scored: list[tuple[str, str, float]] = []
    worded: list[tuple[str, Any]] = []
    whole: set[str] = set()
    for where, entry in _objects(file):
        scene = next((entry[name] for name in SCENES if name in entry), None)
        if not isinstance(scene, str):
            raise NiahError(f"{where}: has no text 'scene'")
        names = entry.get(LABELS, entry.get(LABEL))
        if SCORE in entry:
            scored += _scored(scene, {entry.get(LABEL): entry[SCORE]}, where)
        elif isinstance(names, list | str):
            worded.append((scene, names))
        elif scene in whole:
            raise NiahError(f"{where}: scene '{scene}' is there twice")
        else:
            whole.add(scene)
            wide = {name: value for name, value in entry.items() if name not in SCENES}
            scored += _scored(scene, entry.get("scores", wide), where)
    if worded and scored:
        raise NiahError(f"predictions {file}: has lines with scores and lines of labels alone")
    if worded:
        return _words(worded, parted=False)
    scenes, labels, scores = (list(column) for column in zip(*scored, strict=True))
    return _labelled(scenes, labels, np.array(scores, dtype=np.float64), words=False)


def _scored(scene: str, by_label: Any, where: str) -> Iterator[tuple[str, str, float]]:
    """Yield (scene, label, score) of a line; one with an empty label where it has no scores."""
    if not isinstance(by_label, dict) or not all(isinstance(name, str) for name in by_label):
        raise NiahError(f"{where}: must be scene, label, score, or scene and scores by label")
    for label, score in by_label.items() or [("", 0.0)]:
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise NiahError(f"{where}: the score of '{label}' is no number")
        yield scene, label.strip(), math.nan if score is None else float(score)


def _objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over (place, object) of a file of a JSON object a line."""
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"predictions {file}, line {number}"
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise NiahError(f"{where}: is no JSON ({error!s:.80})") from error
        if not isinstance(entry, dict):
            raise NiahError(f"{where}: must be a JSON object")
        yield where, entry
