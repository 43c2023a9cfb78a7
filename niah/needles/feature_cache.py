"""Features on disk, keyed by content: a sound through a front end is computed once.

A key hashes all that determines the entry (the source's bytes, the reader's version, the front end's
parameters), never a file name, so an edited file or another setting can only miss. An entry is the SHA-256 of an .npz
and the .npz, written whole or not at all; one that is damaged is made again.
"""

import hashlib
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.audio.reader_version import reader_version
from niah.errors import NiahError
from niah.system.atomic import atomic_write, one_line_os_errors, remove_leftovers

VERSION = "1"  # of what is stored; another number makes all entries anew
Arrays = dict[str, NDArray[np.generic]]
_HASH_BYTES = 32
_SUFFIX = ".features"


def content_key(digest: str, *parts: str) -> str:
    """Compute the key of a needle's features: SHA-256 of its sound's digest, its reader's version and of `parts`.

    Args:
        digest: of the encoded sound.
        *parts: all else that the entry depends on (front end, level, ...).
    """
    text = "\n".join([VERSION, reader_version(), digest, *parts])
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class FeatureCache:
    """Named arrays under `root`, one file an entry, in folders by the key's first two digits.

    A cache that cannot be written is no error: its entries are computed whenever they are used.

    Attributes:
        root: Folder of the entries.
        problem: Reason why the first entry that could not be written was not; "" as long as all were.
    """

    root: Path
    problem: str = ""

    def get_or_make(
        self, key: str, make: Callable[[], Mapping[str, NDArray[np.generic]]]
    ) -> Arrays:
        """Return the entry, made and stored if it is not there or cannot be read.

        Args:
            key: name of the entry.
            make: computes its arrays.

        Raises:
            NiahError: what `make` raises.
        """
        path = self.path(key)
        stored = _read(path)
        if stored is not None:
            return stored
        made = dict(make())
        try:
            with one_line_os_errors(self.root):
                path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path, sync=False) as file:  # a torn entry is noticed when it is read
                file.write(_packed(made))
        except NiahError as error:
            self.problem = self.problem or str(error).partition(":")[0]
        return made

    def path(self, key: str) -> Path:
        """Where an entry is or would be."""
        return self.root / key[:2] / f"{key}{_SUFFIX}"

    def size_bytes(self) -> int:
        """Return what all entries take on the disk, in bytes."""
        return sum(file.stat().st_size for file in self.root.glob(f"*/*{_SUFFIX}"))

    def clear(self) -> int:
        """Delete all entries and what killed writers left; returns how many entries there were."""
        files = list(self.root.glob(f"*/*{_SUFFIX}"))
        for file in files:
            file.unlink(missing_ok=True)
        remove_leftovers(self.root)
        return len(files)


def _packed(arrays: Mapping[str, NDArray[np.generic]]) -> bytes:
    """SHA-256 of an .npz, then the .npz."""
    content = io.BytesIO()
    np.savez(content, **dict[str, Any](arrays))
    return hashlib.sha256(content.getbuffer()).digest() + content.getvalue()


def _read(path: Path) -> Arrays | None:
    """The entry's arrays, or None if it is missing or damaged."""
    try:
        stored = path.read_bytes()
    except OSError:
        return None
    content = stored[_HASH_BYTES:]
    # a zip's own checksums do not cover its directory: a flipped bit there can hide an array
    if hashlib.sha256(content).digest() != stored[:_HASH_BYTES]:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
