"""A user's own Python module, named on a card: as Python imports it, or the file beside the card."""

import importlib
import sys
from contextlib import chdir
from pathlib import Path
from types import ModuleType

from niah.errors import NiahError

_OWN_PACKAGE = "niah"


def is_beside(folder: Path, module_name: str) -> bool:
    """Return whether a module is a file or package in a folder."""
    top = module_name.partition(".")[0]
    return (folder / f"{top}.py").is_file() or (folder / top / "__init__.py").is_file()


def import_user_module(module_name: str, folder: Path) -> ModuleType:
    """Import a module; one in `folder` is taken from there, which stays first on the path for its neighbours.

    A module of another folder that was imported before serves where it and its neighbours there are the same files.

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
    if beside and not _is_in(module, folder) and not _is_copied(module, folder):
        raise NiahError(
            f"a module '{module_name}' from elsewhere is loaded already ({_file_of(module)}); give yours another name"
        )
    return module


def loaded_files(folder: Path) -> list[Path]:
    """Return the files of a folder that are loaded as modules of its own, as paths in it: a card's adapter and helpers.

    Args:
        folder: of the card; an installed package below it, as of a virtual environment, is none of its modules.
    """
    folder = folder.resolve()
    files: set[Path] = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__dict__", {}).get("__file__")  # nothing that is imported by asking
        if isinstance(file, str) and name and name.partition(".")[0] != _OWN_PACKAGE:
            place = Path(*name.split("."))
            candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
            path = Path(file).resolve()
            files.update(each for each in candidates if path == folder / each and path.is_file())
    return sorted(files)


def _put_first(folder: Path) -> None:
    """Put a folder on the path for good: a module may import its neighbours when it is first called."""
    if sys.path[:1] != [str(folder)]:
        sys.path.insert(0, str(folder))
    importlib.invalidate_caches()


def _file_of(module: ModuleType) -> Path | None:
    file = getattr(module, "__file__", None)
    return None if file is None else Path(file).resolve()


def _source(module: ModuleType, file: Path) -> Path:
    """Return the folder on the path that a module comes from."""
    return file.parents[module.__name__.count(".") + (file.stem == "__init__")]


def _is_in(module: ModuleType, folder: Path) -> bool:
    """Return whether a module is the one beside the card, not one of the same name in a folder below."""
    file = _file_of(module)
    return file is not None and _source(module, file) == folder


def _is_copied(module: ModuleType, folder: Path) -> bool:
    """Return whether a folder has a copy of a module, and no other content for what is loaded beside it."""
    if (file := _file_of(module)) is None:
        return False
    source = _source(module, file)
    copied = [each for each in loaded_files(source) if (folder / each).is_file()]
    return file.relative_to(source) in copied and all(
        (folder / each).read_bytes() == (source / each).read_bytes() for each in copied
    )
