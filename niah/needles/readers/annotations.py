"""Tables of annotated events: CSV and DCASE, Raven's selection tables, Audacity's label tracks.

    path,onset,offset,label           a CSV with a header; `filename` and `event_label` as DCASE has it, with tabs
    a.wav <tab> 0.5 <tab> 2.0 <tab> Dog                 DCASE without a header
    Selection <tab> .. <tab> Begin Time (s) <tab> End Time (s) <tab> .. <tab> Species          Raven
    0.5 <tab> 2.0 <tab> Dog                             Audacity; the recording has the track's name

Times are seconds from the recording's start. Raven's and Audacity's files stand beside the recording, or it is in
`audio_root`; a label column of another name is chosen by `?labels=NAME`. Of several tables some may be without an
event, as those of recordings in which nothing sounds.
"""

import csv
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from niah.audio import AUDIO_SUFFIXES
from niah.errors import NiahError
from niah.needles.readers.events import Event, needles_of_events
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import NeedleRows, Request, Row, no_row_passes, passing, read_rows
from niah.system.text_tables import delimiter_of, table_text

SUFFIXES = (".txt", ".csv", ".tsv")
PATH_COLUMNS = ("path", "file_name", "filename", "file")
LABEL_COLUMNS = ("label", "event_label", "labels", "class")
RAVEN_BEGIN, RAVEN_END = "Begin Time (s)", "End Time (s)"
RAVEN_SELECTION = ("Selection", "Begin File", "File Offset (s)", RAVEN_BEGIN, RAVEN_END)
RAVEN_LABELS = (
    *("annotation", "label", "labels", "species", "class", "event", "sound type", "call type"),
    *("common name", "tags", "type"),
)
_LABELS = "labels"  # in filters: the label column
_WINDOWS = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_DECIMAL_COMMA = re.compile(r"\d+,\d+")


def looks_like(path: Path) -> bool:
    """Return whether a file has annotated events, by its first line; False for what is no text."""
    try:
        return bool(_kind(table_text(path)[0]))
    except NiahError:
        return False


def read(paths: Sequence[Path], request: Request) -> NeedleRows:
    """Read the events of one or more files, as one set.

    Args:
        paths: the files.
        request: vocabulary, folder of the recordings, filters and strictness.

    Raises:
        NiahError: a line is malformed (file and line are named), a recording's name is missing, or no event has a
            label of the vocabulary.
    """
    request = replace(request, alike=True)
    labels = LabelReader(request)
    events: list[Event] = []
    notes: list[str] = []
    n_points = n_without = 0
    for path in paths:
        own = list(_events(path, request, labels, notes))
        n_without += not own
        for event in own:
            if event.offset_s < event.onset_s:
                raise NiahError(f"{event.where}: the event ends before it begins")
            if event.offset_s == event.onset_s:
                n_points += 1
            else:
                events.append(event)
    if n_points:
        notes.append(f"annotations of a moment, without a duration, left out: {n_points}")
    if n_without:
        notes.append(f"tables without an event: {n_without}")
    if not events and n_without == len(paths) and set(request.filters) - {_LABELS}:
        raise no_row_passes(request, str(paths[0]))
    if not events:
        raise NiahError(f"{paths[0]}: has no event with a duration")
    _refuse_meeting_recordings(events)
    return needles_of_events(list(dict.fromkeys(events)), labels, list(dict.fromkeys(notes)))


