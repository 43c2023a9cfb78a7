"""Checks of a folder of scenes when it is read: whoever wrote it may be a stranger."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.exchange.sound import LARGEST_GAIN_DB
from niah.records.axes import AXES
from niah.records.run_json import checked_run_json
from niah.records.schema import check_cell

_COLUMNS = {"haystack", "snr_db", "length_s", "position", "frames", *AXES}
_IDENTITY: dict[str, type | tuple[type, ...]] = {"protocol": str, "needles": str, "seed": int}
_SOUND: dict[str, type | tuple[type, ...]] = {
    "sample_rate": int,
    "format": str,
    "gain_db": (int, float),
}
_LARGEST_ANSWERS = 1 << 28  # characters of labels and names


def checked_scenes_json(content: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Check the parts of scenes.json that are read; those that go into run.json are checked as its own are.

    Args:
        content: object read from the file.
        file: its path, for messages.

    Raises:
        NiahError: a value is missing or not as it must be; names the file and the key.
    """
    checked = checked_run_json(content, file)
    for name, kinds in (("identity", _IDENTITY), ("sound", _SOUND)):
        part = _expect(checked, name, dict, file)
        for key, kind in kinds.items():
            _expect(part, key, kind, file, f"{name}.")
    if not abs(checked["sound"]["gain_db"]) <= LARGEST_GAIN_DB:  # nor NaN
        raise NiahError(f"{file}: 'sound.gain_db' is {checked['sound']['gain_db']!r:.40}")
    for name, haystack in _expect(checked, "haystacks", dict, file).items():
        _expect(haystack, "sha256", str, file, f"haystacks.{name}.")
    _check_labels(_expect(checked, "labels", dict, file), file)
    cells = _expect(checked, "cells", list, file)
    for cell in cells:
        _check_cell(cell, file)
    if not cells or len({cell["key"] for cell in cells}) < len(cells):
        raise NiahError(f"{file}: 'cells' must be different ones, at least one")
    return checked


def check_answers(columns: Mapping[str, Sequence[Any]], lists: Sequence[str]) -> None:
    """Check that answers are texts and lists of texts, and that every cell has the same clips.

    Args:
        columns: values by name.
        lists: names of the columns that hold lists.

    Raises:
        ValueError: they are not.
    """
    for name, values in columns.items():
        texts = [text for value in values for text in value] if name in lists else values
        if not all(isinstance(text, str) for text in texts):
            raise ValueError(f"its column {name} has a value that is no text")
        if sum(map(len, texts)) > _LARGEST_ANSWERS:
            raise ValueError(f"its column {name} is too long")
        "".join(texts).encode()  # half a surrogate pair is no text: UnicodeEncodeError
    clips: dict[str, list[str]] = {}
    for cell, clip in zip(columns["cell"], columns["clip"], strict=True):
        clips.setdefault(cell, []).append(clip)
    if not clips:
        raise ValueError("it has no rows")
    first = next(iter(clips.values()))
    if len(set(first)) < len(first) or any(each != first for each in clips.values()):
        raise ValueError("its cells are not of the same clips")


def _check_labels(labels: Mapping[str, Any], file: Path) -> None:
    _expect(labels, "name", str, file, "labels.")
    ids, names = (_expect(labels, key, list, file, "labels.") for key in ("ids", "names"))
    if not all(isinstance(text, str) for text in (*ids, *names)):
        raise NiahError(f"{file}: 'labels' must be texts")
    if not ids or len(ids) != len(names) or len(set(ids)) < len(ids):
        raise NiahError(f"{file}: 'labels' must be different ids, each with a name")


def _check_cell(cell: object, file: Path) -> None:
    if not isinstance(cell, dict):
        raise NiahError(f"{file}: an entry of 'cells' must be an object")
    try:
        check_cell(cell.get("key"))
    except NiahError as error:
        raise NiahError(f"{file}: {error}") from error
    _expect(cell, "title", str, file, "cells.")
    columns = _expect(cell, "columns", dict, file, "cells.")
    if unknown := sorted(set(columns) - _COLUMNS):
        raise NiahError(
            f"{file}: 'cells.columns' has {unknown[0]!r:.40}, which tells no scene's place"
        )


def _expect(
    part: Mapping[str, Any],
    key: str,
    kind: type | tuple[type, ...],
    file: Path,
    prefix: str = "",
) -> Any:
    value = part.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        words = {dict: "an object", list: "a list", str: "text", int: "a whole number"}
        wanted = words.get(kind, "a number") if isinstance(kind, type) else "a number"
        raise NiahError(f"{file}: '{prefix}{key}' must be {wanted} but is {value!r:.60}")
    return value
