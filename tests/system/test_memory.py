"""Memory: what counts as running out of it, and that the peak is the peak."""

import errno
import sys

import numpy as np
import pytest
import torch

from niah.system.memory import PeakMemory, free_cached, is_out_of_memory, keep_freed_memory

CPU = torch.device("cpu")
MEBIBYTE = 2**20


def test_real_failures_to_allocate_are_recognised() -> None:
    with pytest.raises(RuntimeError) as torch_refused:
        torch.empty(1 << 58)
    with pytest.raises(MemoryError) as numpy_refused:
        np.zeros(1 << 58)
    assert is_out_of_memory(torch_refused.value)
    assert is_out_of_memory(numpy_refused.value)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("std::bad_alloc"), True),
        (RuntimeError("can't start new thread"), True),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), True),
        (OSError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (OSError(errno.ENOENT, "No such file or directory"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_counts_as_out_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.skipif(sys.platform != "linux", reason="the peak can be reset on Linux alone")
def test_the_peak_is_of_the_time_since_it_was_made() -> None:
    idle = PeakMemory(CPU).bytes()
    memory = PeakMemory(CPU)
    block = torch.ones(128 * MEBIBYTE, dtype=torch.uint8)
    del block
    busy = memory.bytes()
    assert 100 * MEBIBYTE < busy - idle < 400 * MEBIBYTE
    free_cached(CPU)
    assert PeakMemory(CPU).bytes() < busy - 100 * MEBIBYTE


def test_a_peak_is_a_plausible_number_of_bytes() -> None:
    assert 10 * MEBIBYTE < PeakMemory(CPU).bytes() < 1 << 44


def test_keeping_freed_memory_changes_no_result() -> None:
    keep_freed_memory()
    x = torch.arange(10_000, dtype=torch.float64)
    assert float((x * x).sum()) == sum(n * n for n in range(10_000))
