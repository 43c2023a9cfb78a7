"""A CSV of paths and labels, and manifests that also say how well an AudioSet label fits.

Either `path,labels` (or `path,label`; `file_name` and `filename` stand for `path`), labels joined by `;`, `|` or
`,`, as a list's text or in a row each; or a manifest with `path, audioset_mid, also_true_mids, match`, whose rows carry
the MID and the further labels true by definition. Of a manifest, rows whose match is not exact are left out unless
broader labels are wanted, and counted in the notes. Where the manifest's own `label` column is in the vocabulary
(ESC-50's categories, say), that is used instead. A column `group` names the recording that a clip was cut from.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from niah.errors import NiahError
from niah.needles.needle import FileSource
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    Row,
    counted,
    file_entry,
    filtered,
    needles_of,
    read_rows,
    refuse_meeting_paths,
)

OTHER_NAMES = {"file_name": "path", "filename": "path"}
LICENCE_COLUMNS = ("dataset_licence", "licence", "clip_licence")

NOT_STATED = "not stated by the table"

_MOST_SHARED = 100_000  # different cells
_BEGINS = frozenset(("onset", "start", "starts", "starttime", "begin", "begins", "begintime"))
_OF_FILES = frozenset(("date", "file", "recording"))  # begin of a whole recording, on a clock
_EVENTS = "times of events in recordings stand in columns 'onset' and 'offset', in seconds"


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a CSV.

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: it is malformed (file and line are named), or no clip has a label.
    """
    every, table_notes = read_rows(path, ("path",), OTHER_NAMES)
    return needles_of_rows(every, path, request, table_notes)


def needles_of_rows(
    every: list[Row],
    path: Path,
    request: Request,
    table_notes: tuple[str, ...] = (),
    labels_of: Callable[[Row], list[str] | None] | None = None,
) -> NeedleRows:
    """Make needles of rows with the columns of a CSV.

    Args:
        every: the rows, one or more; the list is emptied.
        path: their file, for messages and relative paths.
        request: vocabulary, audio folder, filters and strictness.
        table_notes: how the table was read.
        labels_of: returns a row's labels; None to read them from its cells.

    Raises:
        NiahError: as `read`.
    """
    rows = filtered(every, request, path)
    labels = LabelReader(request)
    labels_of = labels_of or _labels_column(every, path, request, labels)
    root = os.path.normpath((request.audio_root or path.parent).absolute())
    times = begin_columns(rows[0].cells)
    _check_whole_files(rows, times, root)
    pairs = [(row, labels_of(row)) for row in rows]
    n_rows = len(rows)
    every.clear()
    del rows  # of millions of clips, these lists are hundreds of megabytes
    left_out = [row.get("label") or row["path"] for row, each in pairs if each is None]
    notes = (*table_notes, *times_note(times), *left_out_note(left_out, request, n_rows))
    used = [(row, each) for row, each in pairs if each is not None]
    del pairs
    if not used:
        raise NiahError(f"{path}: no clip is left ({'; '.join(notes)})")
    licence = _licence([row for row, _ in used])
    joined, joined_notes = _one_a_clip(
        [(row, _entry(row, each, path, request, labels)) for row, each in used],
        root,
    )
    del used
    entries = [entry for entry in joined if entry.labels]
    refuse_meeting_paths(entries)
    labels.check_any(entries)
    notes += (*joined_notes, *labels.notes(len(joined), len(entries)))
    return NeedleRows(needles_of(entries), licence, notes)


def _labels_column(
    rows: list[Row], path: Path, request: Request, labels: LabelReader
) -> Callable[[Row], list[str] | None]:
    """Return the function that reads a row's labels (None: an inexact match, to be left out), by the table's header."""
    columns = set(rows[0].cells)
    if "labels" in columns:
        shared: dict[str, list[str]] = {}  # cells that repeat: one list for all

        def split(row: Row) -> list[str]:
            text = row["labels"]
            if text not in shared and len(shared) < _MOST_SHARED:
                shared[text] = labels.split(text)
            return shared[text] if text in shared else labels.split(text)

        return split
    if {"audioset_mid", "match"} <= columns:
        if "label" in columns and any(row["label"] in request.vocabulary for row in rows):
            return lambda row: [row["label"]] if row["label"] in request.vocabulary else None
        return lambda row: _matched_labels(row, labels, request.broader)
    if "label" in columns:
        return lambda row: labels.split(row["label"])
    raise NiahError(f"{path}: lacks a column 'labels' (ids joined by ';' or ',')")


