"""Files of a kind in a folder and all folders below it, as users copy, unpack and download them."""

import os
from collections.abc import Collection
from pathlib import Path


def files_below(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """List the regular files with certain suffixes, in the order of their relative paths.

    Names that begin with a dot are left out (macOS writes `._x.wav` beside `x.wav`, downloaders make `.cache`), and so
    is `__MACOSX` of ZIP archives. Linked folders are not entered. A link that leads nowhere is listed, so that a reader
    names it: of a set that git-annex has fetched in part, that part would be taken for the whole.

    Args:
        folder: folder to walk.
        suffixes: in small letters, with the dot.
    """
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_passed_over(name)]
        for name in names:
            path = Path(parent, name)
            if path.suffix.lower() not in suffixes or _is_passed_over(name):
                continue
            if path.is_file() or not path.exists():
                files.append(path)
    return sorted(files, key=lambda path: path.relative_to(folder).as_posix())


def folders_with(folder: Path, names: Collection[str]) -> list[Path]:
    """List the folders below that hold a file of one of the names, in the order of their paths.

    Args:
        folder: folder to walk; hidden and linked folders are not entered.
        names: of the files.
    """
    holders = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_passed_over(name)]
        if not set(names).isdisjoint(files):
            holders.append(Path(parent))
    return sorted(holders)


def _is_passed_over(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
