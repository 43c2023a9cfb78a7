"""Manifests in Arrow's formats, for millions of clips: .arrow, .feather and .parquet files of paths and labels.

Columns: `path` (or `file_name`, `filename`: as in a CSV, `niah.needles.readers.path_label_csv`), `labels` or `label` (a
text with `;` or `,` between labels, or a list of texts), and optionally `group` (the recording that a clip was cut
from). Any other column, `split` say, can be filtered by. An .arrow file that is not compressed is mapped into memory
and never read whole.

Everything is computed by column, and a needle is an object only while it is looked at (`niah.needles.table`). Ids,
labels, groups and the order are those of a CSV with the same rows.
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError, nearest
from niah.needles.needle import FileSource
from niah.needles.readers.arrow_columns import encoded, is_list, is_text, one_piece, plain_text
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.path_label_csv import (
    LICENCE_COLUMNS,
    NOT_STATED,
    OTHER_NAMES,
    begin_columns,
    needles_of_rows,
    times_note,
)
from niah.needles.readers.rows import (
    UNKNOWN,
    NeedleRows,
    Request,
    Row,
    counted,
    no_row_passes,
)
from niah.needles.table import NeedleTable, each_once, taken_rows
from niah.system.lfs_pointer import refuse_lfs_pointer
from niah.system.text_tables import own_names

SUFFIXES = (".arrow", ".feather")
EMBEDDED = (
    "sounds in the table itself are read from Parquet, which `datasets` writes of its folder by "
    "load_from_disk(FOLDER).to_parquet(FILE)"
)
PATH = "path"
_LABEL_COLUMNS = ("labels", "label")
_GROUP = "group"
_ESC50_NAME = r"^\d-(?P<recording>\d+)-[A-Z]-\d+$"
_MOST_ROWS = 20_000_000


@dataclass(frozen=True)
class PathSources:
    """The files that a column of paths names."""

    paths: Any
    request: Request
    folder: Path

    def __getitem__(self, row: int, /) -> FileSource:
        return FileSource(self.request.audio_text(self.paths[row].as_py(), self.folder))

    def by_folder(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Return all rows by folder and then by name, (rows,), and a number for the folder of each, (rows,)."""
        import pyarrow
        import pyarrow.compute as compute

        folders = one_piece(compute.replace_substring_regex(self.paths, r"/?[^/]*$", ""))
        names = one_piece(compute.replace_substring_regex(self.paths, r"^.*/", ""))
        keys = [("folder", "ascending"), ("name", "ascending")]
        table = pyarrow.table({"folder": folders, "name": names})
        rows = compute.sort_indices(table, sort_keys=keys).to_numpy().astype(np.int32)
        return rows, folders.dictionary_encode().indices.to_numpy()[rows]


def is_manifest(path: Path) -> bool:
    """Return whether a Parquet file is a manifest: it has a column of paths, and no embedded sounds."""
    import pyarrow
    import pyarrow.parquet

    if not path.is_file():  # a pipe would be waited for; the reader of Parquet refuses it
        return False
    try:
        schema = pyarrow.parquet.read_schema(path)
    except (pyarrow.ArrowException, OSError, ValueError):
        return False  # the reader of Parquet says why
    is_embedded = any(map(_is_embedded, schema))
    names = own_names(schema.names, OTHER_NAMES)
    return PATH in names and is_text(schema.field(names.index(PATH)).type) and not is_embedded