def _kind(text: str) -> str:
    """Return "raven", "table", "rows" (DCASE without a header), "track" or ""."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    if "\t" in first:
        cells = [cell.strip() for cell in first.split("\t")]
        if {RAVEN_BEGIN, RAVEN_END} <= set(cells):
            return "raven"
        if _is_row(cells):
            return "rows"
        if len(cells) in (2, 3) and all(map(_is_like_a_time, cells[:2])):
            return "track"
    with suppress(csv.Error):  # no table at all, which the reader of tables says
        return _table_kind(
            next(csv.reader([first], delimiter=delimiter_of(text), skipinitialspace=True), [])
        )
    return ""


def _table_kind(header: list[str]) -> str:
    """Return "table" for a header with times and files, "" for any other."""
    names = {cell.strip() for cell in header}
    return "table" if {"onset", "offset"} <= names and names & set(PATH_COLUMNS) else ""


def _events(path: Path, request: Request, labels: LabelReader, notes: list[str]) -> Iterator[Event]:
    text, _ = table_text(path)
    kind = _kind(text)
    if kind in ("raven", "table"):
        return _of_table(path, request, labels, notes, is_raven=kind == "raven")
    if kind in ("rows", "track"):
        request.no_filters(path)
        return _of_lines(path, text, request, labels, notes, is_track=kind == "track")
    raise NiahError(f"{path}: has no annotated events")


def _of_table(
    path: Path, request: Request, labels: LabelReader, notes: list[str], *, is_raven: bool
) -> Iterator[Event]:
    chosen = request.filters.get(_LABELS)
    request = replace(request, filters={c: v for c, v in request.filters.items() if c != _LABELS})
    every, table_notes = read_rows(path, may_be_empty=True)
    notes += () if is_raven else table_notes
    if not every:
        return
    column = _label_column(every[0], chosen, path, RAVEN_LABELS if is_raven else LABEL_COLUMNS)
    if is_raven:
        _check_offsets(every)
    views = set()
    n_empty = 0
    for row in passing(every, request, path):
        if is_raven and row.get("Selection"):
            selection = tuple(row.get(each) for each in RAVEN_SELECTION)
            if selection in views:  # once for the waveform, once for the spectrogram
                continue
            views.add(selection)
        if not (is_raven or row["onset"] or row["offset"] or row[column]):
            n_empty += 1
            continue
        names = tuple(labels.split(row[column]))
        if is_raven:
            begin, end = (_time(row[each], row.where) for each in (RAVEN_BEGIN, RAVEN_END))
            whole = row.get("Begin Path")
            file = row.get("Begin File") or _name_of(whole)
            recording = request.audio(file, path.parent) if file else _beside(path, request, notes)
            in_file = row.get("File Offset (s)")
            onset = _time(in_file, row.where) if file and in_file else begin
            away = _elsewhere(whole) or _elsewhere(file)
            yield Event(recording, onset, onset + (end - begin), names, row.where, away)
        else:
            file = next(row[each] for each in PATH_COLUMNS if row.get(each) or each in row.cells)
            if not file:
                raise NiahError(f"{row.where}: has no path")
            onset, offset = (_time(row[each], row.where) for each in ("onset", "offset"))
            recording = request.audio(file, path.parent)
            yield Event(recording, onset, offset, names, row.where, _elsewhere(file))
    notes += _note_on_empty(n_empty)


def _of_lines(
    path: Path,
    text: str,
    request: Request,
    labels: LabelReader,
    notes: list[str],
    *,
    is_track: bool,
) -> Iterator[Event]:
    recording = _beside(path, request, notes) if is_track else path
    n_empty = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line.startswith("\\"):  # Audacity's second line of a frequency range
            continue
        where = f"{path}, line {number}"
        cells = [cell.strip() for cell in line.split("\t")]
        if is_track:
            cells = ["", *cells]
        elif Path(cells[0]).suffix.lower() in AUDIO_SUFFIXES and not any(cells[1:]):
            n_empty += 1
            continue
        if len(cells) < 3:
            raise NiahError(f"{where}: must have two times and a label, with tabs between them")
        onset, offset = _time(cells[1], where), _time(cells[2], where)
        names = tuple(labels.split(cells[3])) if len(cells) > 3 else ()
        file = recording if is_track else request.audio(cells[0], path.parent)
        yield Event(file, onset, offset, names, where, "" if is_track else _elsewhere(cells[0]))
    notes += _note_on_empty(n_empty)


def _note_on_empty(count: int) -> list[str]:
    """Return a sentence on the rows that have a recording alone, as DESED's of recordings in which nothing sounds."""
    return [f"rows of a recording without an event: {count}"] if count else []


