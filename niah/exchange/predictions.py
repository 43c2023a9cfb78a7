"""Predictions from a file: CSV, Parquet or JSON lines, in one of three forms.

    long    columns scene, label, score
    wide    a column scene and one a label
    words   columns scene and label (or labels, with ";" between them): a label that is named counts 1, others 0

A line of JSON may also be {"scene": .., "scores": {label: score}} or {"scene": .., "labels": [label, ..]}.
"""

import csv
import io
import json
import math
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.system.parquet_tables import read_parquet
from niah.system.text_files import MOST_BYTES, read_text
from niah.system.text_tables import table_text

if TYPE_CHECKING:
    import pandas as pd

LABEL, LABELS, SCORE = "label", "labels", "score"
SCENES = ("scene", "scene_id")
_ABSENT = ["", "nan", "NaN", "NAN", "NA", "null", "None"]
_PANDAS_INDEX = re.compile(r"__index_level_\d+__")
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
        what = "is no regular file" if os.path.lexists(file) else "no such file"
        raise NiahError(f"predictions {file}: {what}")
    suffix = file.suffix.lower()
    if suffix != ".parquet" and file.stat().st_size > MOST_BYTES:
        raise NiahError(f"predictions {file}: is larger than {MOST_BYTES >> 20} MiB; write Parquet")
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

    text, delimiter = table_text(file)
    lines = io.StringIO(text.lstrip("\n"))
    try:
        first = next(csv.reader(lines, delimiter=delimiter, skipinitialspace=True), [])
    except csv.Error as error:
        raise NiahError(f"predictions {file}: has no header that can be read ({error})") from error
    header = [name.strip() for name in first]
    _refuse_repeated(header, file)
    try:
        with warnings.catch_warnings():
            # of a line with more cells than the header: pandas would drop them, as the 5 of 0,5
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                header=0,
                names=header,
                dtype=dict.fromkeys((*SCENES, LABEL, LABELS, ""), str),
                keep_default_na=False,
                index_col=False,
                skipinitialspace=True,
            )
        return frame.drop(columns="") if "" in header and not frame[""].any() else frame
    except pd.errors.ParserWarning as error:
        raise NiahError(
            f"predictions {file}: its lines have more cells than the header's {len(header)}"
        ) from error
    except (OSError, ValueError, OverflowError) as error:  # pandas' own errors are ValueErrors
        raise NiahError(
            f"predictions {file}: is no table ({' '.join(str(error).split())})"
        ) from error


def _parquet(file: Path) -> "pd.DataFrame":
    import pyarrow as pa

    try:
        table = read_parquet(file)
        _refuse_repeated(table.column_names, file)
        frame: pd.DataFrame = table.to_pandas(ignore_metadata=True)
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise NiahError(f"predictions {file}: is no Parquet file ({error!s:.80})") from error
    return frame.drop(columns=[name for name in frame if _PANDAS_INDEX.fullmatch(str(name))])


def _refuse_repeated(header: Sequence[str], file: Path) -> None:
    if repeated := [name for name, count in Counter(header).items() if count > 1]:
        raise NiahError(f"predictions {file}: has two columns '{repeated[0]:.60}'")


def _of_frame(frame: "pd.DataFrame", file: Path) -> Predictions:
    columns = [str(name) for name in frame.columns]
    scene = next((name for name in SCENES if name in columns), None)
    if scene is None:
        raise NiahError(
            f"predictions {file}: lacks the column 'scene'; its header is '{','.join(columns)[:100]}'"
        )
    scenes = _texts(frame[scene])
    if "" in scenes:
        raise NiahError(f"predictions {file}: row {scenes.index('') + 1} names no scene")
    others = [name for name in frame.columns if name != scene]
    if LABEL in others and SCORE in others:
        return _labelled(
            scenes, _texts(frame[LABEL]), _numbers(frame[SCORE], file, SCORE), words=False
        )
    if others in ([LABEL], [LABELS]):
        entries = zip(scenes, frame[others[0]], strict=True)
        return _words(entries, f"predictions {file}", parted=others == [LABELS])
    if LABEL in others or not others:
        raise NiahError(
            f"predictions {file}: lacks the column 'score'; a table in words has two columns"
        )
    if twice := next((name for name, count in Counter(scenes).items() if count > 1), None):
        raise NiahError(f"predictions {file}: scene '{twice}' is there twice")
    scores = np.stack([_numbers(frame[name], file, str(name)) for name in others], axis=1)
    pairs = (np.repeat(scenes, len(others)).tolist(), [str(name) for name in others] * len(scenes))
    return Predictions(tuple(scenes), pairs, scores.reshape(-1), words=False)


