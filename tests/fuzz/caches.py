"""Damaged entries of the two caches of features; what is read must be what was made, whatever lies on the disk."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from niah.needles.feature_cache import FeatureCache
from niah.training.data.row_store import RowStore
from tests.fuzz.mutations import changed_bytes

KEY = "ab" + "0" * 62
ROWS = np.arange(3 * 100 * 4, dtype=np.float16).reshape(300, 4)


def _entry() -> dict[str, Any]:
    return {
        "features": np.arange(12.0).reshape(4, 3),
        "notes": np.array(["a note"]),
        "samples": np.array([4, 5]),
    }


def feature_entry(rng: Random, folder: Path) -> Path:
    cache = FeatureCache(folder)
    cache.get_or_make(KEY, _entry)
    file = cache.path(KEY)
    file.write_bytes(changed_bytes(rng, file.read_bytes(), rng.choice((0, 40, 300))))
    return folder


def read_feature_entry(folder: Path) -> None:
    read = FeatureCache(folder).get_or_make(KEY, _entry)
    _check({name: read[name] for name in _entry()}, _entry())


def row_store(rng: Random, folder: Path) -> Path:
    """The rows damaged, or their checksums, or one of the files removed; by one fault at a time."""
    _store(folder).load_or_make(_rows, "rows")
    file = folder / rng.choice(("rows.npy", "rows.npy", "rows.sums"))
    if rng.random() < 0.1:
        file.unlink()
    else:
        file.write_bytes(changed_bytes(rng, file.read_bytes(), rng.choice((0, 128, 128))))
    return folder


def read_row_store(folder: Path) -> None:
    _check({"rows": _store(folder).load_or_make(_rows, "rows")}, {"rows": ROWS})


def _store(folder: Path) -> RowStore:
    return RowStore(folder / "rows.npy", ROWS.shape, ROWS.dtype)


_rows: Callable[[int, int], Any] = lambda first, last: ROWS[first:last]  # noqa: E731


def _check(read: dict[str, Any], made: dict[str, Any]) -> None:
    for name, expected in made.items():
        if not np.array_equal(read[name], expected):
            raise AssertionError(f"{name} is not what was made")