def _is_embedded(column: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_struct(column.type) or types.is_binary(column.type))


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a manifest.

    Args:
        path: .arrow, .feather or .parquet file.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: it is malformed, or no clip has a label.
    """
    table = _opened(path)
    names = own_names(table.column_names, OTHER_NAMES)
    return needles_of_columns(table.rename_columns(names), path, request)


def needles_of_columns(table: Any, path: Path, request: Request) -> NeedleRows:
    """Make needles of a table with the columns of a manifest.

    Args:
        table: Arrow table.
        path: its file, for messages and relative paths.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: a column is missing or of another type, a clip is listed twice, or no clip has a label.
    """
    column = _check_columns(table, path)
    if has_two_paths(table, path, request):
        return _row_by_row(table, column, path, request)
    passed = np.flatnonzero(_passing(table, path, request))
    if not len(passed):
        raise no_row_passes(request, str(path))
    labels = LabelReader(request)
    starts, classes = _labels(table.column(column), passed, path, labels)
    labelled = np.flatnonzero(np.diff(starts))
    labels.check_any(labelled)
    rows = passed[labelled]
    paths = plain_text(table.column(PATH))
    if len(rows) < table.num_rows:
        paths, table = paths.take(rows), table.take(rows)
    stems = _stems(paths)
    chosen = NeedleTable(
        request.vocabulary,
        _ids(paths, stems, rows, path),
        _groups(table, stems),
        *taken_rows(starts, classes, labelled),
        PathSources(paths, request, path.parent),
        np.arange(len(rows), dtype=np.int32),
    )
    notes = times_note(begin_columns(table.column_names))
    return NeedleRows(chosen, _licence(table), (*notes, *labels.notes(len(passed), len(rows))))


def has_two_paths(table: Any, path: Path, request: Request) -> bool:
    """Return whether a clip may be in several rows: by one path, or by several that lead to it.

    Args:
        table: Arrow table with a column of paths.
        path: its file, for messages.
        request: its folder of sounds, in which paths of another machine may have one name.

    Raises:
        NiahError: a row has no path.
    """
    import pyarrow.compute as compute

    paths = one_piece(plain_text(table.column(PATH)))
    empty = compute.index(compute.equal(compute.fill_null(paths, ""), ""), True).as_py()
    if empty >= 0:
        raise NiahError(f"{_where(path, empty)}: has no path")
    if compute.any(compute.match_substring_regex(paths, r"\./|//")).as_py():
        return True
    is_absolute = compute.starts_with(paths, "/")
    if compute.any(is_absolute).as_py() and not compute.all(is_absolute).as_py():
        return True
    if compute.any(is_absolute).as_py() and request.audio_root is not None:
        paths = compute.replace_substring_regex(paths, r"^.*/", "")
    return len(paths.dictionary_encode().dictionary) < len(paths)


def _row_by_row(table: Any, column: str, path: Path, request: Request) -> NeedleRows:
    """Make needles as of a CSV with these rows, where rows of one clip are joined."""
    rows, labels_of = [], dict[str, list[str]]()
    labels = LabelReader(request)
    for number, cells in enumerate(table.to_pylist()):
        where = _where(path, number)
        rows.append(Row(where, {k: "" if v is None else str(v) for k, v in cells.items()}))
        if isinstance(cells[column], list):
            split = (labels.split(text or "") for text in cells[column])
            labels_of[where] = [label for each in split for label in each]
    has_lists = is_list(table.schema.field(column).type)
    of_row = (lambda row: labels_of.get(row.where, [])) if has_lists else None
    return needles_of_rows(rows, path, request, labels_of=of_row)


def _opened(path: Path) -> Any:
    import pyarrow
    import pyarrow.parquet

    if path.exists() and not path.is_file():
        raise NiahError(f"{path}: is not a regular file")
    try:
        if path.suffix.lower() == ".parquet":
            return pyarrow.parquet.read_table(path, memory_map=True)
        mapped = pyarrow.memory_map(str(path))
        try:
            return pyarrow.ipc.open_file(mapped).read_all()
        except pyarrow.ArrowInvalid:  # the stream format, in which `datasets` stores its own
            mapped.seek(0)
            return pyarrow.ipc.open_stream(mapped).read_all()
    except (pyarrow.ArrowException, OSError, ValueError) as error:
        refuse_lfs_pointer(path)
        reason = " ".join(str(error).split())
        raise NiahError(f"{path}: is not a file of Arrow's ({reason})") from error


def _check_columns(table: Any, path: Path) -> str:
    """Return the column of labels of a table that has all it needs."""
    names = list(table.column_names)
    has = f"it has {', '.join(names)}"
    repeated = [name for name in names if names.count(name) > 1]
    if repeated:
        raise NiahError(f"{path}: has two columns '{repeated[0]}'")
    if PATH not in names:
        hint = f": {EMBEDDED}" if any(map(_is_embedded, table.schema)) else ""
        raise NiahError(f"{path}: lacks the column '{PATH}'; {has}{hint}")
    if not is_text(table.schema.field(PATH).type):
        raise NiahError(f"{path}: the column '{PATH}' must be text")
    if not 0 < table.num_rows <= _MOST_ROWS:
        raise NiahError(f"{path}: must have 1 to {_MOST_ROWS} rows but has {table.num_rows}")
    for name in _LABEL_COLUMNS:
        if name in names:
            kind = table.schema.field(name).type
            if not (is_text(kind) or (is_list(kind) and is_text(kind.value_type))):
                raise NiahError(
                    f"{path}: the column '{name}' must be text, or lists of text, but is {kind}"
                )
            return name
    raise NiahError(f"{path}: lacks a column 'labels' (lists, or ids joined by ';'); {has}")


def _passing(table: Any, path: Path, request: Request) -> NDArray[np.bool_]:
    """Return which rows pass every filter, (rows,); values are compared as text, case ignored."""
    passed = np.ones(table.num_rows, np.bool_)
    for name, wanted in request.filters.items():
        if name not in table.column_names:
            known = nearest(name, table.column_names)
            raise NiahError(f"{path}: has no column '{name}' to filter by.{known}")
        values, codes = encoded(table.column(name))
        passes = [("" if v is None else str(v)).strip().casefold() in wanted for v in values]
        passed &= np.array(passes, np.bool_)[codes]
    return passed


def _labels(
    column: Any, rows: NDArray[np.int64], path: Path, labels: LabelReader
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the classes of some rows: (rows + 1,) starts and (labels,) classes."""
    import pyarrow
    import pyarrow.compute as compute

    classes_have_semicolons = any(
        ";" in name for name in (*labels.vocabulary.ids, *labels.vocabulary.names)
    )
    if not is_list(column.type) and not classes_have_semicolons:
        text = plain_text(column)
        if not compute.any(compute.match_substring(text, "[")).as_py():  # a list's text is one
            column = compute.split_pattern(text, ";")  # far fewer texts are different
    if not is_list(column.type):
        values, codes = encoded(plain_text(column))
        return taken_rows(*_classes(values, codes[rows], rows, path, labels), codes[rows])
    counts = [chunk.value_lengths().fill_null(0).to_numpy() for chunk in column.chunks]
    flat = pyarrow.chunked_array([chunk.flatten() for chunk in column.chunks])
    values, codes = encoded(plain_text(flat))
    starts = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    starts, codes = taken_rows(starts, codes, rows)
    row_of_label = np.repeat(rows, np.diff(starts))
    for row in rows[np.diff(starts) == 0][:1]:
        labels.ids([], _where(path, row))  # refused under `strict`
    ends, classes = taken_rows(*_classes(values, codes, row_of_label, path, labels), codes)
    return each_once(ends[starts], classes)