def _texts(column: "pd.Series") -> list[str]:
    """Return texts without blanks around them, "" where there is none."""
    return ["" if text is None else str(text).strip() for text in column]


def _numbers(column: "pd.Series", file: Path, name: str) -> NDArray[np.float64]:
    import pandas as pd

    try:
        if not pd.api.types.is_numeric_dtype(column):
            column = pd.to_numeric(column.astype(object).replace(_ABSENT, np.nan))
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError, OverflowError) as error:
        raise NiahError(
            f"predictions {file}: column '{name:.60}' must be numbers ({' '.join(str(error).split()):.80})"
        ) from error


def _labelled(
    scenes: Sequence[str], labels: Sequence[str], scores: NDArray[np.float64], *, words: bool
) -> Predictions:
    """Leave out entries without a label: they say that a scene was heard."""
    named = [i for i, label in enumerate(labels) if label]
    pairs = [scenes[i] for i in named], [labels[i] for i in named]
    return Predictions(tuple(scenes), pairs, scores[named], words)


def _words(rows: Any, where: str, *, parted: bool) -> Predictions:
    scenes: list[str] = []
    labels: list[str] = []
    for scene, entry in rows:
        texts = (entry.split(";") if parted else [entry]) if isinstance(entry, str) else entry
        if texts is None or _is_nan(texts):
            texts = ()
        if not isinstance(texts, list | tuple | np.ndarray) or not all(
            isinstance(text, str) for text in texts
        ):
            raise NiahError(f"{where}: the labels of scene '{scene:.60}' are no texts")
        names = [text.strip() for text in texts] or [""]
        scenes += [scene] * len(names)
        labels += names
    first = dict.fromkeys(zip(scenes, labels, strict=True))  # named twice is named
    return _labelled([s for s, _ in first], [n for _, n in first], np.ones(len(first)), words=True)


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _of_lines(file: Path) -> Predictions:
    scored: list[tuple[str, str, float]] = []
    worded: list[tuple[str, Any]] = []
    whole: set[str] = set()
    for where, entry in _objects(file):
        scene = next((entry[name] for name in SCENES if name in entry), None)
        if not isinstance(scene, str):
            raise NiahError(f"{where}: has no text 'scene'")
        names = entry.get(LABELS, entry.get(LABEL))
        if SCORE in entry:
            label = entry.get(LABEL)
            by_label = {label: entry[SCORE]} if isinstance(label, str) else None
            scored += _scored(scene, by_label, where)
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
        return _words(worded, f"predictions {file}", parted=False)
    scenes, labels, scores = (list(column) for column in zip(*scored, strict=True))
    return _labelled(scenes, labels, np.array(scores, dtype=np.float64), words=False)


def _scored(scene: str, by_label: Any, where: str) -> Iterator[tuple[str, str, float]]:
    """Yield (scene, label, score) of a line; one with an empty label where it has no scores."""
    if not isinstance(by_label, dict) or not all(isinstance(name, str) for name in by_label):
        raise NiahError(f"{where}: must be scene, label, score, or scene and scores by label")
    for label, score in by_label.items() or [("", 0.0)]:
        if score is not None and (isinstance(score, bool) or not isinstance(score, int | float)):
            raise NiahError(f"{where}: the score of '{label:.60}' is no number")
        try:
            yield scene, label.strip(), math.nan if score is None else float(score)
        except OverflowError as error:  # a whole number of hundreds of digits
            raise NiahError(f"{where}: the score of '{label:.60}' is too large") from error


def _unrepeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of JSON; a key that is there twice is a ValueError."""
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key is there twice")
    return made


def _objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Iterate over (place, object) of a file of a JSON object a line."""
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if not line.strip():
            continue
        where = f"predictions {file}, line {number}"
        try:
            entry = json.loads(line, object_pairs_hook=_unrepeated)
            json.dumps(entry, ensure_ascii=False).encode()  # half a surrogate pair is no text
        except (ValueError, RecursionError) as error:
            raise NiahError(f"{where}: is no JSON ({error!s:.80})") from error
        if not isinstance(entry, dict):
            raise NiahError(f"{where}: must be a JSON object")
        yield where, entry
