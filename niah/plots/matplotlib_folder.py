"""A folder for matplotlib's list of fonts: where no home can be written it warns in every command, and lists anew."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

from niah.errors import NiahError
from niah.system.download import cache_folder

_VARIABLE = "MPLCONFIGDIR"


def find_matplotlib_folder() -> None:
    """Set `MPLCONFIGDIR`, before matplotlib is imported, where neither it nor the user's own folders serve.

    It becomes `cache_folder()/matplotlib`, or else a folder of this process and those that it starts.
    """
    if os.environ.get(_VARIABLE) or "matplotlib" in sys.modules:
        return
    if not sys.platform.startswith("linux") or _own_serve():
        return
    folder = _in_cache()
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="niah-matplotlib-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[_VARIABLE] = str(folder)


def _in_cache() -> Path | None:
    """Return the folder in the cache, None where there is no cache, or none that can be written."""
    try:
        folder = cache_folder() / "matplotlib"
    except NiahError:
        return None
    return folder if _is_writable(folder) else None


def _own_serve() -> bool:
    """Return whether the folders that matplotlib takes by itself, of settings and of what it stores, can be written."""
    try:
        bases = [
            os.environ.get(name) or Path("~", below).expanduser()
            for name, below in (("XDG_CONFIG_HOME", ".config"), ("XDG_CACHE_HOME", ".cache"))
        ]
    except RuntimeError:  # no home: a user whom the system does not know
        return False
    return all(_is_writable(Path(base, "matplotlib")) for base in bases)


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)
