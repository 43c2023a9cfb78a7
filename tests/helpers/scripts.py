"""Modules of the folders in scripts/, which python runs with their own folder on its path."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.conftest import REPOSITORY


@contextmanager
def imported(folder: str, *names: str) -> Iterator[dict[str, Any]]:
    """Import modules of scripts/FOLDER, and forget them afterwards: other folders have modules of these names."""
    path = str(REPOSITORY / "scripts" / folder)
    sys.path.insert(0, path)
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(path)
        for name in names:
            sys.modules.pop(name, None)
