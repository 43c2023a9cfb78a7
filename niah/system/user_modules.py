"""A user's own Python module, named on a card: as Python imports it, or the file beside the card."""

import importlib
import sys
from contextlib import chdir
from pathlib import Path
from types import ModuleType

from niah.errors import NiahError


def is_beside(folder: Path, module_name: str) -> bool:
    """Return whether a module is a file or package in a folder."""
    top = module_name.partition(".")[0]
    return (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()


def import_user_module(module_name: str, folder: Path) -> ModuleType:
    """Import a module; one in `folder` is taken from there, which stays first on the path for its neighbours.

    Args:
        module_name: as an import statement has it; a file beside the card may have any name.
        folder: of the card.

    Raises:
        NiahError: another module of that name was imported before. The module's own code may raise anything.
    """
    beside = is_beside(folder := folder.resolve(), module_name)
    if beside:
        _put_first(folder)
    with chdir("."):  # a module that leaves would take the user's relative paths along
        module = importlib.import_module(module_name)
    if beside and not _is_in(module, folder):
        raise NiahError(
            f"a module '{module_name}' from elsewhere is loaded already; give yours another name"
        )
    return module


def _put_first(folder: Path) -> None:
    """Put a folder on the path for good: a module may import its neighbours when it is first called."""
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _is_in(module: ModuleType, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    return file is not None and Path(file).resolve().is_relative_to(folder)
