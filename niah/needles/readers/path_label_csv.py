"""A CSV of paths and labels, and manifests that also say how well an AudioSet label fits.

Either `path,labels` (or `path,label`), labels joined by `;` or `,`; or a manifest with `path, audioset_mid,
also_true_mids, match`, whose rows carry the MID and the further labels true by definition. Of a manifest, rows whose
match is not exact are left out unless broader labels are wanted, and counted in the notes. Where the manifest's own
`label` column is in the vocabulary (ESC-50's categories, say), that is used instead. A column `group` names the
recording that a clip was cut from.
"""

from collections.abc import Callable
from pathlib import Path

from niah.errors import NiahError
from niah.needles.needle import FileSource
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    Row,
    counted,
    file_entry,
    kept,
    needles_of,
    read_rows,
    split_labels,
)

LICENCE_COLUMNS = ("dataset_licence", "licence", "clip_licence")


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a CSV.

    Raises:
        NiahError: it is malformed; file and line are named.
    """
    every, table_notes = read_rows(path, ("path",))
    rows = kept(every, request, path)
    labels_of = _labels_column(every, path, request)
    pairs = [(row, labels_of(row)) for row in rows]
    left_out = [row.get("label") or row["path"] for row, labels in pairs if labels is None]
    used = [(row, labels) for row, labels in pairs if labels is not None]
    notes = (*table_notes, *left_out_note(left_out, request, len(rows)))
    if not used:
        raise NiahError(f"{path}: no clip is left ({'; '.join(notes)})")
    entries = [_entry(row, labels, path, request) for row, labels in used]
    return NeedleRows(needles_of(entries), _licence([row for row, _ in used]), notes)


def _labels_column(
    rows: list[Row], path: Path, request: Request
) -> Callable[[Row], list[str] | None]:
    """How this table tells a row's labels (None: the row is to be left out), by its header."""
    columns = rows[0].cells
    if "labels" in columns:
        return lambda row: split_labels(row["labels"])
    if "label" in columns and any(row["label"] in request.vocabulary for row in rows):
        return lambda row: [row["label"]] if row["label"] in request.vocabulary else None
    if {"audioset_mid", "match"} <= set(columns):
        return lambda row: _matched_labels(row, request.broader)
    if "label" in columns:
        return lambda row: split_labels(row["label"])
    raise NiahError(f"{path}: lacks a column 'labels' (ids joined by ';' or ',')")


def left_out_note(categories: list[str], request: Request, total: int) -> tuple[str, ...]:
    """One line on the clips that have no label in the vocabulary."""
    if not categories:
        return ()
    kind = "label" if request.broader else "exact label"
    return (
        f"{len(categories)} of {total} clips left out, which have no {kind} in "
        f"'{request.vocabulary.name}': {counted(categories)}",
    )


def _matched_labels(row: Row, broader: bool) -> list[str] | None:
    match = row["match"].strip()
    if match not in ("exact", "broader", "none"):
        raise NiahError(f"{row.where}: match must be exact, broader or none but is '{match}'")
    if match == "exact" or (broader and match == "broader"):
        return [row["audioset_mid"], *split_labels(row.get("also_true_mids"))]
    return None


def _entry(row: Row, labels: list[str], path: Path, request: Request) -> NeedleRow:
    if not row["path"]:
        raise NiahError(f"{row.where}: has no path")
    source = FileSource(request.audio(row["path"], path.parent))
    labels_checked = request.check(labels, row.where)
    return file_entry(row["path"], labels_checked, source, row.where, row.get("group").strip())


def _licence(rows: list[Row]) -> str:
    for column in LICENCE_COLUMNS:
        found = [row.get(column) for row in rows if row.get(column)]
        if found:
            return counted(found)
    return "not stated by the table"
