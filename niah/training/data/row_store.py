"""Arrays on disk that are computed row by row: resumed after a kill, shared by processes, and checked when opened.

Rows are computed in blocks. KEY.sums beside KEY.npy has the SHA-256 of each finished block (zeros: not yet computed),
so an unfinished store is completed, and a block with a flipped bit is computed again, alone.
"""

import hashlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from niah.errors import NiahError
from niah.system.atomic import one_line_os_errors
from niah.system.plurals import plural
from niah.system.progress import track
from niah.system.waited_lock import waited_lock

BLOCK_ROWS = 64
_SUM_BYTES = 32
STALE_S = 600.0  # without a new block, after which the blocks of the other processes are made here
_WAIT_S = 0.2  # between two looks at what other processes have made
MakeRows = Callable[[int, int], NDArray[Any]]


@dataclass(frozen=True)
class Share:
    """Which blocks one of several processes makes: every `count`-th, from `index` on."""

    index: int = 0
    count: int = 1


ALONE = Share()


@dataclass(frozen=True)
class RowStore:
    """(rows, ...) of `dtype` in the file `path` (.npy)."""

    path: Path
    shape: tuple[int, ...]
    dtype: "np.dtype[Any]"

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole array."""
        return math.prod(self.shape) * self.dtype.itemsize

    def load_or_make(self, make: MakeRows, what: str, share: Share = ALONE) -> NDArray[Any]:
        """Return the rows, memory-mapped for reading, after making those that are missing or damaged.

        Args:
            make: (first, last) -> rows first to last - 1, (last - first, ...).
            what: name of the progress bar.
            share: the blocks that this process makes; it waits until the others have made theirs, and makes them where
                none comes for `STALE_S`.

        Raises:
            NiahError: the disk is full or the folder cannot be written to, and what `make` raises; finished
                blocks stay.
        """
        with one_line_os_errors(self.path.parent):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with waited_lock(self.path.with_suffix(".lock"), str(self.path)):
                self._claim()
            with waited_lock(self.path.with_suffix(f".{share.index}.lock"), str(self.path)):
                self._make_missing(make, what, share)
            self._wait_for_others(make, what)
        rows: NDArray[Any] = np.load(self.path, mmap_mode="r")
        return rows

    def _make_missing(self, make: MakeRows, what: str, share: Share) -> None:
        rows = np.load(self.path, mmap_mode="r+")
        damaged = list(self._damaged(rows, share))
        for block in damaged:
            self._write_sum(block, bytes(_SUM_BYTES))
        if damaged:
            text = f"{len(damaged)} of {self._blocks} blocks are damaged and are made again"
            print(f"note: {self.path}: {text}", file=sys.stderr)
        missing = self._missing(share)
        for block in track(missing, what) if missing else ():
            first = block * BLOCK_ROWS
            part = rows[first : first + BLOCK_ROWS]
            part[...] = make(first, first + len(part))
            rows.flush()
            self._write_sum(block, hashlib.sha256(part.tobytes()).digest())

    def _wait_for_others(self, make: MakeRows, what: str) -> None:
        """Wait for the other processes' blocks; make those that nobody makes: their process may be dead."""
        left, since_s = self._missing(ALONE), time.monotonic()
        while left:
            time.sleep(_WAIT_S)
            before, left = left, self._missing(ALONE)
            if len(left) < len(before):
                since_s = time.monotonic()
            elif time.monotonic() - since_s > STALE_S:
                text = f"nobody makes {plural(len(left), 'block')}, made here"
                print(f"note: {self.path}: {text}", file=sys.stderr)
                self._make_missing(make, what, ALONE)
                left = self._missing(ALONE)

    @property
    def _blocks(self) -> int:
        return -(-self.shape[0] // BLOCK_ROWS)

    @property
    def _sums_path(self) -> Path:
        return self.path.with_suffix(".sums")

    def _sums(self) -> list[bytes]:
        content = self._sums_path.read_bytes()
        return [content[i : i + _SUM_BYTES] for i in range(0, len(content), _SUM_BYTES)]

    def _missing(self, share: Share) -> list[int]:
        sums = self._sums()
        return [i for i in range(share.index, self._blocks, share.count) if not any(sums[i])]

    def _damaged(self, rows: NDArray[Any], share: Share) -> Iterator[int]:
        for block, checksum in enumerate(self._sums()):
            if any(checksum) and block % share.count == share.index:
                part = rows[block * BLOCK_ROWS : (block + 1) * BLOCK_ROWS]
                if hashlib.sha256(part.tobytes()).digest() != checksum:
                    yield block

    def _write_sum(self, block: int, checksum: bytes) -> None:
        with self._sums_path.open("r+b") as file:
            file.seek(block * _SUM_BYTES)
            file.write(checksum)

    def _claim(self) -> None:
        """Create both files where they are missing or of another array, with all of their disk space reserved."""
        if not self._fits():
            self._sums_path.unlink(missing_ok=True)
            part = self.path.with_suffix(".part")
            try:
                np.lib.format.open_memmap(part, mode="w+", dtype=self.dtype, shape=self.shape)
                if hasattr(os, "posix_fallocate"):  # writing to a mapping of a full disk is a crash
                    with part.open("r+b") as file:
                        os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
                part.replace(self.path)
            finally:
                part.unlink(missing_ok=True)
        size = self._blocks * _SUM_BYTES
        if not self._sums_path.is_file() or self._sums_path.stat().st_size != size:
            self._sums_path.write_bytes(bytes(size))

    def _fits(self) -> bool:
        with suppress(Exception):  # a damaged header raises whatever the parser meets
            rows = np.load(self.path, mmap_mode="r")
            return bool(rows.shape == self.shape and rows.dtype == self.dtype)
        return False


def remove_former_leftovers(folder: Path) -> None:
    """Delete KEY.PID.tmp, features of gigabytes that earlier versions left in `folder` when they were killed."""
    for file in folder.glob("[!.]*.tmp"):  # hidden ones may be of living writers
        with suppress(OSError):
            file.unlink()


def refuse_beyond(store: RowStore, largest_gb: float, instead: str) -> None:
    """Refuse to make a very large array unless the user allows it.

    Args:
        store: the array; one that exists is accepted.
        largest_gb: limit in gigabytes.
        instead: advice for the message.

    Raises:
        NiahError: it takes more than `largest_gb` gigabytes and does not exist yet.
    """
    size_gb = store.size_bytes / 1e9
    if size_gb > largest_gb and not store.path.is_file():
        raise NiahError(
            f"features of {store.shape[0]} clips would take {size_gb:.0f} GB in {store.path.parent}: {instead}"
        )
