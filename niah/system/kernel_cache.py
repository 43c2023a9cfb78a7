"""Compiled kernels on disk: once for a machine and a version of their source, in whichever checkout or environment.

`NUMBA_CACHE_DIR` comes first, where it is set, then `cache_folder()/numba`, in a folder named by the content of the
kernel's file, then numba's own places: beside the source, or the user's cache folder. Where none can be written, as in
a container with a read-only package and no home, the kernels are compiled anew in each process.
"""

import hashlib
import os
from contextlib import suppress
from functools import cache as cached
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.dispatcher import Dispatcher

from niah.errors import NiahError
from niah.system.download import cache_folder


class CacheFolderLocator(UserProvidedCacheLocator):
    """`cache_folder()/numba`, with a folder for each content of a file: two versions do not drive each other out."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        folder = f"{Path(py_file).stem}-{_content(py_file)}"
        self._cache_path = str(cache_folder() / "numba" / folder)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        """Return a locator, or None where the folder cannot be written.

        Args:
            py_func: the function to cache.
            py_file: its source file.
        """
        skipped: Any = super(UserProvidedCacheLocator, cls)  # its own looks at NUMBA_CACHE_DIR
        try:
            return skipped.from_function(py_func, py_file)
        except NiahError:  # no cache folder is known
            return None


@cached
def _content(py_file: str) -> str:
    return hashlib.sha256(Path(py_file).read_bytes()).hexdigest()[:12]


def _numbas_own() -> list[Any]:
    """Return numba's own places; without a known home, its folder there would be made as "~" in the working folder."""
    has_home = os.path.expanduser("~") != "~"  # noqa: PTH111 (pathlib's raises)
    skipped = {"UserProvidedCacheLocator"} | (set() if has_home else {"UserWideCacheLocator"})
    return [e for e in CompileResultCacheImpl._locator_classes if e.__name__ not in skipped]


class _Places(CompileResultCacheImpl):
    _locator_classes = [  # noqa: RUF012 (as numba's)
        UserProvidedCacheLocator,
        CacheFolderLocator,
        *_numbas_own(),
    ]


class KernelCache(FunctionCache):
    """numba's cache of one function, with the cache folder as the first place for it."""

    _impl_class = _Places


def cached_on_disk(function: Any, cache: type[KernelCache] = KernelCache) -> Any:
    """Keep what `numba.njit` gave on disk, if there is a place for it.

    Args:
        function: a numba dispatcher without a cache; a plain function (under NUMBA_DISABLE_JIT) is left as it is.
        cache: the kind of cache.

    Returns:
        `function`.
    """
    if isinstance(function, Dispatcher):
        with suppress(RuntimeError):  # no place: compiled in memory, which takes seconds a process
            function._cache = cache(function.py_func)  # type: ignore[attr-defined]
    return function
