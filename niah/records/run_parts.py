"""The parts of a run directory, and the rule for those that a stranger sent: no links, no special files.

A received run is data. A link among its parts would have a report read, or write, somewhere else on the reader's
machine, so a run that has one is refused whole. The run directory itself is named by the user and may be a link.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

from niah.errors import NiahError
from niah.records.row_files import row_files
from niah.records.run_json import lost_run_json
from niah.system.atomic import is_leftover

LOCK = ".lock"
RUN_FILES = ("run.json", "cells.csv")  # a folder with either is a run
SHARED = ("workers", "claims", "parts")  # while a run is being made: `niah.records.claims`
DIAGNOSES = ("localisation", "events", "streams")
FOLDERS = ("cells", "scores", "figures", *DIAGNOSES, *SHARED)
MEASURED = ("calibration.csv", "overlap.csv")  # of the cells' scores: `niah.records.measured_cells`
FILES = (
    *("run.json", "cells.csv", "tables.md", "tables.csv", "tables.tex", "report.html", LOCK),
    *("false_alarms.csv", "several_needles.csv", "localisation.csv", "localisation.md"),
    *MEASURED,
    *("events.csv", "streams.csv", "stream_curves.csv", "causes.csv", "causes.md"),
    *("causes.png", "causes.svg", "causes.pdf"),
)


def refuse_links(
    run: Path, files: Sequence[str] = FILES, folders: Sequence[str] = FOLDERS, what: str = "run"
) -> None:
    """Check that every part of the run in `run`, and all that its folders hold, is a regular file or folder.

    Args:
        run: the run's folder, or one of another command.
        files: names of its files.
        folders: names of its folders.
        what: kind of folder, for messages.

    Raises:
        NiahError: a part is a symbolic link, or neither a file nor a folder; names it.
    """
    if not run.is_dir():
        return
    for entry in _parts(run, files, folders):
        if entry.is_symlink():
            raise NiahError(
                f"{entry.path} is a symbolic link, which is not followed in a {what} directory: put the file or folder "
                "itself there, or remove the link"
            )
        is_part = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
        if not is_part and os.path.lexists(entry.path):
            raise NiahError(f"{entry.path} is neither a file nor a folder: remove it")


def refuse_part(file: Path, option: str) -> None:
    """Check that a file that is to be written is no part of a run, which would be lost.

    Args:
        file: the target.
        option: that names it.

    Raises:
        NiahError: it is one of a run's files or lies in one of its folders.
    """
    folder = file.resolve().parent
    is_file = file.name in FILES and any((folder / name).is_file() for name in RUN_FILES)
    is_inside = folder.name in FOLDERS and any((folder.parent / n).is_file() for n in RUN_FILES)
    if file.exists() and (is_file or is_inside):
        raise NiahError(f"{option} {file} is a part of a run, which would be lost: name a new file")


def refuse_foreign(path: Path) -> None:
    """Check that `path` is a run, or free for a new one.

    Raises:
        NiahError: it is a file, a link to nothing, a folder that holds something else than a run, or a published
            table without the rows that it was made of.
    """
    if path.is_symlink() and not path.exists():
        raise NiahError(
            f"{path} is a symbolic link to {path.readlink()}, which is not there: make that folder, or remove the link"
        )
    if path.exists() and not path.is_dir():
        raise NiahError(f"{path} is a file: give a folder to write the run to")
    if not path.is_dir():
        return
    if (path / "run.json").is_file():
        is_table = (path / "cells.csv").is_file() and lacks_rows(path)
        if is_table and not any((path / "scores").glob("*.parquet")):
            raise NiahError(
                f"{path} is a published table: it has cells.csv without the rows in cells/, and a run would write over "
                "it. Give another folder, or remove cells.csv"
            )
        return
    if reason := lost_run_json(path):
        raise NiahError(reason)
    begun = {LOCK, "cells", "scores", *SHARED}  # left by a kill before the first run.json
    names = sorted(entry.name for entry in path.iterdir())
    foreign = [name for name in names if name not in begun and not is_leftover(name)]
    # another process may have begun the run since: what it writes comes after its run.json
    if foreign and not (path / "run.json").is_file():
        raise NiahError(
            f"{path} is not empty and not a run (it holds {foreign[0]!r} but no run.json): "
            "give an empty or new folder"
        )


def lacks_rows(run: Path) -> bool:
    """Return whether a run has no rows in cells/, as a published table; not one that has just begun.

    A folder cells/ without rows, beside a table of them, is what copies leave that take some kinds of files alone.

    Args:
        run: the run's folder.
    """
    if not (run / "cells").is_dir():
        return True
    if row_files(run / "cells"):
        return False
    with suppress(OSError), (run / "cells.csv").open("rb") as table:
        return len(list(islice(table, 2))) > 1  # more than a header
    return False


def _parts(run: Path, files: Sequence[str], folders: Sequence[str]) -> Iterator["os.DirEntry[str]"]:
    """Every part, each folder before what is in it: a folder that is a link is refused unread."""
    try:
        with os.scandir(run) as entries:
            own = [e for e in entries if e.name in (*folders, *files) or is_leftover(e.name)]
        yield from own
        for folder in own:
            if folder.name in folders and folder.is_dir(follow_symlinks=False):
                yield from _below(folder.path)
    except OSError as error:
        raise NiahError(f"{run} cannot be read: {error.strerror or error}") from error


def _below(folder: str) -> Iterator["os.DirEntry[str]"]:
    with (
        suppress(FileNotFoundError),
        os.scandir(folder) as entries,
    ):  # gone: the last of its processes has left
        for entry in entries:
            yield entry
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
