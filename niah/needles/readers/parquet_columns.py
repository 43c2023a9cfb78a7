"""The columns of a Parquet file of clips: the one with the sounds, the one with labels, and names of numbered classes.

The names are in the file's own metadata, where the `datasets` library writes the type of each column ("ClassLabel"), or
in the card of its repository (`dataset_info`).
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.needles.readers.rows import Request

ID_COLUMNS = ("video_id", "id", "filename", "fname")
LABEL_COLUMNS = (
    *("labels", "label", "human_labels", "category", "categories", "classes", "class"),
    *("sound_events", "events", "tags", "target_names"),
)
_METADATA = b"huggingface"
_MOST_NESTED = 8


@dataclass(frozen=True)
class Columns:
    """Names of a file's columns; `class_names` are of the numbers in `labels`, () where it has names or ids."""

    audio: str
    audio_leaf: str  # column path of the bytes
    labels: str
    id: str = ""  # "": the name in the audio column, or the row's number
    class_names: tuple[str, ...] = ()

    @property
    def path_leaf(self) -> str:
        """Return the column path of the sounds' file names; "" where the audio column has bytes alone."""
        return f"{self.audio}.path" if self.audio_leaf != self.audio else ""


def with_choice(request: Request, names: Sequence[str]) -> Request:
    """Return the request with the columns that `?audio=NAME` and `?labels=NAME` choose, which are then no filters.

    Args:
        request: of a user; values of filters have no case.
        names: of the file's columns. A value that is none of them filters the rows of a column `audio` or `labels`.
    """
    by_case = {name.casefold(): name for name in names}
    filters = dict(request.filters)
    chosen = {"audio": request.audio_column, "labels": request.label_column}
    for key in chosen:
        (value, *others) = filters.get(key, ("",))
        if value and not others and (value in by_case or key not in names):
            del filters[key]
            chosen[key] = by_case.get(value, value)
    return replace(
        request, filters=filters, audio_column=chosen["audio"], label_column=chosen["labels"]
    )


def find_columns(file: Any, shard: Path, request: Request) -> Columns:
    """Find the columns of a file.

    Args:
        file: an open `pyarrow.parquet.ParquetFile`.
        shard: its path, for messages.
        request: columns that the user chose, and the card of its repository.

    Raises:
        NiahError: no column of embedded sounds or of labels, several of either, or numbers without names.
    """
    import pyarrow.types as types

    schema = file.schema_arrow
    has = f"it has {', '.join(schema.names)}"
    audio = request.audio_column or _audio_column(schema, shard, has)
    if audio not in schema.names:
        raise NiahError(f"{shard}: lacks the column '{audio}'; {has}")
    kind = schema.field(audio).type
    if types.is_struct(kind) and _is_bytes(kind, "bytes"):
        leaf = f"{audio}.bytes"
    elif types.is_binary(kind) or types.is_large_binary(kind):
        leaf = audio
    else:
        raise NiahError(
            f"{shard}: lacks the column 'audio' with embedded 'bytes': '{audio}' is {kind}; another is chosen by "
            "'?audio=NAME'"
        )
    labels = request.label_column or next((c for c in LABEL_COLUMNS if c in schema.names), "")
    if labels not in schema.names:
        what = f"the column '{labels}'" if labels else "a column 'labels' (or ESC-50's 'category')"
        raise NiahError(f"{shard}: lacks {what}; {has}: choose one by '?labels=NAME'")
    names: Sequence[str] = ()
    if _is_numbered(schema.field(labels).type):
        names = _names_in(schema.metadata or {}, labels) or _names_on_card(
            request.dataset_card, labels
        )
        if not names:
            raise NiahError(
                f"{shard}: the column '{labels}' has numbers, and neither the file nor its card names the classes: "
                "choose a column of names by '?labels=NAME'"
            )
    id_ = next((name for name in ID_COLUMNS if name in schema.names and name != labels), "")
    return Columns(audio, leaf, labels, id_, tuple(names))


def _audio_column(schema: Any, shard: Path, has: str) -> str:
    """Return "audio", or the one column that embeds files."""
    if "audio" in schema.names:
        return "audio"
    import pyarrow.types as types

    embedded = [
        field.name
        for field in schema
        if types.is_struct(field.type) and _is_bytes(field.type, "bytes")
    ]
    if len(embedded) != 1:
        raise NiahError(
            f"{shard}: lacks the column 'audio' with embedded 'bytes'; {has}: choose one by '?audio=NAME'"
        )
    return str(embedded[0])


def _is_bytes(struct: Any, name: str) -> bool:
    import pyarrow.types as types

    index = struct.get_field_index(name)
    if index < 0:
        return False
    kind = struct.field(index).type
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_numbered(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_list(kind) or types.is_large_list(kind):
        kind = kind.value_type
    return bool(types.is_integer(kind))


def _names_in(metadata: Mapping[bytes, bytes], column: str) -> tuple[str, ...]:
    """Return the names of a column's classes in the file's own metadata."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        features = json.loads(metadata[_METADATA])["info"]["features"]
        return _names_below(features[column])
    return ()


def _names_on_card(card: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Return the names of a column's classes on a dataset card; the first configuration that states them."""
    infos = card.get("dataset_info") or []
    for info in infos if isinstance(infos, list) else [infos]:
        features = info.get("features") if isinstance(info, Mapping) else None
        for feature in features if isinstance(features, list) else ():
            if isinstance(feature, Mapping) and feature.get("name") == column:
                return _names_below({key: each for key, each in feature.items() if key != "name"})
    return ()


def _names_below(feature: Any, depth: int = 0) -> tuple[str, ...]:
    """Return the entry `names` at any depth: a list, or on cards a mapping from number to name."""
    if depth > _MOST_NESTED:
        return ()
    if isinstance(feature, list):
        feature = dict(enumerate(feature))
    if not isinstance(feature, Mapping):
        return ()
    names = feature.get("names")
    if isinstance(names, list):
        return tuple(map(str, names))
    if isinstance(names, Mapping):
        by_number = {int(number): str(name) for number, name in names.items()}
        return tuple(by_number.get(n, "") for n in range(max(by_number, default=-1) + 1))
    below = (_names_below(each, depth + 1) for each in feature.values())
    return next(filter(None, below), ())
