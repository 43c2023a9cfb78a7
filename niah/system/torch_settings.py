"""torch's global settings that change numbers, as a script or notebook may have set them before it calls niah."""

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import torch

_IMPORTED_IN = os.getpid()


@contextmanager
def fresh_settings() -> Iterator[None]:
    """Set what changes numbers as in a fresh process, within the block.

    These are autocast, the default dtype and device, and the precision of float32 products, in which TF32 or bfloat16
    may stand for float32. Scores under the caller's own would be others under the same cell keys. In a fork of the
    process that imported this module, torch has one thread from here on.
    """
    if os.getpid() != _IMPORTED_IN:
        # a fork has none of OpenMP's threads, and torch would wait for them for ever
        torch.set_num_threads(1)
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_of_all_threads())
        yield


_lock = threading.Lock()
_blocks = 0  # that are open, of all threads
_callers: tuple[torch.dtype, str | None] = (torch.float32, None)


@contextmanager
def _of_all_threads() -> Iterator[None]:
    """Set what all threads share; the last block that ends gives the caller's own back."""
    global _blocks, _callers
    with _lock:
        if not _blocks:
            _callers = torch.get_default_dtype(), _precision()
            _set(torch.float32, "highest")
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                _set(*_callers)


def _set(dtype: torch.dtype, precision: str | None) -> None:
    torch.set_default_dtype(dtype)
    if _callers[1] not in (None, "highest") and precision is not None:
        torch.set_float32_matmul_precision(precision)


def _precision() -> str | None:
    """Return the precision of float32 products; None where it was set for each backend by itself, and stays."""
    with suppress(RuntimeError):
        return torch.get_float32_matmul_precision()
    return None
