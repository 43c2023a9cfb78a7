"""One JSON file a measured cell of a diagnosis, below localisation/, events/ or streams/, with a checksum."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from niah.errors import NiahError
from niah.records.checksums import is_intact, with_checksum
from niah.records.row_files import files_below
from niah.system import atomic
from niah.system.unreadable import UnreadableError

COMMANDS = {  # that measure the cells of a folder, once more where they are damaged
    "localisation": "niah locate",
    "events": "niah locate --events",
    "streams": "niah stream",
}


def write(run: Path, folder: str, key: str, content: Mapping[str, Any]) -> None:
    """Store a measured cell, whole or not at all.

    Args:
        run: the run's folder.
        folder: of the diagnosis.
        key: of the cell.
        content: what JSON can hold.

    Raises:
        NiahError: the folder cannot be written to.
    """
    with atomic.one_line_os_errors(run / folder):
        (run / folder).mkdir(parents=True, exist_ok=True)
    atomic.write_json(run / folder / f"{key}.json", with_checksum(content))


def read(file: Path) -> dict[str, Any]:
    """Return the content of a measured cell.

    Raises:
        NiahError: it was edited or damaged since it was written.
    """
    try:
        content = atomic.read_json(file)
    except UnreadableError:
        raise
    except NiahError as error:
        raise damaged(file, error) from error
    if not is_intact(content):
        raise damaged(file, "its checksum is not its content's")
    return content


def damaged(file: Path, reason: object) -> NiahError:
    """Return the error on a measured cell's file that cannot be believed."""
    said = str(reason).removeprefix(f"{file} ")
    command = COMMANDS[file.parent.name]
    return NiahError(
        f"{file} is damaged or was edited ({said}): the same `{command}` again measures it again, or delete it"
    )


def files(run: Path, folder: str) -> list[Path]:
    """Return the files of a diagnosis, in the order of their names."""
    return files_below(run / folder)


def is_whole(run: Path, folder: str, key: str) -> bool:
    """Return whether a cell is measured, and its file as it was written: any other is measured again."""
    file = run / folder / f"{key}.json"
    try:
        return file.is_file() and bool(read(file))
    except UnreadableError:  # it may be another user's, and whole
        raise
    except NiahError:
        return False