def _classes(
    values: list[Any],
    codes: NDArray[np.int32],
    rows: NDArray[np.int64],
    path: Path,
    labels: LabelReader,
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the classes of each different text, compressed sparse rows; those that no row has get none.

    Args:
        values: different texts of labels.
        codes: (n,) places in `values`.
        rows: (n,) row of each, for messages.
        path: the file, for messages.
        labels: reads them.
    """
    counts = np.bincount(codes, minlength=len(values))
    first = np.zeros(len(values), np.int64)
    first[codes[::-1]] = rows[::-1]
    starts, classes = [0], list[int]()
    for value, count, row in zip(values, counts.tolist(), first.tolist(), strict=True):
        if count:
            ids = labels.ids(labels.split(value or ""), _where(path, row), count)
            classes += [labels.vocabulary.index(id_) for id_ in ids]
        starts.append(len(classes))
    return np.array(starts, np.int64), np.array(classes, np.int32)


def _stems(paths: Any) -> Any:
    """Return each path's file name without its suffix, Arrow text in one piece."""
    import pyarrow.compute as compute

    names = compute.replace_substring_regex(paths, r"^.*/", "")
    return one_piece(compute.replace_substring_regex(names, r"^(.+)\.[^.]+$", r"\1"))


def _ids(paths: Any, stems: Any, rows: NDArray[np.int64], path: Path) -> Any:
    """Return unique ids: a path's stem, or the whole path where stems repeat.

    Raises:
        NiahError: a path has no name, or is another's id.
    """
    import pyarrow.compute as compute

    empty = compute.index(compute.equal(stems, ""), True).as_py()
    if empty >= 0:
        raise NiahError(f"{_where(path, rows[empty])}: has no path")
    codes = stems.dictionary_encode().indices.to_numpy()
    repeats = np.bincount(codes)[codes] > 1
    if not repeats.any():
        return stems
    ids = compute.if_else(repeats, one_piece(paths), stems)
    codes = ids.dictionary_encode().indices.to_numpy()
    again = np.flatnonzero(np.bincount(codes)[codes] > 1)
    if len(again):
        id_ = ids[int(again[0])].as_py()
        second = again[codes[again] == codes[again[0]]][1]
        before = _where(path, rows[again[0]])
        raise NiahError(
            f"{_where(path, rows[second])}: clip '{id_}' is listed twice (before: {before})"
        )
    return ids


def _groups(table: Any, stems: Any) -> Any:
    """Return each clip's recording, by its column or a name of ESC-50's pattern; null where it is unknown."""
    import pyarrow
    import pyarrow.compute as compute

    named = compute.struct_field(compute.extract_regex(stems, _ESC50_NAME), "recording")
    if _GROUP not in table.column_names:
        return named
    groups = compute.utf8_trim_whitespace(one_piece(table.column(_GROUP).cast("string")))
    lower = compute.utf8_lower(compute.fill_null(groups, ""))
    return compute.if_else(compute.is_in(lower, pyarrow.array(sorted(UNKNOWN))), named, groups)


def _licence(table: Any) -> str:
    for name in LICENCE_COLUMNS:
        if name in table.column_names:
            values, codes = encoded(table.column(name))
            counts = zip(values, np.bincount(codes, minlength=len(values)).tolist(), strict=True)
            licences = Counter({str(value): count for value, count in counts if value})
            if licences:
                return counted(licences.elements())
    return NOT_STATED


def _where(path: Path, row: int) -> str:
    return f"{path}, row {row}"
