"""CRC-32C (Castagnoli, RFC 3720 appendix B.4), by which TensorFlow's checkpoints are checked.

Compiled: a saved model has tens of megabytes, and no library that is needed anyway computes this polynomial.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

_POLYNOMIAL = 0x82F63B78  # bits reversed
_MASK_DELTA = 0xA282EAD8  # LevelDB stores checksums rotated and shifted by this


def masked_crc32c(data: bytes | NDArray[np.uint8]) -> int:
    """Compute the checksum of bytes as LevelDB tables and tensor bundles store it.

    Args:
        data: the bytes.

    Returns:
        A number of 32 bits.
    """
    crc = int(_compiled()(np.frombuffer(data, np.uint8), _TABLE))
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def _table() -> NDArray[np.uint32]:
    remainders = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = (remainders & 1).astype(bool)
        remainders = np.where(odd, remainders >> 1 ^ np.uint32(_POLYNOMIAL), remainders >> 1)
    return remainders


@cache
def _compiled() -> Callable[[NDArray[np.uint8], NDArray[np.uint32]], int]:
    """Return `_crc32c`, compiled: numba takes a second to import, and few checkpoints are TensorFlow's."""
    from numba import njit

    from niah.system.kernel_cache import cached_on_disk

    compiled: Callable[[NDArray[np.uint8], NDArray[np.uint32]], int]
    compiled = cached_on_disk(njit(nogil=True)(_crc32c))
    return compiled


def _crc32c(data: NDArray[np.uint8], table: NDArray[np.uint32]) -> np.uint32:
    crc = np.uint32(0xFFFFFFFF)
    for byte in data:
        crc = table[(crc ^ byte) & np.uint32(0xFF)] ^ (crc >> np.uint32(8))
    return crc ^ np.uint32(0xFFFFFFFF)


_TABLE = _table()