def begin_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns that by their names hold when something begins in a recording: `start_s`, `Begin Time (s)`."""
    words = {name: set(re.findall(r"[a-z]+", name.casefold())) for name in columns}
    return [name for name, own in words.items() if own & _BEGINS and not own & _OF_FILES]


def times_note(columns: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on columns of times, which are not read; () without any."""
    if not columns:
        return ()
    names = ", ".join(f"'{name}'" for name in columns)
    return (
        f"a row is a whole sound here, and {names} not read: in tables of annotations {_EVENTS}",
    )


def _check_whole_files(rows: Sequence[Row], times: Sequence[str], root: str) -> None:
    """Refuse rows of one file with different times: they are events, and their labels would be joined.

    Raises:
        NiahError: there are such rows.
    """
    first: dict[str, tuple[str, ...]] = {}
    for row in rows if times else ():
        begins = tuple(row[name] for name in times)
        if first.setdefault(_file(row["path"], root), begins) != begins:
            raise NiahError(
                f"{row.where}: '{row['path']}' is listed with several values of '{times[0]}': {_EVENTS} "
                "(docs/needles.md): rename them; if each file is a clip, remove the column"
            )


def _one_a_clip(
    pairs: list[tuple[Row, NeedleRow]], root: str
) -> tuple[list[NeedleRow], tuple[str, ...]]:
    """Join rows of one file that have different labels: tables with a row a label."""
    entries: dict[str | tuple[str, str], NeedleRow] = {}
    n_joined = 0
    for row, entry in pairs:
        key = _file(row["path"], root)
        before = entries.get(key)
        if before is None:
            entries[key] = entry
        elif set(before.labels) & set(entry.labels):
            # listed twice, also by another path: `needles_of` refuses it
            entries[key, row.where] = replace(entry, short=before.short, full=before.full)
        else:
            entries[key] = replace(before, labels=(*before.labels, *entry.labels))
            n_joined += 1
    notes = (f"rows joined with another of the same clip: {n_joined}",) if n_joined else ()
    return list(entries.values()), notes


def _file(text: str, root: str) -> str:
    """Return a path in one form, relative to the folder of sounds where it lies below it."""
    if text[:1] != "/" and "./" not in text and "//" not in text:
        return text  # as the millions are
    return os.path.normpath(f"{root}/{text}" if text[:1] != "/" else text).removeprefix(f"{root}/")


def left_out_note(categories: list[str], request: Request, total: int) -> tuple[str, ...]:
    """Return a sentence on the clips that have no label in the vocabulary; () without any.

    Args:
        categories: category of each clip that is left out.
        request: vocabulary, and whether broader labels count.
        total: clips of the table.
    """
    if not categories:
        return ()
    kind = "label" if request.broader else "exact label"
    return (
        f"{len(categories)} of {total} clips left out, which have no {kind} in "
        f"'{request.vocabulary.name}': {counted(categories)}",
    )


def _matched_labels(row: Row, labels: LabelReader, broader: bool) -> list[str] | None:
    match = row["match"].strip()
    if match not in ("exact", "broader", "none"):
        raise NiahError(f"{row.where}: match must be exact, broader or none but is '{match}'")
    if match == "exact" or (broader and match == "broader"):
        return [row["audioset_mid"], *labels.split(row.get("also_true_mids"))]
    return None


def _entry(
    row: Row, texts: list[str], path: Path, request: Request, labels: LabelReader
) -> NeedleRow:
    if not row["path"]:
        raise NiahError(f"{row.where}: has no path")
    source = FileSource(request.audio_text(row["path"], path.parent))
    ids = labels.ids(texts, row.where)
    return file_entry(row["path"], ids, source, row.where, row.get("group").strip())


def _licence(rows: list[Row]) -> str:
    for column in LICENCE_COLUMNS:
        licences = [row.get(column) for row in rows if row.get(column)]
        if licences:
            return counted(licences)
    return NOT_STATED
