"""FSD50K as on Zenodo.

    FSD50K.ground_truth/{dev,eval}.csv    FSD50K.{dev,eval}_audio/<fname>.wav
    FSD50K.metadata/{dev,eval}_clips_info_FSD50K.json

The tables have `fname,labels,mids` (dev also `split`), labels already propagated to their
ancestors. MIDs are AudioSet's; most of the 200 classes are among the 527, and MIDs outside the
vocabulary are dropped (Fonseca et al. 2022), which the notes say. The metadata, if there, names each clip's uploader:
clips of one uploader are one group.
"""

from pathlib import Path

from niah.errors import NiahError
from niah.needles.needle import FileSource
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    beside_folder,
    counted,
    filtered,
    needles_of,
    read_rows,
)
from niah.system.text_files import read_json

COLUMNS = ("fname", "labels", "mids")
LICENCE = "FSD50K: CC BY 4.0 as a set; clips CC0, CC BY, CC BY-NC or CC Sampling+"


def ground_truth(folder: Path) -> Path | None:
    """The evaluation table of an FSD50K folder, if it is one."""
    for name in ("FSD50K.ground_truth", "ground_truth"):
        if (folder / name / "eval.csv").is_file():
            return folder / name / "eval.csv"
    return None


def _uploaders(table: Path) -> dict[str, str]:
    """Read {clip: uploader} from the metadata beside a table; {} without it.

    Raises:
        NiahError: metadata of another form.
    """
    for name in ("FSD50K.metadata", "metadata"):
        path = beside_folder(table, f"{name}/{table.stem}_clips_info_FSD50K.json")
        if not path.is_file():
            continue
        try:
            content = read_json(path)
            return {str(clip): str(info["uploader"]) for clip, info in content.items()}
        except (ValueError, AttributeError, TypeError, KeyError) as error:
            raise NiahError(
                f'{path}: must be {{"<fname>": {{"uploader": ...}}, ...}} ({error})'
            ) from error
    return {}


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of `eval.csv` or `dev.csv`.

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: no clip has a label in the vocabulary.
    """
    folder = request.audio_root or beside_folder(path, f"FSD50K.{path.stem}_audio")
    every, table_notes = read_rows(path, COLUMNS)
    rows = filtered(every, request, path)
    uploaders = _uploaders(path)
    labels = LabelReader(request)
    entries, dropped, unlabelled = [], [], 0
    for row in rows:
        mids = dict.fromkeys(labels.split(row["mids"]))
        if not mids or not row["fname"]:
            raise NiahError(f"{row.where}: has no {'mids' if row['fname'] else 'fname'}")
        known = tuple(mid for mid in mids if mid in request.vocabulary)
        dropped += [mid for mid in mids if mid not in request.vocabulary]
        if known:
            source = FileSource(folder / f"{row['fname']}.wav")
            uploader = uploaders.get(row["fname"], "")
            entries.append(
                NeedleRow(row["fname"], row["fname"], known, source, row.where, uploader)
            )
        else:
            unlabelled += 1
    notes = [*table_notes]
    if dropped:
        notes.append(f"MIDs outside '{request.vocabulary.name}' dropped: {counted(dropped)}")
    if unlabelled:
        notes.append(f"{unlabelled} of {len(rows)} clips left out: no label is left")
    if not entries:
        raise NiahError(f"{path}: no clip has a label in vocabulary '{request.vocabulary.name}'")
    return NeedleRows(needles_of(entries), LICENCE, tuple(notes))
