"""Parts common to all layouts: a request, the rows of a table, filters on its columns, unique ids."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import MappingProxyType
from typing import Any

from niah.errors import NiahError, nearest
from niah.needles.needle import Needle, Source
from niah.system.printable import printable
from niah.system.text_tables import read_table
from niah.vocabularies import Vocabulary

SHOWN = 5
UNKNOWN = frozenset(
    ("", "nan", "none", "null", "<na>")
)  # recordings, as tools write a missing value
_ESC50_NAME = re.compile(r"\d-(?P<recording>\d+)-[A-Z]-\d+")


@dataclass(frozen=True)
class Request:
    """A user's request beside the path."""

    vocabulary: Vocabulary
    broader: bool = False
    strict: bool = False
    audio_root: Path | None = None
    filters: Mapping[str, frozenset[str]] = field(default_factory=dict)
    audio_column: str = ""  # of a Parquet set; "": found by its name and type
    label_column: str = ""
    dataset_card: Mapping[str, Any] = field(
        default_factory=dict
    )  # what the set's repository states
    alike: bool = False  # take names that differ in case, signs and "and" alone for a class's
    stand_in: bool = False  # labels do not matter: the embedded clips serve for any vocabulary

    def audio(self, text: str, folder: Path) -> Path:
        """Return the file of a path in a table.

        Args:
            text: relative to `audio_root` or else to `folder`. Of an absolute path without a file (a table made on
                another machine) the longest end that leads to a file in `audio_root` is taken, else its name.
            folder: the table's folder.
        """
        path = Path(text)
        if path.is_absolute() and self.audio_root is not None and not path.exists():
            parts = path.parts
            ends = (self.audio_root.joinpath(*parts[at:]) for at in range(1, len(parts)))
            return next((file for file in ends if file.exists()), self.audio_root / path.name)
        return (self.audio_root or folder) / path

    def audio_text(self, text: str, folder: Path) -> str:
        """Return `audio` as text, which for millions of relative paths takes less time."""
        if os.sep != "/" or text.startswith("/"):
            return str(self.audio(text, folder))
        root = str(self.audio_root or folder)
        return text if root == "." else f"{root}/{text}"

    def no_filters(self, path: Path) -> None:
        """Refuse filters, for layouts without columns.

        Raises:
            NiahError: the user filters by a column.
        """
        if self.filters:
            raise NiahError(f"{path}: has no columns to filter by ('?{', '.join(self.filters)}=')")


@dataclass(frozen=True)
class NeedleRows:
    """A reader's result: needles, their licence, notes on what was left out."""

    needles: Sequence[Needle]
    licence: str
    notes: tuple[str, ...] = ()


