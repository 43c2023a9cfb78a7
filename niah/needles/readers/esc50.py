"""ESC-50 as its authors lay it out: meta/esc50.csv and audio/{fold}-{id}-{take}-{target}.wav.

A clip's label is its category where the vocabulary has ESC-50's (or ESC-10's) categories, else
the category's AudioSet labels: exact ones only, unless broader ones are wanted. Clips whose
category has none are left out and counted in the notes (Piczak 2015; niah/vocabularies/esc-50-to-audioset.csv).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from niah.errors import NiahError, nearest
from niah.needles.needle import FileSource, Source
from niah.needles.readers.path_label_csv import left_out_note
from niah.needles.readers.rows import (
    NeedleRows,
    Request,
    Row,
    beside_folder,
    file_entry,
    filtered,
    needles_of,
    read_rows,
)
from niah.vocabularies import esc50_to_audioset

COLUMNS = ("filename", "fold", "target", "category", "esc10")
LICENCE = "ESC-50: CC BY-NC 3.0 (Piczak 2015)"
LICENCE_ESC10 = "ESC-10: CC BY 3.0 (Piczak 2015)"


@dataclass(frozen=True)
class EscClip:
    """A row of ESC-50's table; `esc10` if the clip belongs to the freer subset."""

    filename: str
    category: str
    esc10: bool
    source: Source
    where: str
    recording: str = ""  # id of the Freesound recording; "" where only the file's name has it


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of `meta/esc50.csv`; its audio is in `../audio` or `audio_root`.

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.
    """
    folder = request.audio_root or beside_folder(path, "audio")
    rows, notes = read_rows(path, COLUMNS)
    clips = [
        EscClip(
            row["filename"],
            row["category"],
            row["esc10"].strip().casefold() == "true",
            FileSource(folder / row["filename"]),
            row.where,
            row.get("src_file").strip(),
        )
        for row in filtered(rows, request, path)
    ]
    loaded = labelled(clips, request, path)
    return replace(loaded, notes=(*notes, *loaded.notes))


def is_clip(row: Row) -> bool:
    """Return whether a row of any table is one of ESC-50's: a file name, and one of its categories."""
    return bool(row.get("filename")) and row.get("category") in esc50_to_audioset()


def labelled(clips: Sequence[EscClip], request: Request, path: Path) -> NeedleRows:
    """Return the clips that have a label in the vocabulary.

    Args:
        clips: rows of ESC-50's table.
        request: vocabulary, and whether broader labels count.
        path: the table, for messages.

    Raises:
        NiahError: no clip has one.
    """
    labels = [labels_of(clip.category, request, clip.where) for clip in clips]
    pairs = [(clip, ids) for clip, ids in zip(clips, labels, strict=True) if ids]
    left_out = [clip.category for clip, ids in zip(clips, labels, strict=True) if not ids]
    notes = left_out_note(left_out, request, len(clips))
    if not pairs:
        raise NiahError(f"{path}: no clip is left ({'; '.join(notes)})")
    entries = [
        file_entry(clip.filename, ids, clip.source, clip.where, clip.recording)
        for clip, ids in pairs
    ]
    licence = LICENCE_ESC10 if all(clip.esc10 for clip, _ in pairs) else LICENCE
    return NeedleRows(needles_of(entries), licence, notes)


def labels_of(category: str, request: Request, where: str) -> tuple[str, ...]:
    """Return a category's labels in the vocabulary; () if it has none there.

    Args:
        category: name of ESC-50's.
        request: vocabulary, and whether broader labels count.
        where: place of the row, for messages.

    Raises:
        NiahError: a category that ESC-50 lacks, or a vocabulary of neither kind.
    """
    known = esc50_to_audioset()
    vocabulary = request.vocabulary
    if category not in known:
        raise NiahError(f"{where}: '{category}' is no ESC-50 category.{nearest(category, known)}")
    if category in vocabulary:
        return (category,)
    if any(other in vocabulary for other in known):
        return ()
    if not any(match.mid in vocabulary for match in known.values()):
        raise NiahError(
            f"{where}: vocabulary '{vocabulary.name}' has neither ESC-50's categories nor "
            "AudioSet's MIDs; these needles need a model that scores one of them"
        )
    return tuple(
        mid for mid in known[category].labels(broader=request.broader) if mid in vocabulary
    )
