"""`njit` for the kernels of this folder, with a cache on disk that is invalidated by an edit of any of their sources.

numba discards a cached kernel when the kernel's own file changes, but not when a function that is compiled into it
changes in another file (`niah.scan.cpu.math`). The key of a cache entry therefore includes a hash of all sources.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from niah.system.kernel_cache import KernelCache, cached_on_disk

# no check for division by zero (it stops the vectoriser), products and sums fused, nothing reordered
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "error_model": "numpy",
    "fastmath": {"contract"},
}


def _hash_of_sources() -> str:
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


SOURCES = _hash_of_sources()


class SourcesCache(KernelCache):
    """The cache of one kernel; an entry is valid for these sources only."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        own: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return *own, SOURCES


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function: compile it on its first call and cache it on disk; `options` extend `OPTIONS`."""
    options = {**OPTIONS, **options}
    cache = options.pop("cache")

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher: Any = njit(**options)(function)
        return cached_on_disk(dispatcher, SourcesCache) if cache else dispatcher

    return compiled