class TableCells(Mapping[str, str]):
    """The cells of one line by their columns; millions of dicts would take gigabytes."""

    __slots__ = ("_columns", "_values")

    def __init__(self, columns: Mapping[str, int], values: Sequence[str]) -> None:
        """Join the index of each column, which all lines share, with the values of one."""
        self._columns, self._values = columns, values

    def __getitem__(self, column: str) -> str:
        return self._values[self._columns[column]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table, with its number in the file for messages."""

    where: str
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def get(self, column: str) -> str:
        """Return the cell, or "" if the table lacks the column."""
        return self.cells.get(column, "")


@dataclass(frozen=True, slots=True)
class NeedleRow:
    """A clip before its id is chosen: `short` if no other clip has it, else `full`.

    `group` names the clip's recording; "" if unknown.
    """

    short: str
    full: str
    labels: tuple[str, ...]
    source: Source
    where: str
    group: str = ""


def read_rows(
    path: Path,
    columns: Sequence[str] = (),
    other_names: Mapping[str, str] = MappingProxyType({}),
    *,
    may_be_empty: bool = False,
) -> tuple[list[Row], tuple[str, ...]]:
    """Read a table with a header; return its rows, and notes on how it was read.

    Args:
        path: CSV.
        columns: names that the header must have.
        other_names: names that stand for a column where the header lacks its own: {other: own}.
        may_be_empty: whether a header without rows is a table.

    Raises:
        NiahError: missing columns, no rows, or a row of another length.
    """
    table = read_table(path, columns, other_names)
    if not (table.rows or may_be_empty):
        raise NiahError(f"{path}: has a header but no rows")
    index_of = {name: index for index, name in enumerate(table.header)}
    rows = [
        Row(table.where(index), TableCells(index_of, cells))
        for index, cells in enumerate(table.rows)
    ]
    return rows, table.notes


def filtered(rows: list[Row], request: Request, path: Path) -> list[Row]:
    """Return the rows that pass every filter `?column=value,value`; compared as text, case ignored.

    Args:
        rows: rows of a table.
        request: its filters.
        path: the table, for messages.

    Raises:
        NiahError: a filter on a column that the table lacks, or no row passes.
    """
    passed = passing(rows, request, path)
    if not passed:
        raise no_row_passes(request, str(path))
    return passed


def passing(rows: list[Row], request: Request, path: Path) -> list[Row]:
    """Return the rows that pass every filter, which may be none.

    Args:
        rows: rows of a table, one or more.
        request: its filters.
        path: the table, for messages.

    Raises:
        NiahError: a filter on a column that the table lacks.
    """
    for column in request.filters:
        if column not in rows[0].cells:
            known = nearest(column, rows[0].cells)
            raise NiahError(f"{path}: has no column '{column}' to filter by.{known}")
    return [
        row
        for row in rows
        if all(row.get(c).strip().casefold() in values for c, values in request.filters.items())
    ]


def no_row_passes(request: Request, name: str) -> NiahError:
    """Return the error of a table without a row that passes the filters."""
    return NiahError(f"{name}: no row passes the filter {described(request.filters)}")


def described(filters: Mapping[str, frozenset[str]]) -> str:
    """Format filters as a user writes them, in one order: `?esc10=true&fold=4`."""
    query = "&".join(f"{c}={','.join(sorted(values))}" for c, values in sorted(filters.items()))
    return f"?{query}" if query else ""


def beside_folder(table: Path, name: str) -> Path:
    """Return the folder or file `name` beside the folder of a table.

    A table may be a link to a whole set's own, or a link into a store of contents (git-annex, the cache of a hub),
    where nothing is beside it.

    Args:
        table: `meta/esc50.csv`, say.
        name: `audio`, say.
    """
    own = Path(os.path.normpath(table.absolute()))
    as_named, linked = (each.parent.parent / name for each in (own, table.resolve()))
    return linked if linked.exists() and not as_named.exists() else as_named


def file_entry(
    text: str, labels: tuple[str, ...], source: Source, where: str, group: str = ""
) -> NeedleRow:
    """Return the row of a file: its stem is the id, or its path in the table where stems repeat.

    Without a `group`, the recording is read from a name of ESC-50's pattern.

    Args:
        text: path in the table.
        labels: ids of the vocabulary.
        source: the sound.
        where: place of the row, for messages.
        group: recording that the clip is cut from; "" if unknown.
    """
    stem = _stem(text)
    return NeedleRow(stem, text, labels, source, where, _known(group) or esc50_recording(stem))


def _stem(text: str) -> str:
    """Return the name of a path without its suffix, as `PurePath.stem` does, but a path of millions in less time."""
    name = text.rpartition("/")[2]
    if os.sep != "/" or not name or name.endswith("."):
        return PurePath(text).stem
    dot = name.rfind(".")
    return name[:dot] if dot > 0 else name


def esc50_recording(stem: str) -> str:
    """Return the Freesound id in a name of ESC-50's pattern `{fold}-{id}-{take}-{target}`; "" for other names."""
    match = _ESC50_NAME.fullmatch(stem)
    return match["recording"] if match else ""


def needles_of(entries: Sequence[NeedleRow]) -> tuple[Needle, ...]:
    """Make needles with unique ids.

    Raises:
        NiahError: two clips have the same id; both rows are named.
    """
    shorts = Counter(entry.short for entry in entries)
    seen: dict[str, str] = {}
    needles = []
    for entry in entries:
        id_ = _text(entry.short if shorts[entry.short] == 1 else entry.full)
        if id_ in seen:
            raise NiahError(f"{entry.where}: clip '{id_}' is listed twice (before: {seen[id_]})")
        seen[id_] = entry.where
        needles.append(Needle(id_, entry.labels, entry.source, _text(_known(entry.group))))
    return tuple(needles)


def refuse_meeting_paths(entries: Sequence[NeedleRow]) -> None:
    """Refuse two paths of another machine that are one file here: one sound would have two clips' labels.

    Args:
        entries: clips of a table, all of its files.

    Raises:
        NiahError: there are such paths.
    """
    stems = Counter(entry.short for entry in entries)
    first: dict[str, NeedleRow] = {}
    for entry in entries:
        if stems[entry.short] == 1:
            continue
        other = first.setdefault(entry.source.name, entry)
        if other.full != entry.full:  # else it is listed twice
            raise NiahError(
                f"{entry.where}: '{entry.full}' and '{other.full}' ({other.where}) are not there, and have one name in "
                f"the folder of sounds, {entry.source.name}: keep their folders in it, or make the paths relative"
            )


def _known(group: str) -> str:
    """Return a recording's name, "" for a missing value: clips without a recording are not of one called "nan"."""
    return "" if group.casefold() in UNKNOWN else group


def _text(name: str) -> str:
    """Spell out what is not UTF-8 in a file's name, so that hashes, tables and Parquet files take it."""
    return name if name.isascii() else printable(name)


def counted(things: Iterable[str]) -> str:
    """Format the commonest few with their counts: `hen (40), insects (40)`."""
    counts = Counter(things)
    commonest = ", ".join(f"{thing} ({n})" for thing, n in counts.most_common(SHOWN))
    return commonest + (f" and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")
