"""One file a cell: its row, the fingerprint of the scores that its metrics come from, and the checksum of both."""

from pathlib import Path

from niah.errors import NiahError
from niah.records.checksums import is_intact, with_checksum
from niah.records.schema import Row, check_cell, is_cell, validate_row
from niah.system import atomic
from niah.system.unreadable import UnreadableError


class DamagedRowError(NiahError):
    """A row's file that was right once: its present content is not what was written."""


def files_below(folder: Path, suffix: str = ".json") -> list[Path]:
    """List a folder's parts of a run in the order of their names, without hidden ones, as macOS leaves in copies.

    Args:
        folder: one with one file a cell.
        suffix: of the parts.
    """
    return sorted(file for file in folder.glob(f"*{suffix}") if not file.name.startswith("."))


def row_files(folder: Path) -> list[Path]:
    """List the rows of a run in the order of their names, without what other programs leave between them.

    Args:
        folder: cells.
    """
    return [file for file in files_below(folder) if is_cell(file.stem)]


def write_row(file: Path, row: Row, scored_from: str | None) -> None:
    """Store a checked row with its checksum, whole or not at all.

    Args:
        file: cells/<cell>.json.
        row: A row as `niah.records.schema.validate_row` returns it.
        scored_from: Fingerprint of the scores that the row's metrics come from; None where it has no metrics yet.
    """
    atomic.write_json(file, with_checksum({"row": row, "scored_from": scored_from}))


def read_row(file: Path) -> tuple[Row, str | None]:
    """Return the row of a cell's file and the fingerprint of the scores that its metrics come from.

    Files of earlier versions have no checksum and are read as they are.

    Raises:
        DamagedRowError: the file was edited, damaged or renamed since it was written.
        UnreadableError: the system does not give the file, which is no damage.
        NiahError: the file is no row of this cell.
    """
    if file.is_dir():
        raise NiahError(f"{file} is a folder where a cell's row should be: delete it and run again")
    try:
        content = atomic.read_json(file)
    except UnreadableError:
        raise
    except NiahError as error:
        raise DamagedRowError(
            f"{error}: run the same command again, which makes it again"
        ) from error
    try:
        if (cell := check_cell(content["row"]["cell"])) != file.stem:
            raise DamagedRowError(
                f"{file} is another cell's row, or was renamed (its cell is {cell}, not its file's name): run the same "
                "command again, which makes it again"
            )
        if not is_intact(content):
            raise DamagedRowError(
                f"{file} was edited or damaged (its checksum is not its content's): run the same command again, which "
                "makes it again"
            )
        row = validate_row(content["row"])
        scored_from = content["scored_from"]
        if not isinstance(scored_from, str | None):
            raise NiahError("its scored_from is no text")
        return row, scored_from
    except DamagedRowError:
        raise
    except (KeyError, TypeError, AttributeError, NiahError) as error:
        raise NiahError(f"{file} is not a cell's row: delete it and run again ({error})") from error
