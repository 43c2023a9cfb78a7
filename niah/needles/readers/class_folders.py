"""A folder a class: `dog/1.wav`, `cat/2.wav`, also below folders of splits, `test/dog/1.wav`."""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from niah.audio import AUDIO_SUFFIXES
from niah.errors import NiahError
from niah.needles.readers.path_label_csv import needles_of_rows
from niah.needles.readers.rows import NeedleRows, Request, Row
from niah.needles.readers.splits import NO_SPLIT, split_in, wanted_of, without_split
from niah.system.folder_walk import files_below


def sounds_of(folder: Path) -> list[Path]:
    """List the sounds in folders below `folder`, in the order of their paths."""
    return [file for file in files_below(folder, AUDIO_SUFFIXES) if file.parent != folder]


def read(folder: Path, sounds: list[Path], request: Request) -> NeedleRows:
    """Make a clip of each sound, with the name of its folder as the label.

    Names that are a class's but for case, signs and the word "and" are taken for it (`dog_bark`, "Dog bark").

    Args:
        folder: of the set.
        sounds: from `sounds_of`, one or more.
        request: vocabulary, filters and strictness.

    Raises:
        NiahError: sounds of several splits and no filter on one, no folder's name is a class, or (`strict`) sounds
            beside the folders.
    """
    chosen = wanted_of({file: _split(file, folder) for file in sounds}, folder, request, "sound")
    rows = [
        Row(str(file), {"path": file.relative_to(folder).as_posix(), "label": file.parent.name})
        for file in chosen
    ]
    read_rows = needles_of_rows(
        rows,
        folder / "*",  # the files in it, for messages
        replace(without_split(request), alike=True, audio_root=folder),
        labels_of=lambda row: [row["label"]],
    )
    beside = len(files_below(folder, AUDIO_SUFFIXES)) - len(sounds)
    if not beside:
        return read_rows
    note = f"sounds beside the folders of classes, without a label, left out: {beside}"
    if request.strict:
        raise NiahError(f"{folder}: {note} (refused under --strict)")
    return replace(read_rows, notes=(note, *read_rows.notes))


def _split(file: Path, folder: Path) -> str:
    """Return the split that is named in the folders above a sound's class."""
    above = PurePosixPath(file.relative_to(folder).as_posix()).parent.parent
    return split_in(str(above)) if above.parts else NO_SPLIT
