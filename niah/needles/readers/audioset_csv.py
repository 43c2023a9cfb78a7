"""AudioSet's own segment list (eval_segments.csv and its kin) beside a folder of audio.

    # three comment lines
    --4gqARaEJE, 0.000, 10.000, "/m/068hy,/m/07q6cd_"

Copies in circulation differ: a header line instead of the comments, `0,10` for the times, doubled
quotes, labels spread over columns. No YouTube id, time or MID holds a comma, a quote or a blank,
so all are read alike. Files are named <YTID>.* or <YTID>_<start>[_<end>].*, in seconds or
milliseconds, with or without a leading Y.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from niah.audio import AUDIO_SUFFIXES
from niah.errors import NiahError
from niah.needles.needle import FileSource
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    needles_of,
)
from niah.system.folder_walk import files_below
from niah.system.text_tables import table_text

FOREIGN_SUFFIXES = frozenset(
    (".m4a", ".mp4", ".aac", ".webm", ".mkv", ".wma")
)  # of downloads, which libsndfile does not read
LICENCE = "labels CC BY 4.0 (AudioSet); audio from YouTube, no open licence"
_LATEST_S = 1e9  # 30 years into a recording
_FIELDS = 4
_MIDS = ("/m/", "/t/", "/g/")


@dataclass(frozen=True)
class Segment:
    """One line: ten seconds or less of a video."""

    where: str
    video: str
    start_s: float
    end_s: float
    labels: str

    def stems(self) -> list[str]:
        """Return the file names (without suffix) in use for it, those of this very segment first."""
        times = [(f"{t:.3f}", f"{t:g}", f"{round(1000 * t)}") for t in (self.start_s, self.end_s)]
        names = [f"{self.video}_{start}" for start in times[0]]
        names += [f"{self.video}_{start}_{end}" for start, end in zip(*times, strict=True)]
        names.append(self.video)  # of any segment
        return [*names, *(f"Y{name}" for name in names)]


def looks_like(path: Path) -> bool:
    """Return whether a CSV is a segment list: a YTID header, or two numbers after an id, or a MID after three cells."""
    first = table_text(path)[0].lstrip("\n").split("\n")[0]
    if first.upper().startswith("YTID"):
        return True
    cells = _cells(first)
    has_times = len(cells) == _FIELDS and _is_number(cells[1]) and _is_number(cells[2])
    return has_times or (len(cells) == _FIELDS and cells[3].startswith(_MIDS))


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a segment list; the audio is below `audio_root`, by default the list's folder.

    Segments without a file stay in the set (the run names and counts them).

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: a malformed line, or no segment has a file.
    """
    request.no_filters(path)
    folder = request.audio_root or path.parent
    files = _audio_files(folder)
    segments = list(_segments(path))
    if not segments:
        raise NiahError(f"{path}: has no segments")
    labels = LabelReader(request)
    every = [_entry(segment, files, folder, labels) for segment in segments]
    entries = [entry for entry in every if entry.labels]
    labels.check_any(entries)
    _check_different_files(entries, files)
    missing = sum(not source_exists(entry, files) for entry in entries)
    if missing == len(entries):
        raise NiahError(
            f"{path}: none of its {len(entries)} segments has a file <YTID>.* or "
            f"<YTID>_<start>.* under {folder}; name the folder with --audio-root"
        )
    notes = (
        (f"{missing} of {len(entries)} segments have no file under {folder}",) if missing else ()
    )
    return NeedleRows(
        needles_of(entries), LICENCE, (*notes, *labels.notes(len(segments), len(entries)))
    )


def source_exists(entry: NeedleRow, files: dict[str, Path]) -> bool:
    """Return whether the entry's file is among the listed files, {stem: file}."""
    return Path(entry.source.name).stem in files


def _check_different_files(entries: list[NeedleRow], files: dict[str, Path]) -> None:
    """Refuse two segments of a video that one file would serve: it would be two clips, with the labels of either.

    Raises:
        NiahError: there are such segments.
    """
    first: dict[str, NeedleRow] = {}
    for entry in entries:
        file = entry.source.name
        other = first.setdefault(file, entry)
        if other.full != entry.full and source_exists(entry, files):
            raise NiahError(
                f"{entry.where}: {file} would be this segment and that of {other.where}: name each one's file "
                "<YTID>_<start>.*, or leave one out"
            )


def _entry(
    segment: Segment, files: dict[str, Path], folder: Path, labels: LabelReader
) -> NeedleRow:
    ids = labels.ids(labels.split(segment.labels), segment.where)
    file = next((files[stem] for stem in segment.stems() if stem in files), None)
    source = FileSource(file or folder / f"{segment.video}.*")
    full = f"{segment.video}_{segment.start_s:g}"
    return NeedleRow(segment.video, full, ids, source, segment.where, group=segment.video)


def _segments(path: Path) -> Iterator[Segment]:
    for number, line in enumerate(table_text(path)[0].split("\n"), start=1):
        if not line.strip() or line.startswith("#") or line.upper().startswith("YTID"):
            continue
        where = f"{path}, line {number}"
        cells = _cells(line)
        if not cells or not cells[0] or not (_is_number(cells[1]) and _is_number(cells[2])):
            raise NiahError(f'{where}: must read YTID, start_seconds, end_seconds, "labels"')
        start_s, end_s = float(cells[1]), float(cells[2])
        if not (0 <= start_s <= _LATEST_S and 0 <= end_s <= _LATEST_S):
            raise NiahError(
                f"{where}: the times must be finite numbers of seconds, 0 to {_LATEST_S:g}"
            )
        yield Segment(where, cells[0], start_s, end_s, cells[3])


def _cells(line: str) -> list[str]:
    """Return the four cells of a line, parted by a delimiter that makes the times numbers; else []."""
    split = [line.split(delimiter, _FIELDS - 1) for delimiter in ",;\t|"]
    candidates = [[cell.strip(' "') for cell in cells] for cells in split if len(cells) == _FIELDS]
    numeric = [cells for cells in candidates if _is_number(cells[1]) and _is_number(cells[2])]
    return next(iter([*numeric, *candidates]), [])


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _audio_files(folder: Path) -> dict[str, Path]:
    """Return {stem: file} of all audio below a folder: what can be decoded first, then the first in path order."""
    if not folder.is_dir():
        raise NiahError(f"{folder}: no such folder of audio")
    by_stem: dict[str, Path] = {}
    for suffixes in (AUDIO_SUFFIXES, FOREIGN_SUFFIXES):
        for file in files_below(folder, suffixes):
            by_stem.setdefault(file.stem, file)
    return by_stem
