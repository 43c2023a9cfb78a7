"""torch's global settings that change numbers, as a script or notebook may have set them before it calls niah."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import torch

_IMPORTED_IN = os.getpid()


@contextmanager
def fresh_settings() -> Iterator[None]:
    """Set what changes numbers as in a fresh process, within the block.

    These are autocast, the default dtype and device, and the precision of float32 products, in which TF32 or bfloat16
    may stand for float32. Scores under the caller's own would be others under the same cell keys. In a fork of a
    process that has called niah, torch has one thread from here on.
    """
    if os.getpid() != _IMPORTED_IN:
        torch.set_num_threads(
            1
        )  # a fork has none of OpenMP's threads, and torch would wait for them for ever
    dtype, precision = torch.get_default_dtype(), _precision()
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            stack.enter_context(torch.autocast(device, enabled=False))
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        try:
            torch.set_default_dtype(torch.float32)
            if precision not in (None, "highest"):
                torch.set_float32_matmul_precision("highest")
            yield
        finally:
            torch.set_default_dtype(dtype)
            if precision not in (None, "highest"):
                torch.set_float32_matmul_precision(precision)


def _precision() -> str | None:
    """Return the precision of float32 products; None where it was set for each backend by itself, and stays."""
    with suppress(RuntimeError):
        return torch.get_float32_matmul_precision()
    return None
