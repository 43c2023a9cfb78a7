"""The JSON of AST, DASS and AuM.

    {"data": [{"wav": "x.flac", "labels": "/m/068hy,/m/07q6cd_"}, ...]}

Labels are comma-joined MIDs. `group`, or else `video_id`, names the recording of a clip; other keys (`image`) are not
used. A relative path is relative to the JSON's folder, as in AuM's sample.
"""

import os
from pathlib import Path

from niah.errors import NiahError
from niah.needles.needle import FileSource
from niah.needles.readers.labels import LabelReader
from niah.needles.readers.rows import (
    NeedleRow,
    NeedleRows,
    Request,
    file_entry,
    needles_of,
    refuse_meeting_paths,
)
from niah.system.text_files import read_json


def read(path: Path, request: Request) -> NeedleRows:
    """Read the clips of a JSON.

    Args:
        path: the file.
        request: vocabulary, audio folder, filters and strictness.

    Raises:
        NiahError: it is malformed; file and item are named.
    """
    request.no_filters(path)
    content = read_json(path)
    items = content.get("data") if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise NiahError(f'{path}: must be {{"data": [{{"wav": ..., "labels": ...}}, ...]}}')
    if not items:
        raise NiahError(f"{path}: its 'data' has no items")
    labels = LabelReader(request)
    every = [
        _entry(item, f"{path}, item {i}", path, request, labels) for i, item in enumerate(items)
    ]
    entries = [entry for entry in every if entry.labels]
    refuse_meeting_paths(entries)
    labels.check_any(entries)
    return NeedleRows(
        needles_of(entries), "not stated by the JSON", labels.notes(len(items), len(entries))
    )


def _entry(
    item: object, where: str, path: Path, request: Request, labels: LabelReader
) -> NeedleRow:
    if not isinstance(item, dict):
        raise NiahError(f'{where}: must be {{"wav": ..., "labels": ...}}')
    for key in ("wav", "labels"):
        if not isinstance(item.get(key), str) or not item[key]:
            raise NiahError(f"{where}: lacks the text '{key}'")
    ids = labels.ids(labels.split(item["labels"]), where)
    source = FileSource(request.audio_text(item["wav"], path.parent))
    recording = str(item.get("group") or item.get("video_id") or "")
    plain = os.path.normpath(item["wav"])  # ./a.wav and a.wav are one clip
    return file_entry(plain, ids, source, where, recording)