def _label_column(row: Row, chosen: frozenset[str] | None, path: Path, usual: Sequence[str]) -> str:
    """Return the column of labels: the user's, else the first usual one; case is ignored."""
    by_name = {name.casefold(): name for name in row.cells}
    for name in chosen or usual:
        if name in by_name:
            return by_name[name]
    wanted = f"'{next(iter(chosen))}'" if chosen else f"of labels ({', '.join(usual[:4])}, ..)"
    raise NiahError(
        f"{path}: lacks a column {wanted}; it has {', '.join(filter(None, row.cells))}: choose one by "
        "'?labels=NAME' after the file"
    )


def _check_offsets(rows: Sequence[Row]) -> None:
    """Refuse times that count from the first of several recordings, of whose lengths the table says nothing.

    Raises:
        NiahError: a table of several recordings without the times in each.
    """
    files = {row.get("Begin Path") or row.get("Begin File") for row in rows}
    without = next((row for row in rows if not row.get("File Offset (s)")), None)
    if len(files) > 1 and without is not None:
        raise NiahError(
            f"{without.where}: the table is of several recordings, and Raven counts '{RAVEN_BEGIN}' from the first "
            "one's start: add the measurement 'File Offset (s)', the time in each, and save it again"
        )


def _elsewhere(path: str) -> str:
    """Return an absolute path, of any system, that leads to no file here; "" for others."""
    is_absolute = path.startswith("/") or bool(_WINDOWS.match(path))
    return path if is_absolute and not Path(path).is_file() else ""


def _refuse_meeting_recordings(events: Sequence[Event]) -> None:
    """Refuse two recordings of another machine that have one name here: each would have both ones' events.

    Raises:
        NiahError: there are such recordings.
    """
    first: dict[Path, Event] = {}
    for event in events:
        if not event.elsewhere:
            continue
        other = first.setdefault(event.recording, event)
        if other.elsewhere != event.elsewhere:
            raise NiahError(
                f"{event.where}: '{event.elsewhere}' and '{other.elsewhere}' ({other.where}) are not there, and both "
                f"would be {event.recording}: give their recordings different names, in the table too"
            )


def _name_of(path: str) -> str:
    """Return a file's path if it is there, else its name: the table may be of another machine, or of Windows."""
    return path if Path(path).is_file() else re.split(r"[\\/]", path)[-1]


def _beside(path: Path, request: Request, notes: list[str]) -> Path:
    """Return the recording of a file of annotations: it has its name, up to `.Table.` in Raven's; note any choice."""
    folder = request.audio_root or path.parent
    stem = path.name.partition(".Table.")[0] if ".Table." in path.name else path.stem
    recordings = sorted(
        file
        for file in (folder.iterdir() if folder.is_dir() else ())
        if file.stem == stem and file.suffix.lower() in AUDIO_SUFFIXES
    )
    if not recordings:
        raise NiahError(
            f"{path}: there is no recording {stem}.wav (or .flac, ..) in {folder}; name its folder by --audio-root"
        )
    if len(recordings) > 1:
        others = ", ".join(file.name for file in recordings[1:])
        notes.append(
            f"{path.name} is read as of {recordings[0].name}, which is there beside {others}"
        )
    return recordings[0]


def _is_row(cells: Sequence[str]) -> bool:
    is_sound = Path(cells[0]).suffix.lower() in AUDIO_SUFFIXES
    return len(cells) == 4 and is_sound and all(map(_is_like_a_time, cells[1:3]))


def _is_time(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _is_like_a_time(text: str) -> bool:
    """Return whether it is a time, or one with a decimal comma, which `_time` refuses by name."""
    return _is_time(text) or bool(_DECIMAL_COMMA.fullmatch(text))


def _time(text: str, where: str) -> float:
    if _DECIMAL_COMMA.fullmatch(text):
        raise NiahError(f"{where}: '{text[:40]}' has a decimal comma: write times with points")
    if not _is_time(text) or float(text) < 0:
        raise NiahError(f"{where}: '{text[:40]}' is no time in seconds")
    return float(text)
