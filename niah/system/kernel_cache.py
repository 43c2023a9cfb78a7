"""Compiled kernels on disk wherever a folder can be written: numba's own places, then the cache folder, then none.

numba keeps a kernel beside its source or in the user's cache folder, and raises where neither can be written, as in a
container with a read-only package and no home. There `cache_folder()/numba` is tried, and without that the kernels
are compiled anew in each process.
"""

from contextlib import suppress
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.dispatcher import Dispatcher

from niah.system.download import cache_folder


class CacheFolderLocator(UserProvidedCacheLocator):
    """`cache_folder()/numba`, as numba's own locator of `NUMBA_CACHE_DIR` names the folders below it."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._py_file = py_file
        self._lineno = py_func.__code__.co_firstlineno
        folder = self.get_suitable_cache_subpath(py_file)  # type: ignore[no-untyped-call]
        self._cache_path = str(cache_folder() / "numba" / folder)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> Any:
        """Return a locator, or None where the folder cannot be written.

        Args:
            py_func: the function to cache.
            py_file: its source file.
        """
        skipped: Any = super(UserProvidedCacheLocator, cls)  # its own looks at NUMBA_CACHE_DIR
        return skipped.from_function(py_func, py_file)


class _Places(CompileResultCacheImpl):
    _locator_classes = [*CompileResultCacheImpl._locator_classes, CacheFolderLocator]  # noqa: RUF012 (as numba's)


class KernelCache(FunctionCache):
    """numba's cache of one function, with one more place for it."""

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
