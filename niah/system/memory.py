"""Peak memory of a stretch of work, and running out of it."""

import ctypes
import functools
import resource
import sys
from pathlib import Path

import torch

from niah.system.shortage import is_shortage

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class PeakMemory:
    """Bytes at the peak since it was made: of the CUDA allocator, else of the process (resident set).

    Off Linux the peak of the process cannot be reset, so it is that since the process began.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif _CLEAR_REFS.exists():
            _CLEAR_REFS.write_text("5")  # resets VmHWM to what is resident now, see proc(5)
        self._before = self.bytes()

    def bytes(self) -> int:
        """Return the peak in bytes."""
        if self.device.type == "cuda":
            return int(torch.cuda.max_memory_allocated(self.device))
        if _STATUS.exists():
            for line in _STATUS.read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak if sys.platform == "darwin" else peak * 1024)

    def growth(self) -> int:
        """Return the bytes at the peak beyond those at the beginning."""
        return self.bytes() - self._before


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that memory (or threads, or open files) ran out, on any device."""
    if not isinstance(error, MemoryError | OSError | RuntimeError):
        return False
    text = str(error)
    return is_shortage(error) or "can't allocate memory" in text or "bad_alloc" in text


def free_cached(device: torch.device) -> None:
    """Give the allocator's unused blocks back, so that the next cell starts clean."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif (libc := _glibc()) is not None:
        libc.malloc_trim(0)


def keep_freed_memory() -> None:
    """Let glibc reuse the blocks of freed tensors of up to 32 MB instead of handing them back at once.

    By default each such block is mapped, cleared by the kernel and unmapped again: on a virtual machine that took
    half of all processor time in training. Does nothing where the C library is another.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


@functools.cache
def _glibc() -> ctypes.CDLL | None:
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None
