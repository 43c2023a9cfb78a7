"""Random numbers that depend on a key only: not on a global seed, the order of calls, or the machine."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from niah.errors import NiahError

if TYPE_CHECKING:
    import torch


def keyed_generator(*parts: object, block: int = 0) -> np.random.Generator:
    """Make a Philox generator keyed by the SHA-256 of the parts' text.

    Args:
        *parts: the key; each part by its `str`.
        block: one of 2^64 independent streams of that key.

    Returns:
        The generator, at its start.
    """
    digest = hashlib.sha256(
        "\x1f".join(str(part) for part in parts).encode(errors="surrogatepass")
    ).digest()
    key = np.frombuffer(digest[:16], dtype="<u8").astype(np.uint64)
    counter = np.array([0, 0, 0, block], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


LARGEST_SEED = 2**63 - 1  # what torch and a table's column of whole numbers take


def check_seed(seed: int, option: str = "--seed") -> int:
    """Return the seed.

    Raises:
        NiahError: it has more than 63 bits; names the option.
    """
    if abs(seed) > LARGEST_SEED:
        raise NiahError(f"{option} must be a whole number of at most 63 bits, got {seed}")
    return seed


@contextmanager
def torch_seed(seed: int, device: "torch.device | None" = None) -> Iterator[None]:
    """Seed torch's global generators within the block, and restore them after it.

    For what torch draws without a generator of its own: initial weights, drop path.

    Args:
        seed: of the CPU's generator, and of `device`'s.
        device: a CUDA device whose generator is seeded too.
    """
    import torch

    devices = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
