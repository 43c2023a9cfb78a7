"""The cleaned list of a needle set: a CSV of the clips that can be read, with their labels."""

import csv
import io
import os
from collections.abc import Collection
from pathlib import Path

from niah.errors import NiahError
from niah.needles.needle import FileSource, Needle
from niah.needles.needle_set import NeedleSet
from niah.system.atomic import atomic_write, check_target
from niah.system.printable import printable
from niah.system.spreadsheet import guarded

_HEADER = ("path", "labels", "group")
_NO_FILES = "its clips are no files, so there is no list to write"
_FORMULA = ("=", "+", "-", "@")  # a spreadsheet would take such a path for a formula


def is_clean_list(path: Path) -> bool:
    """Return whether a file has the header of a cleaned list."""
    if not path.is_file():  # a pipe would be waited for
        return False
    try:
        with path.open("rb") as file:
            return file.readline(100).strip() == ",".join(_HEADER).encode()
    except OSError:
        return False


def check_clean_list(path: Path, needles: NeedleSet) -> None:
    """Check, before clips are read, that `write_clean_list` can list them.

    Args:
        path: CSV to write.
        needles: the set.

    Raises:
        NiahError: clips that are no files of their own (Parquet, the embedded ones), a name that no CSV takes, or no
            place to write.
    """
    for needle in needles.needles:
        _file_of(needle, needles)
    check_target(path)


def _file_of(needle: Needle, needles: NeedleSet) -> Path:
    if not isinstance(needle.source, FileSource):
        raise NiahError(f"{needles.name}: {_NO_FILES}")
    path = needle.source.path
    if printable(str(path)) != str(path):
        raise NiahError(
            f"{printable(str(path))}: its name is no UTF-8, so that no list can name it: rename it"
        )
    return path


def write_clean_list(path: Path, needles: NeedleSet, ids: Collection[str]) -> None:
    """Write `path,labels,group` of the clips whose id is among `ids`; paths are relative to the list's folder.

    Args:
        path: CSV to write.
        needles: the set.
        ids: clip ids to list.

    Raises:
        NiahError: as `check_clean_list`, or none of these clips is there.
    """
    folder = path.absolute().parent
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_HEADER)
    n_rows = 0
    for needle in needles.needles:
        if needle.id not in ids:
            continue
        file = _file_of(needle, needles).absolute()
        relative = Path(os.path.relpath(file, folder)).as_posix()
        relative = f"./{relative}" if relative.startswith(_FORMULA) else relative
        group = "" if needle.group == needle.id else guarded(needle.group)
        writer.writerow((relative, ";".join(needle.labels), group))
        n_rows += 1
    if not n_rows:
        raise NiahError(f"{needles.name}: no clip is readable, so there is no list to write")
    with atomic_write(path) as stream:
        stream.write(text.getvalue().encode())
