"""`njit` for the kernels of this folder, with a cache on disk that notices an edit of what a kernel calls.

numba throws a compiled kernel away when the kernel's own file changes. What the kernel calls is compiled into it, and
here mostly comes from another file (`cpu_math`), whose edits numba would not notice. So the key of an entry also holds
a hash of all sources that kernels are made of.
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
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


SOURCES = _hash_of_sources()


class SourcesCache(KernelCache):
    """The cache of one kernel; an entry is for these sources only."""

    def _index_key(self, sig: Any, codegen: Any) -> tuple[Any, ...]:
        own: tuple[Any, ...] = super()._index_key(sig, codegen)  # type: ignore[no-untyped-call]
        return *own, SOURCES


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Decorator: the function compiled on its first call, and kept on disk; `options` are numba's beside `OPTIONS`."""
    options = {**OPTIONS, **options}
    cache = options.pop("cache")

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher: Any = njit(**options)(function)
        return cached_on_disk(dispatcher, SourcesCache) if cache else dispatcher

    return compiled
